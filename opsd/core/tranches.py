"""What of a year's entitlement is open by now, and what is kept of what was not used.

A slice is the month, quarter or year in which an agreement gives time out (the year, where it names none).
Kept hours are used before new ones, the oldest first; of what is left of a slice's own hours the agreed
part is kept, for as many slices as was agreed. A new version of an agreement begins with nothing kept.

Invariant: nothing is made up. What rests on months of which no closed edition is at hand is None, and the
months are named; what is only expected says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from fractions import Fraction
from math import floor
from typing import NamedTuple

from opsd.core.agreements import CARRY, Agreement
from opsd.core.dossier import Dossier, Entitled
from opsd.core.entitlement import of, overlap, reported, used
from opsd.core.fields import ALWAYS
from opsd.core.period import Window, months, parse_period, zone

Holder = tuple[str, str, str]  # agreement, pool, resource


class Outlook(NamedTuple):
    """The entitlement of a window that reaches beyond the period."""

    known: int  # of closed months and of this period
    ahead: int  # expected after the period, at its pace
    guessed: int  # at this period's pace, of months that are missing
    missing: tuple[str, ...]  # months before the period of which no closed edition is at hand

    @property
    def seconds(self) -> int:
        """All of it."""
        return self.known + self.ahead + self.guessed


@dataclass(frozen=True, slots=True)
class Tranche:
    """A pool's standing in its agreement's slice and year. None: months are missing."""

    agreement: str
    pool: str
    resource: str
    label: str  # the slice: 2026-10, 2026-Q4 or 2026
    own: int | None  # its entitlement, its rest as expected
    own_used: int | None  # so far
    year: int | None  # the whole year's entitlement, its rest as expected
    open: int | None  # of it, up to the end of the slice
    used: int | None  # in the year
    carried: int | None  # into the slice
    kept: int | None  # out of it; None too where the slice goes on
    lapsed: int | None  # at its end; None too where the slice goes on
    missing: tuple[str, ...]


class Ledger:
    """Entitlement and use by month, of closed months and of this period."""

    def __init__(self, dossier: Dossier) -> None:
        self.dossier = dossier
        self.window = reported(dossier)
        self.zone = zone(dossier.span.zone)
        books = zone(dossier.master.book_zone or "UTC")
        closed = dossier.entitled if self.zone == books else ()  # months close in the book zone alone
        self.month_of: dict[tuple[Holder, str], Entitled] = {
            ((one.agreement, one.pool, one.resource), one.month): one for one in closed
        }
        self.now = self._now()
        self.holders = tuple(sorted({*self.now, *(holder for holder, _ in self.month_of)}))

    def _now(self) -> dict[Holder, tuple[int, int]]:
        rights = of(self.dossier).of_pools()
        use = used(self.dossier, rights)
        sums: dict[Holder, list[int]] = defaultdict(lambda: [0, 0])
        for right in rights:
            held = sums[right.agreement, right.pool, right.resource]
            held[0] += right.seconds
            held[1] += use[right]
        return {holder: (entitled, spent) for holder, (entitled, spent) in sums.items()}

    def before(self, window: Window) -> Iterator[tuple[str, Window]]:
        """Civil months of a window before the period begins."""
        end = min(window.end, self.window.start)
        if window.start < end:
            yield from months(Window(window.start, end), self.zone)

    def in_force(self, agreement: str, window: Window) -> int:
        """For how many seconds an agreement is in force, whichever version."""
        return sum(overlap(one, window) for one in self.dossier.master.agreements if one.id == agreement)

    def recorded(self, holder: Holder, label: str, piece: Window) -> Entitled | None:
        """What a closed edition says of a month, where all of it that is in force lies in a piece."""
        found = self.month_of.get((holder, label))
        whole = parse_period(label, self.zone)
        same = self.in_force(holder[0], piece) == self.in_force(holder[0], whole)
        return found if same else None

    def outlook(self, holder: Holder, window: Window) -> Outlook:
        """What a holder may expect of a window: what is known, then this period's pace."""
        known, guessed, missing = 0, Fraction(0), []
        pace = self._pace(holder)
        for label, piece in self.before(window):
            found = self.recorded(holder, label, piece)
            if found is not None:
                known += found.seconds
            elif seconds := self.in_force(holder[0], piece):
                missing.append(label)
                guessed += pace * seconds
        inside = _common(window, self.window)
        whole = self.in_force(holder[0], self.window)
        if whole:
            part = Fraction(self.in_force(holder[0], inside), whole)
            known += floor(self.now.get(holder, (0, 0))[0] * part)
        rest = Window(min(max(self.window.end, window.start), window.end), window.end)
        ahead = floor(pace * self.in_force(holder[0], rest))
        return Outlook(known, ahead, floor(guessed), tuple(missing))

    def _pace(self, holder: Holder) -> Fraction:
        seconds = self.in_force(holder[0], self.window)
        return Fraction(self.now.get(holder, (0, 0))[0], seconds) if seconds else Fraction(0)


def standings(dossier: Dossier) -> tuple[Tranche, ...]:
    """Every pool's slice under every agreement that is in force at the end of what is reported."""
    ledger = Ledger(dossier)
    last = ledger.window.end - 1
    versions = {one.id: one for one in dossier.master.agreements if overlap(one, Window(last, last + 1))}
    return tuple(
        _standing(ledger, versions[holder[0]], holder) for holder in ledger.now if holder[0] in versions
    )


def _standing(ledger: Ledger, agreement: Agreement, holder: Holder) -> Tranche:
    last = ledger.window.end - 1
    label, this = _slice(agreement, last, ledger.zone)
    _, year = _slice(None, last, ledger.zone)
    whole = ledger.outlook(holder, year)
    opened = ledger.outlook(holder, Window(year.start, this.end))
    spent = _used(ledger, holder, year)
    sure = not whole.missing and year.start <= ledger.window.start
    kept = _Kept(ledger, agreement, holder)
    return Tranche(
        *holder, label, *kept.own(this),
        whole.seconds if sure else None, opened.seconds if sure else None, spent if sure else None,
        kept.carried(this), *kept.at_end(this), whole.missing,
    )  # fmt: skip


def _used(ledger: Ledger, holder: Holder, window: Window) -> int:
    before = (ledger.recorded(holder, label, piece) for label, piece in ledger.before(window))
    return sum(one.used for one in before if one is not None) + ledger.now[holder][1]


def _slice(agreement: Agreement | None, at: int, tz: tzinfo) -> tuple[str, Window]:
    """The slice that an instant lies in; of no agreement the year."""
    month = next(months(Window(at, at + 1), tz))[0]
    tranche = agreement.tranche if agreement else ""
    year, _, number = month.partition("-")
    quarter = f"{year}-Q{(int(number) + 2) // 3}"
    label = {"month": month, "quarter": quarter}.get(tranche, year)
    return label, parse_period(label, tz)


class _Kept:
    """What is kept from slice to slice under one version of an agreement."""

    def __init__(self, ledger: Ledger, agreement: Agreement, holder: Holder) -> None:
        self.ledger = ledger
        self.agreement = agreement
        self.holder = holder
        self.most = agreement.carry_most if agreement.under_use == CARRY else Fraction(0)

    def own(self, this: Window) -> tuple[int | None, int | None]:
        """A slice's entitlement as expected, and what was used in it."""
        sums = self._sums(self._pieces(this))
        if sums is None:
            return None, None
        return self.ledger.outlook(self.holder, self._pieces(this)).seconds, sums[1]

    def carried(self, this: Window) -> int | None:
        """Into a slice; None: what was before is not known."""
        if self.agreement.under_use != CARRY:
            return 0
        earlier = self._earlier(this)
        return None if earlier is None else sum(seconds for _, seconds in self._lots(earlier, len(earlier)))

    def at_end(self, this: Window) -> tuple[int | None, int | None]:
        """Kept and lapsed when a slice ends; None where it goes on or months of it are missing."""
        own = self._sums(self._pieces(this))
        earlier = self._earlier(this)
        until = self.agreement.valid_until
        end = this.end if until is None else min(this.end, until)
        if self.ledger.window.end < end or own is None or earlier is None:
            return None, None
        before = self._lots(earlier, len(earlier))
        lots = self._lots([*earlier, own], len(earlier) + 1)
        kept = 0 if end == until else sum(seconds for _, seconds in lots)
        left = max(0, own[0] + sum(seconds for _, seconds in before) - own[1])
        return kept, left - kept

    def _lots(self, slices: Sequence[tuple[int, int]], at: int) -> list[tuple[int, int]]:
        """(number of its slice, seconds) of what is alive at the start of slice `at`."""
        lots: list[tuple[int, int]] = []
        for number, (own, spent) in enumerate(slices):
            left: list[tuple[int, int]] = []
            owed = spent
            for born, seconds in self._alive(lots, number):
                taken = min(seconds, owed)
                owed -= taken
                left.append((born, seconds - taken))
            unused = max(0, own - owed)
            lots = [*left, (number, min(unused, floor(self.most * own)))]
        return [(born, seconds) for born, seconds in self._alive(lots, at) if seconds]

    def _alive(self, lots: Sequence[tuple[int, int]], at: int) -> list[tuple[int, int]]:
        most = self.agreement.carry_periods
        return [(born, seconds) for born, seconds in lots if not most or at - born <= most]

    def _earlier(self, this: Window) -> list[tuple[int, int]] | None:
        """Entitled and used of the version's slices before, from its first one; None: some are missing."""
        if self.agreement.under_use != CARRY:
            return []
        if self.agreement.valid_from == ALWAYS:
            return None  # nobody knows when it began
        found: list[tuple[int, int]] = []
        at = self.agreement.valid_from
        while at < this.start:
            _, window = _slice(self.agreement, at, self.ledger.zone)
            sums = self._sums(self._pieces(Window(at, window.end)))
            if sums is None:
                return None
            found.append(sums)
            at = window.end
        return found

    def _pieces(self, window: Window) -> Window:
        """The part of a window in which the version is in force."""
        until = self.agreement.valid_until
        end = window.end if until is None else min(window.end, until)
        start = max(window.start, self.agreement.valid_from)
        return Window(start, max(start, end))

    def _sums(self, window: Window) -> tuple[int, int] | None:
        """Entitled and used in a window up to the end of what is reported; None: months are missing."""
        entitled = spent = 0
        for label, piece in self.ledger.before(window):
            found = self.ledger.recorded(self.holder, label, piece)
            if found is None:
                return None
            entitled += found.seconds
            spent += found.used
        if window.end > self.ledger.window.start:
            if self._reaches_beyond(window):
                return None  # what is known of the period is not of this slice alone
            now = self.ledger.now.get(self.holder, (0, 0))
            entitled += now[0]
            spent += now[1]
        return entitled, spent

    def _reaches_beyond(self, window: Window) -> bool:
        period = self.ledger.window
        before = Window(period.start, max(period.start, window.start))
        after = Window(min(window.end, period.end), period.end)
        return any(self.ledger.in_force(self.holder[0], piece) for piece in (before, after))


def _common(one: Window, other: Window) -> Window:
    start = min(max(one.start, other.start), one.end)
    return Window(start, max(start, min(one.end, other.end)))
