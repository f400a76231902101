"""Which job holds which GPU, and which job computes on it.

Invariant: a device is named by its UUID, never by its number alone: a GPU's, or a MIG device's. What cannot
be told is counted, never guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from opsd.core.telemetry import Identity


@dataclass(frozen=True, slots=True)
class Job:
    """A job on this node and the GPUs it was given: by UUID where those are known, else by minor number."""

    job_id: str
    account: str
    user: str
    minors: tuple[int, ...] = ()
    uuids: tuple[str, ...] = ()  # of GPUs or of MIG devices
    started: int = 0  # when its prolog ran: tells the runs of a requeued job apart
    sluid: str = ""  # Slurm 26.05 and later
    shards: Mapping[int, int] = field(default_factory=dict)  # minor number to shards of that GPU
    mps: Mapping[int, int] = field(default_factory=dict)  # minor number to its share of CUDA MPS, in percent


class Holding(NamedTuple):
    """A job holds a device."""

    uuid: str
    job_id: str
    account: str
    user: str
    parent: str = ""  # the GPU of a MIG device
    started: int = 0
    sluid: str = ""


class Computing(NamedTuple):
    """What a job really runs on a device."""

    processes: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Holders:
    """Who holds and who computes.

    `shares`: the part of its device that each holding is; those of one device add up to at most one.
    `computing`: by (device's UUID, job id), for processes whose job is known, also where it holds nothing.
    `unresolved`: entries of job files that name no device of this node; `stale`: job files of jobs that
    are over; `strangers`: processes on GPUs that belong to no job; `disagreeing`: pairs in `computing`
    whose job holds no such device.
    """

    shares: Mapping[Holding, float] = field(default_factory=dict)
    computing: Mapping[tuple[str, str], Computing] = field(default_factory=dict)
    unresolved: int = 0
    stale: int = 0
    strangers: int = 0
    disagreeing: int = 0


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
