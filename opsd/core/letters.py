"""The words of a notice: subject and plain text.

Invariant: granted, used and left are the figures of `opsd balance` in hundredths of an hour, and left is
what is granted less what is used, as shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import NamedTuple

from opsd.core import notices
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.consortium import Consortium
from opsd.core.figures import nearest, percent
from opsd.core.notices import Notice, Standing, offices
from opsd.core.parties import Contact
from opsd.core.period import DAY, zone, zone_name

_PER_HOUR = 100
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\s]+")


class Letter(NamedTuple):
    """What somebody is told; without line ends but in its text."""

    headline: str
    text: str
    subject: str  # the headline, and who speaks


def write(
    consortium: Consortium, notice: Notice, standing: Standing, contact: Contact, as_of: int, ask: str
) -> Letter:
    """The letter to one contact.

    Args:
        ask: whom to ask where the master data name no office of the funder.
    """
    words = _Words(standing, zone(consortium.book_zone or "UTC"), as_of)
    lines = [f"{_one_line(contact.name) or contact.email},", "", words.news(notice), ""]
    lines += _table([*_whose(consortium, standing), *words.figures()])
    lines += ["", words.what_to_do(notice), "", _whom_to_ask(offices(consortium, standing.award), ask), ""]
    lines.append("opsd wrote this by itself. It says each thing once to each of its readers.")
    headline = words.headline(notice)
    return Letter(headline, "\n".join(lines) + "\n", f"[{_one_line(consortium.name) or 'opsd'}] {headline}")


def _one_line(text: str) -> str:
    """Names come from files that people write: nothing in them may end a line or turn its direction."""
    return _UNPRINTABLE.sub(" ", text).strip()


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {value}".rstrip() for name, value in rows]


def _whose(consortium: Consortium, standing: Standing) -> list[tuple[str, str]]:
    project = consortium.projects[standing.award.project]
    led = consortium.organisations.get(project.organisation)
    title = _one_line(project.title)
    return [
        ("award", standing.award.id),
        ("project", f"{project.id}: {title}" if title else project.id),
        ("organisation", _one_line(led.name) if led else project.organisation),
    ]


def _whom_to_ask(found: Sequence[Contact], ask: str) -> str:
    if not found:
        return f"Questions: {ask}"
    return "Questions: " + "; ".join(f"{_one_line(one.name)} <{one.email}>" for one in found)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"


class _Words:
    """Sentences about one award at one instant."""

    def __init__(self, standing: Standing, tz: tzinfo, as_of: int) -> None:
        self._it = standing
        self._award = standing.award
        self._tz = tz
        self._as_of = as_of
        unit = MICRO_PER_HOUR // _PER_HOUR
        self._granted, self._used = nearest(standing.granted, unit), nearest(standing.used, unit)
        self._left = self._granted - self._used
        self._unit = self._award.unit.replace("gpu-", "GPU-")

    def _amount(self, hundredths: int) -> str:
        sign = "−" if hundredths < 0 else ""  # noqa: RUF001 (a minus, as in printed tables)
        whole, rest = divmod(abs(hundredths), _PER_HOUR)
        return f"{sign}{whole:,}.{rest:02d}"

    def _day(self, epoch: int) -> str:
        local = datetime.fromtimestamp(epoch, self._tz)
        midnight = local.hour == local.minute == local.second == 0
        return f"{local:%Y-%m-%d}" if midnight else f"{local:%Y-%m-%d %H:%M}"

    def _date(self, epoch: int) -> str:
        return f"{datetime.fromtimestamp(epoch, self._tz):%Y-%m-%d}"

    def _days_from_now(self, epoch: int) -> str:
        return _days(-(-(epoch - self._as_of) // DAY))

    def figures(self) -> list[tuple[str, str]]:
        """The numbers and dates, by name."""
        it, award = self._it, self._award
        rows = [
            ("granted", f"{self._amount(self._granted)} {self._unit}"),
            ("used", f"{self._amount(self._used)} {self._unit}{self._share()}"),
            ("left", f"{self._amount(self._left)} {self._unit}{self._lapsed()}"),
        ]
        if it.after_end:
            outside = nearest(it.after_end, MICRO_PER_HOUR // _PER_HOUR)
            rows.append(
                ("outside", f"{self._amount(outside)} {self._unit} before the start or after the end")
            )
        if it.over_since is not None:
            rows.append(("over since", self._day(it.over_since)))
        if it.exhaustion is not None:
            rows.append(("used up", f"about {self._date(it.exhaustion)}, at the pace of the last 7 days"))
        rows.append(("from", self._day(award.start)))
        rows.append(("until", "no end" if award.end is None else self._day(award.end)))
        if award.grace_days:
            rows.append(("grace", _days(award.grace_days) + self._grace_until()))
        if award.report_due is not None:
            rows.append(("report due", self._day(award.report_due)))
        rows.append(("as of", f"{self._day(self._as_of)} {zone_name(self._tz)}"))
        if it.is_unpriced:
            rows.append(("note", "some use could not be charged, so more may be used than this says"))
        return rows

    def _share(self) -> str:
        return f" ({percent(self._it.used, self._it.granted)})" if self._granted else ""

    def _lapsed(self) -> str:
        """Nobody can use any more what an award that ended has left."""
        end = self._award.end
        return ", expired" if end is not None and end <= self._as_of and self._left > 0 else ""

    def _grace_until(self) -> str:
        return "" if self._it.grace_end is None else f", until {self._day(self._it.grace_end)}"

    def headline(self, notice: Notice) -> str:
        """One line that tells the thing."""
        award, name = self._award, self._award.id
        match notice.kind:
            case notices.THRESHOLD:
                return f"{name}: {notice.percent} % of the grant is used"
            case notices.OVER:
                return f"{name}: over quota by {self._amount(-self._left)} {self._unit}"
            case notices.GRACE:
                return f"{name}: use goes on after the days of grace"
            case notices.ENDING:
                assert award.end is not None
                return (
                    f"{name}: ends in {self._days_from_now(award.end)}, "
                    f"{self._amount(self._left)} {self._unit} left"
                )
        assert award.report_due is not None
        if notice.is_overdue:
            return f"{name}: its report was due on {self._day(award.report_due)}"
        return f"{name}: its report is due in {self._days_from_now(award.report_due)}"

    def news(self, notice: Notice) -> str:
        """The thing in a sentence."""
        award = self._award
        match notice.kind:
            case notices.THRESHOLD:
                return f"{notice.percent} % of what was granted to this award is used."
            case notices.OVER:
                return "More is used than was granted to this award."
            case notices.GRACE:
                why = "the grant was used up" if self._it.left <= 0 else "this award ended"
                assert self._it.grace_end is not None
                since = self._day(self._it.grace_end)
                return f"Use goes on although {why} and the days of grace were over on {since}."
            case notices.ENDING:
                assert award.end is not None
                return f"This award ends on {self._day(award.end)}, and part of it is not used."
        assert award.report_due is not None
        tense = "was" if notice.is_overdue else "is"
        return f"The report on this award {tense} due on {self._day(award.report_due)}."

    def what_to_do(self, notice: Notice) -> str:
        """What its readers can do about it."""
        more = "or ask for more"
        match notice.kind:
            case notices.THRESHOLD:
                return f"What to do: plan the rest, {more} before it is used up."
            case notices.OVER:
                return f"What to do: end what runs, hold what waits, {more}.{self._tolerated()}"
            case notices.GRACE:
                return f"What to do: end what still runs, {more} at once. Jobs may be held."
            case notices.ENDING:
                return "What to do: use it before then, or ask for an extension. What is left then expires."
        return "What to do: hand the report in. If that is done, nothing is left to do."

    def _tolerated(self) -> str:
        """Until when use beyond the grant is; a letter may come when these days are over."""
        days, end = self._award.grace_days, self._it.grace_end
        if not days:
            return ""
        if end is None:
            return f" Further use is tolerated for {_days(days)}."
        if end <= self._as_of:
            return f" The days of grace were over on {self._day(end)}."
        return f" Further use is tolerated until {self._day(end)}."
