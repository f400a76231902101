"""Where the capacity of nodes went: allocated, reserved idle, planned down, down, or unallocated.

At an instant a node's CPUs, and its GPUs, are first what runs hold (on a node that drains or is said to be
down, too), and what is left is planned down, else down, else reserved and idle, else unallocated. A run's
TRES are split evenly over its nodes, what does not divide going to the first ones. CPUs of a suspended run
are not held, its GPUs are. What runs hold above a node's count is clipped, and a figure of its own.

Invariant: per node class, resource and period the five lines add up to the total, which is counted from the
inventory alone; no line is negative; and the lines of any cut of a window add up to the window's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from opsd.core.nodes import Place
from opsd.core.period import DAY
from opsd.core.plan import Plan
from opsd.core.usage import Suspension, cut

RESOURCES = ("cpu", "gpu")
LINES = ("total", "allocated", "reserved_idle", "planned_down", "down", "unallocated")


class Held(NamedTuple):
    """What one run held, where."""

    run: int
    begin: int
    finish: int
    nodes: Sequence[str]  # in the order of its host list
    cpu: int
    gpu: int
    suspended: Suspension = 0
    reservation: int = 0


class Away(NamedTuple):
    """A node that could not be used."""

    node: str
    start: int
    end: int
    planned: bool


class Reserved(NamedTuple):
    """Nodes kept for somebody."""

    id: int
    start: int
    end: int
    nodes: Sequence[str]
    part: tuple[int, int] | None = None  # CPUs and GPUs in all; None: the nodes are reserved whole


class Lines(NamedTuple):
    """Resource-seconds of one resource. The last three are no lines: they overlap with them."""

    total: int = 0
    allocated: int = 0
    reserved_idle: int = 0
    planned_down: int = 0
    down: int = 0
    unallocated: int = 0
    over_commit: int = 0  # held above the nodes' counts, and clipped
    planned_in_all: int = 0  # of nodes that were planned down, whatever runs held of them
    down_in_all: int = 0  # of nodes that were down, planned or not besides, whatever runs held of them

    def plus(self, other: Lines) -> Lines:
        """The sum, line by line."""
        return Lines(*(a + b for a, b in zip(self, other, strict=True)))


Periods = tuple[str, ...]
Key = tuple[str, Periods, int]  # node class, civil periods, place in RESOURCES


@dataclass(slots=True)
class Balance:
    """The lines by class, period and resource, and what runs held on nodes that nobody knows."""

    lines: dict[Key, Lines] = field(default_factory=dict)
    elsewhere: dict[str, list[int]] = field(default_factory=dict)  # node -> cpu- and gpu-seconds


def balance(
    plan: Plan,
    places: Sequence[Place],
    held: Iterable[Held],
    away: Iterable[Away] = (),
    reserved: Sequence[Reserved] = (),
) -> Balance:
    """Balance the nodes of a plan's window.

    Raises:
        AssertionError: the lines do not add up, which is a bug.
    """
    if not plan.segments:
        return Balance()
    marks = _marks(plan, places, held, away, reserved)
    sums: dict[tuple[str, Periods], list[int]] = defaultdict(lambda: [0] * (2 * _WIDTH))
    found = Balance()
    for node, its_marks in marks.items():
        nowhere = [0, 0]
        _Sweep(plan, sums, nowhere).run(its_marks)
        if any(nowhere):
            found.elsewhere[node] = nowhere
    found.lines = _checked(sums, _totals(plan, places))
    return found


# ------------------------------------------------------------------------------------------------ marks

_ALLOCATED, _RESERVED, _PLANNED, _DOWN, _FREE, _OVER, _PLANNED_ALL, _DOWN_ALL = range(8)
_WIDTH = 8
# What changes at an instant; the numbers are two, or a thing and a sign.
_HOLD, _PLACE, _AWAY, _KEEP, _PART_HELD, _UNPLACED = range(6)
Mark = tuple[int, int, Any, Any]


def _marks(
    plan: Plan,
    places: Sequence[Place],
    held: Iterable[Held],
    away: Iterable[Away],
    reserved: Sequence[Reserved],
) -> dict[str, list[Mark]]:
    """Everything that changes on each node inside the window."""
    first, last = plan.segments[0].start, plan.segments[-1].end
    marks: dict[str, list[Mark]] = defaultdict(list)
    for place in places:
        _add(marks[place.node], place.start, place.end, first, last, _PLACE, place, None)
    for outage in away:
        _add(marks[outage.node], outage.start, outage.end, first, last, _AWAY, int(outage.planned), 0)
    for kept in reserved:
        for node, part in zip(kept.nodes, _parts(kept), strict=True):
            _add(marks[node], kept.start, kept.end, first, last, _KEEP, kept.id, part)
    partly = {kept.id for kept in reserved if kept.part is not None}
    for run in held:
        if run.begin < last and run.finish > first:
            _hold(marks, run, first, last, partly)
    return marks


def _parts(one: Reserved) -> list[tuple[int, int] | None]:
    if one.part is None:
        return [None] * len(one.nodes)
    cpus, gpus = (split(count, len(one.nodes)) for count in one.part)
    return list(zip(cpus, gpus, strict=True))


def _hold(marks: Mapping[str, list[Mark]], run: Held, first: int, last: int, partly: Collection[int]) -> None:
    count = len(run.nodes)
    for at, node in enumerate(run.nodes):
        cpu = run.cpu // count + (at < run.cpu % count)
        gpu = run.gpu // count + (at < run.gpu % count)
        its = marks[node]
        start, end = max(run.begin, first), min(run.finish, last)
        its.append((start, _HOLD, cpu, gpu))
        its.append((end, _HOLD, -cpu, -gpu))
        if run.reservation in partly:
            its.append((start, _PART_HELD, run.reservation, (cpu, gpu)))
            its.append((end, _PART_HELD, run.reservation, (-cpu, -gpu)))
        if not run.suspended or not cpu:
            continue
        if isinstance(run.suspended, int):
            its.append((start, _UNPLACED, run, cpu))
            its.append((end, _UNPLACED, run, -cpu))
            continue
        for a, b in run.suspended:
            if a < end and b > start:
                its.append((max(a, start), _HOLD, -cpu, 0))
                its.append((min(b, end), _HOLD, cpu, 0))


def _add(
    marks: list[Mark],
    start: int,
    end: int,
    first: int,
    last: int,
    what: int,
    thing: Any,  # noqa: ANN401  # as in Mark
    more: Any,  # noqa: ANN401  # the same
) -> None:
    """A thing that is there for a time; its end is told by a minus before what it is."""
    start, end = max(start, first), min(end, last)
    if start < end:
        marks.append((start, what, thing, more))
        marks.append((end, -what, thing, more))


def split(count: int, parts: int) -> list[int]:
    """Whole parts that add up, the first ones larger."""
    return [count // parts + (at < count % parts) for at in range(parts)]


# ------------------------------------------------------------------------------------------------ sweep


class _Sweep:
    """Goes over one node's time, from change to change."""

    def __init__(
        self,
        plan: Plan,
        sums: Mapping[tuple[str, Periods], list[int]],
        nowhere: list[int],
    ) -> None:
        self.plan = plan
        self.sums = sums
        self.nowhere = nowhere
        self.place: Place | None = None
        self.held = [0, 0]
        self.away = [0, 0]  # not planned, planned
        self.whole = 0  # reservations of the whole node
        self.parts: dict[int, list[int]] = {}  # of the others: CPUs and GPUs kept
        self.inside: dict[int, list[int]] = defaultdict(lambda: [0, 0])  # what their own runs hold
        self.unplaced: dict[int, tuple[Held, int]] = {}  # runs suspended at times that nobody knows

    def run(self, marks: list[Mark]) -> None:
        """From the first change to the last; at the edges of periods, what there is is cut."""
        segments = self.plan.segments
        number = 0
        at = segments[0].start
        marks.sort(key=_time)
        for time, changes in groupby(marks, key=_time):
            while at < time:
                while segments[number].end <= at:
                    number += 1
                stop = min(time, segments[number].end)
                if self.place is not None:
                    key = self.place.node_class, segments[number].periods
                    self._count(at, stop, self.place, self.sums[key])
                elif self.held[0] or self.held[1]:
                    self.nowhere[0] += self.held[0] * (stop - at) - self._off(at, stop)
                    self.nowhere[1] += self.held[1] * (stop - at)
                at = stop
            for change in changes:
                self._apply(change)

    def _apply(self, mark: Mark) -> None:
        _, what, thing, more = mark
        if what == _HOLD:
            self.held[0] += thing
            self.held[1] += more
        elif what in (_PLACE, -_PLACE):
            self._put(thing, there=what > 0)
        elif what in (_AWAY, -_AWAY):
            self.away[thing] += 1 if what > 0 else -1
        elif what in (_KEEP, -_KEEP):
            self._keep(thing, more, 1 if what > 0 else -1)
        elif what == _PART_HELD:
            for resource in (0, 1):
                self.inside[thing][resource] += more[resource]
        else:
            self._suspend(thing, more)

    def _suspend(self, run: Held, cpu: int) -> None:
        cpu += self.unplaced.pop(run.run, (run, 0))[1]
        if cpu:
            self.unplaced[run.run] = run, cpu

    def _put(self, place: Place, *, there: bool) -> None:
        """Of two marks of an instant, the end of the last place may come after the next one's start."""
        if there:
            self.place = place
        elif self.place is place:
            self.place = None

    def _keep(self, number: int, part: tuple[int, int] | None, sign: int) -> None:
        if part is None:
            self.whole += sign
            return
        kept = self.parts.setdefault(number, [0, 0])
        for resource in (0, 1):
            kept[resource] += sign * part[resource]

    def _count(self, a: int, b: int, place: Place, sums: list[int]) -> None:
        seconds = b - a
        for resource in (0, 1):
            count = place.counts[resource]
            if count is None:
                self.nowhere[resource] += self.held[resource] * seconds
                continue
            held = self.held[resource]
            if resource == 0 and self.unplaced:
                used, over = self._spread(a, b, held, count)
            elif held <= count:
                used, over = held * seconds, 0
            else:
                used, over = count * seconds, (held - count) * seconds
            at = resource * _WIDTH
            sums[at + _ALLOCATED] += used
            sums[at + _OVER] += over
            idle = count * seconds - used
            if self.away[1] or self.away[0]:
                self._count_away(sums, at, idle, count * seconds)
            elif idle and (self.whole or self.parts):
                free = self._beside(a, b, resource, count, idle)
                sums[at + _RESERVED] += idle - free
                sums[at + _FREE] += free
            else:
                sums[at + _FREE] += idle

    def _count_away(self, sums: list[int], at: int, idle: int, in_all: int) -> None:
        sums[at + (_PLANNED if self.away[1] else _DOWN)] += idle
        if self.away[1]:
            sums[at + _PLANNED_ALL] += in_all
        if self.away[0]:
            sums[at + _DOWN_ALL] += in_all

    def _beside(self, a: int, b: int, resource: int, count: int, idle: int) -> int:
        """Of what is idle, what no reservation keeps; each second for itself, as what is held."""
        rest = count - min(count, self._kept(resource, count))
        if resource == 0 and self.unplaced:
            return rest * (b - a) - self._spread(a, b, self.held[0], rest)[0]
        return max(0, idle - (count - rest) * (b - a))

    def _kept(self, resource: int, count: int) -> int:
        """How many are reserved and not held by the reservation's own runs."""
        if self.whole:
            return count
        return sum(
            max(0, kept[resource] - self.inside[number][resource]) for number, kept in self.parts.items()
        )

    def _off(self, a: int, b: int) -> int:
        """CPU-seconds that suspended runs did not hold, where only their total is known."""
        return sum(_off_seconds(run, a, b) * cpu for run, cpu in self.unplaced.values())

    def _spread(self, a: int, b: int, held: int, count: int) -> tuple[int, int]:
        """(held, held above the count) while some runs are suspended at times that nobody knows.

        Every second of such a run is suspended or not, evenly spread; so each second is clipped for itself,
        which no cut changes.
        """
        if held <= count:
            return held * (b - a) - self._off(a, b), 0
        if len(self.unplaced) == 1:
            ((run, cpu),) = self.unplaced.values()
            off = _off_seconds(run, a, b)
            used = min(held, count) * (b - a - off) + min(held - cpu, count) * off
            return used, held * (b - a) - cpu * off - used
        off = self._off(a, b)
        if held - sum(cpu for _, cpu in self.unplaced.values()) >= count:  # clipped in every second
            used = count * (b - a)
        else:
            used = sum(
                self._clipped(start, min(start + _AT_ONCE, b), held, count) for start in range(a, b, _AT_ONCE)
            )
        return used, held * (b - a) - off - used

    def _clipped(self, a: int, b: int, held: int, count: int) -> int:
        """What is held of the count, each second for itself; few of their sums differ."""
        off = [0] * (b - a)
        for run, cpu in self.unplaced.values():
            for second in _suspended_seconds(run, a, b):
                off[second - a] += cpu
        return sum(seconds * min(count, held - cpus) for cpus, seconds in Counter(off).items())


_AT_ONCE = DAY  # seconds that are looked at one by one, so that a long window needs no more room


def _off_seconds(run: Held, a: int, b: int) -> int:
    return cut(run.begin, run.finish, run.suspended, a, b).suspended


def _suspended_seconds(run: Held, a: int, b: int) -> Iterator[int]:
    """The seconds of [a, b) in which a run is suspended, as `cut` spreads them: where its rounding steps."""
    length = run.finish - run.begin
    total = min(int(run.suspended), length)  # type: ignore[arg-type]  # of unplaced runs it is a number
    first, last = (total * (edge - run.begin) // length for edge in (a, b))
    return (run.begin - (-number * length // total) - 1 for number in range(first + 1, last + 1))


_time = itemgetter(0)


# ------------------------------------------------------------------------------------------------ totals


def _totals(plan: Plan, places: Sequence[Place]) -> dict[Key, int]:
    """What there was, from the inventory alone; nodes that came and went together are looked at once."""
    alike: dict[tuple[int, int, str, tuple[int | None, int | None]], int] = defaultdict(int)
    for place in places:
        alike[place.start, place.end, place.node_class, place.counts] += 1
    totals: dict[Key, int] = defaultdict(int)
    for (start, end, node_class, counts), nodes in alike.items():
        for number, a, b in plan.pieces(start, end):
            for resource, count in enumerate(counts):
                totals[node_class, plan.segments[number].periods, resource] += nodes * (count or 0) * (b - a)
    return totals


def _checked(sums: Mapping[tuple[str, Periods], list[int]], totals: Mapping[Key, int]) -> dict[Key, Lines]:
    found = {}
    for (node_class, periods), values in sums.items():
        for resource in (0, 1):
            key = node_class, periods, resource
            parts = values[resource * _WIDTH : (resource + 1) * _WIDTH]
            lines = Lines(totals.get(key, 0), *parts)
            if lines.total != sum(lines[1:6]) or min(lines) < 0:
                raise AssertionError(f"the books of {key} do not balance: {lines}")
            found[key] = lines
    missing = [key for key, total in totals.items() if total and key not in found]
    if missing:
        raise AssertionError(f"the books lack {missing[0]}")
    return found
