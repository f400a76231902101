"""The agent of a compute node, started as `opsd-node`: GPUs and the jobs that hold them, on one page.

Invariant: it never imports SQL, and a request for the page never waits for the driver: the page is
rendered once per interval, without whatever did not answer in time.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from collectors import jobs_on_node
from exporters.gpu import add_gpus, add_holdings
from exporters.page import Page
from exporters.serve import Holder, PageServer, parse_address
from opsd.core.errors import BadInput, OpsdError
from opsd.core.telemetry import Job, Snapshot, holdings
from opsd.notify import notify, watchdog_seconds

DISTRIBUTION = "opsd-hpc"
DONE = 0
NO_GPU = 1

Clock = Callable[[], float]
Say = Callable[[str], None]

_DEADLINE_SECONDS = 2.0
_STALE_INTERVALS = 3
_SWITCH_SECONDS = 0.0005  # a scrape need not wait the usual 5 ms for a thread that renders
_MOST_GPUS = 64
_MOST_INTERVAL = 86_400
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True)
class Options:
    """How an agent runs; times in seconds.

    Raises:
        BadInput: on construction, where a value makes no sense.
    """

    listen_address: str = "127.0.0.1:9751"
    web_config: Path | None = None
    interval: float = 5.0
    deadline: float = 0.0  # 0: two seconds, or half the interval if that is less
    jobs_directory: Path = Path("/run/opsd/jobs")
    simulated: int | None = None
    simulated_seed: str = "0"

    def __post_init__(self) -> None:
        if self.interval <= 0:
            raise BadInput(f"--interval {self.interval}: must be more than nothing")
        if self.interval > _MOST_INTERVAL:
            raise BadInput(f"--interval {self.interval:g}s: must be a day at most")
        if not self.deadline:
            object.__setattr__(self, "deadline", min(_DEADLINE_SECONDS, self.interval / 2))
        if not 0 < self.deadline < self.interval:
            raise BadInput(f"--deadline {self.deadline:g}s: must be less than --interval {self.interval:g}s")
        if self.simulated is not None and not 0 < self.simulated <= _MOST_GPUS:
            raise BadInput(f"--simulated {self.simulated}: a node has 1 to {_MOST_GPUS} GPUs")


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


class Agent:
    """A node that collects at an interval and serves its page, in threads of its own."""

    def __init__(self, options: Options, clock: Clock = time.time, say: Say | None = None) -> None:
        """Binds at once.

        Raises:
            BadInput, Refused: the address or the web configuration cannot be used.
        """
        self._interval = options.interval
        self._stale_after = _STALE_INTERVALS * options.interval + options.deadline
        self._patience = 2 * options.deadline + 1
        self._collected = time.monotonic()
        self._holder = Holder()
        self._server = PageServer(
            parse_address(options.listen_address),
            self._holder,
            title="opsd-node",
            healthy=self.is_healthy,
            tls=_tls(options.web_config),
        )
        self._node = Node(options, clock, say or _say)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)

    @property
    def url(self) -> str:
        """Its page's root."""
        return self._server.url

    def start(self) -> None:
        """Begin to serve and to collect."""
        self._server.start()
        self._thread.start()

    def stop(self) -> None:
        """End, also while a driver call hangs."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(self._patience)
        self._server.stop()
        self._node.close()

    def is_healthy(self) -> bool:
        """Whether a page was rendered lately."""
        return time.monotonic() - self._collected < self._stale_after

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._holder.put(self._node.page().render())
            self._collected = time.monotonic()
            due = max(due + self._interval, self._collected)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent with these command line arguments (default: the process's own); the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        options = _options(given)
        return _once(options) if given.once else _serve(options)
    except OpsdError as err:
        _say(str(err))
        return err.exit_code


def _once(options: Options) -> int:
    """Print one page; without a GPU that could be read that is a failure, and the page says which."""
    node = Node(options, time.time, _say, listens=False)
    _print(node.page().render().plain.decode())
    is_read = any(gpu.condition == "up" for gpu in node.seen.gpus)
    node.close()
    return DONE if is_read else NO_GPU


def _print(text: str) -> None:
    if sys.stdout is None:  # closed by the caller
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as err:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries again at its end
        raise OpsdError(f"standard output: {err.strerror}: the page is incomplete") from err


def _serve(options: Options) -> int:
    """Serve until a signal; signals wait in a mask, so that none arrives at a bad moment."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    agent = Agent(options)
    agent.start()
    _say(f"serving {agent.url}/metrics")
    notify("READY=1")
    limit = watchdog_seconds()
    while signal.sigtimedwait(ends, limit / 3 if limit else 3600) is None:
        if agent.is_healthy():
            notify("WATCHDOG=1")
    notify("STOPPING=1")
    agent.stop()
    return DONE


def _tls(path: Path | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    from exporters import web_config

    return web_config.read(path)


def _say(text: str) -> None:
    if sys.stderr is None:
        return
    with suppress(OSError):  # a log that is full or gone must not end the collection
        sys.stderr.write(f"opsd-node: {text}\n")
        sys.stderr.flush()


def _options(given: argparse.Namespace) -> Options:
    return Options(
        listen_address=given.listen_address,
        web_config=given.web_config,
        interval=given.interval,
        deadline=given.deadline,
        jobs_directory=given.jobs_directory,
        simulated=given.simulated,
        simulated_seed=given.simulated_seed,
    )


def _duration(text: str) -> float:
    """`5s`, `500ms`, `1m`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 5s, 500ms or 1m")
    return float(found[1]) * _UNITS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="opsd-node", description="Agent of a compute node: GPUs, and the jobs that hold them."
    )
    given = Options()
    add = parser.add_argument
    add("--once", action="store_true", help="print one page and end; 1 if no GPU could be read")
    add(
        "--web.listen-address",
        dest="listen_address",
        default=given.listen_address,
        metavar="HOST:PORT",
        help="where the page is served (default %(default)s)",
    )
    add(
        "--web.config.file",
        dest="web_config",
        type=Path,
        metavar="FILE",
        help="TLS and client certificates; needed off the loopback",
    )
    add(
        "--interval",
        type=_duration,
        default=given.interval,
        metavar="TIME",
        help="how often GPUs are read (default 5s)",
    )
    add(
        "--deadline",
        type=_duration,
        default=0.0,
        metavar="TIME",
        help="how long a GPU may take to answer (default 2s, or half the interval)",
    )
    add(
        "--jobs.directory",
        dest="jobs_directory",
        type=Path,
        default=given.jobs_directory,
        metavar="FOLDER",
        help="where Slurm's prolog drops a file per job (default %(default)s)",
    )
    add(
        "--simulated",
        type=int,
        metavar="N",
        help="show N GPUs that are not there, busy while a job holds them",
    )
    add(
        "--simulated.seed",
        dest="simulated_seed",
        default=given.simulated_seed,
        metavar="TEXT",
        help="another seed is another node (default %(default)s)",
    )
    add("--version", action="version", version=f"%(prog)s {version(DISTRIBUTION)}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
