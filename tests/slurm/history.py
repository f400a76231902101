"""Months of made-up accounting with every kind of row that Slurm writes: same seed, same history.

Runs are placed on lanes (quarters of a node), so that no node ever holds more than it has. Associations are
named by (account, user, partition), for their numbers are slurmdbd's to give.

Invariant: rows have the shapes that a real Slurm 22.05 leaves (suspensions, resizes, requeues and
reservations were compared with those of the live suite); only who ran what, when, is invented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

HOUR, DAY = 3600, 86400
PENDING, RUNNING, SUSPENDED, COMPLETED, CANCELLED, FAILED, TIMEOUT, NODE_FAIL, PREEMPTED = range(9)
DEADLINE, OUT_OF_MEMORY, REQUEUED, RESIZING = 10, 11, 0x400, 0x2000
IGNORE_JOBS, MAINT, SPEC_NODES = 0x40, 0x1, 0x8000
DOWN, DRAIN, IDLE_DRAIN = 0x1, 0x203, 0x202  # a drained node with and without a job on it

NO_TASK, NEVER = 4294967294, 4294967295

Key = tuple[str, str, str]  # account, user, partition: an association


class Tres(NamedTuple):
    """What somebody holds."""

    cpu: int
    mem: int
    node: int
    billing: int
    gpu: int

    def times(self, factor: int) -> Tres:
        """So many of them."""
        return Tres(*(factor * count for count in self))


NOTHING = Tres(0, 0, 0, 0, 0)


class Job(NamedTuple):
    """A row of the job table; its number is its place in the history, from 1."""

    id: int
    key: Key
    partition: str
    state: int
    submit: int
    eligible: int
    start: int
    end: int
    nodes: Sequence[str]
    tres: Tres
    suspended: int = 0
    reservation: int = 0
    array: tuple[int, int] | None = None  # the array's job, the task
    pending_tasks: str = ""
    het: tuple[int, int] | None = None  # the leader, the offset


class Suspension(NamedTuple):
    """A row of the suspend table."""

    job: int
    start: int
    end: int


class Reserved(NamedTuple):
    """A row of the reservation table."""

    id: int
    associations: Sequence[Key]
    flags: int
    nodes: Sequence[str]
    start: int
    end: int
    cpus: int


class Event(NamedTuple):
    """A row of the event table; without a node it is the cluster's own."""

    node: str
    start: int
    end: int
    state: int
    reason: str
    tres: Tres
    nodes: Sequence[str] = ()


class Part(NamedTuple):
    """A partition: nodes of one kind, cut into four lanes each."""

    name: str
    nodes: Sequence[str]
    late_nodes: int  # this many came when a third of the history was over
    lane: Tres


def _names(letter: str, count: int) -> list[str]:
    return [f"{letter}{number:03d}" for number in range(1, count + 1)]


LANES = 4
CPU = Part("cpu", _names("c", 40), 0, Tres(32, 64_000, 0, 47, 0))
GPU = Part("gpu", _names("g", 24), 6, Tres(16, 128_000, 0, 55, 1))
RESERVED = Part("gpu", _names("r", 3), 0, GPU.lane)  # nodes that only reservations use
SPARE = Part("cpu", _names("x", 2), 0, CPU.lane)  # one holds runaway jobs, one breaks
PARTS = (CPU, GPU, RESERVED, SPARE)

FIELDS = ("bio", "cfd", "llm", "geo", "nlp", "qcd")
LEAVER = "u017"  # runs nothing in the last two thirds
PROJECTS = [f"{country}-{name}" for country in ("es", "pt", "tr", "ro") for name in FIELDS]


def members() -> dict[str, list[Key]]:
    """The associations of every user: one account, or two, or one of a partition besides."""
    found = {}
    for number in range(1, 61):
        user = f"u{number:03d}"
        accounts = [PROJECTS[number % len(PROJECTS)]]
        if number % 5 == 0:
            accounts.append(PROJECTS[(number * 7 + 3) % len(PROJECTS)])
        found[user] = [(account, user, "") for account in accounts]
        if number % 8 == 0:
            found[user].append((accounts[0], user, "gpu"))
    return found


@dataclass
class History:
    """Everything that goes into slurmdbd's tables."""

    start: int
    end: int
    jobs: list[Job] = field(default_factory=list)
    suspensions: list[Suspension] = field(default_factory=list)
    reservations: list[Reserved] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    taken: set[tuple[int, int]] = field(default_factory=set)

    def add(self, job: Job) -> int:
        """Append a row; its number. Two rows of a job never have the same submission: the table's own key."""
        submit = job.submit
        while (job.id, submit) in self.taken:
            submit += 1
        self.taken.add((job.id, submit))
        self.jobs.append(job._replace(submit=submit))
        return len(self.jobs)


class Lanes:
    """From when on each quarter of each node is free."""

    def __init__(self, part: Part, start: int, late: int) -> None:
        self.part = part
        born = [start] * (len(part.nodes) - part.late_nodes) + [late] * part.late_nodes
        self.free = [[at] * LANES for at in born]

    def find(self, at: int, nodes: int, lanes: int) -> tuple[int, list[int]]:
        """When that many lanes of that many nodes are free at the earliest, and which nodes."""
        ready = sorted((max(at, sorted(free)[lanes - 1]), node) for node, free in enumerate(self.free))
        return ready[nodes - 1][0], [node for _, node in ready[:nodes]]

    def hold(self, nodes: Sequence[int], lanes: int, until: int) -> None:
        """Take the lanes that are free first."""
        for node in nodes:
            self.free[node].sort()
            self.free[node][:lanes] = [until] * lanes


class Ask(NamedTuple):
    """What one job wants."""

    id: int
    key: Key
    lanes: Lanes
    nodes: int
    width: int  # lanes of each node
    submit: int
    eligible: int
    seconds: int
    array: tuple[int, int] | None = None
    het: tuple[int, int] | None = None

    def tres(self, nodes: int | None = None) -> Tres:
        """What it holds on so many nodes."""
        count = self.nodes if nodes is None else nodes
        return self.lanes.part.lane.times(count * self.width)._replace(node=count)


class Simulation:
    """Draws jobs one after the other, and writes down what became of them."""

    def __init__(self, start: int, end: int, runs: int, seed: int) -> None:
        self.random = Random(seed)
        self.history = History(start, end)
        self.grown = start + (end - start) // 3
        begin = start - 4 * DAY  # some run across the first edge
        self.cpu, self.gpu = (Lanes(part, begin, self.grown) for part in (CPU, GPU))
        self.users = members()
        self.gap = (end - begin) / runs
        self.last_id = 1000

    def run(self) -> History:
        """All of it."""
        at = self.history.start - 4 * DAY
        while at < self.history.end:
            at += max(1, round(self.random.expovariate(1 / self.gap)))
            self._submission(self._snapped(at))
        self._still_there()
        self._reservations()
        self._runaways()
        self._broken_node()
        self._registrations()
        return self.history

    def _snapped(self, at: int) -> int:
        """Now and then exactly at the full hour: edges are where sums go wrong."""
        return at - at % HOUR if self.random.random() < 0.01 else at

    def _id(self) -> int:
        self.last_id += 1
        return self.last_id

    # -- what is asked for ---------------------------------------------------------------------

    def _submission(self, at: int) -> None:
        ask = self._ask(at)
        kinds = (
            (self._plain, 75), (self._array, 2), (self._het, 2), (self._requeued, 4), (self._suspended, 5),
            (self._resized, 4), (self._never_started, 4), (self._drained, 1), (self._zero, 1),
        )  # fmt: skip
        story = self.random.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        story(ask)

    def _ask(self, at: int) -> Ask:
        lanes = self.random.choice((self.cpu, self.gpu))
        nodes, width = self.random.choices(((1, 1), (1, 2), (1, 4), (2, 4), (5, 4)), (40, 20, 20, 15, 5))[0]
        here = [user for user in sorted(self.users) if user != LEAVER or at < self.grown]
        keys = self.users[self.random.choice(here)]
        key = self.random.choice([one for one in keys if one[2] in ("", lanes.part.name)])
        seconds = min(round(self.random.lognormvariate(8.4, 1.6)), 3 * DAY)
        eligible = at + self.random.choice((0, 0, 0, 60, HOUR))
        return Ask(self._id(), key, lanes, nodes, width, at, eligible, seconds)

    def _place(self, ask: Ask, seconds: int | None = None) -> tuple[int, int, list[int]]:
        """(start, end, nodes); holds the lanes until the end."""
        start, nodes = ask.lanes.find(ask.eligible, ask.nodes, ask.width)
        end = start + (ask.seconds if seconds is None else seconds)
        ask.lanes.hold(nodes, ask.width, end)
        return start, end, nodes

    def _row(self, ask: Ask, state: int, start: int, end: int, nodes: Sequence[int]) -> Job:
        """A row as the end of the history finds it: over, still running, or not yet begun."""
        names = [ask.lanes.part.nodes[node] for node in sorted(nodes)]
        tres = ask.tres(len(nodes))
        job = Job(
            ask.id, ask.key, ask.lanes.part.name, state, ask.submit, ask.eligible, start, end, names, tres,
            array=ask.array, het=ask.het,
        )  # fmt: skip
        if start >= self.history.end:
            return job._replace(state=PENDING, start=0, end=0, nodes=(), tres=NOTHING)
        return job._replace(state=RUNNING, end=0) if end > self.history.end else job

    def _end_state(self) -> int:
        states = (COMPLETED, FAILED, CANCELLED, TIMEOUT, OUT_OF_MEMORY)
        return self.random.choices(states, (80, 9, 5, 4, 2))[0]

    # -- what became of it ---------------------------------------------------------------------

    def _plain(self, ask: Ask) -> None:
        self.history.add(self._row(ask, self._end_state(), *self._place(ask)))

    def _zero(self, ask: Ask) -> None:
        self._plain(ask._replace(seconds=self.random.choice((0, 0, 1, HOUR))))

    def _array(self, ask: Ask) -> None:
        """The array's own number is its last task's; tasks that never ran leave one row for all of them."""
        count = self.random.choice((2, 5, 12))
        for task in range(count):
            number = ask.id if task == count - 1 else self._id()
            seconds = round(ask.seconds * self.random.uniform(0.1, 0.4))
            self._plain(ask._replace(id=number, array=(ask.id, task), nodes=1, width=1, seconds=seconds))
        if self.random.random() < 0.5:
            at = ask.submit + self.random.randrange(1, HOUR)
            left = ask._replace(id=self._id(), array=(ask.id, NO_TASK))
            self._cancelled(left, at, NEVER, pending=hex(0xF << count))

    def _het(self, ask: Ask) -> None:
        other = ask._replace(id=self._id(), lanes=self.cpu, nodes=1, width=1, het=(ask.id, 1))
        self._plain(ask._replace(het=(ask.id, 0)))
        self._plain(other)

    def _requeued(self, ask: Ask) -> None:
        for _ in range(self.random.choice((1, 1, 2, 3))):
            seconds = round(ask.seconds * self.random.uniform(0.05, 0.9))
            start, end, nodes = self._place(ask, seconds)
            if end >= self.history.end:
                break
            state = self.random.choice((REQUEUED, PREEMPTED, NODE_FAIL if ask.width == LANES else REQUEUED))
            self.history.add(self._row(ask, state, start, end, nodes))
            if state == NODE_FAIL:
                self._breaks(ask, nodes[0], end, DOWN)
            again = end + self.random.choice((0, 1))
            ask = ask._replace(submit=again, eligible=again + self.random.choice((16, 121)))
        self._plain(ask)

    def _breaks(self, ask: Ask, node: int, at: int, state: int, until: int = 0) -> None:
        """A node is away for a while, and nothing else may use it."""
        back = max(at, until) + self.random.randrange(60, DAY)
        part = ask.lanes.part
        self._event(part.nodes[node], part, at, back, state)
        ask.lanes.free[node] = [max(back, free) for free in ask.lanes.free[node]]

    def _event(self, node: str, part: Part, start: int, end: int, state: int) -> None:
        reason = self.random.choice(("not responding", 'fan | "broken"', "kill task failed"))
        whole = part.lane.times(LANES)
        if start < self.history.end:
            end = 0 if end >= self.history.end else end
            self.history.events.append(Event(node, start, end, state, reason, whole))

    def _drained(self, ask: Ask) -> None:
        """The job on a node that is being drained runs to its end."""
        ask = ask._replace(width=LANES)
        start, end, nodes = self._place(ask)
        self.history.add(self._row(ask, self._end_state(), start, end, nodes))
        if end - start > 2:
            self._breaks(ask, nodes[0], self.random.randrange(start + 1, end), DRAIN, until=end)

    def _never_started(self, ask: Ask) -> None:
        at = ask.submit + self.random.choice((0, 5, 600, 40_000))
        self._cancelled(ask, at, self.random.choice((ask.eligible, ask.eligible, ask.eligible, 0)))

    def _cancelled(self, ask: Ask, at: int, eligible: int, pending: str = "") -> None:
        """Two shapes: no start, or a start that is the end."""
        if at >= self.history.end:
            return
        start = at if self.random.random() < 0.5 else 0
        state = self.random.choice((CANCELLED, CANCELLED, DEADLINE))
        row = self._row(ask._replace(eligible=eligible), state, start, at, ())
        self.history.add(row._replace(tres=NOTHING, pending_tasks=pending))

    def _suspended(self, ask: Ask) -> None:
        """Several times, often across the hour; or cancelled while suspended; or still suspended."""
        start, end, nodes = self._place(ask)
        row = self._row(ask, self._end_state(), start, end, nodes)
        last = row.end or self.history.end
        if not row.start or last - row.start < 100:
            self.history.add(row)
            return
        edges = sorted(
            self.random.sample(range(row.start + 1, last), 2 * self.random.choice((1, 1, 2, 3, 6)))
        )
        spans = list(zip(edges[::2], edges[1::2], strict=True))
        if not row.end and self.random.random() < 0.7:
            spans[-1] = (spans[-1][0], 0)
            before = sum(b - a for a, b in spans[:-1])
            row = row._replace(state=SUSPENDED, suspended=spans[-1][0] - before)
        elif row.end and self.random.random() < 0.15:  # its end is when it was suspended, not cancelled
            spans[-1] = (spans[-1][0], spans[-1][0])
            row = row._replace(state=CANCELLED, end=spans[-1][0], suspended=sum(b - a for a, b in spans))
        else:
            row = row._replace(suspended=sum(b - a for a, b in spans))
        number = self.history.add(row)
        self.history.suspensions += [Suspension(number, *span) for span in spans]

    def _resized(self, ask: Ask) -> None:
        """A shrunk job's second row keeps the original start, a grown one's begins at the resize.

        What it grew by was another job's, of which an empty row without an end stays.
        """
        ask = ask._replace(nodes=max(2, ask.nodes), width=LANES, seconds=ask.seconds + 300)
        grows = self.random.random() < 0.4
        start, end, nodes = self._place(ask)
        if end >= self.history.end:
            self.history.add(self._row(ask, COMPLETED, start, end, nodes))
            return
        at = self.random.randrange(start + 50, end - 50)
        before, after = (
            (nodes[:-1], nodes) if grows else (nodes, nodes[: self.random.randrange(1, len(nodes))])
        )
        self.history.add(self._row(ask, RESIZING, start, at, before))
        again = ask._replace(submit=at, eligible=at)
        self.history.add(self._row(again, self._end_state(), at if grows else start, end, after))
        if grows:
            gives = ask._replace(id=self._id(), submit=start, eligible=start)
            self.history.add(self._row(gives, RESIZING, start, at, nodes[-1:]))
            empty = self._row(gives._replace(submit=at, eligible=at), COMPLETED, at, at, ())
            self.history.add(empty._replace(end=0, tres=NOTHING))

    def _still_there(self) -> None:
        """Some run, are suspended or wait when the history ends."""
        for hours in range(1, 13):
            ask = self._ask(self.history.end - hours * HOUR)
            (self._suspended, self._plain)[hours % 2](ask._replace(seconds=30 * DAY, eligible=ask.submit))
            waits = self._ask(self.history.end - hours * HOUR)
            self.history.add(self._row(waits, PENDING, self.history.end, 0, ()))

    # -- beside the jobs -----------------------------------------------------------------------

    def _reservations(self) -> None:
        at, number = self.history.start + 3 * DAY, 0
        while at < self.history.end - 3 * DAY:
            number += 1
            length = self.random.choice((5_400, 7_200, 40_000, DAY))
            accounts = self.random.sample(PROJECTS, self.random.choice((1, 1, 2, 3)))
            self.history.reservations += self._reserved(number, accounts, at, at + length)
            if number % 5 != 2:
                self._jobs_in(number, accounts, at, at + length)
            if number % 4 == 1:
                self._event("r001", RESERVED, at + length // 4, at + length // 2, IDLE_DRAIN)
            at += self.random.choice((2, 3, 5)) * DAY + self.random.randrange(0, 7200)

    def _reserved(self, number: int, accounts: Sequence[str], start: int, end: int) -> Iterator[Reserved]:
        """Plain, IGNORE_JOBS, MAINT, for users, or changed on the way, which makes a second row."""
        flags = SPEC_NODES | (0, IGNORE_JOBS, MAINT, 0, 0)[number % 5]
        keys: list[Key] = [(account, "", "") for account in accounts]
        if number % 5 == 3:
            keys += [key for keys in self.users.values() for key in keys if key[0] == accounts[0]][:1]
        middle = start + (end - start) // 3 if number % 5 == 4 else end
        cpus = RESERVED.lane.cpu * LANES
        yield Reserved(number, keys, flags, RESERVED.nodes[:2], start, middle, 2 * cpus)
        if middle < end:
            yield Reserved(number, keys, flags, RESERVED.nodes, middle, end, 3 * cpus)

    def _jobs_in(self, number: int, accounts: Sequence[str], start: int, end: int) -> None:
        at = start + self.random.randrange(0, 1800)
        keys = [key for keys in self.users.values() for key in keys if key[0] in accounts]
        while keys and at < end - 600 and self.random.random() < 0.8:
            over = min(at + self.random.randrange(60, 7200), end)
            tres = RESERVED.lane.times(self.random.choice((1, 4)))._replace(node=1)
            job = Job(
                self._id(), self.random.choice(keys), "gpu", COMPLETED, at - 5, at - 5, at, over, ["r001"],
                tres, reservation=number,
            )  # fmt: skip
            self.history.add(job)
            at = over + self.random.randrange(0, 3000)

    def _runaways(self) -> None:
        """Their end was never recorded."""
        length = self.history.end - self.history.start
        for number, user in enumerate(sorted(self.users)[:3]):
            at = self.history.start + length * (number + 2) // 6 + 1234
            row = Job(
                self._id(), self.users[user][0], "cpu", RUNNING, at - 60, at - 60, at, 0, ["x001"],
                SPARE.lane._replace(node=1),
            )  # fmt: skip
            self.history.add(row)

    def _broken_node(self) -> None:
        at = self.history.start
        while (at := at + self.random.randrange(HOUR, 6 * DAY)) < self.history.end - DAY:
            back = at + round(self.random.lognormvariate(8, 1.5))
            self._event("x002", SPARE, at, back, self.random.choice((DOWN, IDLE_DRAIN)))
            at = back

    def _registrations(self) -> None:
        """What the cluster consisted of, and when its controller was away."""
        edges = self.random.sample(range(self.history.start + DAY, self.history.end - DAY), 6)
        away = {at: at + self.random.choice((40, 600, 5000)) for at in edges}
        at = self.history.start - 5 * DAY
        for edge in sorted({*edges, self.grown, self.history.end}):
            if edge < at:
                continue
            self._registered(at, edge)
            if edge in away:
                back = away[edge]
                event = Event("", edge, back, 1, "slurmctld disconnect", *self._consists(edge))
                self.history.events.append(event)
            at = away.get(edge, edge)

    def _registered(self, start: int, end: int) -> None:
        stays = end == self.history.end
        event = Event("", start, 0 if stays else end, 0, "Cluster Registered TRES", *self._consists(start))
        self.history.events.append(event)

    def _consists(self, at: int) -> tuple[Tres, Sequence[str]]:
        late = at < self.grown
        nodes = [(part, part.nodes[: len(part.nodes) - late * part.late_nodes]) for part in PARTS]
        sums = [part.lane.times(LANES * len(names))._replace(node=len(names)) for part, names in nodes]
        return Tres(*map(sum, zip(*sums, strict=True))), [name for _, names in nodes for name in names]


def make(start: int, end: int, runs: int, seed: int) -> History:
    """A history of about so many runs, between two instants."""
    return Simulation(start, end, runs, seed).run()
