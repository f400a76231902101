"""The grammar of Slurm's texts: durations, sizes, TRES, states, job ids and times.

Invariant: a function here reads every form Slurm documents for its kind of text and returns whole
numbers, or raises `BadText`. It never guesses, never rounds and never answers 0 for what it could
not read. Host lists have their own module, `hosts`.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from typing import NamedTuple

from opsd.core.errors import BadText
from opsd.core.period import fold_candidates
from opsd.core.records import EARLIEST, KNOWN_STATES, PARTITION_LIMIT, UNLIMITED
from opsd.core.tres import Tres

NO_VAL = 0xFFFFFFFE  # 32 bit: "not set"
INFINITE = 0xFFFFFFFF  # 32 bit: "no limit"
LATEST = NO_VAL  # 2106; a later time is a wrong unit (milliseconds) or Slurm's own "not set"
MOST = 2**63 - 1  # what a database integer holds
_NOT_SET_64 = frozenset({"18446744073709551614", "18446744073709551615"})
NOT_SET_TIMES = frozenset({"", "0", "None", "Unknown"})

# Text that a name may never hold: controls, line separators, and bytes that were no UTF-8.
UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def whole(text: str, what: str, most: int = MOST) -> int:
    """A count in plain ASCII digits: no sign, no space, no `1_000`, all of which `int` would take."""
    if not (text.isascii() and text.isdigit()):
        raise BadText(f"{what} is not a whole number", text)
    if len(text) > 20 or (value := int(text)) > most:
        raise BadText(f"{what} is too large", text)
    return value


def clean(text: str, what: str) -> str:
    """A name as it stands, refused if it holds control characters or undecodable bytes."""
    if UNCLEAN.search(text):
        raise BadText(f"{what} holds control characters or bytes that are no UTF-8", text)
    return text


# --- durations -------------------------------------------------------------------------------

_CLOCK = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d\d)(?:\.(\d{1,9}))?\Z", re.ASCII)
_DAY_HOURS = re.compile(r"(\d+)-(\d{1,2})(?::(\d{1,2}))?\Z", re.ASCII)


def _clock_micros(text: str, what: str) -> int:
    found = _CLOCK.match(text)
    if not found or len(text) > 40:
        raise BadText(f"{what} is not [DD-[HH:]]MM:SS", text)
    days, hours, minutes, seconds, fraction = found.groups()
    if days is not None and hours is None:
        raise BadText(f"{what} has days but no hours", text)
    if int(seconds) > 59 or (hours and int(minutes) > 59) or (days and int(hours) > 23):
        raise BadText(f"{what} has a part out of range", text)
    total = ((int(days or 0) * 24 + int(hours or 0)) * 60 + int(minutes)) * 60 + int(seconds)
    if total > MOST // 1_000_000:
        raise BadText(f"{what} is too large", text)
    return total * 1_000_000 + int((fraction or "0").ljust(6, "0")[:6])


def cpu_time(text: str, what: str = "CPU time") -> int:
    """`[DD-[HH:]]MM:SS[.ffffff]` in microseconds (only Slurm's CPU columns carry a fraction)."""
    return _clock_micros(text, what)


def duration(text: str, what: str = "duration") -> int:
    """`[DD-[HH:]]MM:SS` in whole seconds; `INVALID`, Slurm's text for a negative one, is refused."""
    if text == "INVALID":
        raise BadText(f"{what} is negative", text, "Slurm itself marks this record as inconsistent")
    seconds, rest = divmod(_clock_micros(text, what), 1_000_000)
    if rest:
        raise BadText(f"{what} has a fraction of a second", text)
    return seconds


def format_duration(seconds: int) -> str:
    """Seconds as sacct prints them: `1-02:03:04`, `00:03:00`."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"{days}-{hour:02}:{minute:02}:{second:02}" if days else f"{hour:02}:{minute:02}:{second:02}"


def _named_limit(text: str) -> int | None:
    names = {"UNLIMITED": UNLIMITED, "INFINITE": UNLIMITED, "Partition_Limit": PARTITION_LIMIT}
    return names.get(text)


def time_limit(text: str) -> int | None:
    """Timelimit in seconds, `UNLIMITED` or `PARTITION_LIMIT`; empty: not carried.

    Besides sacct's own form it takes those of `sbatch --time`: minutes, `D-H`, `D-H:M`.
    """
    if not text or (named := _named_limit(text)) is not None:
        return named if text else None
    if found := _DAY_HOURS.match(text):
        days, hours, minutes = (int(part or 0) for part in found.groups())
        if hours > 23 or minutes > 59:
            raise BadText("time limit has a part out of range", text)
        return ((days * 24 + hours) * 60 + minutes) * 60
    if ":" in text:
        return duration(text, "time limit")
    return whole(text, "time limit", MOST // 60) * 60


def time_limit_raw(text: str) -> int | None:
    """TimelimitRaw (minutes, or the same names, or their 32-bit numbers) in seconds; empty: None."""
    if not text or (named := _named_limit(text)) is not None:
        return named if text else None
    minutes = whole(text, "time limit", MOST // 60)
    return {INFINITE: UNLIMITED, NO_VAL: PARTITION_LIMIT}.get(minutes, minutes * 60)


# --- sizes and TRES --------------------------------------------------------------------------

_SIZE = re.compile(r"(\d{1,20})(?:\.(\d{1,6}))?([KMGTPE]?)\Z", re.ASCII)
_MB = {suffix: Fraction(1024) ** power for suffix, power in zip("KMGTPE", range(-1, 5), strict=True)} | {
    "": Fraction(1)
}
_TRES_NAME = re.compile(r"[^\s,=|;\x00-\x1f\x7f-\x9f\ud800-\udfff]+\Z")


def size_mb(text: str, what: str = "size") -> Fraction:
    """A size in MB, exactly: `16000M`, `15.62G`, `2048K`; without a suffix it is MB already."""
    found = _SIZE.match(text)
    if not found:
        raise BadText(f"{what} is not a size such as 16000M", text)
    units, fraction, suffix = found.groups()
    return Fraction(f"{units}.{fraction or 0}") * _MB[suffix]


class RequestedMemory(NamedTuple):
    """ReqMem: megabytes, and whether Slurm (until 21.08) said per node or per CPU."""

    mb: Fraction
    per: str  # "node", "cpu" or ""


def requested_memory(text: str) -> RequestedMemory:
    """`1000M`, `4Gn` (per node), `2Gc` (per CPU)."""
    per = {"n": "node", "c": "cpu"}.get(text[-1:], "")
    return RequestedMemory(size_mb(text[:-1] if per else text, "ReqMem"), per)


def _megabytes(text: str, what: str) -> int:
    size = size_mb(text, what)
    if size.denominator != 1 or size > MOST:
        raise BadText(
            f"{what} is no whole number of MB",
            text,
            "it was rounded by --units: export again with --noconvert",
        )
    return int(size)


def _tres_count(name: str, text: str) -> int:
    if name in ("mem", "bb") or name.startswith("bb/"):
        return _megabytes(text, f"TRES {name}")
    return whole(text, f"TRES {name}")


def tres(text: str) -> Tres:
    """`billing=4,cpu=4,gres/gpu:a100_3g.20gb=1,mem=8G,node=1`; mem in MB, unknown names kept.

    An entry with Slurm's 64-bit "not set" as its count is left out, as Slurm means it.
    """
    counts: dict[str, int] = {}
    seen: set[str] = set()
    for entry in text.split(",") if text else ():
        name, equals, count = entry.rpartition("=")
        if not equals or not _TRES_NAME.match(name):
            raise BadText("TRES entry is not name=count", entry)
        if name in seen:
            raise BadText("TRES entry appears twice", text)
        seen.add(name)
        if count not in _NOT_SET_64:
            counts[name] = _tres_count(name, count)
    return Tres.of(counts)


# --- states ----------------------------------------------------------------------------------

STATE_CODES = {
    "BF": "BOOT_FAIL", "CA": "CANCELLED", "CD": "COMPLETED", "CF": "CONFIGURING", "CG": "COMPLETING",
    "DL": "DEADLINE", "F": "FAILED", "NF": "NODE_FAIL", "OOM": "OUT_OF_MEMORY", "PD": "PENDING",
    "PR": "PREEMPTED", "R": "RUNNING", "RD": "RESV_DEL_HOLD", "RF": "REQUEUE_FED", "RH": "REQUEUE_HOLD",
    "RQ": "REQUEUED", "RS": "RESIZING", "RV": "REVOKED", "S": "SUSPENDED", "SE": "SPECIAL_EXIT",
    "SI": "SIGNALING", "SO": "STAGE_OUT", "ST": "STOPPED", "TO": "TIMEOUT",
}  # fmt: skip
_STATE = re.compile(r"([A-Z][A-Z_]{0,39})(\+| by (?:\d{1,20}|[A-Za-z_][\w.\-]{0,63}\$?))?\Z", re.ASCII)


class State(NamedTuple):
    """A base state; `known` is false for one that this version of opsd has never heard of."""

    base: str
    known: bool


def _uncut(stem: str, text: str) -> str:
    """The state sacct's column mode cut off with a `+`, if only one can be meant."""
    meant = [name for name in KNOWN_STATES if name.startswith(stem)]
    if stem in meant:
        return stem
    if len(meant) != 1:
        raise BadText("state was cut off and may mean several", text, "export with -P or -p")
    return meant[0]


def state(text: str) -> State:
    """`CANCELLED by 1000`, `CANCELLED+`, `CA`: the base state. Unknown capitals are kept, and said."""
    found = _STATE.match(text)
    if not found:
        raise BadText("not a job state", text)
    stem, tail = found.groups()
    base = _uncut(stem, text) if tail == "+" else STATE_CODES.get(stem, stem)
    return State(base, base in KNOWN_STATES)


# --- job ids ---------------------------------------------------------------------------------

_STEP = r"(?:batch|extern|interactive|TBD|\d{1,10}(?:\+\d{1,10})?|0[xX][0-9a-fA-F]{1,16})"
_TASKS = r"\[(?:0[xX][0-9a-fA-F]+|\d+(?:-\d+(?::\d+)?)?(?:,\d+(?:-\d+(?::\d+)?)?)*(?:,?\.\.\.)?)(?:%\d+)?\]"
_JOB_ID = re.compile(
    rf"(?P<job>\d{{1,10}})(?:_(?:(?P<task>\d{{1,10}})|(?P<tasks>{_TASKS}|\*)))?"
    rf"(?:\+(?P<het>\d{{1,10}}))?(?:\.(?P<step>{_STEP}))?\Z",
    re.ASCII,
)


class JobId(NamedTuple):
    """The parts of a job id as people and machines write it."""

    job: int
    task: int | None = None
    tasks: str = ""  # tasks of an array still pending: "[1-10%2]"
    het: int | None = None  # offset in a heterogeneous job
    step: str = ""  # "" = the allocation itself

    @property
    def text(self) -> str:
        """The text it was read from."""
        task = f"_{self.task}" if self.task is not None else (f"_{self.tasks}" if self.tasks else "")
        het = f"+{self.het}" if self.het is not None else ""
        return f"{self.job}{task}{het}" + (f".{self.step}" if self.step else "")


def _optional(text: str | None) -> int | None:
    return None if text is None else int(text)


def job_id(text: str) -> JobId:
    """`123`, `123_4`, `123_[1-10%2]`, `123+1`, each also with `.batch`, `.extern`, `.0` or `.TBD`."""
    found = _JOB_ID.match(text)
    if not found or not 0 < (job := int(found["job"])) < NO_VAL:
        raise BadText("not a job id", text)
    task, het = _optional(found["task"]), _optional(found["het"])
    return JobId(job, task, found["tasks"] or "", het, found["step"] or "")


# --- times -----------------------------------------------------------------------------------

_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.0{1,9})?(?P<offset>Z|[+-]\d\d:?\d\d)?\Z", re.ASCII
)
_NO_ZONE = "a local time without its zone"
ZONE_REMEDY = "state the zone with --timezone, or export with TZ=UTC SLURM_TIME_FORMAT=%s"


def _in_range(epoch: int, text: str, what: str) -> int:
    if epoch < EARLIEST:
        raise BadText(f"{what} is before 1990", text, "a broken clock, or not a time column")
    if epoch >= LATEST:
        raise BadText(f"{what} is after 2105", text, "is it in milliseconds?")
    return epoch


def _offset(text: str, what: str) -> tzinfo:
    if text == "Z":
        return timezone(timedelta(0))
    hours, minutes = int(text[1:3]), int(text[-2:])
    if hours > 23 or minutes > 59:
        raise BadText(f"{what} has an impossible UTC offset", text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def is_local(text: str) -> bool:
    """Whether this is a time that means nothing without a stated zone."""
    found = _ISO.match(text)
    return found is not None and found["offset"] is None


def time_candidates(text: str, zone: tzinfo | None, what: str = "time") -> tuple[int, ...]:
    """The epochs a time may mean: none if it is not set, two for a repeated autumn hour."""
    if text in NOT_SET_TIMES:
        return ()
    if text.isascii() and text.isdigit():
        return (_in_range(whole(text, what), text, what),)
    found = _ISO.match(text)
    if not found:
        raise BadText(f"{what} is not a time", text, "export with SLURM_TIME_FORMAT=%s")
    try:
        local = datetime.fromisoformat(f"{found[1]}T{found[2]}")
        if found["offset"]:
            epochs = [int(local.replace(tzinfo=_offset(found["offset"], what)).timestamp())]
        elif zone is None:
            raise BadText(f"{what} is {_NO_ZONE}", text, ZONE_REMEDY)
        else:
            epochs = fold_candidates(local, zone)
    except (ValueError, OverflowError) as err:
        raise BadText(f"{what} is not a time of the calendar", text) from err
    if not epochs:
        raise BadText(f"{what} does not exist in its zone", text, "clocks skipped it; is --timezone right?")
    return tuple(_in_range(epoch, text, what) for epoch in epochs)


def time(text: str, zone: tzinfo | None, what: str = "time") -> int | None:
    """The one epoch a time means; None if it is not set; raises where an autumn hour leaves two."""
    found = time_candidates(text, zone, what)
    if len(found) > 1:
        raise BadText(f"{what} happens twice in its zone", text, "export with SLURM_TIME_FORMAT=%s")
    return found[0] if found else None
