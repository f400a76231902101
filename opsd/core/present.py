"""What a cluster is doing now: its queue, nodes, scheduler, shares, reservations and licences.

Invariant: every node and every GPU is in exactly one state, so that states add up to what there is; what
Slurm does not tell is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# The questions a cluster is asked each round. Each may fail by itself; then what it tells is absent.
QUEUE, NODES, SCHEDULER, SHARES, RESERVATIONS, LICENSES = SOURCES = (
    "queue",
    "nodes",
    "scheduler",
    "shares",
    "reservations",
    "licenses",
)

# What a GPU is doing, as slurmctld sees its node. The first that holds says it.
ALLOCATED, MAINTENANCE, DOWN, DRAINED, RESERVED, IDLE = GPU_STATES = (
    "allocated",  # by a job, also on a node that drains
    "maintenance",  # on a node in a maintenance reservation
    "down",  # on a node that is down, does not respond, or is powered off
    "drained",  # on a node that takes no new jobs
    "reserved",  # on a node of another reservation
    "idle",
)
UNSEEN = "unseen"  # time in which nobody looked; only in counters


class QueueJob(NamedTuple):
    """A job that slurmctld knows; a pending array is one of these, with as many tasks as still wait."""

    job_id: str
    tasks: int
    partition: str  # as Slurm prints it: a list where the job waits for several
    account: str
    user: str
    qos: str
    state: str  # lower case: pending, running, suspended, completing, …
    reason: str  # why it waits; "" otherwise
    gpus: int  # of one task: held, or asked for
    nodes: int
    submitted: int | None
    eligible: int | None
    started: int | None


class NodeNow(NamedTuple):
    """A node as slurmctld has it."""

    name: str
    state: str  # allocated, mixed, idle, planned, reserved, maintenance, draining, drained, down, …
    partitions: tuple[str, ...]
    gpus: Mapping[str, int]  # configured, by class; "" where Slurm does not name one
    allocated: Mapping[str, int]  # of those, held by jobs
    reason: str  # why it takes no jobs; "" where nobody said
    reason_since: int | None
    gpu_state: str  # of its GPUs that no job holds: one of GPU_STATES
    is_available: bool  # whether it takes jobs


class Cycle(NamedTuple):
    """One of slurmctld's two schedulers; None: it has not run, or this Slurm does not tell."""

    name: str  # main, backfill
    last_seconds: float | None
    mean_seconds: float | None
    max_seconds: float | None
    last_at: int | None
    queue_length: int | None


class Rpc(NamedTuple):
    """Requests of one kind since slurmctld's statistics were last reset."""

    name: str
    requests: int
    seconds: float


class SchedulerNow(NamedTuple):
    """slurmctld's own statistics (sdiag)."""

    cycles: Sequence[Cycle]
    threads: int | None
    agent_queue: int | None
    dbd_queue: int | None  # records on their way to slurmdbd
    jobs: Mapping[str, int]  # submitted, started, completed, canceled, failed, backfilled; since the reset
    rpcs: Sequence[Rpc]


class AccountShare(NamedTuple):
    """What an account is promised, and what it has lately used, as shares of its siblings' (sshare)."""

    account: str
    shares: float | None
    usage: float | None
    level: float | None  # shares / usage; None: nothing used, or this Slurm does not tell


class ReservationNow(NamedTuple):
    """A reservation that is, or is to come."""

    name: str
    state: str  # active, inactive
    start: int
    end: int
    partition: str
    flags: str  # sorted, joined by commas
    nodes: int
    gpus: int | None  # None: Slurm does not say, and its nodes are not known


class LicenseNow(NamedTuple):
    """A licence; used + free = total."""

    name: str
    total: int
    used: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Present:
    """One look at a cluster. None: that question failed, and `failed` says why."""

    queue: Sequence[QueueJob] | None = None
    nodes: Sequence[NodeNow] | None = None
    scheduler: SchedulerNow | None = None
    shares: Sequence[AccountShare] | None = None
    reservations: Sequence[ReservationNow] | None = None
    licenses: Sequence[LicenseNow] | None = None
    failed: Mapping[str, str] = field(default_factory=dict)  # source -> why
    seconds: Mapping[str, float] = field(default_factory=dict)  # source -> how long it took
