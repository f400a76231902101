"""Every Slurm command that opsd runs: its arguments, and why each odd one is there.

Invariant: nothing here changes anything in Slurm, and no command is put together anywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

# In the order in which they are asked. No free text (job name, comment, …): sacct escapes nothing, so a
# job's name could forge a record.
FIELDS = (
    "JobIDRaw", "JobID", "Cluster", "Account", "User", "Partition", "QOS", "State", "Submit", "Eligible",
    "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw", "AllocTRES", "NodeList", "ReservationId",
    "AssocID", "DBIndex", "Flags",
)  # fmt: skip

# What a site or a user may have set in the environment and what would change an answer: SACCT_FORMAT,
# SLURM_CLUSTERS, SLURM_TIME_FORMAT, SLURM_BITSTR_LEN, … SLURM_CONF is given back where it was set.
CLEARED = ("SACCT_", "SACCTMGR_", "SLURM_")

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
    "--local",  # in a federation: this cluster alone, of which `prove` told the name
    "--parsable2",  # whole columns, with | between them
    "--noconvert",  # 2048000M, not 2T
    f"--format={','.join(FIELDS)}",
)  # and no --state: it selects by other times, and forgets suspended jobs; no --truncate: it rewrites times


def changed(start: int, end: int) -> list[str]:
    """Rows that were eligible before `end` and had not ended before `start`."""
    return [*SACCT, f"--starttime={_text(start)}", f"--endtime={_text(end)}"]


def runs(job_ids: Sequence[int]) -> list[str]:
    """All rows of some jobs. Without times: with them, a row outside would be missing."""
    return [*SACCT, f"--jobs={','.join(map(str, job_ids))}"]


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


def _text(epoch: int) -> str:
    """A time as Slurm reads it, in UTC as TZ says."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")
