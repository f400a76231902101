"""The simulated factory as it goes on: the same people and machine, moved along with the clock.

Invariant: stopping on the way changes nothing, so what is told about a run at one moment agrees with
what is told at any other; and all that is told goes through the text that real accounting goes through.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from threading import Lock

from collectors.simulated import master, quirks, text
from collectors.simulated.grants import grants
from collectors.simulated.machine import ACC, GPP, PARTITIONS, Partition, node_name
from collectors.simulated.rhythm import DAY
from collectors.simulated.scheduler import Place, Run, Scheduler, breakdowns
from collectors.simulated.workload import Request, requests

AHEAD = DAY  # how long the factory can go on after its start


@dataclass(frozen=True, slots=True)
class Holding:
    """GPUs of one node that one job holds, or held until it `ended`."""

    node: str
    job: int
    account: str
    user: str
    gpus: tuple[int, ...]
    started: int
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """What the factory is doing at an instant."""

    at: int
    begun: int  # when the factory was started
    running: list[Run]
    waiting: list[list[Request]]  # by partition, in the order in which they will be tried
    held: list[Request]  # waiting for something else than room
    broken: dict[Place, int]  # since when
    drained: dict[Place, int]
    runs: list[Run]  # all of accounting


class LiveFactory:
    """One factory; its methods may be called from several threads."""

    def __init__(self, start: int, seed: int) -> None:
        """Ninety days of history, less the day ahead, up to `start`."""
        self._horizon = start + AHEAD
        self._start = start
        self._seed = seed
        self._lock = Lock()
        self._scheduler = Scheduler(self._horizon, seed)
        self._scheduler.announce(requests(self._horizon, seed), breakdowns(self._horizon, seed))
        self._scheduler.advance(start)
        self._resized = quirks.to_resize(self._scheduler.rows())
        self._drained = dict(_drained(self._scheduler, partition, start) for partition in (ACC, GPP))
        for place in self._drained:
            self._scheduler.drain(place)
        self._printer = text.Printer()
        self._places: dict[str, dict[int, tuple[int, ...]]] = {}

    def consortium_toml(self) -> str:
        """Who pays, leads and uses, with grants that fit what was used at the start."""
        with self._lock:
            rows = self._scheduler.rows()
        return master.toml(grants(rows, self._horizon, self._seed, at=self._start), self._horizon)

    def sacct_text(self, at: int, start: int, end: int) -> Iterator[bytes]:
        """What `sacct -S start -E end` would print at `at`, in pieces."""
        found = [
            run
            for run in self._rows(at)
            if run.request.submit < end and (run.end is None or run.end >= start)
        ]
        return self._printed(found, at)

    def sacct_text_of(self, at: int, jobs: Collection[int]) -> Iterator[bytes]:
        """What `sacct -j jobs` would print at `at`, in pieces."""
        return self._printed([run for run in self._rows(at) if run.request.job in jobs], at)

    def holdings(self, at: int, nodes: Iterable[str]) -> list[Holding]:
        """Which job holds which GPUs of these nodes at `at`."""
        with self._lock:
            running = self._running(at)
            return [holding for node in nodes for holding in self._on(node, running)]

    def past(self, at: int, nodes: Iterable[str], since: int) -> list[Holding]:
        """Which jobs held which GPUs of these nodes in [since, at], by node and start."""
        runs = [
            run
            for run in self._rows(at)
            if run.request.shape.gpus and run.start is not None and (run.end is None or run.end > since)
        ]
        with self._lock:
            return [holding for node in nodes for holding in self._was_on(node, runs)]

    def busy_nodes(self, at: int, count: int) -> list[str]:
        """GPU nodes that show most: many jobs on a node first, no two with the same jobs."""
        with self._lock:
            running = self._running(at)
        jobs: dict[str, frozenset[int]] = {node: frozenset() for node in _nodes(PARTITIONS[ACC])}
        for run in running:
            for node in _names(run) & jobs.keys():
                jobs[node] |= {run.request.job}
        ranked = sorted(jobs, key=lambda node: (-len(jobs[node]), node))
        others = {jobs[node]: node for node in reversed(ranked)}.values()
        return sorted([*(node for node in ranked if node in others), *ranked][:count])

    def moment(self, at: int) -> Moment:
        """Everything at `at`."""
        with self._lock:
            now = self._scheduler
            now.advance(min(at, self._horizon))
            return Moment(
                at,
                self._start,
                now.running(),
                now.waiting(),
                now.held(),
                now.broken(),
                dict(self._drained),
                now.rows(),
            )

    def _running(self, at: int) -> list[Run]:
        self._scheduler.advance(min(at, self._horizon))
        return [run for run in self._scheduler.running() if run.request.shape.gpus]

    def _rows(self, at: int) -> list[Run]:
        with self._lock:
            self._scheduler.advance(min(at, self._horizon))
            return quirks.resized(self._scheduler.rows(), self._resized)

    def _printed(self, runs: list[Run], at: int) -> Iterator[bytes]:
        with self._lock:
            return iter([*self._printer.chunks(runs, at)])

    def _on(self, node: str, running: Iterable[Run]) -> Iterator[Holding]:
        """Jobs keep the GPUs they were given; a new one takes the lowest that are free."""
        here = {run.request.job: run for run in running if node in _names(run)}
        kept = {job: gpus for job, gpus in self._places.get(node, {}).items() if job in here}
        for job, run in sorted(here.items(), key=lambda item: (item[1].start or 0, item[0])):
            if job not in kept:
                taken = {gpu for gpus in kept.values() for gpu in gpus}
                every = range(PARTITIONS[run.request.shape.partition].gpus)
                kept[job] = tuple(gpu for gpu in every if gpu not in taken)[: run.request.shape.gpus]
            request = run.request
            yield Holding(node, job, request.account, request.user, kept[job], run.start or 0)
        self._places[node] = kept

    def _was_on(self, node: str, runs: Iterable[Run]) -> list[Holding]:
        """As they came and went; what is open now keeps its place in what follows."""
        found: list[Holding] = []
        held: dict[int, Holding] = {}
        for run in _whole(run for run in runs if node in _names(run)):
            assert run.start is not None
            gone = [
                job for job, other in held.items() if other.ended is not None and other.ended <= run.start
            ]
            for job in gone:
                del held[job]
            request = run.request
            taken = {gpu for holding in held.values() for gpu in holding.gpus}
            every = range(PARTITIONS[request.shape.partition].gpus)
            gpus = tuple(gpu for gpu in every if gpu not in taken)[: request.shape.gpus]
            held[request.job] = Holding(
                node, request.job, request.account, request.user, gpus, run.start, run.end
            )
            found.append(held[request.job])
        self._places[node] = {job: holding.gpus for job, holding in held.items() if holding.ended is None}
        return found


def _drained(scheduler: Scheduler, partition: int, start: int) -> tuple[Place, int]:
    """A node that an administrator drained before the start, and when: least used now, so least is lost.

    No job began on it since, as it was when nobody had drained it.
    """
    used = dict.fromkeys(range(PARTITIONS[partition].nodes), 0)
    last = dict.fromkeys(used, start - DAY)
    for run in scheduler.rows():
        if run.request.shape.partition == partition and run.start is not None:
            for node in run.nodes:
                last[node] = max(last[node], run.start)
                used[node] += run.request.shape.slots if run.end is None else 0
    broken = scheduler.broken()
    node = min(
        (node for node in used if (partition, node) not in broken), key=lambda node: (used[node], -node)
    )
    return (partition, node), min(start, last[node] + 60)


def _whole(runs: Iterable[Run]) -> list[Run]:
    """Runs of one node by start. A resized job is one there: it goes on with what it kept."""
    found: dict[tuple[int, int], Run] = {}
    for run in runs:
        key = run.start or 0, run.request.job
        known = found.get(key)
        if known is None or (known.end is not None and (run.end is None or run.end > known.end)):
            found[key] = run
    return [found[key] for key in sorted(found) if found[key].end != found[key].start]


def _names(run: Run) -> set[str]:
    return {node_name(PARTITIONS[run.request.shape.partition], node) for node in run.nodes}


def _nodes(partition: Partition) -> list[str]:
    return [node_name(partition, node) for node in range(partition.nodes)]
