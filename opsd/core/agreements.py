"""Who pays, and how use is charged: funders, pools, charge policies.

Invariant: a pool has exactly one funder, and the top of that funder's chain says which country (or
the JU) pays. Euros are shown beside shares and never turned into hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from opsd.core import fields
from opsd.core.fields import ALWAYS, BadField

JU = "ju"
FUNDER_KINDS = ("state", "region", "programme", JU)


@dataclass(frozen=True, slots=True)
class Funder:
    """A body whose money pays; a region or programme hangs below its parent."""

    id: str
    name: str
    kind: str
    country: str | None = None
    parent: str = ""
    amount_meur: Decimal | None = None
    confirmed: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.words("name", self.name)
        fields.choice("kind", self.kind, FUNDER_KINDS)
        fields.words("parent", self.parent)
        fields.words("source", self.source)
        if self.country is not None:
            fields.country("country", self.country)
            if self.kind == JU:
                raise BadField("country", "the JU is not a country", self.country, "leave country out")
        if self.amount_meur is not None and not _money(self.amount_meur):
            shown = str(self.amount_meur)
            raise BadField("amount_meur", "not an amount of money", shown, "write millions of euros")


def _money(value: Decimal) -> bool:
    """From nothing to a million millions, with at most the euro's cents behind the millions."""
    return value.is_finite() and 0 <= value < 10**6 and value == value.quantize(Decimal("1e-8"))


@dataclass(frozen=True, slots=True)
class Pool:
    """Time that one funder pays for."""

    id: str
    funder: str
    name: str = ""

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.name("funder", self.funder)
        fields.words("name", self.name)


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of a charge policy: a rule of `opsd.core.rules` with its parameters, for a time."""

    id: str
    rule: str
    valid_from: int = ALWAYS
    valid_until: int | None = None
    params: str = "{}"  # canonical text of opsd.core.rules.Params

    def __post_init__(self) -> None:
        fields.name("id", self.id)
        fields.name("rule", self.rule)
        fields.validity(self.valid_from, self.valid_until)
