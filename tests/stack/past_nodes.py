"""What the agents of the demonstration's nodes would have shown in the past, with a few honest troubles.

Invariant: the GPUs, their jobs and what these do are those of the living demonstration, so that nothing jumps
where the past ends; a trouble changes the readings of its GPU alone.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import NamedTuple

from collectors.simulated.live import Holding
from collectors.simulated_gpus import SimulatedGpus, jobs_of
from exporters.catalogue import BY_NAME
from exporters.gpu import PREFIX, add_gpus
from exporters.holders import add_holders
from exporters.page import Page
from opsd.core.holders import Evidence, Job, resolve
from opsd.core.telemetry import Gpu, Reading, Snapshot, Xid
from opsd.node.collection import DISTRIBUTION

DAY, HOUR = 86_400, 3_600
COLLECTORS = ("jobs", "simulated", "spool")
BUILD = {"version": version(DISTRIBUTION), "python": platform.python_version()}
OFF_THE_BUS, OUT_OF_MEMORY_BOUNDS = 79, 31  # an XID of hardware, and one of applications


class Trouble(NamedTuple):
    """What happens to a GPU of a node in [begin, end)."""

    kind: str  # lost, hot, xid
    place: int  # of the node
    gpu: int
    begin: int
    end: int


def troubles(until: int, nodes: Sequence[str], holdings: Sequence[Holding]) -> list[Trouble]:
    """Ten days ago a GPU fell off the bus for an hour; another was throttled; a program ran wild twice.

    The lost one is one that no job held then, as far as there is such an hour.
    """
    place, gpu, begin = _free_hour(until - 10 * DAY, nodes, holdings)
    return [
        Trouble("lost", place, gpu, begin, begin + HOUR),
        Trouble("hot", 2 % len(nodes), 1, until - 2 * DAY, until - 2 * DAY + 3 * HOUR),
        Trouble("xid", 0, 0, until - 20 * HOUR, until - 20 * HOUR + 40 * HOUR),
        Trouble("xid", 3 % len(nodes), 2, until - 5 * HOUR, until + HOUR),
    ]


def _free_hour(around: int, nodes: Sequence[str], holdings: Sequence[Holding]) -> tuple[int, int, int]:
    for begin in range(around, around + 4 * DAY, HOUR):
        for place, node in enumerate(nodes):
            held = {
                gpu
                for it in holdings
                if it.node == node and it.started < begin + HOUR and (it.ended or begin + HOUR) > begin
                for gpu in it.gpus
            }
            if free := sorted({0, 1, 2, 3} - held):
                return place, free[0], begin
    return 1 % len(nodes), 2, around


class PastNode:
    """One node's agent; asked moment after moment."""

    def __init__(
        self, holdings: Iterable[Holding], gpus: int, seed: str, found: Sequence[Trouble] = ()
    ) -> None:
        """Begins to look when it is first asked."""
        self._coming = sorted(holdings, key=lambda it: it.started, reverse=True)
        self._here: list[Holding] = []
        self._jobs: list[Job] = []
        self._troubles = found
        self._at = 0.0
        self._gpus = SimulatedGpus(gpus, seed, clock=lambda: self._at, holders=self._minors)

    def page(self, at: int, names: Collection[str] = BY_NAME) -> Page:
        """Its page at a moment, which must not lie before the last one; of readings only these."""
        self._at = at
        self._move(at)
        page = Page()
        snapshot = self._troubled(self._gpus.collect(), at, names)
        add_gpus(page, snapshot)
        found = resolve(self._jobs, snapshot.gpus, Evidence(job_of=jobs_of(self._jobs)))
        add_holders(page, found)
        self._add_health(page, at)
        return page

    def _move(self, at: int) -> None:
        self._here = [it for it in self._here if it.ended is None or it.ended > at]
        while self._coming and self._coming[-1].started <= at:
            held = self._coming.pop()
            if held.ended is None or held.ended > at:
                self._here.append(held)
        self._jobs = [Job(str(it.job), it.account, it.user, it.gpus, started=it.started) for it in self._here]

    def _minors(self) -> dict[int, str]:
        return {minor: job.job_id for job in self._jobs for minor in job.minors}

    def _troubled(self, snapshot: Snapshot, at: int, names: Collection[str]) -> Snapshot:
        now = {it.gpu: it for it in self._troubles if it.begin <= at < it.end}
        gpus = [_with(gpu, now[gpu.index], at) if gpu.index in now else gpu for gpu in snapshot.gpus]
        return replace(snapshot, gpus=tuple(_short(gpu, names) for gpu in gpus))

    def _add_health(self, page: Page, at: int) -> None:
        page.add("opsd_node_build_info", 1, **BUILD)
        page.add("opsd_node_released", 0)
        page.add("opsd_node_round_failures_total", 0)
        page.add("opsd_node_spool_records", at // 300 % 7)
        page.add("opsd_node_spool_dropped_total", 0)
        page.add("opsd_node_spool_write_failures_total", 0)
        for place, collector in enumerate(COLLECTORS):
            page.add("opsd_node_collector_up", 1, collector=collector)
            seconds = 0.0004 + 0.0003 * place + 1e-6 * (at // 300 % 97)
            page.add("opsd_node_collector_duration_seconds", seconds, collector=collector)
            page.add("opsd_node_collector_last_success_timestamp_seconds", at, collector=collector)
        page.add("opsd_page_timestamp_seconds", at)


def _short(gpu: Gpu, names: Collection[str]) -> Gpu:
    kept = {reading: value for reading, value in gpu.values.items() if PREFIX + reading.quantity in names}
    return replace(gpu, values=kept)


def _with(gpu: Gpu, trouble: Trouble, at: int) -> Gpu:
    if trouble.kind == "lost":
        missed = {"hung": 0, "lost": (at - trouble.begin) // 5, "error": 0}
        return replace(
            gpu, condition="lost", values={}, processes=None, failures=missed,
            xids={OFF_THE_BUS: Xid(1, trouble.begin)}, sampled_at=trouble.begin,
        )  # fmt: skip
    if trouble.kind == "xid":
        return replace(
            gpu, xids={OUT_OF_MEMORY_BOUNDS: Xid(1 + (at - trouble.begin) // 36_000, trouble.begin)}
        )
    hot = {
        Reading("temperature_celsius", ("gpu",)): 86.0 + at // 300 % 3,
        Reading("temperature_celsius", ("memory",)): 97.0 + at // 300 % 4,
        Reading("clock_event_active", ("hw_thermal_slowdown",)): 1.0,
        Reading("clock_event_active", ("hw_slowdown",)): 1.0,
        Reading("clock_hertz", ("sm",)): 1.155e9,
        Reading("clock_hertz", ("graphics",)): 1.155e9,
    }
    return replace(gpu, values={**gpu.values, **hot})
