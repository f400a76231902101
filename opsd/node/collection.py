"""One round of a node's collectors, turned into a page.

Invariant: a round ends in bounded time, whatever the driver does, and a collector that fails costs its own
part of the page alone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Protocol

from collectors import jobs_on_node
from exporters.gpu import add_gpus, add_holdings
from exporters.page import Page
from opsd.core.errors import BadInput
from opsd.core.holders import Job, holdings
from opsd.core.telemetry import Snapshot
from opsd.node.options import Options

DISTRIBUTION = "opsd-hpc"

Clock = Callable[[], float]
Say = Callable[[str], None]


class GpuSource(Protocol):
    """Something that shows a node's GPUs."""

    collector: str

    def collect(self) -> Snapshot:
        """The GPUs now; ends in bounded time."""

    def close(self) -> None:
        """Leave the driver."""


class Node:
    """A node's collectors; turns one round of them into a page."""

    def __init__(self, options: Options, clock: Clock, say: Say, *, listens: bool = True) -> None:
        """Touches no driver yet; `listens`: whether XIDs are listened for."""
        self._build = {"version": version(DISTRIBUTION), "python": platform.python_version()}
        self._clock = clock
        self._say = say
        self._said: dict[str, str] = {}
        self._jobs_directory = options.jobs_directory
        self._jobs: tuple[Job, ...] = ()
        self._successes: dict[str, float] = {}
        self._gpus = self._source(options, listens=listens)
        self.seen = Snapshot()

    def page(self) -> Page:
        """Collect once."""
        page = Page()
        page.add("opsd_node_build_info", 1, **self._build)
        faults = self._read_jobs(page)
        self._read_gpus(page)
        held = holdings(self._jobs, [gpu.identity for gpu in self.seen.gpus if gpu.identity])
        add_holdings(page, held._replace(unresolved=held.unresolved + faults))
        page.add("opsd_page_timestamp_seconds", self._clock())
        return page

    def close(self) -> None:
        """Leave the driver."""
        self._gpus.close()

    def _source(self, options: Options, *, listens: bool) -> GpuSource:
        """The driver is loaded only where it is wanted."""
        if options.simulated is None:
            from collectors.nvml.sampler import NvmlGpus

            return NvmlGpus(deadline=options.deadline, clock=self._clock, listens=listens)
        from collectors.simulated_gpus import SimulatedGpus

        return SimulatedGpus(
            options.simulated, options.simulated_seed, clock=self._clock, busy=self._held_minors
        )

    def _held_minors(self) -> set[int]:
        return {minor for job in self._jobs for minor in job.minors}

    def _read_jobs(self, page: Page) -> int:
        started = time.monotonic()
        try:
            self._jobs, faults = jobs_on_node.read(self._jobs_directory)
            trouble = ""
        except BadInput as err:
            self._jobs, faults, trouble = (), (), str(err)
        self._tell("jobs", trouble or "; ".join(faults))
        self._add_health(page, "jobs", started, is_up=not trouble)
        return len(faults)

    def _read_gpus(self, page: Page) -> None:
        started = time.monotonic()
        self.seen = self._gpus.collect()
        self._tell(self._gpus.collector, self.seen.trouble)
        self._tell("xids", self.seen.deaf or "")
        for gpu in self.seen.gpus:
            self._tell(f"gpu {gpu.index} {gpu.uuid}".rstrip(), f"{gpu.condition}: {gpu.trouble}".strip(": "))
        add_gpus(page, self.seen)
        self._add_health(page, self._gpus.collector, started, is_up=not self.seen.trouble)

    def _add_health(self, page: Page, collector: str, started: float, *, is_up: bool) -> None:
        page.add("opsd_node_collector_up", is_up, collector=collector)
        page.add("opsd_node_collector_duration_seconds", time.monotonic() - started, collector=collector)
        if is_up:
            self._successes[collector] = self._clock()
        if collector in self._successes:
            page.add(
                "opsd_node_collector_last_success_timestamp_seconds",
                self._successes[collector],
                collector=collector,
            )

    def _tell(self, thing: str, trouble: str) -> None:
        """Say what is wrong when it begins, and when it is over; not every time."""
        trouble = "" if trouble == "up" else trouble
        if self._said.get(thing, "") != trouble:
            self._say(f"{thing}: {trouble or 'well again'}")
        self._said[thing] = trouble
