"""One round of a node's collectors, turned into a page.

Invariant: a round ends in bounded time, whatever the driver does, and a collector that fails costs its own
part of the page alone.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from collectors import jobs_on_node
from exporters.gpu import add_gpus, add_strays
from exporters.holders import add_holders
from exporters.page import Page
from exporters.spool import add_spool
from opsd.core.errors import BadInput
from opsd.core.holders import Holders, Job
from opsd.core.telemetry import Snapshot
from opsd.node.kernel_xids import KernelXids
from opsd.node.options import Options
from opsd.node.whose import Whose

if TYPE_CHECKING:
    from opsd.node.measuring import Measuring

DISTRIBUTION = "opsd-hpc"
_MOST_TOLD = 10  # of many things of one kind: a log is to be read

Clock = Callable[[], float]
Say = Callable[[str], None]


class GpuSource(Protocol):
    """Something that shows a node's GPUs."""

    collector: str

    def collect(self) -> Snapshot:
        """The GPUs now; ends in bounded time."""

    def close(self) -> str:
        """Leave the driver, which the next `collect` opens anew; what is still in it, in words."""


class Node:
    """A node's collectors; turns one round of them into a page."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        say: Say,
        *,
        listens: bool = True,
        gpus: GpuSource | None = None,
    ) -> None:
        """Touches no driver yet.

        Args:
            listens: whether XIDs are listened for.
            gpus: where GPUs are read; default: as the options say.
        """
        self._expected = options.expected_gpus
        self._build = {"version": version(DISTRIBUTION), "python": platform.python_version()}
        self._clock = clock
        self._say = say
        self._said: dict[str, str] = {}
        self._jobs_directory = options.jobs_directory if "jobs" in options.collectors else None
        self._are_jobs_read = False
        self._jobs: tuple[Job, ...] = ()
        self._unreadable: tuple[str, ...] = ()
        self._successes: dict[str, float] = {}
        self._gpus = gpus or self._source(options, listens=listens)
        self._are_gpus_read = options.simulated is not None or "nvml" in options.collectors
        self._kernel_xids = KernelXids(options, clock, say) if listens else None
        self.is_wanted_released = False
        self.stuck = ""  # what is still in a driver that is to be left
        self.seen = Snapshot()
        self._whose = Whose(options, clock)
        self.holders = Holders()
        self.measuring = self._measuring(options) if listens else None

    def page(self) -> Page:
        """Collect once."""
        page = Page()
        page.add("opsd_node_build_info", 1, **self._build)
        if self._expected is not None:
            page.add("opsd_gpu_devices_expected", self._expected)
        faults = self._read_jobs(page)
        self._read_kernel_log(page)
        if self.is_wanted_released:
            self._leave(page)
        elif self._are_gpus_read:
            self._read_gpus(page)
        self._read_holders(page, faults)
        self._measure(page)
        page.add("opsd_page_timestamp_seconds", self._clock())
        return page

    def close(self) -> None:
        """Leave the driver."""
        self._gpus.close()
        if self._kernel_xids is not None:
            self._kernel_xids.close()
        if self.measuring is not None:
            self.measuring.close()

    def _source(self, options: Options, *, listens: bool) -> GpuSource:
        """The driver is loaded only where it is wanted."""
        if options.simulated is None:
            from collectors.nvml.inside import Wanted
            from collectors.nvml.sampler import NvmlGpus

            wanted = Wanted(
                gpm="gpm" in options.collectors,
                mig="mig" in options.collectors,
                nvlink_links="nvlink-links" in options.collectors,
                settles=not listens,
            ).within(options.deadline)
            listens = listens and "xids" in options.collectors
            return NvmlGpus(deadline=options.deadline, clock=self._clock, listens=listens, wanted=wanted)
        from collectors.simulated_gpus import SimulatedGpus

        return SimulatedGpus(
            options.simulated, options.simulated_seed, clock=self._clock, holders=self._held_minors
        )

    def _measuring(self, options: Options) -> Measuring | None:
        if options.spool_directory is None or not options.keeps_spool:
            return None
        from opsd.node.measuring import Measuring

        return Measuring(options.spool_directory, options.interval)

    def _held_minors(self) -> dict[int, str]:
        return {minor: job.job_id for job in self._jobs for minor in job.minors}

    def _read_jobs(self, page: Page) -> int:
        if self._jobs_directory is None:
            return 0
        started = time.monotonic()
        try:
            self._jobs, faults, self._unreadable = jobs_on_node.read(self._jobs_directory)
            trouble = ""
        except BadInput as err:
            self._jobs, faults, trouble = (), (), str(err)
        self._tell("jobs", trouble or _few("; ", faults))
        self._add_health(page, "jobs", started, is_up=not trouble)
        self._are_jobs_read = not trouble
        return len(faults)

    def _read_holders(self, page: Page, faults: int) -> None:
        self.holders = self._whose.holders(self._jobs, self.seen.gpus, faults)
        stale = _few(", ", self.holders.stale)
        self._tell(
            "stale job files", f"{stale}: these jobs are over, and their files hold nothing" if stale else ""
        )
        add_holders(page, self.holders, are_files_read=self._are_jobs_read)

    def _measure(self, page: Page) -> None:
        """Last in a round: what each job did with its devices since the one before."""
        if self.measuring is None:
            return
        started = time.monotonic()
        jobs = self._jobs if self._are_jobs_read else None
        trouble = self.measuring.take(self._clock(), self.seen, self.holders, jobs, self._unreadable)
        self._tell("spool", "; ".join(words for words in (self.measuring.damage, trouble) if words))
        self._add_health(page, "spool", started, is_up=not trouble)
        add_spool(page, self.measuring.spool, self.measuring.failures)

    def _leave(self, page: Page) -> None:
        """Show no GPU, and leave the driver; tried again as long as a call is stuck in it."""
        self.seen = Snapshot()
        self.stuck = self._gpus.close()
        self._tell("driver", f"cannot be left yet: {self.stuck}" if self.stuck else "left until SIGUSR2")
        page.add("opsd_node_released", not self.stuck)

    def _read_kernel_log(self, page: Page) -> None:
        started = time.monotonic()
        trouble = self._kernel_xids.read() if self._kernel_xids else None
        if trouble is not None:
            self._tell("kernel_log", trouble)
            self._add_health(page, "kernel_log", started, is_up=not trouble)

    def _read_gpus(self, page: Page) -> None:
        started = time.monotonic()
        self._tell("driver", "")
        page.add("opsd_node_released", 0)
        self.seen = self._gpus.collect()
        if self._kernel_xids is not None:
            add_strays(page, self._kernel_xids.strays(self.seen))
            self.seen = self._kernel_xids.joined(self.seen)
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


def _few(between: str, texts: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    rest = len(texts) - _MOST_TOLD
    return between.join([*texts[:_MOST_TOLD], *([f"and {rest} more"] if rest > 0 else [])])
