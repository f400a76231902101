"""One job of `sacct --json` as the columns that sacct would have printed of it.

Invariant: a value becomes the text that sacct prints for it, so that it is read by the one grammar of
Slurm's texts and comes to the same record; a column that the JSON does not carry is left out, and what
has the wrong type is refused by name.

Covers what Slurm 22.05 prints (openapi/dbv0.0.38) and the data parsers v0.0.39 to v0.0.45; the shapes are
those of parse.c and parsers.c under src/plugins in SchedMD/slurm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from collectors.slurm.grammar import format_duration
from opsd.core.errors import BadText

Columns = tuple[tuple[str, ...], list[str]]  # names, and the text of each

_INFINITE = "UNLIMITED"
_NOT_SET_COUNTS = frozenset({"-1", "-2"})  # 64-bit "infinite" and "not set", as a signed number
# Flags of a job as JSON and as text name them; sacct prints one scheduler, the first of these.
_SCHEDULERS = {
    "STARTED_ON_SUBMIT": "SchedSubmit",
    "STARTED_ON_SCHEDULE": "SchedMain",
    "STARTED_ON_BACKFILL": "SchedBackfill",
}
_RECEIVED = "START_RECEIVED"
_SAY_NOTHING = frozenset({"NONE", "CLEAR_SCHEDULING"})
# "If a recognized flag is present, it will be reported instead of the base state" (Slurm's job_state_codes).
_STATE_FLAGS = (
    "COMPLETING", "STAGE_OUT", "CONFIGURING", "RESIZING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD",
    "SPECIAL_EXIT", "STOPPED", "REVOKED", "RESV_DEL_HOLD", "SIGNALING",
)  # fmt: skip


def columns_of(job: object) -> Columns:
    """The columns a job carries; raises BadText for what has no such shape."""
    if not isinstance(job, dict):
        raise BadText("a job is no JSON object", _shown(job))
    number = _required_number(job, "job_id")
    times, tres = _object(job, "time", "time"), _object(job, "tres", "tres")
    association = _object(job, "association", "association") if job.get("association") else {}
    found: dict[str, str | None] = {
        "JobIDRaw": number,
        "JobID": _label(job) or number,
        "Cluster": _name(job, "cluster", "Cluster") or _name(association, "cluster", "Cluster") or "",
        "Account": _name(job, "account", "Account", must=True),
        "User": _user(job, association),
        "Partition": _name(job, "partition", "Partition"),
        "QOS": _name(job, "qos", "QOS"),
        "State": _state(_object(job, "state", "State").get("current")),
        "AllocTRES": _tres(tres.get("allocated")),
        "NodeList": _name(job, "nodes", "NodeList"),
        "ReservationId": _reservation(job),
        "AssocID": _association_id(association),
        "DBIndex": _db_index(job),
        "SLUID": _name(job, "sluid", "SLUID") or None,
        "Flags": _flags(job),
        **_times(times),
    }
    carried = {name: text for name, text in found.items() if text is not None}
    return tuple(carried), list(carried.values())


def step_count(job: object) -> int:
    """How many steps are nested in a job."""
    steps = job.get("steps") if isinstance(job, dict) else None
    return len(steps) if isinstance(steps, list) else 0


def _shown(value: object) -> str:
    return "null" if value is None else repr(value)


def _object(job: Mapping[str, Any], key: str, what: str) -> Mapping[str, Any]:
    value = job.get(key)
    if not isinstance(value, dict):
        raise BadText(f"{what}: the job's {key!r} is no JSON object", _shown(value))
    return value


def _name(holder: Mapping[str, Any], key: str, what: str, *, must: bool = False) -> str | None:
    """A text; null is an empty one, and a key that is missing is not carried."""
    if key not in holder:
        if must:
            raise BadText(f"{what}: the job has no {key!r}", "")
        return None
    value = holder[key]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadText(f"{what}: {key!r} is no text", _shown(value))
    return value


def _number(value: object, what: str) -> str | None:
    """The digits of a number, plain or as set/infinite/number; None if it is not set."""
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    if isinstance(value, dict) and "number" in value:
        if value.get("infinite") is True:
            return _INFINITE
        if value.get("set") is False:
            return None
        if value.get("set") is True and type(value["number"]) is int:
            return str(value["number"])
    raise BadText(f"{what} is not a whole number", _shown(value))


def _required_number(job: Mapping[str, Any], key: str) -> str:
    found = _number(job.get(key), key)
    if found is None:
        raise BadText(f"the job has no {key!r}", "", "it is part of a run's key")
    return found


def _times(times: Mapping[str, Any]) -> dict[str, str | None]:
    """The time columns; of the four moments, null and 0 say that it has not come."""
    found: dict[str, str | None] = {
        "Submit": _number(times.get("submission"), "Submit") or "Unknown",
        "Start": _number(times.get("start"), "Start") or "Unknown",
        "End": _number(times.get("end"), "End") or "Unknown",
    }
    for key in ("start", "end"):
        if key not in times:
            raise BadText(f"{key.title()}: the job's times have no {key!r}", "")
    if "eligible" in times:
        found["Eligible"] = _number(times["eligible"], "Eligible") or "Unknown"
    found["ElapsedRaw"] = _number(times.get("elapsed"), "ElapsedRaw")
    found["Suspended"] = _suspended(times.get("suspended"))
    found["TimelimitRaw"] = _limit(times.get("limit"))
    return found


def _suspended(value: object) -> str | None:
    text = _number(value, "Suspended")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise BadText("Suspended is not a number of seconds", text)
    return format_duration(int(text))


def _limit(value: object) -> str | None:
    """Minutes. A plain null (22.05) may mean either name, so it says nothing."""
    text = _number(value, "TimelimitRaw")
    return "Partition_Limit" if text is None and value is not None else text


def _state(value: object) -> str:
    """The state sacct would print; since v0.0.40 a list of the base state and of flags."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise BadText("State is neither a text nor a list of texts", _shown(value))
    flags = [name for name in _STATE_FLAGS if name in value]
    return str(flags[0] if flags else value[0])


def _tres(value: object) -> str:
    if not isinstance(value, list):
        raise BadText("AllocTRES: 'allocated' is no list", _shown(value))
    entries = (_tres_entry(entry) for entry in value)
    return ",".join(entry for entry in entries if entry)


def _tres_entry(entry: object) -> str | None:
    """`gres/gpu:h100=4`; None for a count that is not set."""
    if not isinstance(entry, dict) or "count" not in entry:
        raise BadText("AllocTRES: an entry has no 'count'", _shown(entry))
    kind, name = entry.get("type"), entry.get("name")
    if not isinstance(kind, str) or not (name is None or isinstance(name, str)):
        raise BadText("AllocTRES: an entry has no 'type' and 'name'", _shown(entry))
    whole = f"{kind}/{name}" if name else kind
    if "=" in whole or "," in whole:  # it would read as two
        raise BadText("AllocTRES: a name holds what separates names", whole)
    count = _number(entry["count"], f"TRES {whole}")
    return None if count is None or count in _NOT_SET_COUNTS or count == _INFINITE else f"{whole}={count}"


def _user(job: Mapping[str, Any], association: Mapping[str, Any]) -> str | None:
    said = _name(job, "user", "User")
    return said or _name(association, "user", "User") or said


def _reservation(job: Mapping[str, Any]) -> str | None:
    reservation = job.get("reservation")
    if not isinstance(reservation, dict) or "id" not in reservation:
        return None
    return _number(reservation["id"], "ReservationId") or ""


def _association_id(association: Mapping[str, Any]) -> str | None:
    """Not in 22.05; 0 is what a parser writes that could not find it."""
    found = _number(association.get("id"), "AssocID")
    return None if found == "0" else found


def _db_index(job: Mapping[str, Any]) -> str | None:
    return _number(job.get("db_index"), "DBIndex")


def _label(job: Mapping[str, Any]) -> str | None:
    """`30_9` of an array's task, `41+1` of a part of a heterogeneous job."""
    for group, whole, part, mark in (
        ("array", "job_id", "task_id", "_"),
        ("het", "job_id", "job_offset", "+"),
    ):
        holder = job.get(group)
        if not isinstance(holder, dict):
            continue
        first, second = _number(holder.get(whole), group), _number(holder.get(part), group)
        if first not in (None, "0") and second is not None:
            return f"{first}{mark}{second}"
    return None


def _flags(job: Mapping[str, Any]) -> str | None:
    """As text, if all of them can be told: 22.05 leaves out that the start was received."""
    value = job.get("flags")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadText("Flags is no list of texts", _shown(value))
    names = set(value) - _SAY_NOTHING
    if _RECEIVED not in names or names - {_RECEIVED, *_SCHEDULERS}:
        return None
    by = next((text for name, text in _SCHEDULERS.items() if name in names), None)
    return f"{by},StartRecieved" if by else "StartRecieved"  # Slurm's own spelling
