"""What each pool is entitled to in a period: capacity x part x share, by agreement and class of nodes.

An agreement in force for a part of the period counts with that part of its seconds. Rounding to whole
resource-seconds is by largest remainder: of a class's capacity over the agreements that divide it, then of
each agreement's part over its pools.

Invariant: per agreement and class, what pools are entitled to and what is not shared out add up to what is
divided; what is divided and what no agreement divides, to the capacity. Euros never make a share unless
an agreement's key says so: the figure by contributions stands beside it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, lcm
from typing import NamedTuple

from opsd.core import contributions, figures
from opsd.core.agreements import FIXED_HOURS, NOMINAL, PROPORTIONAL, Agreement, Share
from opsd.core.consortium import Consortium
from opsd.core.dossier import Capacity, Dossier, Entitled
from opsd.core.period import DAY, HOUR, Window

YEAR = 365 * DAY  # of fixed hours, by the seconds of the period
NOT_SHARED = ""  # the pool of what an agreement divides and gives to nobody
NOT_DIVIDED = ""  # the agreement of what no agreement divides


class Right(NamedTuple):
    """Resource-seconds of one class of nodes that a pool is entitled to in the period."""

    agreement: str  # NOT_DIVIDED: capacity outside every agreement
    pool: str  # NOT_SHARED: what is left of the agreement's part
    cluster: str
    node_class: str
    resource: str
    basis: str
    seconds: int
    proportional: int | None = None  # the same by contributions; None: they do not say


class Term(NamedTuple):
    """A version of an agreement inside the period."""

    agreement: Agreement
    seconds: int  # for so long it is in force there


@dataclass(frozen=True, slots=True)
class Entitlement:
    """Who is entitled to what, and what nobody can say."""

    rights: tuple[Right, ...] = ()
    no_capacity: tuple[tuple[str, str], ...] = ()  # agreement, CLUSTER/CLASS without capacity on record
    no_key: tuple[str, ...] = ()  # proportional agreements without contributions that could be compared

    def of_pools(self) -> tuple[Right, ...]:
        """The rights that are a pool's."""
        return tuple(right for right in self.rights if right.pool)


def apportioned(whole: int, weights: Sequence[Fraction]) -> list[int]:
    """Whole seconds by weight, and last what is left of the whole; largest remainders are rounded up."""
    every = [*weights, 1 - sum(weights, start=Fraction(0))]
    unit = lcm(*(weight.denominator for weight in every))
    return figures.largest_remainder([int(whole * weight * unit) for weight in every], unit, whole)


def reported(dossier: Dossier) -> Window:
    """The part of the period that the dossier tells of, which its capacity is counted over."""
    span = dossier.span
    return Window(span.start, max(span.start, min(span.end, dossier.as_of)))


def in_force(held: Consortium, window: Window) -> tuple[Term, ...]:
    """Versions of agreements that are in force for some of a window."""
    found = ((one, overlap(one, window)) for one in held.agreements)
    return tuple(Term(one, seconds) for one, seconds in found if seconds)


def overlap(agreement: Agreement, window: Window) -> int:
    """For how many seconds of a window a version is in force."""
    end = window.end if agreement.valid_until is None else min(window.end, agreement.valid_until)
    return max(0, end - max(window.start, agreement.valid_from))


def shares_of(held: Consortium, agreement: str) -> tuple[Share, ...]:
    """Who has a share under an agreement."""
    return tuple(share for share in held.shares if share.agreement == agreement)


def fractions(held: Consortium, agreement: Agreement) -> dict[str, Fraction] | None:
    """The share of each pool as a part of what is divided; None: hours were agreed, or nobody can say."""
    shares = shares_of(held, agreement.id)
    if agreement.key == FIXED_HOURS:
        return None
    if agreement.key == PROPORTIONAL:
        return contributions.parts(held, [share.pool for share in shares])
    return {share.pool: share.fraction or Fraction(0) for share in shares}


def basis_seconds(capacity: Capacity, basis: str) -> int:
    """What of a class's capacity is divided."""
    lost = 0 if basis == NOMINAL else capacity.planned_down + capacity.down
    return capacity.total - lost


def of(dossier: Dossier, basis: str = "") -> Entitlement:
    """Everybody's rights in the period.

    Args:
        basis: counted from, whatever the agreements say; empty: as they say.
    """
    return _Division(dossier, basis).made()


class _Division:
    """The division of one period's capacity."""

    def __init__(self, dossier: Dossier, basis: str) -> None:
        self.held = dossier.master
        self.window = reported(dossier)
        self.basis = basis
        self.terms = in_force(self.held, self.window)
        self.capacity = {(f"{c.cluster}/{c.node_class}", c.resource): c for c in dossier.capacity}
        self.sums: dict[Right, int] = defaultdict(int)  # by right with nothing in it
        self.euros: dict[Right, int | None] = {}

    def made(self) -> Entitlement:
        if not self.window.seconds:
            return Entitlement()
        divided = self._divided()
        for at, term in enumerate(self.terms):
            self._share(term, {place: seconds for (one, place), seconds in divided.items() if one == at})
        rights = (
            right._replace(seconds=seconds, proportional=self.euros.get(right))
            for right, seconds in self.sums.items()
        )
        return Entitlement(tuple(sorted(rights, key=lambda one: one[:6])), self._unknown(), self._no_key())

    def _divided(self) -> dict[tuple[int, str], int]:
        """What each term divides of each class, by its part and for as long as it is in force."""
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for at, (agreement, _) in enumerate(self.terms):
            for place in agreement.node_classes:
                if (place, agreement.resource) in self.capacity:
                    groups[place, agreement.resource, self.basis or agreement.basis].append(at)
        found: dict[tuple[int, str], int] = {}
        for (place, resource, basis), members in sorted(groups.items()):
            whole = basis_seconds(self.capacity[place, resource], basis)
            *each, rest = apportioned(whole, [self._weight(self.terms[at]) for at in members])
            found |= {(at, place): seconds for at, seconds in zip(members, each, strict=True)}
            self.sums[_blank(NOT_DIVIDED, NOT_SHARED, place, resource, basis)] += rest
        return found

    def _weight(self, term: Term) -> Fraction:
        return term.agreement.part * Fraction(term.seconds, self.window.seconds)

    def _share(self, term: Term, divided: Mapping[str, int]) -> None:
        agreement = term.agreement
        shares = shares_of(self.held, agreement.id)
        pools = [share.pool for share in shares]
        euros = contributions.parts(self.held, pools)
        parts = fractions(self.held, agreement)
        hours = _hours_by_place(term, shares, divided) if agreement.key == FIXED_HOURS else {}
        for place in divided or dict.fromkeys(hours, 0):
            whole = divided.get(place, 0)
            if agreement.key == FIXED_HOURS:
                each = hours[place]
                rest = whole - sum(each)
            elif parts is None:
                each, rest = [], whole
            else:
                *each, rest = apportioned(whole, [parts.get(pool, Fraction(0)) for pool in pools])
            self._book(agreement, place, NOT_SHARED, rest)
            told = self._by_euros(sum(each), pools, euros)
            for pool, seconds in zip(pools, each, strict=False):
                self._book(agreement, place, pool, seconds, told.get(pool))

    @staticmethod
    def _by_euros(whole: int, pools: Sequence[str], euros: Mapping[str, Fraction] | None) -> dict[str, int]:
        """What the agreement shares out, shared by contributions."""
        if euros is None:
            return {}
        known = [pool for pool in pools if pool in euros]
        *each, _ = apportioned(whole, [euros[pool] for pool in known])
        return dict(zip(known, each, strict=True))

    def _book(
        self, agreement: Agreement, place: str, pool: str, seconds: int, euros: int | None = None
    ) -> None:
        right = _blank(agreement.id, pool, place, agreement.resource, self.basis or agreement.basis)
        before = self.euros.get(right, 0)
        self.sums[right] += seconds
        self.euros[right] = None if euros is None or before is None else before + euros

    def _unknown(self) -> tuple[tuple[str, str], ...]:
        found = {
            (agreement.id, place)
            for agreement, _ in self.terms
            for place in agreement.node_classes
            if (place, agreement.resource) not in self.capacity
        }
        return tuple(sorted(found))

    def _no_key(self) -> tuple[str, ...]:
        proportional = {one.id: one for one, _ in self.terms if one.key == PROPORTIONAL}
        return tuple(name for name, one in sorted(proportional.items()) if fractions(self.held, one) is None)


def _blank(agreement: str, pool: str, place: str, resource: str, basis: str) -> Right:
    cluster, _, node_class = place.partition("/")
    return Right(agreement, pool, cluster, node_class, resource, basis, 0)


def _hours_by_place(term: Term, shares: Sequence[Share], divided: Mapping[str, int]) -> dict[str, list[int]]:
    """Fixed hours of each pool, in whole seconds, spread over classes by what is divided of them."""
    places = list(divided) or list(term.agreement.node_classes[:1])
    whole = sum(divided.values())
    weights = [
        Fraction(divided.get(place, 0), whole) if whole else Fraction(1, len(places)) for place in places
    ]
    found: dict[str, list[int]] = {place: [] for place in places}
    for share in shares:
        exact = (share.hours or Fraction(0)) * HOUR * Fraction(term.seconds, YEAR)
        for place, seconds in zip(places, apportioned(floor(exact + Fraction(1, 2)), weights), strict=False):
            found[place].append(seconds)
    return found


# ------------------------------------------------------------------------------------------------- use

Spot = tuple[str, str, str, str]  # pool, cluster, node class, resource


def claims(rights: Iterable[Right]) -> dict[Spot, tuple[Right, ...]]:
    """Under which agreements a pool's use of a class counts."""
    found: dict[Spot, list[Right]] = defaultdict(list)
    for right in rights:
        if right.pool:
            found[right.pool, right.cluster, right.node_class, right.resource].append(right)
    return {spot: tuple(members) for spot, members in sorted(found.items())}


def counted(amount: int, members: Sequence[Right]) -> list[int]:
    """Use of a pool under each of its agreements over the same nodes, by what they entitle it to.

    Runs do not say under which agreement they ran: the pool is all there is.
    """
    whole = sum(right.seconds for right in members)
    if not whole:
        return [amount, *[0] * (len(members) - 1)]
    return apportioned(amount, [Fraction(right.seconds, whole) for right in members])[:-1]


def used(dossier: Dossier, rights: Iterable[Right]) -> dict[Right, int]:
    """Exact resource-seconds used under each right."""
    awards = dossier.master.awards
    sums: dict[Spot, int] = defaultdict(int)
    for line in dossier.lines:
        award = awards.get(line.key.award)
        if award is not None:
            for resource in ("gpu", "cpu"):
                spot = award.pool, line.key.cluster, line.key.node_class, resource
                sums[spot] += getattr(line.seconds, resource)
    found: dict[Right, int] = {}
    for spot, members in claims(rights).items():
        found |= dict(zip(members, counted(sums.get(spot, 0), members), strict=True))
    return found


def ran_on(dossier: Dossier) -> dict[str, frozenset[str]]:
    """The classes of nodes (CLUSTER/CLASS) that each award ran on in the period."""
    found: dict[str, set[str]] = defaultdict(set)
    for line in dossier.lines:
        if line.seconds.node or line.seconds.gpu or line.seconds.cpu:
            found[line.key.award].add(f"{line.key.cluster}/{line.key.node_class}")
    return {award: frozenset(places) for award, places in found.items()}


def entitled(dossier: Dossier) -> tuple[Entitled, ...]:
    """What later dossiers must know of a closed month: by agreement and pool, entitled and used.

    `Dossier.entitled` is filled with these, of every closed month before the period.
    """
    rights = of(dossier).of_pools()
    use = used(dossier, rights)
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for right in rights:
        held = sums[right.agreement, right.pool, right.resource]
        held[0] += right.seconds
        held[1] += use[right]
    month = dossier.span.text
    return tuple(Entitled(month, *key, *values) for key, values in sorted(sums.items()))
