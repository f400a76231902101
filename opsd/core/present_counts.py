"""What one look at a cluster adds up to: jobs, waits, nodes and GPUs.

Invariant: parts add up: tasks of jobs by state are all tasks, GPUs by state are all that nodes are
configured with; each node and each GPU is counted once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from opsd.core.present import ALLOCATED, NodeNow, QueueJob

PENDING = "pending"
# What a job in one of these states was given it still has; a suspended one as well, by Slurm's default. A
# completing one has ended: slurmctld counts nothing of it on its nodes, nor does the accounting.
_HOLDING = frozenset((
    "running", "suspended", "configuring", "resizing", "signaling", "stage_out", "stopped",
))  # fmt: skip
# Their users, or an administrator, do not want these jobs to start yet.
_MAY_NOT = frozenset(("BeginTime", "Dependency", "DependencyNeverSatisfied", "JobArrayTaskLimit"))

Gpus = Counter[tuple[str, str]]  # (class, state)
PERCENTS = (50, 90, 100)


class Waits(NamedTuple):
    """Nearest ranks: each is a time that some job really waited, in whole seconds."""

    median: int
    p90: int
    max: int


def jobs(queue: Iterable[QueueJob]) -> Counter[tuple[str, str, str]]:
    """Jobs by partition, account and state, each task of an array counted."""
    found: Counter[tuple[str, str, str]] = Counter()
    for job in queue:
        found[job.partition, job.account, job.state] += job.tasks
    return found


def reasons(queue: Iterable[QueueJob]) -> Counter[tuple[str, str]]:
    """Waiting jobs by partition and why, without which nodes or limits Slurm names after a comma."""
    found: Counter[tuple[str, str]] = Counter()
    for job in queue:
        if job.state == PENDING:
            found[job.partition, job.reason.partition(",")[0]] += job.tasks
    return found


def gpus_asked(queue: Iterable[QueueJob]) -> Counter[tuple[str, str]]:
    """GPUs that waiting jobs ask for, by partition and account; without those that ask for none."""
    return _gpus(job for job in queue if job.state == PENDING)


def gpus_held(queue: Iterable[QueueJob]) -> Counter[tuple[str, str]]:
    """GPUs that jobs hold, likewise."""
    return _gpus(job for job in queue if job.state in _HOLDING)


def _gpus(some: Iterable[QueueJob]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for job in some:
        if job.gpus:
            found[job.partition, job.account] += job.gpus * job.tasks
    return found


def waits(queue: Iterable[QueueJob], at: int) -> dict[str, Waits]:
    """How long jobs that may start have been waiting at an instant, by partition."""
    waited: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for job in queue:
        if job.state == PENDING and job.eligible is not None and job.eligible <= at and _may_start(job):
            waited[job.partition].append((at - job.eligible, job.tasks))
    return {partition: _ranked(found) for partition, found in waited.items()}


def _may_start(job: QueueJob) -> bool:
    """Slurm has several words for a job that is held; all but one have it in them."""
    return (
        job.reason not in _MAY_NOT and "held" not in job.reason.lower() and job.reason != "JobHoldMaxRequeue"
    )


def _ranked(waited: list[tuple[int, int]]) -> Waits:
    waited.sort()
    whole = sum(tasks for _, tasks in waited)
    return Waits(*(_at(waited, -(-whole * percent // 100)) for percent in PERCENTS))


def _at(waited: list[tuple[int, int]], rank: int) -> int:
    """The wait of the task at this place, counted from 1."""
    for seconds, tasks in waited:
        rank -= tasks
        if rank <= 0:
            return seconds
    return waited[-1][0]


def nodes(known: Iterable[NodeNow]) -> Counter[str]:
    """Nodes by state."""
    return Counter(node.state for node in known)


def partition_nodes(known: Iterable[NodeNow]) -> Counter[tuple[str, str]]:
    """Nodes by partition and state; one of several partitions counts in each."""
    return Counter((partition, node.state) for node in known for partition in node.partitions)


def gpus(known: Iterable[NodeNow]) -> Gpus:
    """GPUs by class and state."""
    found: Gpus = Counter()
    for node in known:
        found.update(_of_node(node))
    return found


def partition_gpus(known: Iterable[NodeNow]) -> dict[str, Gpus]:
    """The same by partition; a GPU of a node of several counts in each."""
    found: dict[str, Gpus] = defaultdict(Counter)
    for node in known:
        for partition in node.partitions if node.gpus else ():
            found[partition].update(_of_node(node))
    return found


def _of_node(node: NodeNow) -> Mapping[tuple[str, str], int]:
    """What is left of a node's GPUs does what the node does; no more are held than there are."""
    found: Gpus = Counter()
    for gpu_class, configured in node.gpus.items():
        held = min(node.allocated.get(gpu_class, 0), configured)
        found[gpu_class, ALLOCATED] += held
        found[gpu_class, node.gpu_state] += configured - held
    return found
