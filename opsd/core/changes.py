"""What an incoming consortium changes in the present one.

Invariant: merging never takes an entry away; a key that is already there gets the incoming values,
and merging the result once more changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from opsd.core.amounts import micro_unit_seconds
from opsd.core.awards import Award
from opsd.core.consortium import KINDS, Consortium, Item, Key, Kind
from opsd.core.errors import Refused
from opsd.core.journal import ADJUSTMENT, EXTENSION, GRANT, Entry, granted

NEW = "new"
CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that is new or differs: (field, before, after) for each field that tells."""

    table: str
    key: Key
    what: str  # NEW or CHANGED
    fields: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """Everything that differs, and the journal entries that follow from it; empty is false."""

    changes: tuple[Change, ...] = ()
    entries: tuple[Entry, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes or self.entries)

    def touches(self, table: str) -> bool:
        """Whether any entry of a table differs."""
        return any(change.table == table for change in self.changes)


def merge(current: Consortium, incoming: Consortium) -> Consortium:
    """The present entries with the incoming ones over them; what `incoming` does not say stays."""
    items = [item for held in (current, incoming) for kind in KINDS for item in held.items(kind)]
    name, book_zone = incoming.name or current.name, incoming.book_zone or current.book_zone
    return Consortium.of(
        items, name, book_zone,
        current.second_person if incoming.second_person is None else incoming.second_person,
        current.smallest_group if incoming.smallest_group is None else incoming.smallest_group,
    )  # fmt: skip


def compare(before: Consortium, after: Consortium) -> tuple[Change, ...]:
    """Entries of `after` that are new or differ, in the order of reference and key."""
    found = list(_settings(before, after))
    for kind in KINDS:
        old = before.by_key(kind)
        for key, item in after.by_key(kind).items():
            if key not in old:
                found.append(Change(kind.table, key, NEW, _filled(kind, item)))
            elif old[key] != item:
                found.append(Change(kind.table, key, CHANGED, _differing(old[key], item)))
    return tuple(found)


def _settings(before: Consortium, after: Consortium) -> Iterator[Change]:
    names = ("name", "book_zone", "second_person", "smallest_group")
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in names]
    if differing := tuple(pair for pair in pairs if pair[1] != pair[2]):
        yield Change("consortium", (), CHANGED, differing)


def _filled(kind: Kind, item: Item) -> tuple[tuple[str, Any, Any], ...]:
    """The fields of a new entry that say more than its key and its defaults."""
    values = ((field, getattr(item, field.name)) for field in fields(item) if field.name not in kind.key)
    return tuple((field.name, None, value) for field, value in values if value != field.default)


def _differing(before: Item, after: Item) -> tuple[tuple[str, Any, Any], ...]:
    pairs = ((f.name, getattr(before, f.name), getattr(after, f.name)) for f in fields(after))
    return tuple(pair for pair in pairs if pair[1] != pair[2])


def postings(
    before: Consortium, after: Consortium, entries: Iterable[Entry], *, author: str, reason: str, now: int
) -> tuple[Entry, ...]:
    """The journal entries that new and changed awards call for.

    A new award posts its grant, in effect from its start; a changed amount posts the difference, in
    effect now; a moved start takes along what was granted at it.
    """
    booked = list(entries)
    found: list[Entry] = []
    for award in after.awards.values():
        old = before.awards.get(award.id)
        why = reason or ("granted" if old is None else "amount or start changed")
        for kind, at, amount in _due(old, award, booked, now):
            found.append(Entry(at, now, kind, award.id, award.unit, amount, why, author))
    return tuple(found)


def _moved(old: Award, award: Award, booked: list[Entry]) -> Iterator[tuple[str, int, int]]:
    """What was granted at the old start, or before the new one, takes effect at the new one."""
    own = [entry for entry in booked if entry.award == award.id]
    for at in sorted({entry.at for entry in own if entry.at == old.start or entry.at < award.start}):
        if amount := granted([entry for entry in own if entry.at == at], at).get(award.id, 0):
            yield ADJUSTMENT, at, -amount
            yield ADJUSTMENT, award.start, amount


def _due(old: Award | None, award: Award, booked: list[Entry], now: int) -> Iterator[tuple[str, int, int]]:
    if old is None:
        yield GRANT, award.start, micro_unit_seconds(award.amount)
        return
    if old.unit != award.unit:
        raise Refused(
            f"award {award.id!r} was granted in {old.unit} and cannot become {award.unit}; "
            "end it and grant another"
        )
    if old.start != award.start:
        yield from _moved(old, award, booked)
    if difference := micro_unit_seconds(award.amount) - micro_unit_seconds(old.amount):
        yield EXTENSION if difference > 0 else ADJUSTMENT, max(now, award.start), difference
