"""What opsd checks of a Slurm: each check a function, each function a row of `GROUPS`.

Invariant: a check says what it looked at in Slurm's own words, and the command that mends it is one that a
person runs; nothing here runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from collectors.protocol import Controller, Granted, OpenRow, Partial, Qos
from opsd.core.errors import Refused, Unavailable
from opsd.core.period import DAY, HOUR, isoformat
from opsd.pipeline.doctor import ERROR, OK, UNKNOWN, WARNING, Check, Finding, Group, Patient, hours

_CLOCK_WARNING, _CLOCK_ERROR = 2, 60
_WAITING_WARNING = 1_000
_IDS_LEFT = 1_000_000
_FULL_ROLL_UP = 2 * HOUR  # slurmdbd adds up each hour soon after it ended
_RECENT = 600  # a row younger than this may still be on its way
_NAMED = 6
_RECONFIGURE = "in slurm.conf, then restart slurmctld"


# -- rights -------------------------------------------------------------------------------------------


def rights(patient: Patient) -> Finding:
    """Whether opsd sees everybody's runs."""
    try:
        return Finding(OK, f"cluster {patient.cluster}: this user sees everybody's runs")
    except Refused as err:
        mend = "sacctmgr modify user NAME set adminlevel=Operator"
        return Finding(ERROR, "this user may not see everybody's runs", str(err), mend)


def private_data(patient: Patient) -> Finding:
    """What others than operators may not see."""
    value = patient.configuration.get("PrivateData", "none")
    meaning = "others than operators see their own alone; opsd asks as one, so nothing is missing"
    return Finding(OK, f"PrivateData = {value}", "" if value in ("", "none") else meaning)


def _lost(patient: Patient) -> Sequence[str]:
    source = patient.sources.accounting
    return source.lost() if isinstance(source, Partial) else ()


def columns(patient: Patient) -> Finding:
    """Whether this sacct has every column."""
    lost = _lost(patient)
    if not lost:
        return Finding(OK, "sacct has every column that opsd reads")
    mend = "set [slurm] bin to the commands of the Slurm that runs, or update Slurm"
    return Finding(WARNING, f"{len(lost)} columns are missing", "; ".join(lost), mend)


# -- what is accounted ----------------------------------------------------------------------------------


def storage(patient: Patient) -> Finding:
    """Whether there is accounting at all."""
    value = patient.configuration.get("AccountingStorageType", "")
    shown = f"AccountingStorageType = {value or 'not set'}"
    if value == "accounting_storage/slurmdbd":
        return Finding(OK, shown)
    meaning = "slurmctld writes no accounting to slurmdbd: no usage can be known"
    return Finding(ERROR, shown, meaning, f"AccountingStorageType=accounting_storage/slurmdbd {_RECONFIGURE}")


def tres(patient: Patient) -> Finding:
    """Whether GPUs are accounted."""
    tracked = patient.configuration.get("AccountingStorageTRES", "").split(",")
    shown = f"AccountingStorageTRES = {','.join(tracked)}"
    gpus = any(node.gpus for node in patient.nodes)
    if gpus and "gres/gpu" not in tracked:
        meaning = "there are nodes with GPUs, but their use is written down for no job: GPU-hours are 0"
        return Finding(ERROR, shown, meaning, f"add gres/gpu to AccountingStorageTRES {_RECONFIGURE}")
    typed = [name for name in tracked if name.startswith("gres/gpu:")]
    if gpus and not typed:
        meaning = "the class of a GPU is known from the node inventory alone ([[node_class]]), not from Slurm"
        return Finding(OK, shown, meaning)
    return Finding(OK, shown)


def stored_tres(patient: Patient) -> Finding:
    """Whether slurmdbd knows the TRES, too, billing among them."""
    known = list(patient.machine.tracked())
    wanted = ["cpu", "mem", "node", "billing"]
    if any(node.gpus for node in patient.nodes):
        wanted.append("gres/gpu")
    missing = [name for name in wanted if name not in known]
    if not missing:
        return Finding(OK, f"slurmdbd keeps {', '.join(known)}")
    meaning = f"slurmdbd keeps no {', '.join(missing)}: nothing of it is in any report"
    return Finding(
        ERROR,
        f"sacctmgr show tres: no {', '.join(missing)}",
        meaning,
        f"add it to AccountingStorageTRES {_RECONFIGURE}",
    )


def gpu_nodes(patient: Patient) -> Finding:
    """Nodes whose GPUs slurmctld does not count."""
    nodes = patient.nodes
    wrong = [node for node in nodes if node.gpus != node.counted_gpus]
    partitions = sorted({name for node in wrong for name in node.partitions})
    if not wrong:
        with_gpus = sum(bool(node.gpus) for node in nodes)
        return Finding(OK, f"{with_gpus} of {len(nodes)} nodes have GPUs, all of them counted as TRES")
    first = wrong[0]
    shown = (
        f"{len(wrong)} nodes, in {', '.join(partitions) or 'no partition'}: {first.name} has Gres of "
        f"{first.gpus} GPUs and CfgTRES of {first.counted_gpus}"
    )
    meaning = "jobs there hold GPUs that no row of the accounting shows: opsd marks such runs no-gpu-tres"
    mend = (
        "add gres/gpu to AccountingStorageTRES, give the nodes their Gres= in slurm.conf, restart slurmctld"
    )
    return Finding(ERROR, shown, meaning, mend)


# What a word of AccountingStorageEnforce brings with it.
_IMPLIED = {
    "limits": ("associations",), "qos": ("associations",), "wckeys": ("associations",),
    "safe": ("associations", "limits"), "all": ("associations", "limits", "qos", "safe"),
}  # fmt: skip
_ENFORCE = f"AccountingStorageEnforce=associations,limits,qos,safe {_RECONFIGURE}"
_KILLS = (
    "the trap: when an account reaches its GrpTRESMins, its running jobs are killed; with safe a job starts "
    "only where it can run to its limit"
)


def enforce(patient: Patient) -> Finding:
    """What slurmctld enforces, and the trap in it."""
    value = patient.configuration.get("AccountingStorageEnforce", "")
    shown = f"AccountingStorageEnforce = {value or 'none'}"
    words = set(value.lower().split(","))
    words.update(*(_IMPLIED.get(word, ()) for word in words))
    if "nojobs" in words:
        meaning = "nojobs: no job is written down, so no usage is known"
        return Finding(ERROR, shown, meaning, f"take nojobs out of it {_RECONFIGURE}")
    if "associations" not in words:
        meaning = "jobs run without an association: their use is in no account, and in no report of Slurm's"
        return Finding(ERROR, shown, meaning, _ENFORCE)
    if "limits" not in words:
        return Finding(WARNING, shown, "use is counted, but no limit stops anybody", _ENFORCE)
    if "safe" not in words:
        return Finding(WARNING, shown, _KILLS, f"AccountingStorageEnforce={value},safe {_RECONFIGURE}")
    return Finding(OK, shown, "" if "qos" in words else "without qos: jobs may ask for any QOS")


# -- slurmdbd -------------------------------------------------------------------------------------------


def clock(patient: Patient) -> Finding:
    """slurmdbd's clock beside ours."""
    times = patient.health.clocks()
    off = max(0, times.before - times.there, times.there - times.after)
    ahead = "ahead of" if times.there > times.after else "behind"
    if off <= _CLOCK_WARNING:
        return Finding(OK, f"{isoformat(times.there)}, as the clock here")
    shown = f"{isoformat(times.there)}: {hours(off)} {ahead} the clock here"
    meaning = "what changed in the last minutes may be asked for too early; hours end at other times"
    mend = "timedatectl status on both machines; let chronyd keep them"
    return Finding(ERROR if off >= _CLOCK_ERROR else WARNING, shown, meaning, mend)


def hour(patient: Patient) -> Finding:
    """When slurmdbd's hours begin: by its own marks, else by the zone configured, or this machine's."""
    offset, seen = patient.machine.hour_offset(), patient.health.clocks().hour
    marked = patient.tables is not None and patient.tables.rolled_up(0, 0).hourly % HOUR == offset
    configured = f"by [slurm] timezone = {patient.zone}" if patient.zone else "by this machine's zone"
    known = "by slurmdbd's own marks" if marked else configured
    shown = f"{offset // 60} minutes into an hour of UTC, {known}"
    if seen is not None and seen % HOUR != offset:
        meaning = f"but the last hour that it added up ended {seen % HOUR // 60} minutes into one"
        mend = "[slurm] timezone: slurmdbd's; or [slurm] database_url, to read slurmdbd's own marks"
        return Finding(ERROR, shown, f"{meaning}: sreport would be asked for other hours", mend)
    if seen is None and not marked and not patient.zone:
        meaning = "nothing confirms that slurmdbd's zone has the same minutes: sreport counts its full hours"
        return Finding(WARNING, shown, meaning, "[slurm] timezone: slurmdbd's, such as Europe/Madrid")
    if not offset:
        return Finding(OK, f"whole hours of UTC, {known}")
    meaning = "its zone is not whole hours from UTC: sreport's hours begin then, and opsd compares in them"
    return Finding(OK, shown, meaning)


def roll_up(patient: Patient) -> Finding:
    """Whether slurmdbd adds up."""
    times = patient.health.clocks()
    if times.rolled_up is None:
        meaning = "not since slurmdbd was started: until then sreport knows nothing of the last hours"
        return Finding(WARNING, "no roll-up has run", meaning, "wait for the next full hour, then ask again")
    age = max(0, times.there - times.rolled_up)
    shown = f"last at {isoformat(times.rolled_up)}, {hours(age)} ago"
    if age <= _FULL_ROLL_UP:
        return Finding(OK, shown)
    meaning = "sreport shows old sums, and opsd reconcile cannot compare newer hours"
    mend = "look for rollup in slurmdbd's log; its database may be locked or full"
    return Finding(ERROR if age > DAY else WARNING, shown, meaning, mend)


def queue(patient: Patient) -> Finding:
    """Records that have not reached slurmdbd."""
    waiting = patient.health.waiting()
    shown = f"{waiting:,} records wait in slurmctld (sdiag: DBD Agent queue size)"
    if waiting < _WAITING_WARNING:
        return Finding(OK, shown)
    most = patient.configuration.get("MaxDBDMsgs", "?")
    meaning = f"accounting lags; beyond MaxDBDMsgs = {most} records are thrown away"
    return Finding(ERROR, shown, meaning, "systemctl status slurmdbd on its machine")


def runaway(patient: Patient) -> Finding:
    """Rows without an end of jobs that slurmctld does not know: they are charged for ever."""
    rows = patient.health.open_rows(patient.now)  # first: a job that ends meanwhile is still known afterwards
    known = _known_jobs(patient)
    lost = [row for row in rows if row.job_id not in known and row.start < patient.now - _RECENT]
    if not lost:
        return Finding(OK, f"{len(rows):,} rows without an end; slurmctld knows their jobs")
    if patient.health.waiting():
        return Finding(
            UNKNOWN, f"{len(lost):,} rows without an end", "records are on their way: ask again later"
        )
    shown = f"{len(lost):,} rows without an end of jobs that slurmctld does not know: {_jobs(lost)}"
    meaning = "each is charged for ever, in Slurm and in opsd, until it is given an end"
    mend = "sacctmgr show runaway: shows them, asks, and ends each when it began; opsd sees it that night"
    return Finding(ERROR, shown, meaning, mend)


def _known_jobs(patient: Patient) -> Collection[int]:
    source = patient.sources.accounting
    if not isinstance(source, Controller):
        raise Unavailable("nobody here knows which jobs still run")
    return source.known_jobs()


def _jobs(rows: list[OpenRow]) -> str:
    named = [f"{row.job_id} ({row.account}, since {isoformat(row.start)[:10]})" for row in rows[:_NAMED]]
    return ", ".join(named) + (f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else "")


def database(patient: Patient) -> Finding:
    """Whether slurmdbd's own tables may be read, and nothing else."""
    tables = patient.tables if patient.cluster else None  # first of all, whose they are
    if tables is None:
        meaning = "what only its tables tell is not known: suspensions across an hour's edge, late edits"
        mend = "[slurm] database_url, for a user with SELECT alone: docs/configuration.md"
        return Finding(WARNING, "no [slurm] database_url", meaning, mend)
    shown = f"answers; added up until {isoformat(tables.rolled_up(0, 0).hourly)}"
    more = sorted(tables.rights() - {"SELECT"}) if isinstance(tables, Granted) else []
    if not more:
        return Finding(OK, shown)
    meaning = f"its user may do more than look: {', '.join(more[:_NAMED])}{', …' * (len(more) > _NAMED)}"
    mend = "a user of its own with SELECT on the tables alone: docs/configuration.md"
    return Finding(WARNING, shown, f"{meaning}; opsd never does, but its password could", mend)


# -- limits and shares ----------------------------------------------------------------------------------


def usage_factor(patient: Patient) -> Finding:
    """QOS that change what limits are compared with."""
    odd = [qos for qos in patient.health.qos() if not _is_one(qos)]
    if not odd:
        return Finding(OK, "every QOS counts usage once (UsageFactor = 1)")
    shown = ", ".join(f"{qos.name}: UsageFactor = {qos.usage_factor}" for qos in odd)
    meaning = "sshare and GrpTRESMins count such jobs so many times; sreport and opsd count them once"
    mend = f"sacctmgr modify qos {odd[0].name} set UsageFactor=1, unless it is meant so"
    return Finding(WARNING, shown, meaning, mend)


def _is_one(qos: Qos) -> bool:
    return float(qos.usage_factor or 1) == 1


def decay(patient: Patient) -> Finding:
    """Whether the usage that limits are compared with fades."""
    if patient.configuration.get("PriorityType") != "priority/multifactor":
        value = patient.configuration.get("PriorityType", "")
        meaning = "no usage is kept for limits: GrpTRESMins never bites"
        return Finding(OK, f"PriorityType = {value}", meaning)
    value = patient.configuration.get("PriorityDecayHalfLife", "")
    shown = f"PriorityDecayHalfLife = {value}"
    if value in ("0", "00:00:00", "0-00:00:00"):
        return Finding(OK, shown)
    meaning = "usage fades: an account that used up its GrpTRESMins may run again later; an award is gone"
    mend = f"PriorityDecayHalfLife=0 {_RECONFIGURE}, or a QOS with NoDecay, where limits stand for awards"
    return Finding(WARNING, shown, meaning, mend)


def job_ids(patient: Patient) -> Finding:
    """How many job ids are left before they begin anew."""
    most, following = (_number(patient, name) for name in ("MaxJobId", "NEXT_JOB_ID"))
    if most is None or following is None:
        return Finding(UNKNOWN, "no MaxJobId or NEXT_JOB_ID in scontrol show config")
    left = most - following
    shown = f"{left:,} ids left: NEXT_JOB_ID = {following:,} of MaxJobId = {most:,}"
    if left > _IDS_LEFT:
        return Finding(OK, shown)
    meaning = "ids begin anew soon: opsd tells such jobs apart by their Submit; other tools may not"
    return Finding(WARNING, shown, meaning, "nothing has to be done for opsd")


def _number(patient: Patient, name: str) -> int | None:
    text = patient.configuration.get(name, "")
    return int(text) if text.isdecimal() else None


GROUPS = (
    Group("rights", (
        Check("operator rights", rights), Check("PrivateData", private_data), Check("sacct columns", columns),
    )),
    Group("accounting", (
        Check("storage", storage), Check("TRES", tres), Check("TRES in slurmdbd", stored_tres),
        Check("GPU nodes", gpu_nodes), Check("enforcement", enforce),
    )),
    Group("slurmdbd", (
        Check("clock", clock), Check("hours", hour), Check("roll-up", roll_up), Check("queue", queue),
        Check("runaway jobs", runaway),
    )),
    Group("slurmdbd's database", (Check("connection", database),)),
    Group("limits", (
        Check("UsageFactor", usage_factor), Check("decay", decay), Check("job ids", job_ids),
    )),
)  # fmt: skip
