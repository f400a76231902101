"""Limits on kinds of use, checked on what was granted and on what was used, with a forecast.

What counts is use of awards that match every list of a cap that is not empty. The limit is a part of the
base in the cap's window: what its pools are entitled to, the capacity, or the limit of the cap that it is
within. Grants count with the part of their life that lies in the window.

Invariant: an award that counts and whose unit has no rate is named, and what of a base rests on months
without a closed edition is named, too; neither is ever left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import NamedTuple

from opsd.core import conversion, entitlement
from opsd.core.agreements import Cap
from opsd.core.amounts import MICRO
from opsd.core.awards import Award
from opsd.core.dossier import Dossier
from opsd.core.fields import in_force
from opsd.core.period import DAY, Window, months, parse_period
from opsd.core.tranches import Ledger

RESOURCES = ("gpu", "cpu")
PACE_LEAST = 7 * DAY  # neither a weekend nor a Monday is a pace
CAPACITY, MONTH = "capacity", "month"


@dataclass(frozen=True, slots=True)
class Limit:
    """A cap in its window, in resource-seconds. None: nobody knows the base."""

    cap: Cap
    resource: str
    label: str  # the window: 2026 or 2026-10
    depth: int  # below the caps that it is within
    base: int | None
    most: int | None  # the limit
    granted: int
    consumed: int
    by_end: int  # what will be consumed at the end of the window, at the present pace
    breached_at: int | None  # when consumption reaches the limit; None: not in this window, or it has
    guessed: tuple[str, ...]  # months of the base that are missing, taken at this period's pace
    no_rate: tuple[str, ...]  # awards that count and whose grant has no rate
    endless: tuple[str, ...]  # awards without an end: their whole grant counts

    def reached(self, amount: int) -> int | None:
        """The highest threshold that an amount has reached; 0 below the first; None: no limit is known."""
        if self.most is None:
            return None
        passed = [percent for percent in self.cap.thresholds if amount * 100 >= percent * self.most]
        return max(passed, default=0) if amount else 0


class _Base(NamedTuple):
    seconds: int | None
    guessed: tuple[str, ...]


def of(dossier: Dossier) -> tuple[Limit, ...]:
    """Every cap in force at the end of what is reported; those within another one below it."""
    found = _Caps(dossier)
    return tuple(limit for cap, depth in found.ordered() for limit in found.limits(cap, depth))


def counts(dossier: Dossier, cap: Cap, award: Award) -> bool:
    """Whether an award's use counts under a cap."""
    held = dossier.master
    project = held.projects.get(award.project)
    organisation = held.organisations.get(project.organisation) if project else None
    told = (
        (cap.pools, award.pool),
        (cap.modes, award.mode),
        (cap.kinds, organisation.kind if organisation else ""),
        (cap.purposes, project.purpose if project else ""),
    )
    return all(value in wanted for wanted, value in told if wanted)


class _Caps:
    def __init__(self, dossier: Dossier) -> None:
        self.dossier = dossier
        self.ledger = Ledger(dossier)
        self.last = max(self.ledger.window.start, self.ledger.window.end - 1)
        self.caps = {
            cap.id: cap for cap in dossier.master.caps if in_force(cap.valid_from, cap.valid_until, self.last)
        }
        self.balances = {balance.award: balance for balance in dossier.balances}
        self.ran_on = entitlement.ran_on(dossier)

    # -- the order ------------------------------------------------------------------------------------

    def ordered(self) -> Iterator[tuple[Cap, int]]:
        """Caps with those within them below, by id."""
        tops = [cap for cap in self.caps.values() if cap.within not in self.caps]
        for cap in tops:
            yield from self._below(cap, 0)

    def _below(self, cap: Cap, depth: int) -> Iterator[tuple[Cap, int]]:
        yield cap, depth
        for other in self.caps.values():
            if other.within == cap.id and depth < len(self.caps):
                yield from self._below(other, depth + 1)

    # -- limits ---------------------------------------------------------------------------------------

    def limits(self, cap: Cap, depth: int) -> Iterator[Limit]:
        for resource in self._resources(cap):
            label, window = self._window(cap)
            base = self._base(cap, resource, window, len(self.caps))
            most = None if base.seconds is None else floor(cap.most * base.seconds)
            awards = [one for one in self.dossier.master.awards.values() if counts(self.dossier, cap, one)]
            granted, no_rate, endless = self._granted(awards, resource, window)
            consumed = self.consumed(cap, resource, window)
            by_end, breached_at = self._forecast(cap, resource, window, consumed, most)
            yield Limit(
                cap, resource, label, depth, base.seconds, most, granted, consumed, by_end, breached_at,
                base.guessed, no_rate, endless,
            )  # fmt: skip

    def _resources(self, cap: Cap) -> list[str]:
        """What the base is counted in: GPUs, and CPUs only where there are none of them in the base.

        Use by month does not tell classes of nodes apart, so CPUs beside GPUs would count those of GPU nodes.
        """
        if cap.base == CAPACITY:
            gpus = any(one.total for one in self.dossier.capacity if one.resource == "gpu")
            return ["gpu" if gpus or not self.dossier.capacity else "cpu"]
        pools = set(cap.pools) or set(self.dossier.master.pools)
        found = {resource for _, pool, resource in self.ledger.holders if pool in pools}
        return [resource for resource in RESOURCES if resource in found][:1] or ["gpu"]

    def _window(self, cap: Cap) -> tuple[str, Window]:
        """The month or year that the end of what is reported lies in, as far as the cap is in force."""
        month = next(months(Window(self.last, self.last + 1), self.ledger.zone))[0]
        label = month if cap.window == MONTH else month.partition("-")[0]
        whole = parse_period(label, self.ledger.zone)
        end = whole.end if cap.valid_until is None else min(whole.end, cap.valid_until)
        return label, Window(max(whole.start, cap.valid_from), end)

    def _base(self, cap: Cap, resource: str, window: Window, rest: int) -> _Base:
        outer = self.caps.get(cap.within)
        if cap.within:
            if outer is None or not rest:
                return _Base(None, ())
            base = self._base(outer, resource, window, rest - 1)
            return base if base.seconds is None else base._replace(seconds=floor(outer.most * base.seconds))
        if cap.base == CAPACITY:
            return self._capacity(resource, window)
        return self._entitled(cap, resource, window)

    def _capacity(self, resource: str, window: Window) -> _Base:
        """The machine's, at this period's pace where the window is longer."""
        seconds = self.ledger.window.seconds
        if not seconds:
            return _Base(None, ())
        total = sum(one.total for one in self.dossier.capacity if one.resource == resource)
        guessed = tuple(label for label, _ in self.ledger.before(window))
        return _Base(floor(Fraction(total * window.seconds, seconds)), guessed)

    def _entitled(self, cap: Cap, resource: str, window: Window) -> _Base:
        pools = set(cap.pools) or set(self.dossier.master.pools)
        holders = [one for one in self.ledger.holders if one[1] in pools and one[2] == resource]
        outlooks = [self.ledger.outlook(holder, window) for holder in holders]
        guessed = {label for one in outlooks for label in one.missing}
        seconds = sum(one.seconds for one in outlooks) if outlooks else None
        return _Base(seconds, tuple(sorted(guessed)))

    # -- what counts ----------------------------------------------------------------------------------

    def rate(self, award: Award, resource: str) -> Fraction | None:
        """Resource-hours of one unit of an award, on the nodes that its pool's agreements divide."""
        places = {
            place
            for one in self.dossier.master.agreements
            for place in one.node_classes
            if one.resource == resource and (one.id, award.pool, resource) in self.ledger.holders
        }
        ran = self.ran_on.get(award.id, ())
        return conversion.rate(self.dossier.master, award.unit, resource, places, self.last, ran)

    def _granted(
        self, awards: list[Award], resource: str, window: Window
    ) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
        total, no_rate, endless = Fraction(0), [], []
        for award in awards:
            part = life_in(award, window)
            if not part:
                continue
            rate = self.rate(award, resource)
            if rate is None:
                no_rate.append(award.id)
                continue
            if award.end is None:
                endless.append(award.id)
            total += part * rate * Fraction(self._grant(award), MICRO)
        return floor(total), tuple(no_rate), tuple(endless)

    def _grant(self, award: Award) -> int:
        balance = self.balances.get(award.id)
        return balance.granted_total if balance else 0

    def consumed(self, cap: Cap, resource: str, window: Window) -> int:
        """Resource-seconds used in the months of a window, up to the end of what is reported.

        A cap that comes into force inside a month counts that month whole: use is known by month.
        """
        awards = self.dossier.master.awards
        matching = {name for name, one in awards.items() if counts(self.dossier, cap, one)}
        labels = {label for label, _ in months(window, self.ledger.zone)}
        return sum(
            getattr(past.seconds, resource)
            for past in self.dossier.year
            if past.month in labels and past.award in matching
        )

    # -- forecast -------------------------------------------------------------------------------------

    def _forecast(
        self, cap: Cap, resource: str, window: Window, consumed: int, most: int | None
    ) -> tuple[int, int | None]:
        now = min(max(self.ledger.window.end, window.start), window.end)
        pace = self._pace(cap, resource)
        by_end = consumed + floor(pace * (window.end - now))
        if most is None or consumed >= most or by_end < most:
            return by_end, None
        return by_end, now + -(-(most - consumed) // pace)

    def _pace(self, cap: Cap, resource: str) -> Fraction:
        """Resource-seconds a second of the last month, of less than a week with the month before.

        Of use, not of charges: those are weighted, and in units that may have no rate.
        """
        known = Window(self._year().start, self.last + 1)
        *before, (_, last) = months(known, self.ledger.zone)
        start = before[-1][1].start if before and last.seconds < PACE_LEAST else last.start
        recent = Window(start, last.end)
        return Fraction(self.consumed(cap, resource, recent), recent.seconds)

    def _year(self) -> Window:
        """The civil year that the end of what is reported lies in: use is known of its months."""
        month = next(months(Window(self.last, self.last + 1), self.ledger.zone))[0]
        return parse_period(month.partition("-")[0], self.ledger.zone)


def life_in(award: Award, window: Window) -> Fraction:
    """The part of an award's life that lies in a window; of one without an end all of it."""
    start = max(award.start, window.start)
    if award.end is None:
        return Fraction(award.start < window.end)
    inside = min(award.end, window.end) - start
    return Fraction(max(0, inside), award.end - award.start)
