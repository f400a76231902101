"""Words for people: countries, months, instants, spans of time. One language so far.

Invariant: nothing depends on the locale of the process, so the same numbers give the same page.
"""

from __future__ import annotations

from datetime import datetime, tzinfo

from opsd.core import countries
from opsd.core.attribution import PAID_BY_JU, UNATTRIBUTED
from opsd.core.period import DAY, HOUR

_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def party(code: str) -> str:
    """A country, the JU, or what belongs to nobody."""
    if code == PAID_BY_JU:
        return "EuroHPC JU"
    return "Unattributed" if code == UNATTRIBUTED else countries.name(code)


def month(year: int, number: int) -> str:
    """`October 2026`."""
    return f"{_MONTHS[number - 1]} {year}"


def instant(epoch: int, tz: tzinfo) -> str:
    """`15 November 2026, 00:00 CET`."""
    return f"{day(epoch, tz)}, {datetime.fromtimestamp(epoch, tz):%H:%M %Z}"


def day(epoch: int, tz: tzinfo) -> str:
    """`15 November 2026`."""
    local = datetime.fromtimestamp(epoch, tz)
    return f"{local.day} {month(local.year, local.month)}"


def ago(epoch: int, now: int) -> str:
    """How long ago something was, in the largest fitting unit."""
    seconds = now - epoch
    if seconds < 0:
        return "ahead of this clock"
    if seconds < 90:
        return "just now"
    if seconds < 2 * HOUR:
        return f"{seconds // 60} minutes ago"
    return f"{seconds // HOUR} hours ago" if seconds < 2 * DAY else f"{seconds // DAY} days ago"


def count(number: int, one: str, many: str = "") -> str:
    """`1 record`, `12,345 records`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
