"""What slurmdbd's hourly roll-up makes of a whole cluster, and why that is not what its nodes' books say.

Facts of Slurm's src/plugins/accounting_storage/mysql/as_mysql_rollup.c (22.05), held against real data. The
rule is applied with one respect after the other switched on; each cause is the difference of two such
applications, from events, reservations and runs alone. Invariant: no sum that Slurm reports goes in here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from opsd.core.capacity import LINES, Lines
from opsd.core.period import HOUR, Window
from opsd.core.records import (
    CONTROLLER_AWAY,
    MAINT,
    POWERED_DOWN,
    NodeEvent,
    Reservation,
)
from opsd.core.tres import Tres
from opsd.core.usage import Suspension, cut

Expand = Callable[[str], Sequence[str]]
Amounts = dict[str, int]  # by TRES


class Job(NamedTuple):
    """One row of the accounting, with how opsd counts it."""

    begin: int
    finish: int
    start: int | None  # as Slurm has it: of the second row of a shrunk job, the first one's
    end: int | None
    eligible: int | None  # 0: never; None: not known
    tres: Mapping[str, int]
    suspended: Suspension = 0
    reservation: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a cluster and a window; jobs that overlap it, events and reservations too."""

    jobs: Sequence[Job]
    events: Sequence[NodeEvent]
    reservations: Sequence[Reservation]


@dataclass(frozen=True, slots=True)
class Respects:
    """In which of its own ways Slurm counts; all of them: its rule. In the order of the causes."""

    reservation: bool = False  # a reservation counts as allocated whole, its runs do not
    reserved_jobs: bool = False  # nor what they hold that the reservation does not list, such as GPUs
    suspended: bool = False  # runs in a reservation that ignores jobs hold their CPUs while suspended
    resize: bool = False  # the second row of a shrunk job counts from the top of its hour
    not_read: bool = False  # what had not ended counts to the end of the hour
    controller_away: bool = False  # what slurmctld was away for is no capacity, and down but for its runs
    clip: bool = False  # an hour's lines are cut to what there was


RESPECTS = tuple(Respects.__dataclass_fields__)
CAUSES = ("over_commit", "counted_twice", "unplaced", "inventory", *RESPECTS, "not_rolled_up")
SLURM = Respects(*(True,) * len(RESPECTS))
Vector = tuple[int, ...]  # the lines, in the order of LINES
_NOTHING: Vector = (0,) * len(LINES)


# --------------------------------------------------------------------------------------------- one hour


@dataclass(slots=True)
class _Registered:
    """What a cluster, or its absent controller, was for part of an hour."""

    start: int
    end: int
    count: Amounts = field(default_factory=dict)  # the last one
    total: Amounts = field(default_factory=lambda: defaultdict(int))

    def add(self, tres: Amounts, start: int, end: int) -> None:
        self.end = end
        for name, count in tres.items():
            self.count[name] = count
            self.total[name] += count * (end - start)


@dataclass(slots=True)
class _Kept:
    """A reservation's record in an hour."""

    row: Reservation
    start: int
    end: int
    total: Amounts
    nodes: frozenset[str]

    def has(self, flag: str) -> bool:
        return flag in self.row.flags.split(",")


class _Hour:
    """One hour of slurmdbd's clock."""

    def __init__(self, start: int, respects: Respects, tres: Sequence[str]) -> None:
        self.start, self.end = start, start + HOUR
        self.respects = respects
        self.tres = tres
        self.cluster: _Registered | None = None
        self.absences: list[_Registered] = []
        self.kept: list[_Kept] = []
        self.allocated: Amounts = defaultdict(int)
        self.down: Amounts = defaultdict(int)
        self.planned: Amounts = defaultdict(int)

    def lines(self, inside: _Inside) -> dict[str, Vector]:
        """Its lines by TRES; none while the cluster was not registered at all."""
        if self.respects.reservation:
            self._keep(inside.reservations, inside.expand)
        for event in inside.events:  # those of the cluster come first: their node has no name
            if not event.node:
                self._register(event)
            elif event.kind != MAINT and self.cluster is not None:
                self._add_event(event, self.cluster)
        if self.cluster is None:
            return {}
        for kept in self.kept:
            if not kept.has("IGNORE_JOBS"):
                _add(self.planned if kept.has("MAINT") else self.allocated, kept.total)
        for job in inside.jobs:
            self._add_job(job)
        for absence in self.absences:
            _add(self.down, absence.total)
        total = self.cluster.total
        return {name: self._line(name, total[name]) for name in self.tres if name in self.cluster.count}

    def _clip(self, start: int, end: int | None) -> tuple[int, int]:
        return max(start, self.start), self.end if end is None else min(end, self.end)

    def _amounts(self, text: str) -> Amounts:
        return {name: count for name, count in Tres.from_canonical(text) if name in self.tres}

    def _keep(self, rows: Iterable[Reservation], expand: Expand) -> None:
        for row in rows:
            start, end = self._clip(row.start, row.end)
            if start < end:
                total = {name: count * (end - start) for name, count in self._amounts(row.tres).items()}
                self.kept.append(_Kept(row, start, end, total, frozenset(expand(row.nodes))))

    def _register(self, event: NodeEvent) -> None:
        start, end = self._clip(event.start, event.end)
        if start >= end:
            return
        away = event.kind == CONTROLLER_AWAY and self.respects.controller_away
        if away or self.cluster is None:
            target = _Registered(start, end)
            if away:
                self.absences.append(target)
            else:
                self.cluster = target
        else:
            target = self.cluster
        target.add(self._amounts(event.tres), start, end)

    def _add_event(self, event: NodeEvent, cluster: _Registered) -> None:
        """A node that was away: down, and off the reservation that it was in."""
        start, end = self._clip(event.start, event.end)
        if start >= end:
            return
        tres = self._amounts(event.tres)
        moved = 0  # whatever the last reservation with this node makes it, even if below nothing
        for kept in self.kept:
            if event.node not in kept.nodes:
                continue
            moved = min(end, kept.end) - max(start, kept.start)
            if moved >= 1:
                _add_times(self.planned if kept.has("MAINT") else self.down, tres, moved)
                _take(kept.total, tres, moved)
        first, last = max(start, cluster.start), min(end, cluster.end)
        if first >= last:
            return
        if last - first - moved > 0:
            away = self.planned if event.kind == POWERED_DOWN else self.down
            _add_times(away, tres, last - first - moved)
        for absence in self.absences:  # takes the whole cluster's off, not the node's: so it does
            _take(absence.total, cluster.count, min(end, absence.end) - max(start, absence.start))

    def _add_job(self, job: Job) -> None:
        start, end = self._held(job)
        if start >= end:
            return
        for absence in self.absences:
            _take(absence.total, job.tres, min(end, absence.end) - max(start, absence.start))
        if not (job.reservation and self.respects.reservation):
            self._allocate(job, start, end, self.tres)
            return
        mine = [kept for kept in self.kept if kept.row.id == job.reservation]
        mine = [kept for kept in mine if max(start, kept.start) < min(end, kept.end)]
        for kept in mine:
            if kept.has("IGNORE_JOBS"):
                first, last = max(start, kept.start), min(end, kept.end)
                self._allocate(job, first, last, self.tres, whole=self.respects.suspended)
        if not self.respects.reserved_jobs and not any(kept.has("IGNORE_JOBS") for kept in mine):
            listed = {name for kept in mine for name in self._amounts(kept.row.tres)}
            self._allocate(job, start, end, [name for name in self.tres if name not in listed])

    def _held(self, job: Job) -> tuple[int, int]:
        """The part of the hour that a job is counted in."""
        start, end = job.begin, job.finish
        if self.respects.resize and job.start is not None:
            start = job.start
            if job.eligible == 0 or (job.eligible is not None and job.eligible >= self.end):
                return self.end, self.end
        if self.respects.not_read and job.end is None:
            end = self.end
        return self._clip(start, end)

    def _allocate(self, job: Job, start: int, end: int, tres: Iterable[str], *, whole: bool = False) -> None:
        off = 0 if whole else cut(job.begin, job.finish, job.suspended, start, end).suspended
        for name in tres:
            seconds = end - start - (off if name == "cpu" else 0)
            self.allocated[name] += job.tres.get(name, 0) * max(0, seconds)

    def _line(self, name: str, total: int) -> Vector:
        allocated, down, planned = self.allocated[name], self.down[name], self.planned[name]
        if self.respects.clip and total:
            allocated = min(allocated, total)
            down = min(down, max(0, total - allocated)) if allocated + down + planned > total else down
            planned = min(planned, max(0, total - allocated - down))
        return total, allocated, 0, planned, down, total - allocated - down - planned


def _add(sums: Amounts, more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        sums[name] += amount


def _add_times(sums: Amounts, tres: Mapping[str, int], seconds: int) -> None:
    for name, count in tres.items():
        sums[name] += count * seconds


def _take(total: Amounts, tres: Mapping[str, int], seconds: int) -> None:
    """Off a total, not below nothing."""
    if seconds >= 1:
        for name in total:
            total[name] = max(0, total[name] - tres.get(name, 0) * seconds)


# -------------------------------------------------------------------------------------------- all hours


@dataclass(slots=True)
class _Inside:
    """What an hour has in it."""

    expand: Expand
    jobs: list[Job] = field(default_factory=list)
    events: list[NodeEvent] = field(default_factory=list)
    reservations: list[Reservation] = field(default_factory=list)


class Rule:
    """The roll-up over a window of full hours of slurmdbd's clock."""

    def __init__(self, evidence: Evidence, window: Window, tres: Sequence[str], expand: Expand) -> None:
        self.tres = tres
        self.hours = {start: _Inside(expand) for start in range(window.start, window.end, HOUR)}
        for job in evidence.jobs:
            first = job.begin if job.start is None else min(job.start, job.begin)
            eligible = job.begin if job.eligible is None else min(job.begin, job.eligible)
            first = max(first, eligible - (eligible - window.start) % HOUR)
            for inside in self._during(window, first, None if job.end is None else job.finish):
                inside.jobs.append(job)
        for event in sorted(evidence.events, key=lambda one: (one.node, one.start)):
            for inside in self._during(window, event.start, event.end):
                inside.events.append(event)
        for row in sorted(evidence.reservations, key=lambda one: one.start):
            for inside in self._during(window, row.start, row.end):
                inside.reservations.append(row)

    def _during(self, window: Window, start: int, end: int | None) -> Iterable[_Inside]:
        start = max(start, window.start)
        end = window.end if end is None else min(end, window.end)
        first = start - (start - window.start) % HOUR
        return (self.hours[hour] for hour in range(first, end, HOUR))

    def apply(self, respects: Respects, until: int | None = None) -> dict[str, Vector]:
        """The lines by TRES in those respects.

        Args:
            until: leave out the hours from here on.
        """
        sums = dict.fromkeys(self.tres, _NOTHING)
        for start, inside in self.hours.items():
            if until is None or start < until:
                for name, line in _Hour(start, respects, self.tres).lines(inside).items():
                    sums[name] = plus(sums[name], line)
        return sums


def plus(a: Vector, b: Vector) -> Vector:
    """Line by line."""
    return tuple(x + y for x, y in zip(a, b, strict=True))


class Difference(NamedTuple):
    """One line of one TRES: opsd's + the causes = Slurm's, but for what is left over."""

    tres: str
    line: str
    opsd: int
    slurm: int
    causes: Vector  # in the order of CAUSES
    left_over: int


def differences(
    mine: Mapping[str, Lines],
    unplaced: Mapping[str, int],
    rule: Rule,
    slurm: Mapping[str, Vector],
    rolled_until: int | None = None,
) -> list[Difference]:
    """Why Slurm's lines are others than those of the nodes' books.

    Args:
        mine: by TRES.
        unplaced: what runs held that have no node list, or one of unknown nodes.
        slurm: what it reports, by TRES, in the order of LINES; of those alone differences are made.
        rolled_until: hours from here on are in no report; None: it reaches to the end.
    """
    applied = [rule.apply(respects) for respects in _one_after_the_other()]
    last = rule.apply(SLURM, rolled_until)
    found = []
    for name, reported in slurm.items():
        books = mine.get(name, Lines())
        steps = _of_books(books, unplaced.get(name, 0))
        bare = applied[0][name]
        # Without reservations, the rule knows no planned downtime but the nodes' own.
        steps.append(_balanced(bare[0], bare[1], books.reserved_idle, books.planned_in_all, bare[4]))
        steps += [one[name] for one in applied[1:]]
        steps.append(last[name])
        for at, line in enumerate(LINES):
            values = [step[at] for step in steps]
            causes = tuple(b - a for a, b in pairwise(values))
            found.append(Difference(name, line, values[0], reported[at], causes, reported[at] - values[-1]))
    return found


def _one_after_the_other() -> list[Respects]:
    respects = [Respects()]
    for name in RESPECTS:
        respects.append(replace(respects[-1], **{name: True}))
    return respects


def _of_books(books: Lines, unplaced: int) -> list[Vector]:
    """The books as they are; with nothing clipped; with each line for itself; with what is on no node."""
    allocated = books.allocated + books.over_commit
    away = books.planned_in_all, books.down_in_all
    return [
        books[: len(LINES)],
        _balanced(books.total, allocated, books.reserved_idle, books.planned_down, books.down),
        _balanced(books.total, allocated, books.reserved_idle, *away),
        _balanced(books.total, allocated + unplaced, books.reserved_idle, *away),
    ]


def _balanced(total: int, allocated: int, reserved: int, planned: int, down: int) -> Vector:
    return total, allocated, reserved, planned, down, total - allocated - reserved - planned - down
