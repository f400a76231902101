"""Tables of use: who led it, who paid for it, out of which pool.

Invariant: every column adds up to the total under it, pools to their payer. The total, and what is
nobody's, are rounded by themselves, so they are the same numbers in every table of a page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from opsd.core import figures
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.period import HOUR
from opsd.pipeline.usage import Row
from opsd.web import figure, words
from opsd.web.figure import Bar, Figure

RESOURCES = ("GPU", "node", "CPU", "GPU")  # the last one of the month before
_GPU = 0
Seconds = tuple[int, ...]  # one for each of RESOURCES
_NOTHING: Seconds = (0,) * len(RESOURCES)


class Line(NamedTuple):
    """A party, or one of the several pools of the payer above it."""

    name: str
    note: str
    hue: int
    shown: tuple[int, ...]  # whole hours of RESOURCES
    figures: tuple[Figure, ...]  # the same, as text
    share: str
    bar: Bar
    pool: bool
    nobody: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Lines, the largest first, and their total."""

    lines: tuple[Line, ...]
    total: tuple[Figure, ...]


Groups = Mapping[str, Mapping[str, Seconds]]  # party -> pool -> seconds


def leads(now: Iterable[Row], before: Iterable[Row]) -> Table:
    """By the country that leads, from rows of (pays, country, pool)."""
    return _table(_groups(now, before, 1, None), {})


def pays(now: Iterable[Row], before: Iterable[Row], pools: Mapping[str, str]) -> Table:
    """By who pays and, where a payer has several, by pool; `pools` are their names."""
    return _table(_groups(now, before, 0, 2), pools)


def _groups(now: Iterable[Row], before: Iterable[Row], party: int, pool: int | None) -> Groups:
    groups: dict[str, dict[str, Seconds]] = defaultdict(dict)
    parts = [(row, _seconds(row)) for row in now]
    parts += [(row, (0, 0, 0, row.measures.gpu_seconds)) for row in before]
    for row, seconds in parts:
        group, inner = groups[row.key[party]], "" if pool is None else row.key[pool]
        group[inner] = _sum([group.get(inner, _NOTHING), seconds])
    return groups


def _seconds(row: Row) -> Seconds:
    return (row.measures.gpu_seconds, row.measures.node_seconds, row.measures.cpu_seconds, 0)


def _sum(parts: Iterable[Seconds]) -> Seconds:
    return tuple(map(sum, zip(*parts, strict=True))) or _NOTHING


def _table(groups: Groups, names: Mapping[str, str]) -> Table:
    sums = {party: _sum(pools.values()) for party, pools in groups.items()}
    order = sorted(groups, key=lambda party: (party == UNATTRIBUTED, *_largest_first(sums[party]), party))
    inside = [
        sorted(groups[party].items(), key=lambda pool: (_largest_first(pool[1]), pool[0])) for party in order
    ]
    shown = [
        _rounded([[pool[1][at] for pool in pools] for pools in inside], nobody=order[-1:] == [UNATTRIBUTED])
        for at in range(len(RESOURCES))
    ]
    scale = _Scale(
        max((held[_GPU] for held in sums.values()), default=0), sum(held[_GPU] for held in sums.values())
    )
    lines: list[Line] = []
    for place, (party, pools) in enumerate(zip(order, inside, strict=True)):
        hours = list(zip(*(column[place] for column in shown), strict=True))  # pool by pool
        several, nobody = len(pools) > 1, party == UNATTRIBUTED
        note = "" if several or nobody else names.get(pools[0][0], pools[0][0])
        name, hue = words.party(party), figure.hue(party)
        lines.append(Line(name, note, hue, *scale.of(_sum(hours), sums[party]), pool=False, nobody=nobody))
        if several:
            lines += [
                Line(names.get(pool, pool), "", hue, *scale.of(parts, seconds), pool=True, nobody=nobody)
                for parts, (pool, seconds) in zip(hours, pools, strict=True)
            ]
    totals = [sum(map(sum, column)) for column in shown]
    return Table(tuple(lines), _figures(totals, _sum(sums.values())))


def _rounded(column: list[list[int]], *, nobody: bool) -> list[list[int]]:
    """Whole hours of a column: its total, and what is nobody's, each to the nearest."""
    if not nobody:
        return figures.hours_of_matrix(column)
    *others, last = column
    apart = figures.hours_of_matrix([last])
    rest = figures.nearest(sum(map(sum, column)), HOUR) - sum(apart[0])
    return figures.hours_of_matrix(others, rest) + apart


def _largest_first(seconds: Seconds) -> Seconds:
    return tuple(-value for value in seconds)


def _figures(shown: Iterable[int], seconds: Seconds) -> tuple[Figure, ...]:
    return tuple(figure.hours(*held) for held in zip(shown, seconds, RESOURCES, strict=True))


class _Scale(NamedTuple):
    """What a bar and a share are measured against."""

    most: int
    whole: int

    def of(self, shown: Seconds, seconds: Seconds) -> tuple[Seconds, tuple[Figure, ...], str, Bar]:
        """What a line says of its hours."""
        share = figures.percent(seconds[_GPU], self.whole)
        drawn = figure.bar(seconds[_GPU], self.most, f"{share} of all GPU-hours")
        return shown, _figures(shown, seconds), share, drawn
