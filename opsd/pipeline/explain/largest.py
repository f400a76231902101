"""The runs that make a figure, largest first, and what all the others add.

Invariant: the parts and the rest come from the same code as the figure (`opsd.pipeline.seconds`), and no
more runs are held at once than are to be shown, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappush, heapreplace
from typing import Any, NamedTuple

from opsd.core.plan import Plan
from opsd.core.usage import Counts
from opsd.pipeline import seconds
from opsd.pipeline.seconds import Cell, Labeller, Sums
from opsd.store.engine import Connection
from opsd.store.read import Held

Number = int | Fraction


class Part(NamedTuple):
    """What one run adds to a figure."""

    held: Held
    run: int  # seconds
    suspended: int
    value: Number
    cells: tuple[tuple[Cell, int, int], ...]  # when, and under which labels


@dataclass(slots=True)
class Rest:
    """What the runs that are not shown add together."""

    runs: int = 0
    run: int = 0
    suspended: int = 0
    value: Number = 0

    def add(self, runs: int, run: int, suspended: int, value: Number) -> None:
        """One more, or several."""
        self.runs += runs
        self.run += run
        self.suspended += suspended
        self.value += value


@dataclass(frozen=True)
class Question:
    """How a figure is made from seconds by cell; the labeller tells shapes apart."""

    connection: Connection
    plan: Plan
    labeller: Labeller
    counts: Mapping[int, Counts]
    belongs: Callable[[Cell], bool]  # whether a cell is part of the figure
    worth: Callable[[Cell, int, int, int], Number]  # of a cell's runs, run seconds, suspended seconds
    most: Callable[[Held], Number]  # no run is worth more than this
    limit: int
    _kept: list[tuple[Number, int, Part]] = field(default_factory=list)

    def answer(self, runs: Iterable[Held]) -> tuple[list[Part], Rest]:
        """The largest parts in their order, and the rest."""
        rest = Rest()
        others = self._sums(self._sifted(runs, rest))
        rest.add(*self._added(others))
        kept = sorted(self._kept, key=lambda item: (-item[0], item[1]))
        return [part for _, _, part in kept], rest

    def _sifted(self, runs: Iterable[Held], rest: Rest) -> Iterator[Held]:
        """Keep what may be among the largest; pass on what cannot."""
        for held in runs:
            full = len(self._kept) >= self.limit
            if not self.limit or (full and self.most(held) <= self._kept[0][0]):
                yield held
                continue
            part, count = self._part(held)
            if part is None:
                continue
            entry = (part.value, -held.id, part)
            if not full:
                heappush(self._kept, entry)
                continue
            if part.value > self._kept[0][0]:
                part = heapreplace(self._kept, entry)[2]
            rest.add(count, part.run, part.suspended, part.value)

    def _part(self, held: Held) -> tuple[Part | None, int]:
        runs, run, suspended, value = self._added(self._sums([held]))
        if not runs:
            return None, 0
        pieces = seconds.pieces(self.connection, self.plan, self.labeller, self.counts, held)
        cells = tuple(piece for piece in pieces if self.belongs(piece[0]))
        return Part(held, run, suspended, value, cells), runs

    def _sums(self, runs: Iterable[Held]) -> Sums:
        return seconds.collect_runs(self.connection, self.plan, self.labeller, self.counts, runs)

    def _added(self, sums: Sums) -> Any:  # noqa: ANN401 (four numbers, the last whole or exact)
        found = [(values, self.worth(cell, *values)) for cell, values in sums.items() if self.belongs(cell)]
        times = [sum(values[place] for values, _ in found) for place in range(3)]
        return (*times, sum((worth for _, worth in found), start=0))
