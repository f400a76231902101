"""Entries that change what an award may use; balances are folds over them, never stored numbers.

Invariant: entries are only added, and an amount is a whole number of micro-unit-seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from opsd.core import fields
from opsd.core.amounts import LARGEST, UNITS
from opsd.core.fields import BadField

GRANT = "grant"
EXTENSION = "extension"
ADJUSTMENT = "adjustment"
GRANTING = (GRANT, EXTENSION, "transfer", "carry-over", "expiry", ADJUSTMENT, "credit")
KINDS = (*GRANTING, "correction", "close")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `at` is when it takes effect, `posted` when it was written down."""

    at: int
    posted: int
    kind: str
    award: str
    unit: str
    amount: int  # micro-unit-seconds, negative where it takes away
    reason: str
    author: str
    id: int = 0  # 0: not stored yet

    def __post_init__(self) -> None:
        fields.choice("kind", self.kind, KINDS)
        fields.choice("unit", self.unit, UNITS)
        fields.name("award", self.award)
        fields.words("reason", self.reason)
        fields.words("author", self.author)
        if abs(self.amount) > LARGEST:
            raise BadField("amount", "too large for one journal entry", str(self.amount), "split it")


def granted(entries: Iterable[Entry], as_of: int) -> dict[str, int]:
    """Micro-unit-seconds granted per award by entries in effect at `as_of`."""
    total: dict[str, int] = defaultdict(int)
    for entry in entries:
        if entry.kind in GRANTING and entry.at <= as_of:
            total[entry.award] += entry.amount
    return dict(total)
