"""What may be done to an award: granted, extended, time transferred or credited; each with its journal entry.

Invariant: all of it goes through the journal in one transaction, or waits there for a second person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

from opsd.core import canonical
from opsd.core.amounts import micro_unit_seconds
from opsd.core.awards import Award
from opsd.core.consortium import Consortium
from opsd.core.credits import Mark
from opsd.core.drafts import Content, Draft
from opsd.core.errors import BadText, Refused, WrongUsage
from opsd.core.journal import CREDIT, EXTENSION, GRANT, TRANSFER, Entry
from opsd.core.names import nearest
from opsd.core.period import isoformat
from opsd.pipeline import journal
from opsd.pipeline.balance import Ledger
from opsd.pipeline.credits import resting_on
from opsd.pipeline.journal import Outcome
from opsd.store import parties
from opsd.store.engine import Connection, Store


@dataclass(frozen=True, slots=True)
class Act:
    """Who does it, why, when, and whether really."""

    author: str
    reason: str
    now: int
    dry_run: bool = False

    def entry(
        self, award: Award, kind: str, amount: Fraction, *, subject: str = "", evidence: str = ""
    ) -> Entry:
        """One that takes effect now, or when the award starts."""
        at = award.start if kind == GRANT else max(self.now, award.start)
        micro = micro_unit_seconds(amount)
        return Entry(
            at, self.now, kind, award.id, award.unit, micro, self.reason, self.author,
            subject=subject, evidence=evidence,
        )  # fmt: skip

    def put(self, store: Store, kind: str, content: Content) -> Outcome:
        """Post it, or let it wait."""
        draft = Draft(self.now, kind, content, self.author)
        return journal.add(store, draft, now=self.now, dry_run=self.dry_run)


class Standing(NamedTuple):
    """An award and what there is of it, in micro-unit-seconds."""

    award: Award
    granted: int
    left: int


def standings(connection: Connection, as_of: int) -> list[Standing]:
    """Every award, by id."""
    held = parties.load(connection)
    lines = Ledger(connection, held, as_of).lines()
    return [Standing(held.awards[line.key], line.granted, line.left) for line in lines]


def grant(store: Store, award: Award, act: Act) -> Outcome:
    """A new award."""
    if award.id in _held(store).awards:
        raise Refused(f"award {award.id!r} exists: opsd award extend gives it more, or choose another id")
    return act.put(store, GRANT, Content((act.entry(award, GRANT, award.amount),), None, award))


def extend(store: Store, name: str, act: Act, *, more: Fraction | None, until: int | None) -> Outcome:
    """More time, a later end, or both."""
    award = named(_held(store), name)
    if more is None and until is None:
        raise WrongUsage(f"award {name!r}: nothing to extend; write --amount, --until or both")
    if more is not None:
        _require_positive(more)
    evidence = ""
    if until is not None:
        if award.end is None or until <= award.end:
            ends = "has no end" if award.end is None else f"ends {isoformat(award.end)}"
            raise Refused(
                f"award {name!r} {ends}: an extension puts the end later, not to {isoformat(until)}"
            )
        evidence = canonical.dumped({"end": {"after": isoformat(until), "before": isoformat(award.end)}})
    after = replace(award, amount=award.amount + (more or 0), end=award.end if until is None else until)
    entry = act.entry(award, EXTENSION, more or Fraction(0), evidence=evidence)
    return act.put(store, EXTENSION, Content((entry,), award, after))


def transfer(store: Store, source: str, target: str, amount: Fraction, act: Act) -> Outcome:
    """From one award to another of the same unit; never more than the first has left."""
    held = _held(store)
    giver, taker = named(held, source), named(held, target)
    _require_positive(amount)
    if giver.id == taker.id:
        raise Refused(f"award {source!r}: a transfer needs two awards")
    if giver.unit != taker.unit:
        raise Refused(
            f"award {source!r} is in {giver.unit}, {target!r} in {taker.unit}: only one unit can move"
        )
    pair = (
        act.entry(giver, TRANSFER, -amount, subject=taker.id),
        act.entry(taker, TRANSFER, amount, subject=giver.id),
    )
    return act.put(store, TRANSFER, Content(pair))


def credit(store: Store, name: str, amount: Fraction, act: Act, *, runs: Sequence[Mark] = ()) -> Outcome:
    """Give time back; the runs it is for are attached with what they were charged."""
    award = named(_held(store), name)
    _require_positive(amount)
    evidence = ""
    if runs:
        with store.read() as connection:
            evidence = resting_on(connection, name, runs, micro_unit_seconds(amount), act.now)
    return act.put(store, CREDIT, Content((act.entry(award, CREDIT, amount, evidence=evidence),)))


def named(held: Consortium, name: str) -> Award:
    """An award by its id."""
    award = held.awards.get(name)
    if award is None:
        raise Refused(
            f"award {name!r}: there is none{nearest(name, held.awards, 'opsd award list lists them')}"
        )
    return award


def _held(store: Store) -> Consortium:
    with store.read() as connection:
        return parties.load(connection)


def _require_positive(amount: Fraction) -> None:
    if amount <= 0:
        raise BadText("not above 0", str(amount), "write how many unit-hours")
