"""The journal: what is posted, what waits for a second person, and whether the chain is whole.

Invariant: an entry is posted inside one writing transaction behind the last one, and never changed; a
draft is posted once, whoever approves it at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from opsd.core.amounts import exact_text, unit_hours
from opsd.core.changes import Diff
from opsd.core.consortium import Consortium
from opsd.core.credits import marks
from opsd.core.drafts import DECLINED, POSTED, Draft, Signed, sign, signed
from opsd.core.errors import Refused
from opsd.core.journal import CREDIT, TRANSFER, Entry, Walk, walk
from opsd.core.names import nearest
from opsd.pipeline import consortium
from opsd.pipeline.balance import Ledger
from opsd.store import drafts, parties
from opsd.store.engine import Connection, Store

Verified = Walk


def verify(connection: Connection) -> Verified:
    """Walk the whole chain as it is stored: how many entries, its head, and every link that is wrong."""
    return walk(parties.journal_rows(connection))


class Outcome(NamedTuple):
    """What was posted, or would be; or the draft that waits."""

    entries: tuple[Entry, ...]
    draft: int | None = None  # its number; None: nothing waits


def add(store: Store, draft: Draft, *, now: int, dry_run: bool = False) -> Outcome:
    """Post what a person wrote, or let it wait where a second person must approve it.

    Raises:
        Refused: it names no award, or another unit than the award's, or takes away what is not there.
    """
    with store.read() if dry_run else store.write() as connection:
        held = parties.load(connection)
        entries, guarded = _entries(connection, held, draft, Signed(draft.author), now)
        if any(held.guards(kind) for kind in guarded):
            waiting = replace(draft, content=draft.content._replace(entries=entries))
            return Outcome(entries, 0 if dry_run else drafts.keep(connection, waiting))
        if dry_run:
            return Outcome(entries)
        return Outcome(_posted(connection, held, draft, Signed(draft.author), now))


def approve(store: Store, number: int, *, person: str, now: int) -> Outcome:
    """Post a draft; or note the first of two approvals of what the daemon drafted."""
    with store.write() as connection:
        held = parties.load(connection)
        draft = drafts.one(connection, number)
        names = sign(draft, person, held.guards)
        if names is None:
            drafts.take_over(connection, number, person)
            return Outcome(draft.content.entries, number)
        drafts.decide(connection, number, state=POSTED, by=person, at=now)
        return Outcome(_posted(connection, held, draft, names, now))


def decline(store: Store, number: int, *, person: str, reason: str, now: int) -> None:
    """Let a draft go; it stays listed with who declined it and why."""
    with store.write() as connection:
        draft = drafts.one(connection, number)
        sign(replace(draft, author=""), person, lambda _: True)  # refuses one that is decided
        drafts.decide(connection, number, state=DECLINED, by=person, at=now, reason=reason)


def _entries(
    connection: Connection, held: Consortium, draft: Draft, names: Signed, now: int
) -> tuple[tuple[Entry, ...], set[str]]:
    """What it would post now, and the kinds of that."""
    if draft.content.after is None:
        entries = signed(draft, names, now)
        _check(connection, held, entries)
    else:
        entries = _planned(connection, held, draft, names, now)[1].entries
    return entries, {draft.kind, *(entry.kind for entry in entries)}


def _posted(
    connection: Connection, held: Consortium, draft: Draft, names: Signed, now: int
) -> tuple[Entry, ...]:
    if draft.content.after is None:
        return tuple(parties.post(connection, _entries(connection, held, draft, names, now)[0]))
    merged, diff = _planned(connection, held, draft, names, now)
    return tuple(consortium.write(connection, held, merged, diff))


def _planned(
    connection: Connection, held: Consortium, draft: Draft, names: Signed, now: int
) -> consortium.Plan:
    """The award as it will be, and what follows from that; its first entry says what the draft rests on."""
    award, told = draft.content.after, draft.content.entries[0]
    if award is None:
        raise Refused(f"draft {draft.id} changes no award")
    if held.awards.get(award.id) != draft.content.before:
        raise Refused(f"award {award.id!r} was changed since this was drafted: decline it and draft it again")
    incoming = Consortium.of([award])
    booked = parties.journal(connection)
    merged, diff = consortium.plan(held, incoming, booked, author=names.author, reason=told.reason, now=now)
    due = diff.entries or (replace(told, author=names.author, posted=now),)
    first = replace(due[0], evidence=told.evidence)
    entries = tuple(replace(entry, approver=names.approver) for entry in (first, *due[1:]))
    return consortium.Plan(merged, Diff(diff.changes, entries))


def _check(connection: Connection, held: Consortium, entries: Sequence[Entry]) -> None:
    for entry in entries:
        award = held.awards.get(entry.award)
        if award is None:
            known = nearest(entry.award, held.awards, "opsd award list lists them")
            raise Refused(f"award {entry.award!r}: there is none{known}")
        if award.unit != entry.unit:
            raise Refused(f"award {award.id!r} is in {award.unit}, not in {entry.unit}")
    _refuse_twice(connection, entries)
    taken: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.kind == TRANSFER and entry.amount < 0:
            taken[entry.award] -= entry.amount
    for name, amount in taken.items():
        rest = left(connection, held, max(max(entry.at, entry.posted) for entry in entries)).get(name, 0)
        if amount > rest:
            unit = held.awards[name].unit
            raise Refused(
                f"award {name!r} has {exact_text(unit_hours(rest))} {unit} left, "
                f"not {exact_text(unit_hours(amount))}: transfer at most what is left"
            )


def _refuse_twice(connection: Connection, entries: Sequence[Entry]) -> None:
    """A run is given back to an award once, whoever else drafted the same meanwhile."""
    wanted = {
        (mark, entry.award) for entry in entries if entry.kind == CREDIT for mark in marks(entry.evidence)
    }
    for entry in parties.journal(connection) if wanted else ():
        for mark in marks(entry.evidence) if entry.kind == CREDIT else ():
            if (mark, entry.award) in wanted:
                raise Refused(f"run {mark} is credited already, by entry {entry.id}: decline this draft")


def left(connection: Connection, held: Consortium, as_of: int) -> dict[str, int]:
    """Micro-unit-seconds left of every award."""
    return {line.key: line.left for line in Ledger(connection, held, as_of).lines()}
