"""Rights of pools beside their use, as shown: in hundredths of hours, cut to a scope.

A class's capacity is rounded as the section of capacity rounds it, then its hundredths are shared out among
the agreements' pools by largest remainder; use is the sum of the view's own parts.

Invariant: what is shown of rights, of what is not shared out and of what no agreement divides adds up to
what is shown of the capacity; a scope takes rows away and changes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from itertools import groupby
from typing import NamedTuple

from opsd.core import entitlement, figures
from opsd.core.agreements import NOMINAL
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.entitlement import Right
from opsd.core.statement.rounding import SHOWN_SECONDS
from opsd.core.statement.view import RESOURCES, Counted, Part, View, in_order
from opsd.core.statement.words import Hours, Text

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

    @property
    def whole(self) -> bool:
        """Whether all use of the pools is in the scope, so that it may be compared."""
        return self.view.scope_key in WHOLE_POOLS

    @property
    def narrow(self) -> bool:
        """Whether pools of others are left out."""
        return self.view.scope_key not in ("", "cluster")

    @property
    def of_cluster(self) -> bool:
        """Whether the view is of one cluster."""
        return self.view.scope_key == "cluster"

    def on_cluster(self, right: Right) -> bool:
        """Whether a right is to time on the clusters of the view."""
        return not self.of_cluster or right.cluster == self.view.scope_value

    def in_scope(self, right: Right) -> bool:
        """Whether a right is the reader's business."""
        return self.on_cluster(right) and (not self.narrow or right.pool in self.view.pools)

    def pays(self, pool: str) -> str:
        """Who pays for a pool's time."""
        found = self.view.master.pools.get(pool)
        return self.view.payer(found.funder) if found else UNATTRIBUTED

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
        capacity = {one.capacity[:3]: one for one in self.view.capacity}

        def of_class(right: Right) -> tuple[str, ...]:
            return right.cluster, right.node_class, right.resource, right.basis

        found: dict[Right, int] = {}
        for key, group in groupby(sorted(self.found.rights, key=of_class), of_class):
            members = tuple(group)
            known = capacity.get((key[0], key[1], key[2]))
            whole = None if known is None else _of_basis(known, key[3]).hundredths
            found |= dict(zip(members, to_whole([one.seconds for one in members], whole), strict=True))
        return found

    def _by_euros(self, shown: dict[Right, int]) -> list[tuple[Right, int]]:
        """What each agreement shares out of a class, shared by contributions."""

        def of_agreement(right: Right) -> tuple[str, ...]:
            return right.agreement, right.cluster, right.node_class, right.resource, right.basis

        found: list[tuple[Right, int]] = []
        for _, group in groupby(sorted(self.found.rights, key=of_agreement), of_agreement):
            members = tuple(group)
            pools = [one for one in members if one.pool and one.proportional is not None]
            parts = to_whole([one.proportional or 0 for one in pools], sum(shown[one] for one in pools))
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
                held[1] += part.seconds[at]
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


def _of_basis(one: Counted, basis: str) -> Hours:
    return one.total if basis == NOMINAL else one.available


def to_whole(seconds: Sequence[int], whole: int | None = None) -> list[int]:
    """Hundredths that add up to a whole that is rounded already, by largest remainder.

    Where that whole was rounded so far away that remainders do not suffice, the largest part takes the rest.
    """
    floors = sum(one // SHOWN_SECONDS for one in seconds)
    broken = sum(one % SHOWN_SECONDS > 0 for one in seconds)  # nothing is never shown as a hundredth
    if whole is None or 0 <= whole - floors <= broken:
        return figures.largest_remainder(seconds, SHOWN_SECONDS, whole)
    shown = figures.largest_remainder(seconds, SHOWN_SECONDS)
    if seconds:
        shown[max(range(len(seconds)), key=lambda at: (seconds[at], -at))] += whole - sum(shown)
    return shown


def nearest(seconds: int) -> Hours:
    """Seconds as hours that stand alone."""
    return Hours(figures.nearest(seconds, SHOWN_SECONDS), Fraction(seconds))


def stretch(labels: Sequence[str]) -> Text:
    """Months that follow each other by the first and the last of them."""
    runs: list[list[str]] = []
    for label in labels:
        if runs and _following(runs[-1][-1]) == label:
            runs[-1].append(label)
        else:
            runs.append([label])
    return Text(", ".join(run[0] if len(run) == 1 else f"{run[0]}\N{EN DASH}{run[-1]}" for run in runs))


def _following(label: str) -> str:
    year, month = map(int, label.split("-"))
    return f"{year + month // 12:04}-{month % 12 + 1:02}"
