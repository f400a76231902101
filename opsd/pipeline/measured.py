"""What runs really did with GPUs, by the cells of usage.

A record is spread evenly over its run, as suspended seconds are whose times nobody knows. Runs inside one
segment of the plan are summed by the database; those that an edge cuts, that are open, or whose account or
user changes hands are cut here.

Invariant: the sum over all cells is what the records of the runs in the window add up to, whatever the
labels and the cuts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from opsd.core.gpu_use import Use
from opsd.core.plan import Plan
from opsd.pipeline.seconds import Cell, Labeller, pieces_of
from opsd.store import gpu_use, read
from opsd.store.engine import Connection
from opsd.store.read import Held, Names

_AT_ONCE = 5_000
_MOST_LOOKS = 400  # beyond these many cells, one pass over all runs is quicker

Uses = dict[Cell, Use]


def collect(connection: Connection, plan: Plan, labeller: Labeller, names: Names) -> Uses:
    """All cells of a plan that hold anything measured."""
    found: Uses = defaultdict(Use)
    if not plan.segments:
        return found
    if len(plan.segments) <= _MOST_LOOKS:
        for cell, use in _whole(connection, plan, labeller):
            found[cell] = found[cell].plus(use)
        cut = _cut(connection, plan, labeller)
    else:
        start, end = plan.segments[0].start, plan.segments[-1].end
        cut = list(read.runs_overlapping(connection, start, end))
    for cell, use in _parts(connection, plan, labeller, names, [*cut, *read.open_runs(connection)]):
        found[cell] = found[cell].plus(use)
    return {cell: use for cell, use in found.items() if any(use)}


def _whole(connection: Connection, plan: Plan, labeller: Labeller) -> Iterator[tuple[Cell, Use]]:
    """Runs that lie in one cell, summed by the database."""
    for segment in plan.segments:
        moving = labeller.changing(segment.start, segment.end)
        sums = gpu_use.within(
            connection, segment.start, segment.end, labeller.wanted, moving, by_shape=labeller.by_shape
        )
        for key, shape, use in sums:
            yield Cell(segment.periods, labeller.labels(key, segment.start), shape), use


def _cut(connection: Connection, plan: Plan, labeller: Labeller) -> list[Held]:
    """Ended runs that may lie in several cells, each once."""
    found: dict[int, Held] = {}
    for edge in (*plan.starts, plan.segments[-1].end):
        found.update((held.id, held) for held in read.runs_alive_at(connection, edge))
    for segment in plan.segments:
        moving = labeller.changing(segment.start, segment.end)
        for account in moving.accounts:
            alike = read.runs_overlapping(connection, segment.start, segment.end, account=account)
            found.update((held.id, held) for held in alike)
        for user in moving.users:
            alike = read.runs_overlapping(connection, segment.start, segment.end, user=user)
            found.update((held.id, held) for held in alike)
    return list(found.values())


def _parts(
    connection: Connection, plan: Plan, labeller: Labeller, names: Names, runs: list[Held]
) -> Iterator[tuple[Cell, Use]]:
    """The cuts of some runs."""
    for at in range(0, len(runs), _AT_ONCE):
        some = runs[at : at + _AT_ONCE]
        uses = gpu_use.of_runs(connection, [held.id for held in some])
        known = [held for held in some if held.id in uses]
        for held, cell, a, b in pieces_of(connection, plan, labeller, names.counts, known):
            yield cell, uses[held.id].part(held.begin, held.finish, a, b)
