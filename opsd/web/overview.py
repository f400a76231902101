"""One month at a glance: who paid, who led, which awards run out, what belongs to nobody.

Invariant: whole seconds and whole micro-unit-seconds, read at one instant of the database; rounding
is left to the page. Balances are those of the month's end, or of now while it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import NamedTuple

from opsd.core import attention
from opsd.core.consortium import Consortium
from opsd.core.errors import BadText
from opsd.core.period import Window, month_window, zone
from opsd.core.reach import begins_late, read_until
from opsd.pipeline import accounts, balance, usage
from opsd.pipeline.balance import Balances
from opsd.pipeline.usage import Row
from opsd.store import editions, imports, parties, quality, sweeps
from opsd.store.editions import Edition
from opsd.store.engine import Connection
from opsd.store.span import Span, span
from opsd.store.steps import Last, last

BY = ("month", "pays", "country", "pool")
BY_DAY = ("day", "country")
BY_ACCOUNT = ("cluster", "account", "award")
_FIRST_YEAR, _LAST_YEAR = 1970, 2400


class Month(NamedTuple):
    """A civil month."""

    year: int
    month: int

    def __str__(self) -> str:
        return f"{self.year:04}-{self.month:02}"

    def plus(self, months: int) -> Month:
        """That many months later."""
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(year, month + 1)

    def window(self, tz: tzinfo) -> Window:
        """From its first midnight to the next month's."""
        return month_window(self.year, self.month, tz)


def month_of(epoch: int, tz: tzinfo) -> Month:
    """The month in which an instant lies."""
    local = datetime.fromtimestamp(epoch, tz)
    return Month(local.year, local.month)


def parse_month(text: str) -> Month:
    """`2026-10`.

    Raises:
        BadText: it is no such month.
    """
    remedy = "write a month such as 2026-10"
    try:
        found = date.fromisoformat(f"{text}-01") if len(text) == len("2026-10") else None
    except ValueError as err:
        raise BadText("not a month", text, remedy) from err
    if found is None or text != f"{found:%Y-%m}" or not _FIRST_YEAR < found.year < _LAST_YEAR:
        raise BadText("not a month", text, remedy)
    return Month(found.year, found.month)


@dataclass(frozen=True, slots=True)
class Ages:
    """How old the data are, and what waits for somebody."""

    steps: tuple[Last, ...]
    sweeps: tuple[sweeps.Sweep, ...]
    reading: quality.Reading | None
    quarantined: int

    @property
    def until(self) -> int | None:
        """How far accounting was read, everywhere; None: nothing was read."""
        observed = self.reading.observed_at if self.reading else None
        return read_until((sweep.covered_until for sweep in self.sweeps), observed)


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the page shows, exact."""

    month: Month
    now: int
    tz: tzinfo
    consortium: Consortium
    window: Window
    use: tuple[Row, ...]  # BY, of the month and the one before it
    by_day: tuple[Row, ...]  # BY_DAY
    balances: Balances
    used: frozenset[str]  # awards, in the month
    unattributed: tuple[accounts.Line, ...]
    ages: Ages
    span: Span | None
    edition: Edition | None  # the last one, where the month is closed

    @property
    def running(self) -> bool:
        """Whether the month is not over."""
        return self.window.start < self.now < self.window.end

    @property
    def to_come(self) -> bool:
        """Whether the month has not begun."""
        return self.now <= self.window.start

    @property
    def begins_late(self) -> bool:
        """Whether accounting begins after the month does."""
        return self.span is not None and begins_late(self.span.first, self.window)

    @property
    def first(self) -> Month:
        """The first month worth a look."""
        return min(self.last, month_of(self.span.first, self.tz)) if self.span else self.last

    @property
    def last(self) -> Month:
        """The last one: the present."""
        return month_of(self.now, self.tz)

    @property
    def last_used(self) -> Month | None:
        """The month in which the last run began; None: there is no run."""
        return month_of(self.span.last, self.tz) if self.span else None

    def of(self, month: Month) -> tuple[Row, ...]:
        """The use of one of the two months, without its first key."""
        return tuple(Row(row.key[1:], row.measures) for row in self.use if row.key[0] == str(month))


def book_zone(consortium: Consortium) -> tzinfo:
    """Whose months the installation counts in."""
    return zone(consortium.book_zone or "UTC")


def run(connection: Connection, month: Month | None, *, now: int) -> Overview:
    """Look at a month; None: the present one."""
    consortium = parties.load(connection)
    tz = book_zone(consortium)
    month = month or month_of(now, tz)
    window = month.window(tz)
    both = Window(month.plus(-1).window(tz).start, window.end)

    def asked(over: Window, keys: Sequence[str]) -> tuple[Row, ...]:
        return usage.run(connection, over, keys, tz=tz, as_of=now).rows

    by_account = asked(window, BY_ACCOUNT)
    return Overview(
        month=month,
        now=now,
        tz=tz,
        consortium=consortium,
        window=window,
        use=asked(both, BY),
        by_day=asked(window, BY_DAY),
        balances=balance.run(connection, as_of=min(now, window.end)),
        used=attention.used_awards(row.key[2] for row in by_account if any(row.measures[1:])),
        unattributed=_unattributed(by_account, consortium, now),
        ages=_ages(connection),
        span=span(connection),
        edition=editions.find(connection, str(month)),
    )


def _unattributed(rows: Sequence[Row], consortium: Consortium, now: int) -> tuple[accounts.Line, ...]:
    used = []
    for row in rows:
        cluster, account, award = row.key
        used.append((cluster, account, award, row.measures.gpu_seconds, row.measures.cpu_seconds))
    return tuple(line for line in accounts.listing(used, consortium, now) if line.unattributed)


def _ages(connection: Connection) -> Ages:
    return Ages(
        tuple(step for _, step in sorted(last(connection).items())),
        tuple(sweeps.every(connection)),
        quality.last_reading(connection),
        imports.quarantine_count(connection),
    )
