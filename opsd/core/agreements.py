"""Who pays, for what, and how use is shared and charged: funders, contributions, pools, agreements, caps.

Invariant: a pool has exactly one funder, and the top of that funder's chain says which country (or
the JU) pays. Euros are shown beside shares and never turned into hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from opsd.core import fields
from opsd.core.fields import ALWAYS, BadField
from opsd.core.money import Money

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
    aid_rule: str = ""  # under which rule its time is State aid; empty: it is none (the JU's)

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.name("funder", self.funder)
        fields.words("name", self.name)
        fields.words("aid_rule", self.aid_rule)


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


PURPOSES = ("acquisition", "operation", "services", "experimental-platform", "other")


@dataclass(frozen=True, slots=True)
class Contribution:
    """Money of a funder for one purpose, as a document says it; it may buy no compute at all."""

    id: str
    funder: str
    purpose: str
    committed: Money | None = None
    paid: Money | None = None
    agreed_on: int | None = None  # the day of the document
    document: str = ""  # its title, and the page
    sha256: str = ""  # of the file, in 64 hexadecimal digits
    confirmed: bool = False
    supersedes: str = ""  # an earlier contribution that this one replaces

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.name("funder", self.funder)
        fields.choice("purpose", self.purpose, PURPOSES)
        fields.instant("agreed_on", self.agreed_on)
        fields.words("document", self.document)
        fields.sha256("sha256", self.sha256)
        fields.words("supersedes", self.supersedes)
        for field in ("committed", "paid"):
            fields.money(field, getattr(self, field))


FRACTIONS, PROPORTIONAL, FIXED_HOURS = "fractions", "proportional", "hours"
AGREEMENT_KEYS = (FRACTIONS, PROPORTIONAL, FIXED_HOURS)
NOMINAL, AVAILABLE = "nominal", "available"
LAPSE, CARRY = "lapse", "carry-over"
TRANCHES = ("", "month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class Agreement:
    """Who may use which part of which nodes, for a time; several may divide the same nodes.

    `node_classes` are CLUSTER/CLASS. `part` is the part of these nodes' capacity that it divides.
    """

    id: str
    valid_from: int = ALWAYS
    valid_until: int | None = None
    name: str = ""
    node_classes: tuple[str, ...] = ()
    resource: str = "gpu"  # what is divided: gpu or cpu
    part: Fraction = Fraction(1)
    key: str = FRACTIONS
    basis: str = AVAILABLE
    under_use: str = LAPSE
    carry_most: Fraction = Fraction(1)  # the largest part of a period's entitlement that is kept
    carry_periods: int = 0  # periods after which what was kept lapses; 0: at the agreement's end
    tranche: str = ""  # the slice in which it is given out: month, quarter, year; empty: all at once
    tolerance: Fraction = Fraction(0)  # use beyond a period's entitlement that nobody minds, as a part of it
    document: str = ""
    sha256: str = ""
    confirmed: bool = False

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.validity(self.valid_from, self.valid_until)
        fields.words("name", self.name)
        fields.names("node_classes", self.node_classes)
        for place in self.node_classes:
            cluster, slash, node_class = place.partition("/")
            if not (cluster and slash and node_class):
                raise BadField(
                    "node_classes", "no class of nodes", place, "write CLUSTER/CLASS, such as mn5/acc"
                )
        fields.choice("resource", self.resource, ("gpu", "cpu"))
        fields.choice("key", self.key, AGREEMENT_KEYS)
        fields.choice("basis", self.basis, (NOMINAL, AVAILABLE))
        fields.choice("under_use", self.under_use, (LAPSE, CARRY))
        fields.choice("tranche", self.tranche, TRANCHES)
        for field in ("part", "carry_most"):
            fields.part(field, getattr(self, field))
        fields.number("tolerance", self.tolerance)
        fields.count("carry_periods", self.carry_periods)
        fields.words("document", self.document)
        fields.sha256("sha256", self.sha256)


@dataclass(frozen=True, slots=True)
class Share:
    """One pool's share under an agreement: an exact fraction, or fixed resource-hours a year.

    Under a proportional key both are left out: the share follows from the contributions.
    """

    agreement: str
    pool: str
    fraction: Fraction | None = None
    hours: Fraction | None = None  # of a year of 365 days

    def __post_init__(self) -> None:
        fields.name("agreement", self.agreement)
        fields.name("pool", self.pool)
        if self.fraction is not None:
            fields.part("fraction", self.fraction)
        fields.number("hours", self.hours)
        if self.fraction is not None and self.hours is not None:
            raise BadField("hours", "both a fraction and hours", str(self.hours), "write one of them")


CAP_BASES = ("entitlement", "capacity")
WINDOWS = ("month", "year")


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit on one kind of use: a part of what some pools are entitled to, or of another cap.

    What counts is the use of awards that match every list that is not empty.
    """

    id: str
    valid_from: int = ALWAYS
    valid_until: int | None = None
    name: str = ""
    pools: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # of organisations
    purposes: tuple[str, ...] = ()  # of projects
    most: Fraction = Fraction(1, 5)
    base: str = "entitlement"
    within: str = ""  # another cap, whose limit is the base of this one
    window: str = "year"
    thresholds: tuple[int, ...] = (80, 95, 100)
    source: str = ""
    confirmed: bool = False

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.validity(self.valid_from, self.valid_until)
        fields.words("name", self.name)
        for field in ("pools", "modes", "kinds", "purposes"):
            fields.names(field, getattr(self, field))
        fields.part("most", self.most)
        fields.choice("base", self.base, CAP_BASES)
        fields.words("within", self.within)
        fields.choice("window", self.window, WINDOWS)
        fields.words("source", self.source)
        if list(self.thresholds) != sorted(set(self.thresholds)) or any(t <= 0 for t in self.thresholds):
            shown = ", ".join(map(str, self.thresholds))
            raise BadField("thresholds", "thresholds do not rise", shown, "write [80, 95, 100]")
