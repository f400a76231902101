"""Which notices about an award are due, and whom they concern.

Invariant: an award's figures and an instant always give the same notices, and a notice's mark is another one
only where it is news again: over quota after an extension, or an end that was put off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opsd.core.amounts import exact_text, unit_hours
from opsd.core.awards import Award
from opsd.core.consortium import Consortium
from opsd.core.parties import Contact
from opsd.core.period import DAY, isoformat

THRESHOLD = "threshold"
OVER = "over"
GRACE = "grace"
ENDING = "ending"
REPORT = "report"
KINDS = (THRESHOLD, OVER, GRACE, ENDING, REPORT)
ENDING_DAYS = (30, 7)  # before the end
REPORT_DAYS = 30  # before the report is due
# Kinds of which the last that is due says what the others before it say, too.
_GROUPS = ((THRESHOLD, OVER, GRACE), (ENDING,), (REPORT,))
_CONCERN_ORGANISATION = (OVER, GRACE)


@dataclass(frozen=True, slots=True)
class Standing:
    """An award's figures at an instant, in whole micro-unit-seconds."""

    award: Award
    granted: int
    used: int
    after_end: int = 0
    over_since: int | None = None  # None: it is not over quota, or nobody knows since when
    grace_end: int | None = None  # None: neither exhausted nor ended
    exhaustion: int | None = None  # when nothing will be left; None: that is not expected
    goes_on: bool = False  # whether something was charged after `grace_end`, lately
    is_unpriced: bool = False  # some of its use could not be charged

    @property
    def left(self) -> int:
        """Granted minus used; negative when over quota."""
        return self.granted - self.used


class Notice(NamedTuple):
    """One piece of news about an award."""

    award: str
    kind: str
    mark: str

    @property
    def percent(self) -> int:
        """The threshold that a notice of that kind is about."""
        return int(self.mark.partition(" ")[0])

    @property
    def is_overdue(self) -> bool:
        """Whether a report is late, not only due."""
        return self.mark.startswith("overdue")


def due(standing: Standing, as_of: int) -> tuple[tuple[Notice, ...], ...]:
    """What there is to tell, by group: in each the most telling last. Empty groups are left out."""
    award = standing.award
    if award.start > as_of:
        return ()
    found = list(_due(standing, as_of))
    groups = (
        tuple(Notice(award.id, kind, mark) for kind, mark in found if kind in group) for group in _GROUPS
    )
    return tuple(group for group in groups if group)


def _due(it: Standing, as_of: int) -> Iterator[tuple[str, str]]:
    """Kinds and marks, each group's in the order of what they tell."""
    yield from _quota(it, as_of)
    award, ends = it.award, _end(it.award)
    if award.end is not None and as_of < award.end and it.left > 0 and not it.is_unpriced:
        for days in sorted(ENDING_DAYS, reverse=True):
            if award.end - days * DAY <= as_of:
                yield ENDING, f"{days} days before {ends}"
    if award.report_due is not None and as_of >= award.report_due - REPORT_DAYS * DAY:
        yield REPORT, f"due {isoformat(award.report_due)}"
        if as_of >= award.report_due:
            yield REPORT, f"overdue {isoformat(award.report_due)}"


def _quota(it: Standing, as_of: int) -> Iterator[tuple[str, str]]:
    grant, award = exact_text(unit_hours(it.granted)), it.award
    reached = [percent for percent in award.thresholds if 0 < percent * it.granted <= it.used * 100]
    is_over = it.left < 0
    yield from ((THRESHOLD, f"{percent} of {grant}") for percent in reached if percent <= 100)
    if is_over:
        yield OVER, grant_mark(it.granted)
    yield from ((THRESHOLD, f"{percent} of {grant}") for percent in reached if percent > 100)
    # Over quota without any days of grace is what the notice of that says already.
    if (
        it.goes_on
        and it.grace_end is not None
        and it.grace_end <= as_of
        and (award.grace_days or not is_over)
    ):
        yield GRACE, f"{grant_mark(it.granted)} until {_end(award)}"


def grant_mark(granted: int) -> str:
    """How the marks begin of what is news again after an extension."""
    return f"of {exact_text(unit_hours(granted))}"


def _end(award: Award) -> str:
    return "" if award.end is None else isoformat(award.end)


def recipients(consortium: Consortium, notice: Notice) -> tuple[Contact, ...]:
    """Whom a notice goes to, each address once, in the order of their addresses.

    The project's own contacts; the organisation's as well where use beyond the grant is its business, and
    where the project has none.
    """
    project = consortium.projects[consortium.awards[notice.award].project]
    own = _reachable(consortium, lambda contact: contact.project == project.id)
    if own and notice.kind not in _CONCERN_ORGANISATION:
        return own
    of_all = (project.id, project.organisation)
    return _reachable(
        consortium,
        lambda contact: (
            contact.project == of_all[0] or (not contact.project and contact.organisation == of_all[1])
        ),
    )


def offices(consortium: Consortium, award: Award) -> tuple[Contact, ...]:
    """Whom people may ask about an award: the contacts of the funder whose pool pays."""
    funder = consortium.pools[award.pool].funder if award.pool in consortium.pools else ""
    return _reachable(consortium, lambda contact: bool(funder) and contact.funder == funder)


def _reachable(consortium: Consortium, concerns: Callable[[Contact], bool]) -> tuple[Contact, ...]:
    by_address: dict[str, Contact] = {}
    for _, contact in sorted(consortium.contacts.items()):
        if contact.email and concerns(contact):
            by_address.setdefault(contact.email.casefold(), contact)
    return tuple(by_address[address] for address in sorted(by_address))


class Kept(NamedTuple):
    """What is remembered of a notice to somebody; to nobody (`recipient` empty): it is told to no one."""

    notice: Notice
    recipient: str
    due_at: int  # when it was first noticed
    message_id: str = ""
    sent_at: int | None = None
    next_at: int | None = None  # when it is tried (again); None: never, it was sent, refused or withdrawn
    failures: int = 0
    error: str = ""


FRESH_SECONDS = 7 * DAY  # what was due before is no news to whoever has not heard of it


class Turn(NamedTuple):
    """What to do about one award: whom to tell what now, whom later, and what to tell no more."""

    now: tuple[tuple[Notice, Contact, Kept | None], ...] = ()
    later: tuple[tuple[Notice, Contact, Kept], ...] = ()
    nobody: tuple[Notice, ...] = ()  # due, but no address is known
    passed: tuple[Notice, ...] = ()  # too old, or said by a more telling one
    withdrawn: tuple[Kept, ...] = ()  # waited, and is no longer so


def turn(
    consortium: Consortium,
    groups: Sequence[Sequence[Notice]],
    kept: Iterable[Kept],
    old: frozenset[Notice],
    as_of: int,
) -> Turn:
    """Compare what is due for an award with what is remembered of it.

    Args:
        groups: from `due`.
        kept: everything that is remembered of the award.
        old: what was due FRESH_SECONDS before, for an award of which nothing is remembered.
    """
    by_notice: dict[Notice, dict[str, Kept]] = {}
    for row in kept:
        by_notice.setdefault(row.notice, {})[row.recipient.casefold()] = row
    passed: list[Notice] = []
    nobody: list[Notice] = []
    now: list[tuple[Notice, Contact, Kept | None]] = []
    later: list[tuple[Notice, Contact, Kept]] = []
    for group in groups:
        unheard = [one for one in group if one not in by_notice]
        fresh = [one for one in unheard if one not in old]
        told = fresh[-1] if fresh else group[-1]
        passed += [one for one in unheard if one != told or one in old]
        rows = by_notice.get(told, {})
        if told in old or "" in rows:
            continue
        contacts = recipients(consortium, told)
        if not contacts and not rows:
            nobody.append(told)
        is_news = not rows or min(row.due_at for row in rows.values()) > as_of - FRESH_SECONDS
        for contact in contacts:
            known = rows.get(contact.email.casefold())
            if known is None:
                now += [(told, contact, None)] if is_news else []
            elif known.next_at is not None:
                if known.next_at <= as_of:
                    now.append((told, contact, known))
                else:
                    later.append((told, contact, known))
    live = {(told, contact.email.casefold()) for told, contact, _ in (*now, *later)}
    waiting = [row for rows in by_notice.values() for row in rows.values() if row.next_at is not None]
    withdrawn = [row for row in waiting if (row.notice, row.recipient.casefold()) not in live]
    return Turn(tuple(now), tuple(later), tuple(nobody), tuple(passed), tuple(withdrawn))
