"""One record's fields to a `RunRecord`: the careful way, column by column.

Invariant: every column a record carries is read by the grammar or the record is refused, with the
column, its text and what to do; nothing is left at a default. Where Slurm says "not set" in a
column that was carried (Eligible never, no reservation), the record says 0, as slurmdbd stores it:
None would say the export did not have the column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import TypeVar

from collectors.slurm import grammar, hosts
from collectors.slurm.columns import KEPT, shape
from collectors.slurm.content import content_hash
from collectors.slurm.layout import Layout
from opsd.core.errors import BadText
from opsd.core.records import RunRecord

Value = TypeVar("Value")
NEVER = 0  # Eligible of a held job, ReservationId of a job in none

_AUTUMN = "export with SLURM_TIME_FORMAT=%s, or add ElapsedRaw and Suspended to the export"


class Row:
    """The fields of one record by column name."""

    __slots__ = ("_fields", "_index", "layout")

    def __init__(self, fields: Sequence[str], layout: Layout) -> None:
        self._fields = fields
        self._index = layout.index
        self.layout = layout

    def get(self, name: str) -> str | None:
        """The text of a column; None if the export lacks it."""
        at = self._index(name)
        return None if at is None else self._fields[at]

    def __getitem__(self, name: str) -> str:
        """The text of a column the layout is known to have."""
        text = self.get(name)
        if text is None:
            raise KeyError(name)
        return text


def _named(name: str, text: str) -> str:
    return grammar.clean(text, name)


def account(text: str) -> str:
    """Account as it stands; slurmdbd's `(null)` is an account nobody named."""
    return "" if text == "(null)" else _named("Account", text)


@lru_cache(maxsize=1_000)
def state(text: str) -> str:
    """The base state."""
    return grammar.state(text).base


@lru_cache(maxsize=20_000)
def tres(text: str) -> str:
    """The canonical text of AllocTRES."""
    return grammar.tres(text).text


def optional_count(name: str) -> Callable[[str], int | None]:
    """A reader of a number that sacct leaves empty where it has none."""
    return lambda text: None if text == "" else grammar.whole(text, name)


def reservation_id(text: str) -> int:
    """ReservationId; empty is no reservation."""
    return grammar.whole(text or str(NEVER), "ReservationId")


def optional_duration(name: str) -> Callable[[str], int | None]:
    """A reader of a clock column that may be empty."""
    return lambda text: None if text == "" else grammar.duration(text, name)


def name_reader(name: str) -> Callable[[str], str]:
    """A reader of a name column."""
    return lambda text: _named(name, text)


def nodes(text: str) -> str:
    """NodeList; `None assigned` is no nodes."""
    return hosts.check(text, "NodeList")


# Column -> (field of RunRecord, reader). Where two columns feed one field, the first carried wins.
SIMPLE: dict[str, tuple[str, Callable[[str], object]]] = {
    "State": ("state", state),
    "Account": ("account", account),
    "AllocTRES": ("tres", tres),
    "User": ("user", name_reader("User")),
    "Partition": ("partition", name_reader("Partition")),
    "QOS": ("qos", name_reader("QOS")),
    "ElapsedRaw": ("elapsed", optional_count("ElapsedRaw")),
    "Elapsed": ("elapsed", optional_duration("Elapsed")),
    "Suspended": ("suspended", optional_duration("Suspended")),
    "TimelimitRaw": ("limit", grammar.time_limit_raw),
    "Timelimit": ("limit", grammar.time_limit),
    "NodeList": ("nodes", nodes),
    "ReservationId": ("reservation_id", reservation_id),
    "AssocID": ("assoc_id", optional_count("AssocID")),
    "DBIndex": ("db_index", optional_count("DBIndex")),
    "SLUID": ("sluid", name_reader("SLUID")),
    "Flags": ("flags", name_reader("Flags")),
}


def job_number(text: str) -> int | None:
    """JobIDRaw of an allocation; None for a step."""
    found = grammar.job_id(text)
    if found.step:
        return None
    if text != found.text or found.task is not None or found.tasks or found.het is not None:
        raise BadText("JobIDRaw is not a plain number", text, "is it JobID? export JobIDRaw")
    return found.job


def label(text: str, raw: str) -> str | None:
    """JobID where it says more than JobIDRaw: `123_4`, `123+1`."""
    if text == raw:
        return None
    found = grammar.job_id(text)
    if found.step:
        raise BadText("JobID is a step's but JobIDRaw is not", text)
    if found.text == str(found.job):
        raise BadText(f"JobID is another job than JobIDRaw, {raw}", text)
    return text


def cluster(text: str | None, default: str | None) -> str:
    """The cluster a record names, else the one the caller named."""
    found = _named("Cluster", text) if text else default
    if not found:
        raise BadText("Cluster is empty", text or "", "say which with --cluster NAME")
    return found


def _simple(row: Row) -> dict[str, object]:
    values: dict[str, object] = {}
    for column, (field, read) in SIMPLE.items():
        text = row.get(column)
        if text is not None and values.get(field) is None:
            values[field] = _read(column, read, text)
    return values


def _read(column: str, read: Callable[[str], Value], text: str) -> Value:
    """Read a column so that what is wrong with it names it."""
    try:
        return read(text)
    except BadText as err:
        what = err.what if err.what.startswith(column) else f"{column}: {err.what}"
        raise BadText(what, err.text, err.remedy) from err


Times = tuple[int, int | None, int | None, int | None]  # submit, eligible, start, end


def _ordered(moments: Sequence[int | None]) -> bool:
    said = [moment for moment in moments if moment is not None]
    return said == sorted(said)


def _lasted(start: int | None, end: int | None, elapsed: int | None, suspended: int | None) -> bool:
    """Whether End - Start is Elapsed + Suspended, as far as the export says."""
    if start is None or end is None or elapsed is None:
        return True
    return end - start == elapsed + suspended if suspended is not None else end - start >= elapsed


def _fits(times: Times, elapsed: int | None, suspended: int | None) -> bool:
    submit, eligible, start, end = times
    return _ordered((submit, eligible, start)) and _lasted(start, end, elapsed, suspended)


def _meanings(row: Row) -> Iterator[Times]:
    """Every combination of moments the four time columns may mean (more than one only in autumn)."""
    choices: list[tuple[int | None, ...]] = []
    for column in ("Submit", "Eligible", "Start", "End"):
        text = row.get(column)
        found = () if text is None else grammar.time_candidates(text, row.layout.tz, column)
        choices.append(found or (None,))
    if choices[0] == (None,):
        raise BadText("Submit is not set", row["Submit"], "it is part of a run's key")
    return product(*choices)  # type: ignore[return-value]  # Submit was just seen to be set


def _times(row: Row, elapsed: int | None, suspended: int | None) -> Times:
    meanings = list(_meanings(row))
    if len(meanings) > 1:
        meanings = [times for times in meanings if _fits(times, elapsed, suspended)]
    if len(meanings) != 1:
        shown = " ".join(row.get(name) or "-" for name in ("Submit", "Eligible", "Start", "End"))
        why = "may mean several moments" if meanings else "fit no reading"
        raise BadText(f"the times of an hour that happens twice {why}", shown, _AUTUMN)
    _, _, start, end = meanings[0]
    if start is not None and end is not None and end < start:
        raise BadText("End is before Start", f"{row['Start']} {row['End']}")
    return meanings[0]


def _as_int(value: object) -> int | None:
    return value if isinstance(value, int) else None


def parse_fields(fields: Sequence[str], layout: Layout) -> RunRecord | None:
    """A record's fields (as many as the layout has) as a run; None for a step; raises BadText."""
    row = Row(fields, layout)
    job = _read("JobIDRaw", job_number, row["JobIDRaw"])
    if job is None:
        return None
    values = _simple(row)
    submit, eligible, start, end = _times(
        row, _as_int(values.get("elapsed")), _as_int(values.get("suspended"))
    )
    if eligible is None and row.get("Eligible") is not None:
        eligible = NEVER
    shown = row.get("JobID")
    raw = row["JobIDRaw"]
    values["label"] = None if shown is None else _read("JobID", lambda text: label(text, raw), shown)
    where = cluster(row.get("Cluster"), layout.cluster)
    record = RunRecord(
        cluster=where,
        job_id=job,
        submit=submit,
        start=start,
        end=end,
        eligible=eligible,
        **values,  # type: ignore[arg-type]
    )
    return record._replace(hash=content_hash(record))


def looks_right(fields: Sequence[str], layout: Layout, names: Sequence[str] = KEPT) -> bool:
    """Whether the named columns could hold what they hold."""
    for name in names:
        at, pattern = layout.index(name), shape(name)
        if at is not None and pattern is not None and not pattern.match(fields[at]):
            return False
    return not layout.trailing or fields[-1] == ""
