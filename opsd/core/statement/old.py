"""The statement of a period: usage as a tree that foots, balances, units, funders, and what is odd.

Invariant: exact whole seconds stand beside hundredths of hours that are rounded here, once, by the
largest remainder; every subtotal and total shown, in whatever format, is the sum of what is shown
below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from opsd.core import figures
from opsd.core.agreements import Funder
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.parties import UnitTable
from opsd.core.period import DAY, HOUR, Window

SCOPES = ("country", "organisation", "project", "pays", "funder")
LEVELS = ("pool", "country", "organisation", "project")
PROJECT, TOTAL = LEVELS[-1], "total"
PER_HOUR = 100  # hours are shown in hundredths
SHOWN_SECONDS = HOUR // PER_HOUR
SHOWN_MICRO = MICRO_PER_HOUR // PER_HOUR
OVER = "over"


class Amounts(NamedTuple):
    """One kind of number per resource: seconds as Slurm counts, or hundredths of hours as shown."""

    gpu: int = 0
    node: int = 0
    cpu: int = 0

    def plus(self, other: Amounts) -> Amounts:
        """The sum, resource by resource."""
        return Amounts(*(a + b for a, b in zip(self, other, strict=True)))


class Place(NamedTuple):
    """Where use belongs; `outside` is empty, `before-start` or `after-end` of the award's life."""

    pool: str = ""
    country: str = ""
    organisation: str = ""
    project: str = ""
    outside: str = ""


NOWHERE = Place(*(UNATTRIBUTED for _ in LEVELS))


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose part of the whole a statement shows: the one filter for usage and balances."""

    key: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Scope:
        """`country:ES`, `organisation:bsc`, `project:P`, `pays:JU` or `funder:F`."""
        key, colon, value = text.partition(":")
        forms = " ".join(f"{name}:X" for name in SCOPES)
        if not colon or not value:
            raise WrongUsage(f"scope {text!r}: write one of {forms}")
        if key not in SCOPES:
            raise WrongUsage(f"scope {text!r}: no such key" + nearest(key, SCOPES, f"write one of {forms}"))
        return cls(key, value)

    @property
    def text(self) -> str:
        """What `parse` reads."""
        return f"{self.key}:{self.value}"

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether what carries these labels belongs to it."""
        return labels[self.key] == self.value


@dataclass(frozen=True, slots=True)
class UsageRow:
    """A line of the usage tree; a subtotal stands above the lines it sums, the total at the end."""

    level: str  # pool, country, organisation, project, unattributed or total
    place: Place
    seconds: Amounts
    hours: Amounts  # in hundredths

    @property
    def lowest(self) -> bool:
        """Whether it is no sum of other lines."""
        return self.level in (PROJECT, UNATTRIBUTED)


@dataclass(frozen=True, slots=True)
class BalanceRow:
    """An award at the end of the period, in whole micro-unit-seconds of the unit it was granted in."""

    award: str
    project: str
    organisation: str
    country: str
    pool: str
    unit: str
    start: int
    end: int | None
    granted: int
    charged: int  # in the period
    settled: int
    accrued: int
    after_end: int
    state: str  # as `opsd balance` says it
    eyes: bool = False  # whether somebody should look at it
    shown: Shown | None = None  # set by `balance_table`

    @property
    def used(self) -> int:
        """Charged so far, ended and open runs together."""
        return self.settled + self.accrued

    @property
    def left(self) -> int:
        """Granted minus charged so far; negative when over quota."""
        return self.granted - self.used

    @property
    def over(self) -> bool:
        """Whether more is charged than was granted."""
        return self.left < 0


class Shown(NamedTuple):
    """A balance in hundredths of unit-hours; left = granted - settled - accrued here too."""

    granted: int
    charged: int
    settled: int
    accrued: int
    after_end: int

    @property
    def left(self) -> int:
        """What is left, as the line's own numbers say."""
        return self.granted - self.settled - self.accrued


@dataclass(frozen=True, slots=True)
class UnitTotal:
    """The balances of one unit, and their sums; units are never added to each other."""

    unit: str
    rows: tuple[BalanceRow, ...]
    shown: Shown


@dataclass(frozen=True, slots=True)
class Unbound:
    """Use of an account that no award is bound to."""

    cluster: str
    account: str
    seconds: Amounts
    hours: Amounts  # in hundredths; they add up to the line of what is unattributed


@dataclass(frozen=True, slots=True)
class Covered:
    """How far a cluster's accounting was read."""

    cluster: str
    until: int
    observed_at: int


@dataclass(frozen=True, slots=True)
class Quality:
    """What a reader must know about the data; of a scope: `runs`, `open_runs`, `unclassified`, `unpriced`."""

    runs: int  # that overlap the period, each once
    open_runs: int  # of those, not ended at the end of what is reported
    unbound: tuple[Unbound, ...]  # empty in a scope: it is nobody's
    unclassified: int  # GPU-seconds of no known class
    unpriced: tuple[str, ...]  # why charges are missing
    unplaced: int  # runs whose suspended seconds are spread evenly
    two_sluids: int  # runs that Slurm knows under two ids
    quarantined: int  # records that could not be read
    covered: tuple[Covered, ...]  # empty where no sweep reads Slurm by itself
    last_observed: int | None  # when Slurm said what was read last
    last_read: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """The period: as asked for, as a window, and whose civil calendar cut it."""

    text: str
    window: Window
    zone: str


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything a report says, in every format and language."""

    consortium: str
    span: Span
    as_of: int  # nothing after it counts; the end of the period once that has come
    scope: Scope | None
    names: Mapping[tuple[str, str], str]  # (level, id) -> name, where there is one
    pools: Mapping[str, tuple[str, str]]  # pool -> funder, pays
    usage: tuple[UsageRow, ...]
    balances: tuple[UnitTotal, ...]
    units: tuple[UnitTable, ...]
    funders: tuple[Funder, ...]
    quality: Quality
    first: int | None = None  # when the first run of all began; None: there is none

    @property
    def total(self) -> UsageRow:
        """The last line of the usage tree."""
        return self.usage[-1]

    @property
    def unattributed(self) -> bool:
        """Whether some use is nobody's."""
        return any(UNATTRIBUTED in row.place for row in self.usage)

    @property
    def provisional(self) -> bool:
        """Whether the period was not over when this was made."""
        return self.as_of < self.span.window.end

    @property
    def begins_late(self) -> bool:
        """Whether accounting begins after the period does."""
        return begins_late(self.first, self.span.window)

    @property
    def read_until(self) -> int | None:
        """How far Slurm's accounting was read, everywhere."""
        return read_until((found.until for found in self.quality.covered), self.quality.last_observed)

    @property
    def covered(self) -> bool:
        """Whether it was read up to the end of what is reported."""
        return self.read_until is not None and self.read_until >= self.as_of

    def name(self, level: str, key: str) -> str:
        """The name of what has this id, or the id."""
        return self.names.get((level, key)) or key


def read_until(covered: Iterable[int], observed: int | None) -> int | None:
    """How far accounting was read: by the sweep that is furthest behind, else as the last text says."""
    return min(covered, default=observed)


def begins_late(first: int | None, window: Window) -> bool:
    """Whether accounting, whose first run began then, is that of a part of a window alone.

    Less than a day without any run is a quiet night, not accounting that nobody read.
    """
    return first is not None and first - window.start >= DAY


# -- footing -------------------------------------------------------------------------------------------


def usage_tree(leaves: Mapping[Place, Amounts]) -> tuple[UsageRow, ...]:
    """Pools, in them countries, organisations, projects; what is nobody's; the total."""
    total = _sum(leaves.values())
    hours = Amounts(*(figures.nearest(value, SHOWN_SECONDS) for value in total))
    return (*_branch(leaves, 0, hours), UsageRow(TOTAL, Place(), total, hours))


def _branch(leaves: Mapping[Place, Amounts], depth: int, hours: Amounts) -> Iterator[UsageRow]:
    groups: dict[Place, dict[Place, Amounts]] = {}
    last = LEVELS[depth] == PROJECT
    for place in sorted(leaves, key=_order):
        # A use outside the award's life is a line of its own; what is nobody's has no lines below it.
        head = place if last or place == NOWHERE else Place(*place[: depth + 1])
        groups.setdefault(head, {})[place] = leaves[place]
    sums = [_sum(group.values()) for group in groups.values()]
    shown = apportioned(sums, hours)
    for (head, group), seconds, part in zip(groups.items(), sums, shown, strict=True):
        yield UsageRow(UNATTRIBUTED if head == NOWHERE else LEVELS[depth], head, seconds, part)
        if not last and head != NOWHERE:
            yield from _branch(group, depth + 1, part)


def _order(place: Place) -> tuple[tuple[bool, str], ...]:
    return tuple((key == UNATTRIBUTED, key) for key in place)


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    total = Amounts()
    for found in amounts:
        total = total.plus(found)
    return total


def apportioned(sums: Sequence[Amounts], hours: Amounts) -> list[Amounts]:
    """Seconds as hundredths of hours that add up to the line above."""
    columns = (
        figures.largest_remainder([found[at] for found in sums], SHOWN_SECONDS, whole)
        for at, whole in enumerate(hours)
    )
    return [Amounts(*shown) for shown in zip(*columns, strict=True)]


def balance_table(rows: Iterable[BalanceRow]) -> tuple[UnitTotal, ...]:
    """Balances by unit, then pool and award, with what is shown of them."""
    groups: dict[str, list[BalanceRow]] = {}
    for row in sorted(rows, key=lambda row: (row.unit, row.pool, row.award)):
        groups.setdefault(row.unit, []).append(row)
    return tuple(_unit_total(unit, group) for unit, group in groups.items())


def _unit_total(unit: str, rows: Sequence[BalanceRow]) -> UnitTotal:
    columns = [[getattr(row, name) for row in rows] for name in Shown._fields]
    shown = [figures.largest_remainder(column, SHOWN_MICRO) for column in columns]
    totals = (sum(column) for column in shown)
    lines = zip(rows, zip(*shown, strict=True), strict=True)
    return UnitTotal(unit, tuple(replace(row, shown=Shown(*line)) for row, line in lines), Shown(*totals))
