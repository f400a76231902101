"""The simulated scheduler: first come first served with backfill, breakdowns, requeues.

Invariant: every run is placed by `Room`, so no node ever holds more than it has; events at the same
second are taken in a fixed order, so the same requests always give the same runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count, islice
from random import Random

from collectors.simulated.chance import stream
from collectors.simulated.fates import fate
from collectors.simulated.machine import PARTITIONS, Room
from collectors.simulated.rhythm import LENGTH
from collectors.simulated.workload import Request

END, REPAIR, BREAK, ARRIVE, GIVE_UP = range(5)
DEPTH = 24  # how far down the queue backfill looks
PATIENCE = 30 * 3600  # after this, nothing may overtake a job that needs room
REQUEUE_DELAY = 121  # what Slurm waits before a requeued job is eligible again
BREAKDOWNS = 26
TOO_LONG_TO_KILL = 10 * 86_400


@dataclass(frozen=True, slots=True)
class Run:
    """One row of accounting: a request, when it ran and where. `start` None: it never did."""

    request: Request
    state: str
    start: int | None
    end: int | None
    nodes: tuple[int, ...] = ()
    suspended: int = 0


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A node that fails and is repaired."""

    partition: int
    node: int
    seconds: int


@dataclass(frozen=True, slots=True)
class _Running:
    request: Request
    start: int
    nodes: tuple[int, ...]


_Payload = Request | Breakdown | int
Place = tuple[int, int]  # a partition and a node of it


class Scheduler:
    """Runs the queue; `runs` grows as jobs end."""

    def __init__(self, until: int, seed: int) -> None:
        self._until = until
        self._dice = stream(seed, "requeues")
        self._rooms = [Room(partition) for partition in PARTITIONS]
        self._waiting: list[dict[int, Request]] = [{} for _ in PARTITIONS]
        self._held: dict[int, Request] = {}
        self._running: dict[int, _Running] = {}
        self._broken: dict[Place, int] = {}
        self._events: list[tuple[int, int, int, _Payload]] = []
        self._ticket = count()
        self.runs: list[Run] = []

    def work(self, requests: Iterable[Request], breakdowns: Iterable[tuple[int, Breakdown]]) -> list[Run]:
        """Everything that is in accounting at `until`: ended, running and waiting."""
        self.announce(requests, breakdowns)
        self.advance(self._until)
        return self.rows()

    def announce(self, requests: Iterable[Request], breakdowns: Iterable[tuple[int, Breakdown]]) -> None:
        """Say what will come; nothing happens yet."""
        for request in requests:
            self._expect(request)
        for at, breakdown in breakdowns:
            self._push(at, BREAK, breakdown)

    def advance(self, to: int) -> None:
        """Let everything happen up to `to`. Stopping on the way changes nothing of what happens later."""
        while self._events and self._events[0][0] <= to:
            now, kind, _, payload = heappop(self._events)
            self._handle(now, kind, payload)

    def rows(self) -> list[Run]:
        """What is in accounting now."""
        return [*self.runs, *self._still_open()]

    def _push(self, at: int, kind: int, payload: _Payload) -> None:
        heappush(self._events, (at, kind, next(self._ticket), payload))

    def _expect(self, request: Request) -> None:
        """Announce a request. One that never starts waits apart: it must not stand in others' way."""
        self._push(request.eligible, ARRIVE, request)

    def _handle(self, now: int, kind: int, payload: _Payload) -> None:
        if isinstance(payload, int):
            self._end(now, payload)
        elif isinstance(payload, Breakdown):
            self._break(now, payload) if kind == BREAK else self._repair(now, payload)
        elif kind == ARRIVE:
            self._arrive(now, payload)
        else:
            self._give_up(now, payload)

    def _arrive(self, now: int, request: Request) -> None:
        if request.fate.never_starts:
            self._held[request.job] = request
            self._push(now + request.fate.seconds, GIVE_UP, request)
            return
        queue = self._waiting[request.shape.partition]
        queue[request.job] = request
        if len(queue) <= DEPTH and self._start(now, request):
            del queue[request.job]

    def _give_up(self, now: int, request: Request) -> None:
        del self._held[request.job]
        self.runs.append(Run(request, request.fate.state, None, now))

    def _fill(self, now: int, partition: int) -> None:
        """Start what fits, in the order of the queue, until somebody has waited too long for room."""
        queue = self._waiting[partition]
        refused: set[tuple[int, int]] = set()
        for request in [*islice(queue.values(), DEPTH)]:
            size = (request.shape.nodes, request.shape.slots)
            if size in refused:
                continue
            if self._start(now, request):
                del queue[request.job]
            elif now - request.eligible > PATIENCE:
                break
            else:
                refused.add(size)

    def _start(self, now: int, request: Request) -> bool:
        """Place all parts of a request, or none."""
        parts = (request, *request.companions)
        placed: list[_Running] = []
        for part in parts:
            nodes = self._rooms[part.shape.partition].take(part.shape.nodes, part.shape.slots)
            if nodes is None:
                for other in placed:
                    self._room_of(other).give(other.nodes, other.request.shape.slots)
                return False
            placed.append(_Running(part, now, nodes))
        for running in placed:
            self._running[running.request.job] = running
            self._push(now + running.request.fate.seconds, END, running.request.job)
        return True

    def _room_of(self, running: _Running) -> Room:
        return self._rooms[running.request.shape.partition]

    def _end(self, now: int, job: int) -> None:
        """A job ends as it was fated to; unless its node broke before, and this is an old event."""
        running = self._running.get(job)
        if running is None or running.start + running.request.fate.seconds != now:
            return
        self._leave(now, running, running.request.fate.state, running.request.fate.suspended)
        if running.request.fate.again:
            self._requeue(now, running.request)
        self._fill(now, running.request.shape.partition)

    def _leave(self, now: int, running: _Running, state: str, suspended: int) -> None:
        del self._running[running.request.job]
        self._room_of(running).give(running.nodes, running.request.shape.slots)
        self.runs.append(Run(running.request, state, running.start, now, running.nodes, suspended))

    def _requeue(self, now: int, request: Request) -> None:
        """The same job id with a new Submit: another row, another run."""
        again = replace(
            request,
            submit=now,
            eligible=now + REQUEUE_DELAY,
            fate=fate(self._dice, request.planned),
            companions=(),
        )
        self._expect(again)

    def _break(self, now: int, down: Breakdown) -> None:
        """A node fails: its jobs end in NODE_FAIL, and most are queued again."""
        victims = [
            running
            for running in self._running.values()
            if running.request.shape.partition == down.partition and down.node in running.nodes
        ]
        if any(running.request.fate.seconds > TOO_LONG_TO_KILL for running in victims):
            return
        for running in victims:
            self._leave(now, running, "NODE_FAIL", 0)
            if self._dice.random() < 0.8 and "+" not in running.request.label:
                self._requeue(now, running.request)
        self._rooms[down.partition].close(down.node)
        self._broken[down.partition, down.node] = now
        self._push(now + down.seconds, REPAIR, down)

    def _repair(self, now: int, down: Breakdown) -> None:
        self._rooms[down.partition].open(down.node)
        self._broken.pop((down.partition, down.node), None)
        self._fill(now, down.partition)

    def drain(self, place: Place) -> None:
        """A node takes no new jobs from now on; those on it may end."""
        partition, node = place
        self._rooms[partition].drain(node)

    def broken(self) -> dict[Place, int]:
        """Nodes that have failed and are not repaired, and since when."""
        return dict(self._broken)

    def running(self) -> list[Run]:
        """What is on the machine now."""
        return [Run(it.request, "RUNNING", it.start, None, it.nodes) for it in self._running.values()]

    def waiting(self) -> list[list[Request]]:
        """What waits for room, by partition, in the order in which it will be tried."""
        return [[*queue.values()] for queue in self._waiting]

    def held(self) -> list[Request]:
        """What waits for something else."""
        return [*self._held.values()]

    def _still_open(self) -> list[Run]:
        queued = [request for queue in (*self._waiting, self._held) for request in queue.values()]
        parts = [part for request in queued for part in (request, *request.companions)]
        return self.running() + [Run(part, "PENDING", None, None) for part in parts]


def breakdowns(until: int, seed: int) -> list[tuple[int, Breakdown]]:
    """When which node fails: never twice before it is repaired."""
    dice = stream(seed, "breakdowns")
    drawn = [_breakdown(until, dice) for _ in range(BREAKDOWNS)]
    return list({(down.partition, down.node): (at, down) for at, down in drawn}.values())


def _breakdown(until: int, dice: Random) -> tuple[int, Breakdown]:
    partition = int(dice.random() * len(PARTITIONS))
    node = int(dice.random() * PARTITIONS[partition].nodes)
    seconds = 3600 + int(dice.random() * 40 * 3600)
    return until - int(dice.random() * LENGTH), Breakdown(partition, node, seconds)
