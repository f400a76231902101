"""Why a pool did not use what it was entitled to: each reason from its own evidence, in a stated order.

Nominal entitlement minus use, where that is positive, is explained by, in this order: planned downtime,
failures, idle reservations, time that was not granted, runs that waited. Each reason takes at most what the
ones before it left. What then remains is what nobody asked for: by definition the rest.

Invariant: reasons are never negative, and add up to what was not used; use beyond the entitlement is a
figure of its own, so that entitled - used = unused - over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import NamedTuple

from opsd.core import conversion, entitlement
from opsd.core.agreements import NOMINAL
from opsd.core.amounts import MICRO
from opsd.core.awards import Award
from opsd.core.dossier import Balance, Capacity, Dossier
from opsd.core.entitlement import Right
from opsd.core.period import Window

REASONS = ("planned_down", "down", "reserved_idle", "not_granted", "waited", "not_submitted")
LOST = REASONS[:3]  # lines of Capacity
Where = tuple[str, str, str]  # pool, cluster, resource


class Granted(NamedTuple):
    """What a pool's awards could draw in the period, against its entitlement."""

    drawable: int | None  # at most: left at the start and granted since; None: some unit has no rate
    due: int | None  # the part of the grants that falls into the period by time; None: the same


@dataclass(frozen=True, slots=True)
class Unused:
    """One pool on one cluster, in resource-seconds."""

    pool: str
    cluster: str
    resource: str
    rights: tuple[Right, ...]
    entitled: int  # nominal
    used: int
    evidence: Mapping[str, int | None]  # by reason but the last; None: not known
    reasons: Mapping[str, int]
    over_allocated: int | None  # grants by time beyond the nominal entitlement

    @property
    def unused(self) -> int:
        """Entitled and not used."""
        return max(0, self.entitled - self.used)

    @property
    def over(self) -> int:
        """Used beyond the entitlement."""
        return max(0, self.used - self.entitled)


def of(dossier: Dossier) -> tuple[Unused, ...]:
    """Every pool that any agreement entitles to anything."""
    found = _Evidence(dossier)
    return tuple(found.row(where) for where in sorted(found.rights))


def explained(unused: int, evidence: Mapping[str, int | None]) -> dict[str, int]:
    """What was not used by reason, in order; what is not known explains nothing."""
    found: dict[str, int] = {}
    left = unused
    for reason in REASONS[:-1]:
        found[reason] = min(left, evidence[reason] or 0)
        left -= found[reason]
    return {**found, REASONS[-1]: left}


class _Evidence:
    def __init__(self, dossier: Dossier) -> None:
        self.dossier = dossier
        self.window = entitlement.reported(dossier)
        rights = entitlement.of(dossier, NOMINAL).of_pools()
        self.use = entitlement.used(dossier, rights)
        self.rights: dict[Where, list[Right]] = defaultdict(list)
        for right in rights:
            self.rights[right.pool, right.cluster, right.resource].append(right)
        self.capacity = {(c.cluster, c.node_class, c.resource): c for c in dossier.capacity}
        self.entitled = {where: sum(one.seconds for one in members) for where, members in self.rights.items()}
        self.ran_on = entitlement.ran_on(dossier)
        self.waited = self._waited()

    def row(self, where: Where) -> Unused:
        members = tuple(self.rights[where])
        used = sum(self.use[right] for right in members)
        beyond, over = self._granting(where)
        lost = {reason: sum(self._lost(right, reason) for right in members) for reason in LOST}
        evidence = {**lost, "not_granted": beyond, "waited": self.waited.get(where, 0)}
        unused = max(0, self.entitled[where] - used)
        reasons = explained(unused, evidence)
        return Unused(*where, members, self.entitled[where], used, evidence, reasons, over)

    def _lost(self, right: Right, line: str) -> int:
        """A right's part of what a class of nodes lost."""
        capacity: Capacity | None = self.capacity.get((right.cluster, right.node_class, right.resource))
        if capacity is None or not capacity.total:
            return 0
        lost: int = getattr(capacity, line)
        return floor(Fraction(right.seconds * lost, capacity.total))

    def _waited(self) -> dict[Where, int]:
        """What runs of a pool's awards waited for, on classes where it is entitled to anything."""
        spots = {
            (right.pool, right.cluster, right.node_class, right.resource)
            for members in self.rights.values()
            for right in members
        }
        sums: dict[Where, int] = defaultdict(int)
        for one in self.dossier.waited:
            award = self.dossier.master.awards.get(one.award)
            for resource in ("gpu", "cpu") if award else ():
                pool = award.pool if award else ""
                if (pool, one.cluster, one.node_class, resource) in spots:
                    sums[pool, one.cluster, resource] += getattr(one, resource)
        return dict(sums)

    # -- grants -----------------------------------------------------------------------------------------

    def _granting(self, where: Where) -> tuple[int | None, int | None]:
        """Entitlement beyond what awards could draw, and grants beyond it; of a cluster its part."""
        pool, _, resource = where
        whole = sum(
            seconds for (name, _, what), seconds in self.entitled.items() if (name, what) == (pool, resource)
        )
        granted = self._granted(pool, resource)
        part = Fraction(self.entitled[where], whole) if whole else Fraction(0)
        beyond = None if granted.drawable is None else floor(max(0, whole - granted.drawable) * part)
        over = None if granted.due is None else floor(max(0, granted.due - whole) * part)
        return beyond, over

    def _granted(self, pool: str, resource: str) -> Granted:
        places = self._places(pool, resource)
        found = [
            self._of_award(balance, resource, places)
            for balance in self.dossier.balances
            if self.dossier.master.awards[balance.award].pool == pool
            and _alive(self.dossier.master.awards[balance.award], self.window)
        ]
        drawable = [one.drawable for one in found]
        due = [one.due for one in found]
        return Granted(
            None if None in drawable else sum(one or 0 for one in drawable),
            None if None in due else sum(one or 0 for one in due),
        )

    def _of_award(self, balance: Balance, resource: str, places: set[str]) -> Granted:
        """What one award could draw at most; and its grant by time, as what it drew was worth."""
        award = self.dossier.master.awards[balance.award]
        held, at, ran_on = self.dossier.master, self.window.start, self.ran_on.get(award.id, ())
        most = conversion.most(held, award.unit, resource, places, at, ran_on)
        rate = conversion.rate(held, award.unit, resource, places, at, ran_on)
        if rate is None and balance.charged > 0 and most is not None:
            rate = Fraction(self._drawn(award.id, resource, places) * MICRO, balance.charged)
        left = Fraction(max(0, balance.opening + sum(balance.granted.values())), MICRO)
        now = Fraction(0)
        if award.end is not None:
            life = Fraction(_inside(award, self.window), award.end - award.start)
            now = life * Fraction(balance.granted_total, MICRO)
        return Granted(
            None if most is None else floor(most * left), None if rate is None else floor(rate * now)
        )

    def _drawn(self, award: str, resource: str, places: set[str]) -> int:
        return sum(
            getattr(line.seconds, resource)
            for line in self.dossier.lines
            if line.key.award == award
            and not line.key.outside
            and f"{line.key.cluster}/{line.key.node_class}" in places
        )

    def _places(self, pool: str, resource: str) -> set[str]:
        return {
            f"{right.cluster}/{right.node_class}"
            for (name, _, what), members in self.rights.items()
            if (name, what) == (pool, resource)
            for right in members
        }


def _alive(award: Award, window: Window) -> bool:
    return award.start < window.end and (award.end is None or award.end > window.start)


def _inside(award: Award, window: Window) -> int:
    end = window.end if award.end is None else min(award.end, window.end)
    return max(0, end - max(award.start, window.start))
