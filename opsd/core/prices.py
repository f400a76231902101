"""What time is worth, and the State-aid rules it falls under: prices, rules, aid from elsewhere.

Invariant: every legal number is a dated value with its source, never a constant of the program.
"""

from __future__ import annotations

from dataclasses import dataclass

from opsd.core import fields
from opsd.core.amounts import UNITS
from opsd.core.fields import ALWAYS, BadField
from opsd.core.money import Money


@dataclass(frozen=True, slots=True)
class Price:
    """One version of the market price of a unit-hour granted from some pools."""

    id: str
    unit: str
    amount: Money
    valid_from: int = ALWAYS
    valid_until: int | None = None
    pools: tuple[str, ...] = ()  # empty: of every pool
    method: str = ""
    approver: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.choice("unit", self.unit, UNITS)
        fields.money("amount", self.amount)
        fields.validity(self.valid_from, self.valid_until)
        fields.names("pools", self.pools)
        for field in ("method", "approver", "source"):
            fields.words(field, getattr(self, field))


@dataclass(frozen=True, slots=True)
class AidRule:
    """One version of a ceiling on aid per undertaking and Member State over rolling years."""

    id: str
    ceiling: Money
    years: int
    valid_from: int = ALWAYS
    valid_until: int | None = None
    kinds: tuple[str, ...] = ()  # of organisations that are undertakings under it; empty: all
    source: str = ""

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.money("ceiling", self.ceiling)
        fields.validity(self.valid_from, self.valid_until)
        fields.names("kinds", self.kinds)
        fields.words("source", self.source)
        if not 1 <= self.years <= 20:
            raise BadField("years", "no number of years", str(self.years), "write 1 to 20")


@dataclass(frozen=True, slots=True)
class OtherAid:
    """Aid that an undertaking got elsewhere, from its declaration or a register."""

    id: str
    undertaking: str
    country: str
    rule: str
    amount: Money
    granted_on: int
    source: str = ""

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.name("undertaking", self.undertaking)
        fields.country("country", self.country)
        fields.name("rule", self.rule)
        fields.money("amount", self.amount)
        fields.instant("granted_on", self.granted_on)
        fields.words("source", self.source)
