"""Machines and people: clusters, node classes, unit tables, organisations, users, contacts.

Invariant: every value checks itself when built; fields are flat and named as the columns that keep
them. `valid_from` is 0 where no beginning is known, `valid_until` None where no end is.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from opsd.core import fields
from opsd.core.fields import ALWAYS, BadField


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Slurm cluster. Its runs stand under `id`, whatever Slurm called it when they ran."""

    id: str
    name: str = ""
    former_names: tuple[str, ...] = ()  # other names that Slurm gave, or gives, it

    def __post_init__(self) -> None:
        fields.name("id", self.id)
        fields.words("name", self.name)
        fields.names("former_names", self.former_names)


@dataclass(frozen=True, slots=True)
class NodeClass:
    """Nodes of one make; a node is in one class at a time. None: a count nobody knows yet."""

    cluster: str
    id: str
    valid_from: int = ALWAYS
    valid_until: int | None = None
    nodes: str = ""  # host list as Slurm writes it; "" = known by its partitions only
    partitions: tuple[str, ...] = ()
    cores: int | None = None
    cpus: int | None = None  # Slurm CPUs of one node: hardware threads where threads are scheduled
    mem_mb: int | None = None
    gpus: int | None = None
    gpu_class: str = ""

    def __post_init__(self) -> None:
        fields.name("cluster", self.cluster)
        fields.name("id", self.id)
        fields.validity(self.valid_from, self.valid_until)
        fields.words("nodes", self.nodes)
        fields.names("partitions", self.partitions)
        for field in ("cores", "cpus", "mem_mb", "gpus"):
            fields.count(field, getattr(self, field))
        fields.words("gpu_class", self.gpu_class)
        if self.cores and self.cpus and self.cpus < self.cores:
            raise BadField(
                "cpus", f"fewer Slurm CPUs than cores ({self.cores})", str(self.cpus), "count threads"
            )
        if self.gpu_class and self.gpus == 0:
            raise BadField(
                "gpu_class", "a GPU class on nodes without GPUs", self.gpu_class, "set gpus, or leave it out"
            )

    @property
    def threads_per_core(self) -> Fraction | None:
        """Slurm CPUs per core; None while either count is unknown."""
        return Fraction(self.cpus, self.cores) if self.cpus and self.cores else None


@dataclass(frozen=True, slots=True)
class UnitTable:
    """What one node-hour of a class equals in the other units; None: not agreed."""

    cluster: str
    node_class: str
    valid_from: int = ALWAYS
    valid_until: int | None = None
    gpu_hours: Fraction | None = None
    core_hours: Fraction | None = None
    cpu_hours: Fraction | None = None  # Slurm CPUs: twice the cores where threads are counted
    khours: Fraction | None = None  # thousands of core-hours, as MareNostrum's own tools print
    source: str = ""

    def __post_init__(self) -> None:
        fields.name("cluster", self.cluster)
        fields.name("node_class", self.node_class)
        fields.validity(self.valid_from, self.valid_until)
        fields.words("source", self.source)
        for field in ("gpu_hours", "core_hours", "cpu_hours", "khours"):
            fields.number(field, getattr(self, field))


ORGANISATION_KINDS = (
    "research",
    "university",
    "public-body",
    "start-up",
    "sme",
    "small-mid-cap",
    "large-company",
    "non-profit",
    "international",
)


@dataclass(frozen=True, slots=True)
class Organisation:
    """Who leads projects and employs users."""

    id: str
    name: str
    country: str
    kind: str = ""
    sector: str = ""
    parent: str = ""
    undertaking: str = ""  # the single undertaking it is part of, by State-aid rules; empty: itself
    tax_id: str = ""
    nace: str = ""  # its activity, in the code of registers
    ror: str = ""

    def __post_init__(self) -> None:
        fields.identity("id", self.id)
        fields.words("name", self.name)
        fields.country("country", self.country)
        for field in ("undertaking", "tax_id", "nace", "ror"):
            fields.words(field, getattr(self, field))
        if self.kind:
            fields.choice("kind", self.kind, ORGANISATION_KINDS)
        fields.words("sector", self.sector)
        fields.words("parent", self.parent)


@dataclass(frozen=True, slots=True)
class Person:
    """A user's home organisation for a time; `cluster` empty means on every cluster."""

    user: str
    organisation: str
    valid_from: int = ALWAYS
    valid_until: int | None = None
    cluster: str = ""

    def __post_init__(self) -> None:
        fields.name("user", self.user)
        fields.name("organisation", self.organisation)
        fields.validity(self.valid_from, self.valid_until)
        fields.words("cluster", self.cluster)


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom to write to about an organisation, a funder or a project."""

    id: str
    name: str
    email: str = ""
    role: str = ""
    organisation: str = ""
    funder: str = ""
    project: str = ""
    locale: str = ""

    def __post_init__(self) -> None:
        fields.name("id", self.id)
        for field in ("name", "email", "role", "organisation", "funder", "project", "locale"):
            fields.words(field, getattr(self, field))
        if self.email and ("@" not in self.email.strip("@") or " " in self.email):
            raise BadField("email", "not a mail address", self.email, "write name@host")


@dataclass(frozen=True, slots=True)
class AccountHint:
    """What an account's prefix suggests to a person who binds it; never a rule."""

    prefix: str
    meaning: str

    def __post_init__(self) -> None:
        fields.name("prefix", self.prefix)
        fields.words("meaning", self.meaning)
