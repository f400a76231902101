"""Entries that change what an award may use; balances are folds over them, never stored numbers.

Invariant: entries are only added, an amount is a whole number of micro-unit-seconds, and each entry
carries the hash of the one before it, so that none can be changed or taken out unseen.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from opsd.core import fields
from opsd.core.amounts import LARGEST, UNITS
from opsd.core.fields import BadField

GRANT = "grant"
EXTENSION = "extension"
TRANSFER = "transfer"
CARRY_OVER = "carry-over"
EXPIRY = "expiry"
ADJUSTMENT = "adjustment"
CREDIT = "credit"
GRANTING = (GRANT, EXTENSION, TRANSFER, CARRY_OVER, EXPIRY, ADJUSTMENT, CREDIT)
CORRECTION = "correction"  # of a closed month, at a later close: a document, no amount
CLOSE = "close"  # an edition was frozen: a document, no amount
DOCUMENTS = (CORRECTION, CLOSE)
KINDS = (*GRANTING, *DOCUMENTS)
FIRST = "0" * 64  # what the first entry has before it


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `at` is when it takes effect, `posted` when it was written down.

    One of DOCUMENTS has no award, unit or amount, but a subject and the digest of what it stands for.
    """

    at: int
    posted: int
    kind: str
    award: str
    unit: str
    amount: int  # micro-unit-seconds, negative where it takes away
    reason: str
    author: str
    id: int = 0  # 0: not stored yet; then 1, 2, 3, … without a gap
    approver: str = ""  # a second person, where one is asked for
    subject: str = ""  # the edition (2026-10/1) or period that it is about; of a transfer, the other award
    evidence: str = ""  # what it rests on, as JSON: the runs of a credit
    digest: str = ""  # SHA-256 of the document that it stands for
    previous: str = ""  # the hash of the entry before
    hash: str = ""

    def __post_init__(self) -> None:
        fields.choice("kind", self.kind, KINDS)
        if self.kind in DOCUMENTS:
            fields.name("subject", self.subject)
            fields.sha256("digest", self.digest)
        else:
            fields.choice("unit", self.unit, UNITS)
            fields.name("award", self.award)
        for field in ("reason", "author", "approver", "subject"):
            fields.words(field, getattr(self, field))
        if abs(self.amount) > LARGEST:
            raise BadField("amount", "too large for one journal entry", str(self.amount), "split it")

    @property
    def sealed(self) -> str:
        """The hash that it must have."""
        told = (
            self.id, self.at, self.posted, self.kind, self.award, self.unit, self.amount, self.reason,
            self.author, self.approver, self.subject, self.evidence, self.digest, self.previous,
        )  # fmt: skip
        return _seal(told)


SEALED = (
    "id", "at", "posted", "kind", "award", "unit", "amount", "reason", "author", "approver", "subject",
    "evidence", "digest", "previous",
)  # fmt: skip


def _seal(told: Sequence[object]) -> str:
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":"), default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def chained(entries: Iterable[Entry], last: Entry | None) -> Iterator[Entry]:
    """New entries with their numbers and hashes, behind the last one that is stored."""
    number, before = (last.id, last.hash) if last else (0, FIRST)
    for entry in entries:
        number += 1
        linked = replace(entry, id=number, previous=before)
        before = linked.sealed
        yield replace(linked, hash=before)


class Walk(NamedTuple):
    """What a walk along the chain found: how long it is, its head, and every link that is wrong."""

    entries: int
    head: str  # the last entry's hash
    faults: tuple[str, ...]


def walk(rows: Iterable[Mapping[str, Any]]) -> Walk:
    """Follow the chain through rows as they are stored, by id; nothing in them is trusted.

    What was cut off at the end leaves no trace in the chain: compare the head with one printed before.
    """
    held = list(rows)
    known = frozenset([FIRST, *(row["hash"] for row in held)])
    found: list[str] = []
    number, before = 0, FIRST
    for row in held:
        if (said := _fault(row, number + 1, before, known)) is not None:
            found.append(said)
        number, before = row["id"], row["hash"]
    return Walk(len(held), before, tuple(found))


def _fault(row: Mapping[str, Any], number: int, before: str, known: frozenset[str]) -> str | None:
    """The first thing that is wrong about a row that should be `number`, behind the hash `before`."""
    own, follows = row["id"], row["previous"] == before
    if own != number:
        lost = f"entry {number} is" if own == number + 1 else f"entries {number} to {own - 1} are"
        return f"{lost} missing: the next is entry {own}"
    if not follows and row["previous"] in known:
        place = f"it does not follow entry {own - 1}" if own > 1 else "another was the first"
        return f"entry {own} is out of order: {place}"
    if not follows or _seal([row[name] for name in SEALED]) != row["hash"]:
        return f"entry {own} was changed: it does not match its hash"
    return None


def granted(entries: Iterable[Entry], as_of: int) -> dict[str, int]:
    """Micro-unit-seconds granted per award by entries in effect at `as_of`."""
    total: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.kind in GRANTING and entry.at <= as_of:
            total[entry.award] += entry.amount
    return dict(total)
