"""The books of a cluster beside sreport's utilization of it: line by line, and why they differ.

Invariant: Slurm's figures are compared with, never computed with; what no cause explains is left over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC

from collectors.protocol import Progress, Utilised
from opsd.core import plan
from opsd.core.capacity import RESOURCES, Lines
from opsd.core.period import Window, isoformat
from opsd.core.rollup import Hours
from opsd.core.tres import GPU
from opsd.core.utilisation import CAUSES, Difference, Evidence, Job, Rule, Vector, differences
from opsd.pipeline import books
from opsd.pipeline.books import Books
from opsd.pipeline.reconcile import whole_hours
from opsd.pipeline.sources import ClusterSources
from opsd.store import identity, read
from opsd.store.engine import Connection, Store
from opsd.store.read import Names

TRES = ("cpu", GPU)  # what the books are kept in, in the order of RESOURCES
COLUMNS = ("cluster", "tres", "line", "opsd", "sreport", *CAUSES, "left_over")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One cluster's lines beside Slurm's."""

    cluster: str
    window: Window
    lines: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def left_over(self) -> list[Difference]:
        """Lines that no cause explains."""
        return [one for one in self.lines if one.left_over]

    def rows(self) -> Iterator[tuple[object, ...]]:
        """Rows of COLUMNS."""
        for one in self.lines:
            yield self.cluster, one.tres, one.line, one.opsd, one.slurm, *one.causes, one.left_over


def run(store: Store, sources: ClusterSources, window: Window, *, now: int) -> Comparison:
    """Compare a window.

    Args:
        window: cut to whole hours of slurmdbd's clock that have ended; the comparison says to which.

    Raises:
        Refused: no whole hour of the window has ended.
        Unavailable: Slurm does not answer.
    """
    machine, tables = sources.machine, sources.tables
    compared = whole_hours(window, Hours(machine.hour_offset()), now)
    tres = [name for name in TRES if name in machine.tracked()]
    reported = machine.utilised(compared.start, compared.end, tres)
    until = tables.rolled_up(compared.start, compared.end).hourly if tables is not None else None
    if until is None and isinstance(machine, Progress):
        until = machine.rolled_until()
    with store.read() as connection:
        name = identity.of(connection, sources.cluster)
        return compare(connection, name, compared, reported, tres, until)


def compare(
    connection: Connection,
    cluster: str,
    window: Window,
    reported: Sequence[Utilised],
    tres: Sequence[str] = TRES,
    rolled_until: int | None = None,
) -> Comparison:
    """Compare full hours of slurmdbd's clock with what Slurm reported of them.

    Args:
        rolled_until: up to when slurmdbd has added up; None: to the end.
    """
    names = read.names(connection)
    kept = books.keep(connection, cluster, plan.make(window, (), UTC), names)
    mine = {name: Lines() for name in tres}
    for (*_, at), lines in kept.balance.lines.items():
        if TRES[at] in mine:
            mine[TRES[at]] = mine[TRES[at]].plus(lines)
    rule = Rule(Evidence(_jobs(kept, names), kept.events, kept.reservations), window, tres, books.expander())
    slurm = dict.fromkeys(tres, (0,) * 6) | {one.tres: _vector(one) for one in reported if one.tres in tres}
    found = differences(mine, _unplaced(kept), rule, slurm, rolled_until)
    return Comparison(cluster, window, tuple(found), tuple(_notes(kept, window, rolled_until)))


def _vector(one: Utilised) -> Vector:
    """Slurm's line as ours: what it calls Planned is idle, kept for a job that waits."""
    return one.reported, one.allocated, 0, one.planned_down, one.down, one.idle + one.planned


def _jobs(kept: Books, names: Names) -> list[Job]:
    return [
        Job(
            one.begin, one.finish, one.start, one.end, one.eligible,
            {name: names.shapes[one.shape].tres.get(name) for name in TRES}, one.suspended, one.reservation,
        )
        for one in kept.runs
    ]  # fmt: skip


def _unplaced(kept: Books) -> dict[str, int]:
    """What runs held that are on no known node."""
    elsewhere = [sum(one[at] for one in kept.balance.elsewhere.values()) for at in range(len(RESOURCES))]
    return {
        name: elsewhere[at] + kept.nowhere.get(RESOURCES[at], 0) for at, name in enumerate(TRES)
    }  # fmt: skip


def _notes(kept: Books, window: Window, rolled_until: int | None) -> Iterator[str]:
    unsure = sum(isinstance(one.suspended, int) and one.suspended > 0 for one in kept.runs)
    if unsure:
        runs = "1 run was" if unsure == 1 else f"{unsure:,} runs were"
        yield (
            f"cluster {kept.cluster}: when {runs} suspended is not known, so suspended seconds are spread "
            "evenly: at the window's edges something may be left over"
        )
    if rolled_until is not None and rolled_until < window.end:
        yield f"cluster {kept.cluster}: slurmdbd has added up to {isoformat(rolled_until)} only"
