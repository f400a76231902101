"""Slurm as it is now, as metrics.

Invariant: everything of one source comes from one answer, so parts add up; of a source that did not
answer nothing is shown but that. Past a family's ceiling what matters least is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exporters.catalogue import BY_NAME
from exporters.page import Page
from opsd.core import present_counts
from opsd.core.present import (
    GPU_STATES,
    SOURCES,
    AccountShare,
    LicenseNow,
    NodeNow,
    Present,
    QueueJob,
    ReservationNow,
    SchedulerNow,
)
from opsd.core.present_counts import Gpus, Waits

_REASON_LENGTH = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Look:
    """One look at one cluster, and what is known besides."""

    cluster: str
    at: int
    present: Present
    answered: Mapping[str, int] = field(default_factory=dict)  # source -> when it last did
    started: Mapping[str, Waits] = field(default_factory=dict)  # by partition
    gpu_seconds: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by class and state


class _Sample(NamedTuple):
    name: str
    labels: tuple[str, ...]  # after the cluster
    value: float
    weight: float | None = None  # the larger, the more it matters; None: as large as its value


def page(looks: Sequence[Look]) -> Page:
    """All clusters' looks as samples, by labels; where a ceiling is near, what matters most first."""
    found: dict[str, list[_Sample]] = {}
    for look in looks:
        for sample in _samples(look):
            kept = sample._replace(labels=(look.cluster, *sample.labels))
            found.setdefault(sample.name, []).append(kept)
    made = Page()
    for name, samples in found.items():
        metric = BY_NAME[name]
        samples.sort(key=_by_weight if len(samples) > metric.ceiling else _by_labels)
        for sample in samples:
            made.add(name, sample.value, **dict(zip(metric.labels, sample.labels, strict=True)))
    return made


def _by_labels(sample: _Sample) -> tuple[str, ...]:
    return sample.labels


def _by_weight(sample: _Sample) -> tuple[float, tuple[str, ...]]:
    return -(sample.value if sample.weight is None else sample.weight), sample.labels


def reason(text: str) -> str:
    """What somebody wrote, fit for a label: one line, and no novel."""
    return _CONTROL.sub(" ", text)[:_REASON_LENGTH]


def _samples(look: Look) -> Iterator[_Sample]:
    now = look.present
    yield from _sources(look)
    if now.queue is not None:
        yield from _queue(now.queue, look.at)
    yield from _waits("opsd_slurm_started_wait_seconds", look.started)
    if now.nodes is not None:
        yield from _nodes(now.nodes)
        yield from _gpus(now.nodes)
    for (gpu_class, state), seconds in look.gpu_seconds.items():
        yield _Sample("opsd_slurm_gpu_seconds_total", (gpu_class, state), seconds)
    yield from _shares(now.shares or ())
    if now.scheduler is not None:
        yield from _scheduler(now.scheduler)
    yield from _reservations(now.reservations or ())
    yield from _licenses(now.licenses or ())


def _sources(look: Look) -> Iterator[_Sample]:
    for source in SOURCES:
        yield _Sample("opsd_slurm_source_up", (source,), int(getattr(look.present, source) is not None))
        if source in look.answered:
            name = "opsd_slurm_source_last_success_timestamp_seconds"
            yield _Sample(name, (source,), look.answered[source])
        if source in look.present.seconds:
            yield _Sample("opsd_slurm_source_duration_seconds", (source,), look.present.seconds[source])


def _queue(queue: Sequence[QueueJob], at: int) -> Iterator[_Sample]:
    yield from _counted("opsd_slurm_jobs", present_counts.jobs(queue).items())
    yield from _counted("opsd_slurm_pending_jobs", present_counts.reasons(queue).items())
    yield from _counted("opsd_slurm_pending_gpus", present_counts.gpus_asked(queue).items())
    yield from _counted("opsd_slurm_running_gpus", present_counts.gpus_held(queue).items())
    yield from _waits("opsd_slurm_pending_wait_seconds", present_counts.waits(queue, at))


def _counted(name: str, counts: Iterable[tuple[tuple[str, ...], int]]) -> Iterator[_Sample]:
    for labels, count in counts:
        yield _Sample(name, labels, count)


def _waits(name: str, waited: Mapping[str, Waits]) -> Iterator[_Sample]:
    for partition, ranks in waited.items():
        for rank, seconds in ranks._asdict().items():
            yield _Sample(name, (partition, rank), seconds, ranks.max)  # a partition's ranks stay together


def _nodes(nodes: Sequence[NodeNow]) -> Iterator[_Sample]:
    for state, count in present_counts.nodes(nodes).items():
        yield _Sample("opsd_slurm_nodes", (state,), count)
    yield from _counted("opsd_slurm_partition_nodes", present_counts.partition_nodes(nodes).items())
    for node in nodes:
        weight = int(not node.is_available)
        yield _Sample("opsd_slurm_node_state_info", (node.name, node.state), 1, weight)
        if not node.is_available:
            yield from _unavailable(node)


def _unavailable(node: NodeNow) -> Iterator[_Sample]:
    words = reason(node.reason)
    yield _Sample("opsd_slurm_node_unavailable_info", (node.name, node.state, words), 1)
    if node.reason_since is not None:
        name = "opsd_slurm_node_unavailable_since_timestamp_seconds"
        yield _Sample(name, (node.name,), node.reason_since)


def _gpus(nodes: Sequence[NodeNow]) -> Iterator[_Sample]:
    for node in nodes:
        for gpu_class, count in node.gpus.items():
            where = node.name, gpu_class
            yield _Sample("opsd_slurm_node_gpus", where, count)
            yield _Sample(
                "opsd_slurm_node_allocated_gpus", where, min(node.allocated.get(gpu_class, 0), count), count
            )
    yield from _by_state("opsd_slurm_gpus", (), present_counts.gpus(nodes))
    for partition, gpus in present_counts.partition_gpus(nodes).items():
        yield from _by_state("opsd_slurm_partition_gpus", (partition,), gpus)


def _by_state(name: str, where: tuple[str, ...], gpus: Gpus) -> Iterator[_Sample]:
    """Every state of a class that is there, also those of no GPU: a graph then falls to 0 and has no gap."""
    whole: dict[str, int] = {}
    for (gpu_class, _), count in gpus.items():
        whole[gpu_class] = whole.get(gpu_class, 0) + count
    for gpu_class, count in whole.items():
        for state in GPU_STATES:
            yield _Sample(name, (*where, gpu_class, state), gpus[gpu_class, state], count)


def _shares(shares: Iterable[AccountShare]) -> Iterator[_Sample]:
    for share in shares:
        weight = share.usage or 0  # who uses much is asked about
        for name, value in (
            ("shares", share.shares),
            ("usage", share.usage),
            ("level_fairshare", share.level),
        ):
            if value is not None:
                yield _Sample(f"opsd_slurm_account_{name}_ratio", (share.account,), value, weight)


def _scheduler(now: SchedulerNow) -> Iterator[_Sample]:
    for cycle in now.cycles:
        kinds = {"last": cycle.last_seconds, "mean": cycle.mean_seconds, "max": cycle.max_seconds}
        for kind, seconds in kinds.items():
            yield from _known("opsd_slurm_scheduler_cycle_seconds", (cycle.name, kind), seconds)
        yield from _known("opsd_slurm_scheduler_last_cycle_timestamp_seconds", (cycle.name,), cycle.last_at)
        yield from _known("opsd_slurm_scheduler_queue_length", (cycle.name,), cycle.queue_length)
    yield from _known("opsd_slurm_controller_threads", (), now.threads)
    yield from _known("opsd_slurm_controller_agent_queue", (), now.agent_queue)
    yield from _known("opsd_slurm_dbd_queue_records", (), now.dbd_queue)
    for event, count in now.jobs.items():
        yield _Sample("opsd_slurm_controller_jobs_total", (event,), count)
    for rpc in now.rpcs:
        yield _Sample("opsd_slurm_controller_rpcs_total", (rpc.name,), rpc.requests, rpc.seconds)
        yield _Sample("opsd_slurm_controller_rpc_seconds_total", (rpc.name,), rpc.seconds)


def _known(name: str, labels: tuple[str, ...], value: float | None) -> Iterator[_Sample]:
    if value is not None:
        yield _Sample(name, labels, value)


def _reservations(found: Iterable[ReservationNow]) -> Iterator[_Sample]:
    for one in found:
        weight = -one.start  # what comes first
        names = one.state, one.partition, one.flags
        yield _Sample("opsd_slurm_reservation_info", (one.name, *names), 1, weight)
        numbers = {
            "start_timestamp_seconds": one.start, "end_timestamp_seconds": one.end, "nodes": one.nodes,
            "gpus": one.gpus,
        }  # fmt: skip
        for name, value in numbers.items():
            if value is not None:
                yield _Sample(f"opsd_slurm_reservation_{name}", (one.name,), value, weight)


def _licenses(found: Iterable[LicenseNow]) -> Iterator[_Sample]:
    for one in found:
        numbers = {"used": one.used, "free": one.total - one.used, "reserved": one.reserved}
        for state, count in numbers.items():
            yield _Sample("opsd_slurm_licenses", (one.name, state), count, one.total)
