"""Notices to people: what is due for whom, sent once to each of them.

Invariant: a notice stands in the database before it is sent and as sent right after, so that a kill between
the two sends it once more, under the same Message-ID. Who was told is never told again.

First look: of an award that nothing is remembered of, what was due a week ago already is no news: it is
remembered as passed, and nobody is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from exporters.mail import Mail, NotTaken
from opsd.core import letters, notices
from opsd.core.awards import Award
from opsd.core.errors import Unavailable, WrongUsage
from opsd.core.letters import Letter
from opsd.core.names import nearest
from opsd.core.notices import FRESH_SECONDS, Kept, Notice, Standing, grant_mark
from opsd.core.parties import Contact
from opsd.core.period import DAY
from opsd.pipeline import standings as figures
from opsd.pipeline.balance import Line
from opsd.store import hold, parties
from opsd.store import notices as memory
from opsd.store.engine import Connection, Store
from opsd.store.hold import Holder

PAUSE_SECONDS = 300  # after the first failure; each pause is twice the one before
MOST_PAUSE_SECONDS = DAY
GIVEN_UP_SECONDS = 14 * DAY  # after which a letter that was never taken is tried no more
_LOST_IN_A_ROW = 2  # connections, after which the rest waits

SEND, SENT, WAITING, REFUSED, NOBODY = "send", "sent", "waiting", "refused", "nobody"


class Post(Protocol):
    """Whoever takes letters."""

    def send(self, mail: Mail) -> None:
        """Hand one over; raises NotTaken or Unavailable."""


@dataclass(frozen=True, slots=True)
class Sender:
    """In whose name letters go out."""

    address: str
    domain: str
    reply_to: str | None = None


_NO_SENDER = Sender("", "")  # a preview needs none: nothing leaves


class Row(NamedTuple):
    """One notice and one recipient, and what became, or would become, of it."""

    notice: Notice
    project: str
    recipient: str  # empty: nobody to tell
    name: str
    outcome: str
    detail: str  # why it waits or was refused, and until when
    letter: Letter


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did, or would do."""

    rows: tuple[Row, ...]
    passed: int  # notices that are no news
    waiting: int  # letters that are due and not sent
    failed: str = ""  # why the server could not be used

    def count(self, outcome: str) -> int:
        """Rows that ended so."""
        return sum(row.outcome == outcome for row in self.rows)


class _Item(NamedTuple):
    notice: Notice
    contact: Contact
    kept: Kept
    letter: Letter
    mail: Mail


@dataclass(frozen=True, slots=True)
class _Planned:
    now: tuple[_Item, ...]
    later: tuple[_Item, ...]
    nobody: tuple[Row, ...]
    passed: tuple[Kept, ...]
    withdrawn: tuple[Kept, ...]


def preview(store: Store, sender: Sender | None, *, now: int, award: str | None = None) -> Result:
    """What would be sent now; nothing is written."""
    with store.read() as connection:
        plan = _Plan(connection, sender or _NO_SENDER, now)
        found = plan.all(award)
    rows = [_row(item, SEND, "", plan.awards) for item in found.now]
    rows += [_row(item, WAITING, item.kept.error, plan.awards) for item in found.later]
    rows += found.nobody
    return Result(_sorted(rows), len(found.passed), len(found.now) + len(found.later))


def run(
    store: Store,
    post: Post,
    sender: Sender,
    me: Holder,
    *,
    now: int,
    award: str | None = None,
    go_on: Callable[[], None] = lambda: None,
) -> Result:
    """Send what is due.

    Args:
        award: of this award alone.
        go_on: called between letters; raises when no more may be sent.

    Raises:
        Refused: another process is sending.
        WrongUsage: there is no such award.
    """
    held = hold.take(store, me, hold.SENDER)
    try:
        with store.read() as connection:
            plan = _Plan(connection, sender, now)
            found = plan.all(award)
        with store.write() as connection:
            memory.keep(connection, (*found.passed, *found.withdrawn, *(item.kept for item in found.now)))
        rows, failed = _send(store, post, found.now, plan.awards, now, go_on)
        rows += [_row(item, WAITING, item.kept.error, plan.awards) for item in found.later]
        with store.read() as connection:
            waiting = memory.waiting(connection)
        return Result(_sorted([*rows, *found.nobody]), len(found.passed), waiting, failed)
    finally:
        held.release()


def _send(
    store: Store,
    post: Post,
    items: Iterable[_Item],
    awards: Mapping[str, Award],
    now: int,
    go_on: Callable[[], None],
) -> tuple[list[Row], str]:
    rows: list[Row] = []
    failed, lost = "", 0
    for item in items:
        if failed:
            rows.append(_row(item, WAITING, failed, awards))
            continue
        go_on()
        try:
            post.send(item.mail)
        except Unavailable as err:
            failed = str(err)
            rows.append(_row(item, WAITING, failed, awards))
            continue
        except NotTaken as err:
            kept, outcome = _missed(item.kept, err, now)
            lost = lost + 1 if err.is_connection_lost else 0
            if lost >= _LOST_IN_A_ROW:
                failed = str(err)
        else:
            kept, outcome, lost = item.kept._replace(sent_at=now, next_at=None, error=""), SENT, 0
        with store.write() as connection:
            memory.keep(connection, [kept])
        rows.append(_row(item, outcome, kept.error, awards))
    return rows, failed


def _missed(kept: Kept, err: NotTaken, now: int) -> tuple[Kept, str]:
    failures = kept.failures + 1
    if err.is_final or now - kept.due_at >= GIVEN_UP_SECONDS:
        return kept._replace(failures=failures, error=str(err), next_at=None), REFUSED
    pause = min(PAUSE_SECONDS * 2 ** min(failures - 1, 16), MOST_PAUSE_SECONDS)
    return kept._replace(failures=failures, error=str(err), next_at=now + pause), WAITING


def _row(item: _Item, outcome: str, detail: str, awards: Mapping[str, Award]) -> Row:
    project = awards[item.notice.award].project
    return Row(item.notice, project, item.contact.email, item.contact.name, outcome, detail, item.letter)


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    return tuple(sorted(rows, key=lambda row: (*row.notice, row.recipient)))


# ---------------------------------------------------------------------------------- what is due, and for whom


class _Plan:
    """What is due at an instant beside what is remembered."""

    def __init__(self, connection: Connection, sender: Sender, now: int) -> None:
        self._connection = connection
        self._sender = sender
        self._now = now
        self._consortium = parties.load(connection)
        self._kept = memory.by_award(connection)
        self.awards = self._consortium.awards

    def all(self, only: str | None) -> _Planned:
        """Of every award, or of one."""
        if only is not None and only not in self.awards:
            raise WrongUsage(f"--award {only!r}: no such award" + nearest(only, self.awards, "opsd balance"))
        standings = {
            award: standing
            for award, standing in figures.run(self._connection, self._now, self._is_told).items()
            if only in (None, award)
        }
        due = {award: notices.due(standing, self._now) for award, standing in standings.items()}
        old = self._old([award for award, groups in due.items() if groups and award not in self._kept])
        turns = {
            award: notices.turn(self._consortium, groups, self._kept.get(award, ()), old, self._now)
            for award, groups in due.items()
        }
        return self._planned(standings, turns)

    def _old(self, unknown: Iterable[str]) -> frozenset[Notice]:
        """What was due before of awards that are looked at for the first time."""
        if not (wanted := set(unknown)):
            return frozenset()
        before = self._now - FRESH_SECONDS
        then = figures.run(self._connection, before)
        groups = (notices.due(then[award], before) for award in wanted)
        return frozenset(one for some in groups for group in some for one in group)

    def _is_told(self, line: Line) -> bool:
        """Whether over quota is old news to everybody, and use after grace too where there is grace."""
        kept = self._kept.get(line.key, ())
        told = {row.notice.kind for row in kept if row.notice.mark.startswith(grant_mark(line.granted))}
        wanted = {notices.OVER, notices.GRACE} if self.awards[line.key].grace_days else {notices.OVER}
        return wanted <= told and all(row.next_at is None for row in kept)

    def _planned(self, standings: Mapping[str, Standing], turns: Mapping[str, notices.Turn]) -> _Planned:
        now, later, nobody = [], [], []
        passed, withdrawn = [], []
        for award, turn in turns.items():
            it = standings[award]
            now += [self._item(it, notice, contact, kept) for notice, contact, kept in turn.now]
            later += [self._item(it, notice, contact, kept) for notice, contact, kept in turn.later]
            nobody += [self._to_nobody(it, notice) for notice in turn.nobody]
            passed += [Kept(notice, "", self._now) for notice in turn.passed]
            withdrawn += [kept._replace(next_at=None) for kept in turn.withdrawn]
        return _Planned(tuple(now), tuple(later), tuple(nobody), tuple(passed), tuple(withdrawn))

    def _item(self, it: Standing, notice: Notice, contact: Contact, kept: Kept | None) -> _Item:
        if kept is None:
            message_id = _message_id(notice, contact.email, self._sender.domain)
            kept = Kept(notice, contact.email, self._now, message_id, next_at=self._now)
        letter = self._letter(it, notice, contact)
        mail = Mail(
            self._sender.address, contact.name, contact.email, letter.subject, letter.text, kept.message_id,
            self._now, self._sender.reply_to,
        )  # fmt: skip
        return _Item(notice, contact, kept, letter, mail)

    def _letter(self, it: Standing, notice: Notice, contact: Contact) -> Letter:
        address = self._sender.reply_to or self._sender.address
        ask = "answer this mail" + (f", or write to {address}" if address else "")
        return letters.write(self._consortium, notice, it, contact, self._now, ask)

    def _to_nobody(self, it: Standing, notice: Notice) -> Row:
        letter = self._letter(it, notice, Contact("nobody", "Nobody"))
        why = f"no contact of {it.award.project} or its organisation has a mail address"
        return Row(notice, it.award.project, "", "", NOBODY, why, letter)


def _message_id(notice: Notice, recipient: str, domain: str) -> str:
    digest = hashlib.sha256("\0".join((*notice, recipient)).encode()).hexdigest()
    return f"<opsd.{digest[:40]}@{domain}>"
