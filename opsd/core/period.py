"""Half-open UTC intervals, civil calendars, and the text forms of times and periods.

Invariant: a `Window` is [start, end) in UTC epoch seconds; every calendar is a way to cut one, and
the pieces of a cut always cover it exactly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from opsd.core.errors import BadText

DAY = 86_400
_FIRST_YEAR, _LAST_YEAR = 1899, 2500  # neither included; epochs in milliseconds lie far beyond
_LAST_EPOCH = (date(_LAST_YEAR, 1, 1).toordinal() - date(1970, 1, 1).toordinal()) * DAY
_EPOCH = date(1970, 1, 1).toordinal()
HOUR = 3_600

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})\Z")
_MONTH = re.compile(r"(\d{4})-(\d{2})\Z")
_QUARTER = re.compile(r"(\d{4})-[Qq]([1-4])\Z")
_YEAR = re.compile(r"(\d{4})\Z")
_BARE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


@dataclass(frozen=True, slots=True)
class Window:
    """[start, end) in UTC epoch seconds."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError(f"a window cannot end before it starts: [{self.start}, {self.end})")

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return self.end - self.start


@lru_cache(maxsize=4096)
def month_number(day: int) -> int:
    """The UTC calendar month of a day since 1970, numbered on end (year * 12 + month - 1)."""
    date_of = date.fromordinal(_EPOCH + day)
    return date_of.year * 12 + date_of.month - 1


def zone(name: str) -> tzinfo:
    """A time zone by IANA name (`Europe/Madrid`), `UTC`, or fixed offset (`+05:30`, `UTC-03:00`)."""
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    if found := _OFFSET.match(name):
        sign, hours, minutes = found.groups()
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if offset >= timedelta(hours=24) or int(minutes) > 59:
            raise BadText("time zone offset out of range", name, "use something like +05:30")
        return timezone(-offset if sign == "-" else offset)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as err:
        raise BadText(
            "unknown time zone",
            name,
            "use an IANA name such as Europe/Madrid, UTC, or an offset such as +05:30",
        ) from err


def zone_name(tz: tzinfo) -> str:
    """The text `zone` reads back."""
    if tz is UTC:
        return "UTC"
    if isinstance(tz, ZoneInfo):
        return tz.key
    return datetime.fromtimestamp(0, tz).strftime("%z")


def to_epoch(local: datetime) -> int:
    """Epoch seconds of an aware time on a whole second."""
    return int(local.timestamp())


def parse_time(text: str, tz: tzinfo) -> int:
    """ISO 8601, or epoch seconds as `@1777593600` or bare digits, to UTC epoch seconds.

    A bare date is its midnight in `tz`; a time without an offset is in `tz`. A local time that
    happens twice (end of summer time) or never (its start) is refused: write its offset.
    """
    digits = text.removeprefix("@")
    if digits.isascii() and digits.isdigit() and len(digits) > 8:
        return _plausible(int(digits), text)
    try:
        value = datetime.fromisoformat(text)
    except ValueError as err:
        raise BadText(
            "not a time", text, "write 2026-10-01, 2026-10-01T08:00:00+02:00 or @1777593600"
        ) from err
    if value.microsecond:
        raise BadText("a time with a fraction of a second", text, "usage is cut at whole seconds")
    if not _FIRST_YEAR < value.year < _LAST_YEAR:  # before any arithmetic that could leave the calendar
        raise _implausible(text)
    if _BARE_DATE.match(text):
        return _midnight(value.date(), tz)
    return to_epoch(value) if value.tzinfo is not None else local_to_epoch(value, tz, text)


def _plausible(epoch: int, text: str) -> int:
    if epoch >= _LAST_EPOCH:
        raise _implausible(text)
    return epoch


def _implausible(text: str) -> BadText:
    return BadText(
        "a time in no year of ours", text, f"write a time from {_FIRST_YEAR + 1} to {_LAST_YEAR - 1}"
    )


def local_to_epoch(value: datetime, tz: tzinfo, text: str = "") -> int:
    """Epoch of a naive local time that must exist exactly once in `tz`."""
    found = fold_candidates(value, tz)
    if len(found) == 1:
        return found[0]
    shown = text or value.isoformat()
    why = "happens twice" if found else "does not exist"
    raise BadText(
        f"a local time that {why} in {zone_name(tz)}", shown, "write its UTC offset, such as +01:00"
    )


def fold_candidates(value: datetime, tz: tzinfo) -> list[int]:
    """The epochs a naive local time may mean in `tz`: one, two (autumn) or none (spring)."""
    epochs = {to_epoch(value.replace(tzinfo=tz, fold=fold)) for fold in (0, 1)}
    return sorted(e for e in epochs if datetime.fromtimestamp(e, tz).replace(tzinfo=None, fold=0) == value)


def _midnight(day: date, tz: tzinfo) -> int:
    """First second of a civil day (where midnight is skipped, the first moment after the gap)."""
    found = fold_candidates(datetime(day.year, day.month, day.day), tz)  # noqa: DTZ001 (its zone is the question)
    if found:
        return found[0]
    return to_epoch(datetime(day.year, day.month, day.day, tzinfo=tz))


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def month_window(year: int, month: int, tz: tzinfo) -> Window:
    """One civil month of `tz`."""
    first = date(year, month, 1)
    return Window(_midnight(first, tz), _midnight(_next_month(first), tz))


def parse_period(text: str, tz: tzinfo) -> Window:
    """`2026-10`, `2026-Q4`, `2026`, or `A..B` (two times), in the civil calendar of `tz`."""
    remedy = "write 2026-10, 2026-Q4, 2026 or A..B"
    try:
        if found := _MONTH.match(text):
            return month_window(int(found[1]), int(found[2]), tz)
        if found := _QUARTER.match(text):
            first = int(found[2]) * 3 - 2
            return Window(
                month_window(int(found[1]), first, tz).start, month_window(int(found[1]), first + 2, tz).end
            )
        if found := _YEAR.match(text):
            return Window(month_window(int(found[1]), 1, tz).start, month_window(int(found[1]), 12, tz).end)
    except ValueError as err:
        raise BadText("not a period", text, remedy) from err
    start, dots, end = text.partition("..")
    if not dots:
        raise BadText("not a period", text, remedy)
    try:
        return Window(parse_time(start, tz), parse_time(end, tz))
    except ValueError as err:
        raise BadText("a period that ends before it starts", text, "put the earlier time first") from err


Calendar = Callable[[Window, tzinfo], Iterator[tuple[str, Window]]]


def _clipped(label: str, start: int, end: int, window: Window) -> tuple[str, Window]:
    return label, Window(max(start, window.start), min(end, window.end))


def months(window: Window, tz: tzinfo) -> Iterator[tuple[str, Window]]:
    """Civil months of `tz` that overlap `window`, clipped to it, labelled `2026-10`."""
    local = datetime.fromtimestamp(window.start, tz)
    day = date(local.year, local.month, 1)
    if _midnight(_next_month(day), tz) <= window.start:  # the clock went back over midnight
        day = _next_month(day)
    while (start := _midnight(day, tz)) < window.end:
        following = _next_month(day)
        yield _clipped(f"{day:%Y-%m}", start, _midnight(following, tz), window)
        day = following


def days(window: Window, tz: tzinfo) -> Iterator[tuple[str, Window]]:
    """Civil days of `tz` that overlap `window`, clipped to it, labelled `2026-10-01`."""
    day = datetime.fromtimestamp(window.start, tz).date()
    if _midnight(day + timedelta(days=1), tz) <= window.start:  # the clock went back over midnight
        day += timedelta(days=1)
    while (start := _midnight(day, tz)) < window.end:
        following = day + timedelta(days=1)
        end = _midnight(following, tz)
        if start < end:  # Samoa left out a whole day, which has no second
            yield _clipped(f"{day:%Y-%m-%d}", start, end, window)
        day = following


def hours(window: Window, tz: tzinfo) -> Iterator[tuple[str, Window]]:
    """Clock hours of `tz` that overlap `window`, clipped, labelled `2026-10-25T02:00:00+02:00`.

    An hour starts where the local clock shows a full hour, so zones with half-hour offsets and the
    doubled autumn hour come out right. Where a clock is put by half an hour, the piece on either
    side of the change is one of its own, labelled by its start.
    """
    at = window.start
    while at < window.end:
        local = datetime.fromtimestamp(at, tz)
        past = local.minute * 60 + local.second
        start = _first_change(at - past, at, tz) or at - past
        end = at - past + HOUR
        end = _first_change(at, end - 1, tz) or end
        yield _clipped(datetime.fromtimestamp(start, tz).isoformat(), at, end, window)
        at = end


def _offset(at: int, tz: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at, tz).utcoffset()


def _first_change(start: int, end: int, tz: tzinfo) -> int | None:
    """The first instant in (start, end] with another UTC offset than `start`, when `end` has another."""
    before = _offset(start, tz)
    if _offset(end, tz) == before:
        return None
    while end - start > 1:
        middle = (start + end) // 2
        start, end = (middle, end) if _offset(middle, tz) == before else (start, middle)
    return end


CALENDARS: dict[str, Calendar] = {"month": months, "day": days, "hour": hours}


def isoformat(epoch: int, tz: tzinfo = UTC) -> str:
    """Local time with its offset, for people and exports."""
    return datetime.fromtimestamp(epoch, tz).isoformat()
