"""What is read of a node's GPUs, and which job holds which of them.

Invariant: a value that was not read just now is absent, never an older one; a reading outside its physical
range is no reading. What a GPU holds is told by its UUID, never by its number alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Condition = Literal["up", "hung", "lost", "error"]
FAILURES: tuple[Condition, ...] = ("hung", "lost", "error")


class Quantity(NamedTuple):
    """What can be read of a GPU, in base units; `labels` tell its kinds apart."""

    name: str
    lowest: float
    highest: float
    labels: tuple[str, ...] = ()


_BYTES = 2.0**45
_WATTS = 20_000.0
_COUNT = 1e12

QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("utilization_ratio", 0, 1),
        Quantity("memory_copy_utilization_ratio", 0, 1),
        Quantity("memory_total_bytes", 1, _BYTES),
        Quantity("memory_used_bytes", 0, _BYTES),
        Quantity("memory_free_bytes", 0, _BYTES),
        Quantity("memory_reserved_bytes", 0, _BYTES),
        Quantity("power_average_watts", 0, _WATTS),
        Quantity("power_instant_watts", 0, _WATTS),
        Quantity("power_limit_watts", 0, _WATTS, ("kind",)),
        Quantity("energy_joules_total", 0, 1e13),
        Quantity("temperature_celsius", 0, 200, ("sensor",)),  # below zero is a sentinel, not a machine hall
        Quantity("clock_hertz", 0, 1e10, ("domain",)),
        Quantity("clock_max_hertz", 0, 1e10, ("domain",)),
        Quantity("clock_event_active", 0, 1, ("reason",)),
        Quantity("ecc_errors_total", 0, _COUNT, ("severity", "lifetime")),
        Quantity("processes", 0, 1e6),
    )
}


class Reading(NamedTuple):
    """One value's name: a quantity and, where it has kinds, which."""

    quantity: str
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.quantity, *self.kinds))


def is_possible(reading: Reading, value: float) -> bool:
    """Whether a value lies in its physical range."""
    quantity = QUANTITIES[reading.quantity]
    return quantity.lowest <= value <= quantity.highest


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a GPU is. `minor`: the number in /dev/nvidiaN, by which Slurm names it."""

    uuid: str
    minor: int | None
    name: str = ""
    serial: str = ""
    pci: str = ""
    vbios: str = ""


class Xid(NamedTuple):
    """How often an XID error was reported, and when last."""

    times: int
    last: float


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU now. Only an `up` one has values; `trouble` says in words why one is not."""

    index: int
    condition: Condition
    identity: Identity | None = None
    trouble: str = ""
    values: Mapping[Reading, float] = field(default_factory=dict)
    sampled_at: float | None = None
    sample_seconds: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    unsupported: frozenset[str] = frozenset()
    xids: Mapping[int, Xid] = field(default_factory=dict)

    @property
    def uuid(self) -> str:
        """Its UUID; empty before the driver told it."""
        return self.identity.uuid if self.identity else ""


class Driver(NamedTuple):
    """Versions of the driver and of the CUDA it supports."""

    version: str
    cuda: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node's GPUs at one moment. With `trouble` the driver itself did not answer.

    `deaf` says in words why XIDs are not heard; it is empty where they are, None where nobody listens.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: Driver | None = None
    visible: int | None = None
    trouble: str = ""
    deaf: str | None = None


# ----------------------------------------------------------------------------------------------- whose GPU


@dataclass(frozen=True, slots=True)
class Job:
    """A job on this node and the GPUs it was given: by UUID where those are known, else by minor number."""

    job_id: str
    account: str
    user: str
    minors: tuple[int, ...] = ()
    uuids: tuple[str, ...] = ()


class Holding(NamedTuple):
    """A job holds a GPU."""

    uuid: str
    job_id: str
    account: str
    user: str


class Holdings(NamedTuple):
    """Each holding's share of its GPU, and how many entries name no GPU of this node."""

    shares: Mapping[Holding, float]
    unresolved: int


def holdings(jobs: Iterable[Job], identities: Iterable[Identity]) -> Holdings:
    """Who holds which GPU: jobs that share one hold equal shares, so that a GPU's shares add up to one."""
    known = list(identities)
    uuids = {identity.uuid for identity in known}
    by_minor = {identity.minor: identity.uuid for identity in known if identity.minor is not None}
    found: list[Holding] = []
    unresolved = 0
    for job in jobs:
        named: list[str | None] = (
            [uuid if uuid in uuids else None for uuid in job.uuids]
            if job.uuids
            else [by_minor.get(minor) for minor in job.minors]
        )
        unresolved += named.count(None)
        held = dict.fromkeys(uuid for uuid in named if uuid is not None)
        found += [Holding(uuid, job.job_id, job.account, job.user) for uuid in held]
    sharers = Counter(holding.uuid for holding in found)
    return Holdings({holding: 1 / sharers[holding.uuid] for holding in found}, unresolved)
