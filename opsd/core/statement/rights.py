"""Rights of pools beside their use, as shown: in hundredths of hours, cut to a scope.

A class's capacity is rounded as the section of capacity rounds it, then its hundredths are shared out among
the agreements' pools by largest remainder; use is the sum of the view's own parts.

Invariant: what is shown of rights, of what is not shared out and of what no agreement divides adds up to
what is shown of the capacity; a scope takes rows away and changes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from opsd.core import entitlement, figures
from opsd.core.agreements import NOMINAL
from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.dossier import Capacity
from opsd.core.entitlement import Right
from opsd.core.statement.view import RESOURCES, SHOWN_SECONDS, Part, View, in_order, parse_scope
from opsd.core.statement.words import Hours

LINES = ("allocated", "reserved_idle", "planned_down", "down", "unallocated")
WHOLE_POOLS = ("", "cluster", "pays", "funder")  # scopes that hold all use of a pool
Spot = tuple[str, str, str, str]  # pool, cluster, node class, resource


class Shown(NamedTuple):
    """One right with its use."""

    right: Right
    entitled: Hours
    proportional: Hours | None
    used: Hours


class Rights:
    """Every right that a view may show."""

    def __init__(self, view: View, basis: str = "") -> None:
        self.view = view
        self.found = entitlement.of(view.dossier, basis)
        self._facts = Attribution(view.master)
        self._key, self._value = parse_scope(view.scope)

    @property
    def whole(self) -> bool:
        """Whether all use of the pools is in the scope, so that it may be compared."""
        return self._key in WHOLE_POOLS

    def in_scope(self, right: Right) -> bool:
        """Whether a right is the reader's business."""
        if self._key == "cluster":
            return right.cluster == self._value
        return not self._key or right.pool in self.view.pools

    def pays(self, pool: str) -> str:
        """Who pays for a pool's time."""
        found = self.view.master.pools.get(pool)
        return (self._facts.payer(found.funder) if found else "") or UNATTRIBUTED

    @cached_property
    def every(self) -> tuple[Shown, ...]:
        """All rights, those of nobody included, whatever the scope."""
        shown = self._shown()
        return tuple(
            Shown(
                right,
                Hours(shown[right], Fraction(right.seconds)),
                None if right.proportional is None else Hours(euros, Fraction(right.proportional)),
                self._used[right],
            )
            for right, euros in self._by_euros(shown)
        )

    @cached_property
    def rows(self) -> tuple[Shown, ...]:
        """Rights of pools in the scope, by who pays, pool and agreement."""
        found = (one for one in self.every if one.right.pool and self.in_scope(one.right))
        return tuple(sorted(found, key=lambda one: self.order(one.right)))

    def order(self, right: Right) -> tuple[tuple[bool, str], ...]:
        """Where a right's row stands."""
        return in_order((self.pays(right.pool), right.pool, right.agreement, right.cluster, right.node_class))

    # -- rounding -------------------------------------------------------------------------------------

    def _shown(self) -> dict[Right, int]:
        """Hundredths of each right."""
        capacity = {(c.cluster, c.node_class, c.resource): c for c in self.view.dossier.capacity}

        def of_class(right: Right) -> tuple[str, ...]:
            return right.cluster, right.node_class, right.resource, right.basis

        found: dict[Right, int] = {}
        for key, group in groupby(sorted(self.found.rights, key=of_class), of_class):
            members = tuple(group)
            known = capacity.get((key[0], key[1], key[2]))
            whole = None if known is None else _basis_shown(known, key[3])
            found |= dict(zip(members, footed([one.seconds for one in members], whole), strict=True))
        return found

    def _by_euros(self, shown: dict[Right, int]) -> list[tuple[Right, int]]:
        """What each agreement shares out of a class, shared by contributions."""

        def of_agreement(right: Right) -> tuple[str, ...]:
            return right.agreement, right.cluster, right.node_class, right.resource, right.basis

        found: list[tuple[Right, int]] = []
        for _, group in groupby(sorted(self.found.rights, key=of_agreement), of_agreement):
            members = tuple(group)
            pools = [one for one in members if one.pool and one.proportional is not None]
            parts = footed([one.proportional or 0 for one in pools], sum(shown[one] for one in pools))
            euros = dict(zip(pools, parts, strict=True))
            found += [(one, euros.get(one, 0)) for one in members]
        return found

    # -- use ------------------------------------------------------------------------------------------

    @cached_property
    def _use(self) -> dict[Spot, list[int]]:
        """Shown hundredths and exact seconds by spot."""
        sums: dict[Spot, list[int]] = defaultdict(lambda: [0, 0])
        for part in self.view.parts:
            for resource in ("gpu", "cpu"):
                held = sums[_spot(part, resource)]
                at = RESOURCES.index(resource)
                held[0] += part.shown[at]
                held[1] += part.seconds[at + (resource == "cpu") * 0]
        return dict(sums)

    @cached_property
    def _used(self) -> dict[Right, Hours]:
        found = dict.fromkeys(self.found.rights, Hours(0, Fraction(0)))
        for spot, members in entitlement.claims(self.found.rights).items():
            hundredths, seconds = self._use.get(spot, [0, 0])
            shown = entitlement.counted(hundredths, members)
            exact = entitlement.counted(seconds, members)
            for right, one, other in zip(members, shown, exact, strict=True):
                found[right] = Hours(one, Fraction(other))
        return found

    @cached_property
    def divided_use(self) -> bool:
        """Whether some pool's use had to be told apart by what it is entitled to."""
        claims = entitlement.claims(self.found.rights).items()
        return any(len(members) > 1 and self._use.get(spot, [0, 0])[1] for spot, members in claims)

    def without_agreement(self, resource: str) -> dict[str, Hours]:
        """Use by pool to which no agreement entitles it; of CPUs only on nodes whose CPUs are divided."""
        claims = entitlement.claims(self.found.rights)
        divided = {(one.cluster, one.node_class) for one in self.found.rights if one.resource == resource}
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for spot, (hundredths, seconds) in self._use.items():
            here = spot[3] == resource and (resource == "gpu" or spot[1:3] in divided)
            if here and spot not in claims and (hundredths or seconds):
                sums[spot[0]][0] += hundredths
                sums[spot[0]][1] += seconds
        names = sorted(sums, key=lambda pool: in_order((self.pays(pool), pool)))
        return {pool: Hours(sums[pool][0], Fraction(sums[pool][1])) for pool in names}


def _spot(part: Part, resource: str) -> Spot:
    return part.place.pool, part.place.cluster, part.place.node_class, resource


def _basis_shown(capacity: Capacity, basis: str) -> int:
    shown = dict(zip(LINES, footed([getattr(capacity, line) for line in LINES]), strict=True))
    lost = 0 if basis == NOMINAL else shown["planned_down"] + shown["down"]
    return sum(shown.values()) - lost


def footed(seconds: Sequence[int], whole: int | None = None) -> list[int]:
    """Hundredths that add up to a whole that is rounded already, by largest remainder.

    Where that whole was rounded so far away that remainders do not suffice, the largest part takes the rest.
    """
    shown = figures.largest_remainder(seconds, SHOWN_SECONDS)
    if whole is not None and seconds and sum(shown) != whole:
        missing = whole - sum(seconds) // SHOWN_SECONDS
        floors = sum(one // SHOWN_SECONDS for one in seconds)
        if 0 <= whole - floors <= len(seconds) and missing is not None:
            return figures.largest_remainder(seconds, SHOWN_SECONDS, whole)
        largest = max(range(len(seconds)), key=lambda at: (seconds[at], -at))
        shown[largest] += whole - sum(shown)
    return shown


def plus(hours: Iterable[Hours]) -> Hours:
    """Hours added up, as shown and exactly."""
    every = list(hours)
    return Hours(sum(one.hundredths for one in every), sum((one.exact for one in every), start=Fraction(0)))


def less(whole: Hours, *parts: Hours) -> Hours:
    """Hours taken away."""
    taken = plus(parts)
    return Hours(whole.hundredths - taken.hundredths, whole.exact - taken.exact)


def per(part: Hours, whole: Hours) -> Fraction | None:
    """A part of a whole, by what is shown; None where there is no whole."""
    return Fraction(part.hundredths, whole.hundredths) if whole.hundredths else None


def nearest(seconds: int) -> Hours:
    """Seconds as hours that stand alone."""
    return Hours(figures.nearest(seconds, SHOWN_SECONDS), Fraction(seconds))


Grouped = tuple[str, tuple[Shown, ...]]


def grouped(rows: Iterable[Shown], key: Callable[[Shown], str]) -> list[Grouped]:
    """Rows in a row under one key."""
    return [(name, tuple(members)) for name, members in groupby(rows, key)]
