"""Every Slurm command that opsd runs: its arguments, and why each odd one is there.

Invariant: nothing here changes anything in Slurm, and no command is put together anywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from opsd.core.period import HOUR

# In the order in which they are asked. No free text (job name, comment, …): sacct escapes nothing, so a
# job's name could forge a record.
FIELDS = (
    "JobIDRaw", "JobID", "Cluster", "Account", "User", "Partition", "QOS", "State", "Submit", "Eligible",
    "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw", "AllocTRES", "NodeList", "ReservationId",
    "AssocID", "DBIndex", "Flags",
)  # fmt: skip

# Without these no run can be told; every other column may be missing, at a price.
NEEDED = ("JobIDRaw", "Account", "State", "Submit", "Start", "End", "AllocTRES")
LOST = {
    "JobID": "tasks of arrays and parts of heterogeneous jobs are shown by their own job ids",
    "Cluster": "runs stand under the cluster that was asked, whatever the row would have said",
    "User": "usage by user, and whose organisation used it, is not known",
    "Partition": "usage by partition is not known, nor what is bound to a partition",
    "QOS": "usage by QOS is not known, nor what is bound to a QOS",
    "Eligible": "rows that a shrunk job leaves twice cannot be told as Slurm counts them",
    "ElapsedRaw": "the time a job was suspended cannot be checked",
    "Suspended": "suspended time is not taken off the cpu: more cpu-seconds are counted than Slurm reports",
    "TimelimitRaw": "what running jobs may still use (committed) is not known",
    "NodeList": "the class of a run's nodes and GPUs is known from its partition alone",
    "ReservationId": "which runs were in a reservation is not known",
    "AssocID": "lines of one user with several associations cannot be told apart",
    "DBIndex": "exact suspensions and edits cannot be looked up in slurmdbd's database",
    "Flags": "runs whose start record was lost are not told apart",
}
# Columns of later versions, asked for where they are known and missed by nobody elsewhere: SLUID (24.11)
# names a run for good. Restarts and OriginalSLUID would change nothing that is counted.
LATER = ("SLUID",)

# What a site or a user may have set in the environment and what would change an answer: SACCT_FORMAT,
# SQUEUE_PARTITION, SCONTROL_FUTURE, SLURM_CLUSTERS, SLURM_TIME_FORMAT, … SLURM_CONF is given back where it
# was set.
CLEARED = ("SACCT_", "SACCTMGR_", "SCONTROL_", "SLURM_", "SQUEUE_")

ENVIRONMENT = {
    "TZ": "UTC",  # times of -S and -E, and the hour that would come twice in autumn
    "SLURM_TIME_FORMAT": "%s",  # epochs: sacct prints local times without saying of which zone
    "LC_ALL": "C",
}

SACCT = (
    "sacct",
    "--allusers",  # else one's own runs; without operator rights still those alone, without a word
    "--duplicates",  # earlier runs of a requeued or resized job are runs as well
    "--allocations",  # no steps: they are ten times the rows and count nothing
    "--parsable2",  # whole columns, with | between them
    "--noconvert",  # 2048000M, not 2T
)  # and no --state: it selects by other times, and forgets suspended jobs; no --truncate: it rewrites times
COLUMNS = ["sacct", "--helpformat"]


def of(cluster: str) -> str:
    """One cluster alone: the one named, or the local one; in a federation sacct would tell of all."""
    return f"--clusters={cluster}" if cluster else "--local"


def changed(fields: Sequence[str], cluster: str, start: int, end: int) -> list[str]:
    """Rows that were eligible before `end` and had not ended before `start`."""
    return [*_sacct(fields, cluster), f"--starttime={_text(start)}", f"--endtime={_text(end)}"]


def runs(fields: Sequence[str], cluster: str, job_ids: Sequence[int]) -> list[str]:
    """All rows of some jobs. Without times: with them, a row outside would be missing."""
    return [*_sacct(fields, cluster), f"--jobs={','.join(map(str, job_ids))}"]


def _sacct(fields: Sequence[str], cluster: str) -> list[str]:
    return [*SACCT, of(cluster), f"--format={','.join(fields)}"]


def known_jobs(cluster: str) -> list[str]:
    """The job ids that slurmctld knows, ended ones of the last MinJobAge included; %A: tasks by their own."""
    return ["squeue", "--all", of(cluster), "--states=all", "--noheader", "--format=%A"]


def rights(user: str) -> list[str]:
    """What a user may do in the accounting: None, Operator or Administrator."""
    return [*_SACCTMGR, "show", "user", "where", f"name={user}", "format=AdminLevel"]


# Answered for administrators, root and SlurmUser alone, so it proves the rights of whoever stands in no
# list of users, as SlurmUser does not.
STATISTICS = ["sacctmgr", "--readonly", "show", "stats"]
_SACCTMGR = ("sacctmgr", "--readonly", "--noheader", "--parsable2")  # --readonly: whatever comes, no change
CLUSTERS = [*_SACCTMGR, "show", "cluster", "format=Cluster"]
# The controller must answer this; asked only where the accounting knows several clusters.
CONFIGURATION = ["scontrol", "show", "config"]

# Free text is asked for apart, as the last column: an administrator's reason may hold | and line ends.
EVENT_FIELDS = ("NodeName", "TimeStart", "TimeEnd", "StateRaw", "State", "TRES", "ClusterNodes")
EVENT_REASON = "Reason"
RESERVATION_FIELDS = ("ID", "TimeStart", "TimeEnd", "Flags", "NodeNames", "TRES", "Associations")
RESERVATION_NAME = "Name"
ASSOCIATION_FIELDS = ("ID", "Account", "User", "Partition", "ParentName")
TRES_FIELDS = ("Type", "Name")
TRACKED = [*_SACCTMGR, "show", "tres"]
PARTITIONS = ["scontrol", "--oneliner", "show", "partition"]


def events(cluster: str, start: int, end: int) -> list[str]:
    """What could not be used, and what the cluster consisted of, at any time in [start, end)."""
    return [*_SACCTMGR, "show", "event", f"clusters={cluster}", f"start={_text(start)}", f"end={_text(end)}"]


def reservations(cluster: str, start: int, end: int) -> list[str]:
    """Records of reservations at any time in [start, end)."""
    span = f"start={_text(start)}", f"end={_text(end)}"
    return [*_SACCTMGR, "show", "reservation", f"clusters={cluster}", *span]


def associations(cluster: str) -> list[str]:
    """The tree of accounts and users."""
    return [*_SACCTMGR, "show", "associations", f"clusters={cluster}"]


# sreport rounds its times to full hours of its own clock, and cuts the end back to the last one: it is run
# in a zone without summer time whose hours begin when slurmdbd's do. Proper Name is free text: left out.
_SREPORT = ("sreport", "--parsable2", "-t", "seconds")
USAGE_FIELDS = ("Cluster", "Account", "Login", "TRESName", "Used")
SHARE_FIELDS = ("Account", "User", "RawUsage", "GrpTRESMins", "GrpTRESRaw")


def hour_zone(offset: int) -> str:
    """A POSIX zone whose hours begin `offset` seconds into a UTC hour; POSIX counts west of Greenwich."""
    ahead = -offset % HOUR
    return f"OPSD-0:{ahead // 60:02}:{ahead % 60:02}" if ahead else "UTC"


def reported(cluster: str, start: int, end: int, tres: Sequence[str], offset: int) -> list[str]:
    """What every account and user used, to be run in `hour_zone`."""
    return _report("AccountUtilizationByUser", USAGE_FIELDS, cluster, start, end, tres, offset)


def utilised(cluster: str, start: int, end: int, tres: Sequence[str], offset: int) -> list[str]:
    """What became of a whole cluster, to be run in `hour_zone`."""
    # Its own columns, by their titles: asked for "Planned", 22.05 prints PlannedDown once more.
    return _report("Utilization", (), cluster, start, end, tres, offset)


def _report(
    name: str, fields: Sequence[str], cluster: str, start: int, end: int, tres: Sequence[str], offset: int
) -> list[str]:
    ahead = -offset % HOUR  # what the zone adds to UTC
    return [
        *_SREPORT, f"--tres={','.join(tres)}", "cluster", name, f"clusters={cluster}",
        f"start={_text(start + ahead)}", f"end={_text(end + ahead)}",
        *([f"format={','.join(fields)}"] if fields else []),
    ]  # fmt: skip


def shares(cluster: str) -> list[str]:
    """What slurmctld's limits are enforced by."""
    return ["sshare", "--all", "--parsable2", f"--clusters={cluster}", f"--format={','.join(SHARE_FIELDS)}"]


# What `opsd doctor` asks besides, and what changes nothing: `show runaway` would, so it is not here.
NODES = ["scontrol", "--oneliner", "show", "node"]
SCHEDULER = ["sdiag"]
QOS_FIELDS = ("Name", "UsageFactor")
QOS = [*_SACCTMGR, "show", "qos"]
ALIVE_FIELDS = ("JobIDRaw", "Account", "User", "Start", "End")
_A_MINUTE = 60


def alive(cluster: str, at: int) -> list[str]:
    """Rows that had not ended a minute ago, however old."""
    return [
        *_sacct(ALIVE_FIELDS, cluster), f"--starttime={_text(at - _A_MINUTE)}", f"--endtime={_text(at)}"
    ]  # fmt: skip


# What a cluster is doing now: one question to slurmctld each. Where another cluster than the local one is
# meant, `at` names it.
QUEUE_FIELDS = (
    "JobArrayID", "Partition", "Account", "UserName", "QOS", "State", "NumNodes", "SubmitTime",
    "EligibleTime", "StartTime", "tres-alloc", "Reason",
)  # fmt: skip
QUEUE = (
    "squeue",
    "--all",  # partitions that are hidden from whom opsd runs as, too
    # Without it, what ended in the last minutes (MinJobAge) is left out, and with it every failure.
    "--states=all",
    "--noconvert",
    # A colon without a width: the whole column, cut nowhere. tres-alloc is what a job was given, or asks for,
    # whichever of sbatch's ways it took; %b and --Format=gres miss --gpus and are gone in later versions. No
    # free text (job name, comment, …), and why a job waits stands last: it may hold commas and spaces.
    f"--Format={','.join(f'{name}:|' for name in QUEUE_FIELDS[:-1])},{QUEUE_FIELDS[-1]}:",
)  # and no --array: a pending array is one line, whose brackets say how many tasks still wait
# The brackets whole, however long: else they are cut after 64 bytes, and tasks would be missing.
PRESENT_ENVIRONMENT = {"SLURM_BITSTR_LEN": "0"}
# --details: which GPUs are used, by type, also where the accounting does not keep that type.
PRESENT_NODES = ("scontrol", "--all", "--details", "--oneliner", "show", "node")
PRESENT_RESERVATIONS = ("scontrol", "--all", "--oneliner", "show", "reservation")
PRESENT_LICENSES = ("scontrol", "--oneliner", "show", "license")
ACCOUNT_SHARE_FIELDS = ("Account", "User", "NormShares", "EffectvUsage", "LevelFS")
# Without --all: accounts, and of users one's own alone; there may be thousands.
ACCOUNT_SHARES = ("sshare", "--parsable2", f"--format={','.join(ACCOUNT_SHARE_FIELDS)}")


def at(cluster: str, question: Sequence[str]) -> list[str]:
    """A question to the controller of a cluster; "" is the local one, which needs no slurmdbd to be found."""
    program, *others = question
    return [program, *([f"--clusters={cluster}"] if cluster else []), *others]


def queue(cluster: str) -> list[str]:
    """The queue of one cluster alone, also in a federation."""
    return [*QUEUE, of(cluster)]


def _text(epoch: int) -> str:
    """A time as Slurm reads it, in UTC as TZ says."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")
