"""The usage tree as lines: pool, leading country, organisation, project, and the parts of each.

Invariant: every line is the sum of the parts below it, seconds and shown hundredths alike; a part says
nothing of its users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from opsd.core.attribution import UNATTRIBUTED
from opsd.core.statement.build import Statement
from opsd.core.statement.view import Part, Place, View, in_order
from opsd.reports.as_csv.dialect import Field, Figure
from opsd.reports.exact import decimal, utc

LEVELS = ("pool", "country", "organisation", "project")
PART, TOTAL = "part", "total"
_WHOSE = (*LEVELS, "outside")  # `outside` parts lines of one level, project
_FACTS = ("award", "mode", "kind", "sector", "purpose", "cluster", "node_class")  # what only a part is of
COLUMNS = (
    "period", "timezone", "from", "to", "as_of", "scope", "level", "pool", "funder", "pays", "country",
    "organisation", "project", "outside_award", "name", "gpu_seconds", "node_seconds", "cpu_seconds",
    "gpu_hours", "node_hours", "cpu_hours", *_FACTS,
)  # fmt: skip


class _Tree:
    """Lines of one statement."""

    def __init__(self, statement: Statement) -> None:
        dossier = statement.dossier
        span = dossier.span
        self._whole = (
            span.text, span.zone, utc(span.start), utc(span.end), utc(dossier.as_of), statement.scope,
        )  # fmt: skip
        master = dossier.master
        self._names = {
            "pool": {key: found.name for key, found in master.pools.items()},
            "organisation": {key: found.name for key, found in master.organisations.items()},
            "project": {key: found.title for key, found in master.projects.items()},
        }

    def below(self, parts: Sequence[Part], depth: int) -> Iterator[tuple[Field, ...]]:
        """Lines of parts that agree in the levels above, each level before what it sums."""
        for _, group in groupby(parts, lambda part: getattr(part.place, _WHOSE[depth])):
            found = list(group)
            place = found[0].place
            if not place.attributed:
                yield self.line(UNATTRIBUTED, place, found)
                yield from self._parts(found)
            elif depth < len(LEVELS) - 1:
                yield self.line(LEVELS[depth], place, found)
                yield from self.below(found, depth + 1)
            else:
                yield from self._project(found)

    def line(self, level: str, place: Place | None, parts: Sequence[Part]) -> tuple[Field, ...]:
        """One line; without a place that of everything."""
        whole = View.total(parts)
        exact = whole.seconds
        hours = [Figure(decimal(found)) for found in whole.shown]
        return (
            *self._whole, level, *self._whose(level, place), exact.gpu, exact.node, exact.cpu, *hours,
            *(getattr(place, name) if level == PART else "" for name in _FACTS),
        )  # fmt: skip

    def _project(self, parts: Sequence[Part]) -> Iterator[tuple[Field, ...]]:
        for _, group in groupby(parts, lambda part: part.place.outside):
            found = list(group)
            yield self.line(LEVELS[-1], found[0].place, found)
            yield from self._parts(found)

    def _parts(self, parts: Sequence[Part]) -> Iterator[tuple[Field, ...]]:
        facts = sorted(parts, key=_facts)
        for _, group in groupby(facts, _facts):
            found = list(group)
            yield self.line(PART, found[0].place, found)

    def _whose(self, level: str, place: Place | None) -> tuple[str, ...]:
        if place is None:
            return ("",) * 8
        deep = len(LEVELS) if level in (PART, UNATTRIBUTED) else LEVELS.index(level) + 1
        shown = [getattr(place, name) if at < deep else "" for at, name in enumerate(LEVELS)]
        lowest = LEVELS[deep - 1]
        name = self._names.get(lowest, {}).get(shown[deep - 1]) or shown[deep - 1]
        outside = place.outside if deep == len(LEVELS) else ""
        return (
            shown[0], place.funder, place.pays, *shown[1:], outside, "" if not place.attributed else name,
        )  # fmt: skip


def lines(statement: Statement) -> Iterator[tuple[Field, ...]]:
    """Every line, the total last."""
    tree = _Tree(statement)
    parts = sorted(statement.parts, key=lambda part: in_order(_whose(part)))
    yield from tree.below(parts, 0)
    yield tree.line(TOTAL, None, parts)


def _whose(part: Part) -> tuple[str, ...]:
    return tuple(getattr(part.place, name) for name in _WHOSE)


def _facts(part: Part) -> tuple[tuple[bool, str], ...]:
    return in_order(tuple(getattr(part.place, name) for name in _FACTS))
