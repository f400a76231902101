"""Figures as people are shown them: whole hours that still add up, groups of three, percentages.

Invariant: this is the only rounding there is, it happens on output alone, and the rounded parts of a
table add up to its rounded total.
"""

from __future__ import annotations

from collections.abc import Sequence

from opsd.core.period import HOUR


def grouped(number: int) -> str:
    """Thousands apart: 1,234,567; a true minus sign for what is below zero."""
    return f"{number:,}".replace("-", "−")  # noqa: RUF001 (the minus sign is as wide as a digit)


def percent(part: int, whole: int) -> str:
    """`104 %`; a dash where there is no whole. 100 % means all of it, 0 % nothing."""
    if whole <= 0:
        return "–"  # noqa: RUF001 (a dash, as in printed tables)
    rounded = (200 * part + whole) // (2 * whole)
    if rounded == 100 and part != whole:
        rounded += 1 if part > whole else -1
    return "<1 %" if rounded == 0 and part > 0 else f"{rounded} %"


def nearest(value: int, unit: int) -> int:
    """In whole units, halves up."""
    return (2 * value + unit) // (2 * unit)


def largest_remainder(parts: Sequence[int], unit: int, whole: int | None = None) -> list[int]:
    """Whole units of each part, adding up to the rounded whole: largest remainders are rounded up.

    Args:
        whole: what they must add up to, where a table above has rounded their sum already, up or down.
    """
    if whole is None:
        whole = nearest(sum(parts), unit)
    floors = [part // unit for part in parts]
    missing = whole - sum(floors)
    by_remainder = sorted(range(len(parts)), key=lambda at: (-(parts[at] % unit), at))
    raised = set(by_remainder[:missing])
    return [floor + (at in raised) for at, floor in enumerate(floors)]


def hours(seconds: Sequence[int]) -> list[int]:
    """Seconds as whole hours that add up."""
    return largest_remainder(seconds, HOUR)


def hours_of_matrix(rows: Sequence[Sequence[int]], whole: int | None = None) -> list[list[int]]:
    """Seconds as whole hours whose rows add up to rounded row totals, those to the rounded whole.

    Each row's roundings-up go to the columns that have come off worst so far, so that the columns'
    sums stay within an hour or so of the truth as well.

    Args:
        whole: what all of it must add up to, where that is rounded already, up or down.
    """
    totals = largest_remainder([sum(row) for row in rows], HOUR, whole)
    owed = [0] * max(map(len, rows), default=0)
    return [_hours_of_row(row, total, owed) for row, total in zip(rows, totals, strict=True)]


def _hours_of_row(row: Sequence[int], total: int, owed: list[int]) -> list[int]:
    shown = [seconds // HOUR for seconds in row]
    for place, seconds in enumerate(row):
        owed[place] += seconds % HOUR
    broken = [place for place, seconds in enumerate(row) if seconds % HOUR]
    for place in sorted(broken, key=lambda at: (-owed[at], at))[: total - sum(shown)]:
        shown[place] += 1
        owed[place] -= HOUR
    return shown
