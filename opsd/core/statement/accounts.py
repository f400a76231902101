"""Balances as shown: an award's movements over the period, in hundredths of the hours of its unit.

What was granted and what is used so far, at the start and at the end of the period, are rounded by
themselves; everything between them is a difference of these. So a line foots across, the opening of a month
is the closing of the month before, and what did not move shows nothing.

Invariant: opening + granted by kind - charged = closing = granted - settled - accrued, as shown; and no
number depends on another award.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from opsd.core import figures
from opsd.core.amounts import MICRO, MICRO_PER_HOUR
from opsd.core.awards import Award
from opsd.core.dossier import Balance
from opsd.core.journal import GRANTING
from opsd.core.statement.rounding import PER_HOUR, SHOWN_SECONDS
from opsd.core.statement.words import Hours

SHOWN_MICRO = MICRO_PER_HOUR // PER_HOUR


@dataclass(frozen=True, slots=True)
class Account:
    """An award with its balance as shown."""

    award: Award
    balance: Balance
    opening: Hours
    moved: Mapping[str, Hours]  # by kind of GRANTING
    charged: Hours
    closing: Hours  # what is left
    granted: Hours
    settled: Hours
    accrued: Hours
    used: Hours  # settled and accrued
    after_end: Hours
    week: Hours  # charged in the last seven days
    opened: int  # the opening in micro-unit-seconds
    reported: Hours | None  # the opening as reported

    @property
    def over(self) -> bool:
        """Whether more is charged than was granted."""
        return self.balance.granted_total < self.balance.settled + self.balance.accrued


def rounded(micro: int) -> Hours:
    """Micro-unit-seconds to the nearest hundredth of an hour."""
    return hours(figures.nearest(micro, SHOWN_MICRO), micro)


def hours(hundredths: int, micro: int) -> Hours:
    """What is shown beside what it stands for."""
    return Hours(hundredths, Fraction(micro, MICRO))


def parted(parts: Sequence[int], whole: int) -> list[Hours]:
    """Micro-unit-seconds that add up to a number of hundredths which is rounded already."""
    shown = figures.largest_remainder(parts, SHOWN_MICRO, whole)
    return [hours(*pair) for pair in zip(shown, parts, strict=True)]


def parted_seconds(parts: Sequence[int], whole: int) -> list[Hours]:
    """The same of seconds."""
    shown = figures.largest_remainder(parts, SHOWN_SECONDS, whole)
    return [Hours(at, Fraction(seconds)) for at, seconds in zip(shown, parts, strict=True)]


def account(award: Award, balance: Balance) -> Account:
    """An award's movements, rounded."""
    used_after = balance.settled + balance.accrued
    moved_by = [balance.granted.get(kind, 0) for kind in GRANTING]
    held_before = balance.granted_total - sum(moved_by)
    granted, used = rounded(balance.granted_total), rounded(used_after)
    granted_before = rounded(held_before)
    used_before = rounded(used_after - balance.charged)
    opened = held_before - used_after + balance.charged
    settled, accrued = parted([balance.settled, balance.accrued], used.hundredths)
    moved = parted(moved_by, granted.hundredths - granted_before.hundredths)
    told = balance.reported_closing
    # As that month's statement showed it: what was granted by then less what was used by then.
    reported = None if told is None else _less(granted_before, rounded(held_before - told))
    return Account(
        award, balance, _less(granted_before, used_before), dict(zip(GRANTING, moved, strict=True)),
        _less(used, used_before), _less(granted, used), granted, settled, accrued, used,
        rounded(balance.after_end), rounded(balance.burned[1]), opened, reported,
    )  # fmt: skip


def by_unit(accounts: Iterable[Account]) -> dict[str, list[Account]]:
    """Accounts by unit, sorted by project and award; units are never added to each other."""
    units: dict[str, list[Account]] = {}
    for found in sorted(accounts, key=lambda one: (one.award.unit, one.award.project, one.award.id)):
        units.setdefault(found.award.unit, []).append(found)
    return units


def _less(whole: Hours, part: Hours) -> Hours:
    return Hours(whole.hundredths - part.hundredths, whole.exact - part.exact)
