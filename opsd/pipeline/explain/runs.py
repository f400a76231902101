"""The tables about runs that every explanation shares: versions, readings, oddities.

Invariant: every version of a run that is shown with more than one is shown, and exactly one of them counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opsd.core.explanation import NUMBER, TIME, Column, Table, differences, sentence, why, winner
from opsd.core.flags import MEANINGS, meanings
from opsd.core.period import isoformat
from opsd.store import trace
from opsd.store.engine import Connection
from opsd.store.trace import Traced

_VERSION_COLUMNS = (
    Column("job"), Column("submit", TIME), Column("seen", TIME), Column("state"), Column("start", TIME),
    Column("end", TIME), Column("reading", NUMBER), Column("counts"),
)  # fmt: skip
_DIFFERENCE_COLUMNS = (
    Column("job"), Column("submit", TIME), Column("seen", TIME), Column("column"), Column("said"),
    Column("counts"),
)  # fmt: skip
_TIMES = ("start", "end", "eligible")


def label(run: Traced) -> str:
    """The job as people know it."""
    return run.record.label or str(run.record.job_id)


def versions(runs: Iterable[Traced]) -> list[Table]:
    """Every version of the runs that were seen with more than one, why one counts, and how they differ."""
    several = [run for run in runs if len(run.versions) > 1]
    if not several:
        return []
    seen = tuple(row for run in several for row in _seen(run))
    other = tuple(row for run in several for row in _different(run))
    title = "Runs seen with more than one content, and which counts"
    return [
        Table("versions", title, _VERSION_COLUMNS, seen),
        Table("differences", "What the others said otherwise", _DIFFERENCE_COLUMNS, other),
    ]


def _seen(run: Traced) -> Iterable[tuple[str | int | None, ...]]:
    best = winner(run.versions)
    for seen in run.versions:
        record = seen.record
        counts = "counts" if seen == best else f"no: {why(best, seen)}"
        yield (
            label(run), record.submit, seen.observed_at, record.state, record.start, record.end,
            seen.import_id, counts,
        )  # fmt: skip


def _different(run: Traced) -> Iterable[tuple[str | int | None, ...]]:
    best = winner(run.versions)
    for seen in run.versions:
        for name, ours, theirs in differences(best, seen):
            submit = run.record.submit
            yield label(run), submit, seen.observed_at, name, _shown(name, theirs), _shown(name, ours)


def _shown(name: str, value: object) -> str:
    if value in (None, ""):
        return "nothing"
    return isoformat(value) if name in _TIMES and isinstance(value, int) else str(value)


def readings(connection: Connection, runs: Sequence[Traced]) -> Table:
    """The readings that the runs shown came in."""
    seen = [(seen.import_id, seen == winner(run.versions)) for run in runs for seen in run.versions]
    rows = [
        (
            found.id, found.source, found.observed_at,
            sum(number == found.id and counts for number, counts in seen),
            sum(number == found.id and not counts for number, counts in seen),
        )
        for found in trace.readings(connection, (number for number, _ in seen))
    ]  # fmt: skip
    columns = (
        Column("reading", NUMBER), Column("source"), Column("observed", TIME),
        Column("versions_that_count", NUMBER), Column("superseded", NUMBER),
    )  # fmt: skip
    return Table("sources", "Where the runs shown were read", columns, tuple(rows))


def oddities(runs: Sequence[Traced]) -> dict[str, str]:
    """What is unusual about the runs shown, with what it means."""
    found: dict[str, str] = {}
    for flag in MEANINGS:
        names = [label(run) for run in runs if run.flags & flag]
        if names:
            found[str(flag.name).lower().replace("_", "-")] = f"{MEANINGS[flag]}: {_some(names)}"
    return found


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"job {', '.join(names[:most])}{more}"


def flags(run: Traced) -> str:
    """The oddities of one run, in words."""
    return sentence(meanings(run.flags))
