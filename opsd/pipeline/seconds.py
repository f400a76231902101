"""Seconds by cell: the one way from stored runs and facts to anything opsd shows.

Whole days come from the facts. From the runs come: the loose ends of the window and its civil
periods, stale (dirty) days, the day on which an account or a person changes hands, and open runs.
Which run is told from which is the labeller's business.

Invariant: the sum over all cells is what the stored runs add up to over the window, whatever the
labels, the cuts, and the state of the facts.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

from opsd.core.period import DAY
from opsd.core.plan import Plan, joined
from opsd.core.usage import Counts, amounts, cut
from opsd.store import read
from opsd.store.engine import Connection
from opsd.store.read import FactSum, Held, Key, Subset


class Cell(NamedTuple):
    """What is summed under one name: civil periods, labels, and the shape where those are told apart."""

    periods: tuple[str, ...]
    labels: tuple[str, ...]
    shape: int  # 0 where not told apart


# (runs, run seconds, suspended seconds) by shape, or (runs, cpu-, node-, GPU-, MB-, billing-seconds).
# `runs` counts the runs that overlap a cell, so it adds up over shapes only.
Sums = dict[Cell, list[int]]


class Labeller(Protocol):
    """Names the cell of a run at an instant, and says when that name may change."""

    wanted: Sequence[str]  # which of read.DIMENSIONS the labels depend on
    by_shape: bool  # whether seconds of different shapes are told apart

    def labels(self, key: Key, at: int) -> tuple[str, ...]:
        """Constant between edges."""

    def account_edges(self, account: int, start: int, end: int) -> Sequence[int]:
        """Sorted instants strictly inside (start, end) where labels of an account may change."""

    def user_edges(self, user: int, start: int, end: int) -> Sequence[int]:
        """The same for one user."""

    def changing(self, start: int, end: int) -> Subset:
        """The accounts and users that have edges strictly inside (start, end)."""


# Beyond these many separate looks at the runs, one pass over all of them is quicker.
_MOST_LOOKS = 400
# Where more accounts than these change labels, on no more than so many days, everybody is cut there.
_FEW_ACCOUNTS, _MOST_CUTS = 50, 60


def collect(
    connection: Connection,
    plan: Plan,
    labeller: Labeller,
    counts: Mapping[int, Counts],
    *,
    counted: bool = True,
) -> Sums:
    """All non-empty cells of a plan.

    Args:
        counts: of every shape (`read.Names.counts`).
        counted: whether runs are; where only seconds matter, no look at who entered which cell is needed.
    """
    return _Collector(connection, plan, labeller, counts).collect(counted=counted)


def collect_of(
    connection: Connection,
    plan: Plan,
    labeller: Labeller,
    counts: Mapping[int, Counts],
    accounts: frozenset[int],
) -> Sums:
    """The seconds of some accounts alone, with every day looked at by itself; runs are not counted."""
    return _Collector(connection, plan, labeller, counts).collect_of(accounts)


def collect_runs(
    connection: Connection,
    plan: Plan,
    labeller: Labeller,
    counts: Mapping[int, Counts],
    runs: Iterable[Held],
) -> Sums:
    """The cells of some runs alone: their part of what `collect` gives."""
    collector = _Collector(connection, plan, labeller, counts)
    for held in runs:
        collector.add_whole(held)
    return collector.result()


def pieces(
    connection: Connection,
    plan: Plan,
    labeller: Labeller,
    counts: Mapping[int, Counts],
    held: Held,
) -> list[tuple[Cell, int, int]]:
    """Every part of a run inside one cell, in time order: (cell, start, end)."""
    return _Collector(connection, plan, labeller, counts).pieces(held)


def pieces_of(
    connection: Connection,
    plan: Plan,
    labeller: Labeller,
    counts: Mapping[int, Counts],
    runs: Iterable[Held],
) -> Iterator[tuple[Held, Cell, int, int]]:
    """The same of many runs, one after the other."""
    collector = _Collector(connection, plan, labeller, counts)
    for held in runs:
        for cell, start, end in collector.pieces(held):
            yield held, cell, start, end


class _Collector:
    def __init__(
        self, connection: Connection, plan: Plan, labeller: Labeller, counts: Mapping[int, Counts]
    ) -> None:
        self.connection = connection
        self.plan = plan
        self.labeller = labeller
        self.counts = counts
        width = 1 + len(read.SECONDS if labeller.by_shape else read.MEASURES)
        self.sums: Sums = defaultdict(lambda: [0] * width)
        self._mask = tuple(1 if name in labeller.wanted else 0 for name in read.DIMENSIONS)
        self.start = plan.segments[0].start if plan.segments else 0
        self.end = plan.segments[-1].end if plan.segments else 0
        self._edges: dict[tuple[int, int], list[int]] = {}
        self._loose = _LooseDays(frozenset(), frozenset(), stale=False)

    def collect(self, *, counted: bool) -> Sums:
        if not self.plan.segments:
            return {}
        self._loose = self._loose_days()
        self._add_facts(self._loose)
        self._add_regions(self._regions(self._loose))
        if counted:
            self._add_entering()
        for held in read.open_runs(self.connection):
            self.add_whole(held)
        return self.result()

    def collect_of(self, accounts: frozenset[int]) -> Sums:
        """The same of some accounts' seconds; what is asked for is few accounts and many segments."""
        if not self.plan.segments or not accounts:
            return {}
        found, spans = self._loose_days(), self.plan.day_spans
        own = frozenset(cell for cell in found.accounts if cell[1] in accounts)
        self._loose = _LooseDays(own, frozenset(), stale=found.stale)
        if spans:
            self._add_days(spans[0][1], spans[-1][2], Subset(accounts, frozenset()), self._loose)
        raw = [_Region(a, b, account, None) for a, b in self.plan.raw_regions for account in accounts]
        days = _stretches(own, _Days(spans))
        for region in (*raw, *(_Region(a, b, account, None) for account, a, b in days)):
            for held in read.runs_overlapping(
                self.connection, region.start, region.end, account=region.account
            ):
                self._add_seconds(held, region.start, region.end)
        for held in read.open_runs(self.connection):
            if held.account in accounts:
                self._add_seconds(held, self.start, self.end)
        return {cell: values for cell, values in self.sums.items() if any(values[1:])}

    def result(self) -> Sums:
        """What was added so far."""
        return {cell: values for cell, values in self.sums.items() if any(values)}

    def pieces(self, held: Held) -> list[tuple[Cell, int, int]]:
        """The parts of a run, each inside one cell."""
        return list(self._cuts(held, self._key(held), self.start, self.end))

    # -- which days the facts cannot answer ----------------------------------------------------------

    def _loose_days(self) -> _LooseDays:
        """Stale cells, and days in the middle of which an account or a user changes labels."""
        spans = self.plan.day_spans
        if not spans:
            return _LooseDays(frozenset(), frozenset(), stale=False)
        dirty = read.dirty_cells(self.connection, spans[0][1], spans[-1][2])
        accounts, users = set(dirty), set[tuple[int, int]]()
        moving = self.labeller.changing(self.start, self.end)
        for account in moving.accounts:
            edges = self.labeller.account_edges(account, self.start, self.end)
            accounts.update((edge // DAY, account) for edge in edges if edge % DAY)
        for user in moving.users:
            edges = self.labeller.user_edges(user, self.start, self.end)
            users.update((edge // DAY, user) for edge in edges if edge % DAY)
        return _LooseDays(frozenset(accounts), frozenset(users), stale=bool(dirty))

    # -- whole days ----------------------------------------------------------------------------------

    def _add_facts(self, loose: _LooseDays) -> None:
        spans = self.plan.day_spans
        if len(spans) > _MOST_LOOKS:
            self._add_days(spans[0][1], spans[-1][2], None, loose)
            return
        for number, first, last in spans:
            segment = self.plan.segments[number]
            moving = self.labeller.changing(segment.start, segment.end)
            cuts = self._cuts_of(moving.accounts, first, last) if len(moving.accounts) > _FEW_ACCOUNTS else ()
            if cuts and len(cuts) <= _MOST_CUTS:
                self._add_between(number, cuts, moving, loose)
                continue
            self._add_span(number, first, last, loose, beside=moving or None)
            if len(moving.accounts) > _MOST_LOOKS:
                self._add_days(first, last, moving, loose)
                continue
            if moving.users:
                self._add_days(first, last, moving._replace(accounts=frozenset()), loose)
            for account in moving.accounts:
                self._add_account(number, first, last, account, moving, loose)

    def _cuts_of(self, accounts: Iterable[int], first: int, last: int) -> list[int]:
        """The days on which, or before which, any of some accounts changes labels; and both ends."""
        cuts = {first, last}
        for account in accounts:
            for edge in self.labeller.account_edges(account, first * DAY, last * DAY):
                cuts.update((edge // DAY, -(-edge // DAY)))
        return sorted(cuts)

    def _add_between(self, number: int, cuts: Sequence[int], moving: Subset, loose: _LooseDays) -> None:
        """Where many accounts change on few days: everybody's facts between these days, and those days."""
        changing = {day for day, _ in loose.accounts}
        beside = Subset(frozenset(), moving.users) if moving.users else None
        for start, end in pairwise(cuts):
            if end - start == 1 and start in changing:
                self._add_days(start, end, None, loose, beside=beside)
            else:
                self._add_span(number, start, end, loose, beside=beside)
        if beside:
            self._add_days(cuts[0], cuts[-1], beside, loose)

    def _add_account(
        self, number: int, first: int, last: int, account: int, moving: Subset, loose: _LooseDays
    ) -> None:
        """Facts of an account that changes labels inside a segment: its days between the changes."""
        edges = self.labeller.account_edges(account, first * DAY, last * DAY)
        cuts = sorted({first, last, *(edge // DAY for edge in edges), *(-(-edge // DAY) for edge in edges)})
        only = Subset(frozenset({account}), frozenset())
        beside = Subset(frozenset(), moving.users) if moving.users else None
        for start, end in pairwise(cuts):
            if not _mid_day(edges, start):
                self._add_span(number, start, end, loose, only=only, beside=beside)

    def _facts(
        self,
        first: int,
        last: int,
        loose: _LooseDays,
        *,
        by_day: bool = False,
        only: Subset | None = None,
        beside: Subset | None = None,
    ) -> Iterator[FactSum]:
        labeller = self.labeller
        return read.fact_sums(
            self.connection, first, last, labeller.wanted, by_shape=labeller.by_shape, by_day=by_day,
            skip_dirty=loose.stale, only=only, beside=beside,
        )  # fmt: skip

    def _add_span(
        self,
        number: int,
        first: int,
        last: int,
        loose: _LooseDays,
        *,
        only: Subset | None = None,
        beside: Subset | None = None,
    ) -> None:
        """Facts whose labels do not change in these days: summed over them by the database."""
        segment = self.plan.segments[number]
        known = _Remembered(self.labeller)
        for fact in self._facts(first, last, loose, only=only, beside=beside):
            cell = Cell(segment.periods, known.labels(fact.key, first * DAY), fact.shape)
            _add(self.sums[cell], fact.values)

    def _add_days(
        self, first: int, last: int, only: Subset | None, loose: _LooseDays, *, beside: Subset | None = None
    ) -> None:
        """Facts whose labels may change from day to day."""
        plan, whole = self.plan, _Days(self.plan.day_spans)
        known = _Remembered(self.labeller, self.labeller.changing(self.start, self.end))
        for fact in self._facts(first, last, loose, only=only, beside=beside, by_day=True):
            number = whole.segment(fact.day)
            if number is None or loose.holds(fact.day, fact.key):
                continue
            cell = Cell(plan.segments[number].periods, known.labels(fact.key, fact.day * DAY), fact.shape)
            _add(self.sums[cell], fact.values)

    # -- the rest, from the runs -----------------------------------------------------------------------

    def _regions(self, loose: _LooseDays) -> list[_Region]:
        """Every stretch of time that no fact answered, each with whose runs to take there."""
        regions = [_Region(start, end, None, None) for start, end in self.plan.raw_regions]
        whole = _Days(self.plan.day_spans)
        regions += [_Region(a, b, account, None) for account, a, b in _stretches(loose.accounts, whole)]
        regions += [_Region(a, b, None, user) for user, a, b in _stretches(loose.users, whole)]
        return regions

    def _add_regions(self, regions: Sequence[_Region]) -> None:
        if len(regions) <= _MOST_LOOKS:
            for region in regions:
                for held in read.runs_overlapping(
                    self.connection, region.start, region.end, account=region.account, user=region.user
                ):
                    self._add_in_region(held, region)
            return
        for start, end, inside in _together(regions):
            by_owner = _ByOwner(inside)
            for held in read.runs_overlapping(self.connection, start, end):
                for region in by_owner.meeting(held):
                    self._add_in_region(held, region)

    def _add_in_region(self, held: Held, region: _Region) -> None:
        if region.user is not None:
            # An account's loose day already holds this user's runs in it.
            for day in range(region.start // DAY, region.end // DAY):
                if (day, held.account) not in self._loose.accounts:
                    self._add_seconds(held, day * DAY, (day + 1) * DAY)
            return
        self._add_seconds(held, region.start, region.end)

    def _add_seconds(self, held: Held, start: int, end: int) -> None:
        """The seconds of a run inside [start, end), and its start if that lies there."""
        key = self._key(held)
        for cell, a, b in self._cuts(held, key, start, end):
            self._add_cut(cell, held, a, b, runs=int(a <= held.begin < b))

    def _add_cut(self, cell: Cell, held: Held, start: int, end: int, *, runs: int) -> None:
        run, off = cut(held.begin, held.finish, held.suspended, start, end)
        if self.labeller.by_shape:
            _add(self.sums[cell], (runs, run, off))
        else:
            _add(self.sums[cell], (runs, *amounts(self.counts[held.shape], run, off)))

    def _cuts(self, held: Held, key: Key, start: int, end: int) -> Iterator[tuple[Cell, int, int]]:
        """The parts of [start, end) that a run overlaps, each inside one cell, in time order."""
        first, last = max(start, held.begin), min(end, max(held.finish, held.begin + 1))
        for number, a, b in self.plan.pieces(first, last):
            periods = self.plan.segments[number].periods
            edges = self._own_edges(held)
            inner = edges[bisect_left(edges, a + 1) : bisect_left(edges, b)] if edges else ()
            for c, d in zip((a, *inner), (*inner, b), strict=True):
                yield self._cell(periods, key, c, held.shape), c, d

    def _cell(self, periods: tuple[str, ...], key: Key, at: int, shape: int) -> Cell:
        return Cell(periods, self.labeller.labels(key, at), shape if self.labeller.by_shape else 0)

    def _own_edges(self, held: Held) -> list[int]:
        who = (held.account, held.user)
        edges = self._edges.get(who)
        if edges is None:
            found = {
                *self.labeller.account_edges(held.account, self.start, self.end),
                *self.labeller.user_edges(held.user, self.start, self.end),
            }
            edges = self._edges[who] = sorted(found)
        return edges

    def _key(self, held: Held) -> Key:
        return tuple(value * keep for value, keep in zip(held.key, self._mask, strict=True))

    # -- counting runs ---------------------------------------------------------------------------------

    def _add_entering(self) -> None:
        """Ended runs that a cell holds though they began before it: alive at its left edge."""
        starts, segments, labeller = self.plan.starts, self.plan.segments, self.labeller
        if len(starts) > _MOST_LOOKS:
            self._add_entering_one_by_one()
        else:
            known = _Remembered(labeller, labeller.changing(self.start, self.end))
            for segment in segments:
                for key, shape, count in read.alive_counts(
                    self.connection, segment.start, labeller.wanted, by_shape=labeller.by_shape
                ):
                    labels = known.labels(key, segment.start)
                    self.sums[Cell(segment.periods, labels, shape)][0] += count
        for held in self._changing_hands():
            self._add_later_cells(held)

    def _add_entering_one_by_one(self) -> None:
        starts = self.plan.starts
        for held in read.runs_overlapping(self.connection, self.start, self.end):
            key = self._key(held)
            for number in range(bisect_left(starts, held.begin + 1), bisect_left(starts, held.finish)):
                segment = self.plan.segments[number]
                self.sums[self._cell(segment.periods, key, segment.start, held.shape)][0] += 1

    def _changing_hands(self) -> Iterable[Held]:
        """Ended runs alive at an instant where their own account or user may change labels."""
        found: dict[int, Held] = {}
        moving = self.labeller.changing(self.start, self.end)
        for account in moving.accounts:
            for edge in self.labeller.account_edges(account, self.start, self.end):
                alive = read.runs_alive_at(self.connection, edge, account=account)
                found.update((held.id, held) for held in alive)
        for user in moving.users:
            for edge in self.labeller.user_edges(user, self.start, self.end):
                alive = read.runs_alive_at(self.connection, edge, user=user)
                found.update((held.id, held) for held in alive)
        return found.values()

    def _add_later_cells(self, held: Held) -> None:
        """Count a run in every cell it enters inside a segment, once; its first there is counted already."""
        met: dict[int, set[Cell]] = defaultdict(set)
        for cell, a, _ in self._cuts(held, self._key(held), self.start, self.end):
            seen = met[self.plan.at(a)]
            if seen and cell not in seen:
                self.sums[cell][0] += 1
            seen.add(cell)

    def add_whole(self, held: Held) -> None:
        """All of a run, wherever it lies: an open one stands in no fact."""
        met: set[tuple[int, Cell]] = set()
        for cell, a, b in self._cuts(held, self._key(held), self.start, self.end):
            where = (self.plan.at(a), cell)
            self._add_cut(cell, held, a, b, runs=int(where not in met))
            met.add(where)


class _LooseDays(NamedTuple):
    """Days that facts cannot answer: (day, account) and (day, user)."""

    accounts: frozenset[tuple[int, int]]
    users: frozenset[tuple[int, int]]
    stale: bool  # whether there are dirty cells among them

    def holds(self, day: int, key: Key) -> bool:
        return (day, key[0]) in self.accounts or (day, key[1]) in self.users


class _Region(NamedTuple):
    """A stretch of time whose runs are wanted: of everyone, of one account, or of one user."""

    start: int
    end: int
    account: int | None
    user: int | None


def _together(regions: Sequence[_Region]) -> Iterator[tuple[int, int, list[_Region]]]:
    """Regions by the time that they cover together: hundreds of accounts may change on one day."""
    spans = joined((region.start, region.end) for region in regions)
    if len(spans) > _MOST_LOOKS:
        spans = [(spans[0][0], spans[-1][1])]
    starts = [start for start, _ in spans]
    inside: list[list[_Region]] = [[] for _ in spans]
    for region in regions:
        if region.start < region.end:
            inside[bisect_right(starts, region.start) - 1].append(region)
    for (start, end), some in zip(spans, inside, strict=True):
        yield start, end, some


class _Days:
    """Which segment's whole days a day belongs to."""

    def __init__(self, spans: Sequence[tuple[int, int, int]]) -> None:
        self._spans = spans
        self._lasts = [last for _, _, last in spans]

    def segment(self, day: int) -> int | None:
        at = bisect_left(self._lasts, day + 1)
        if at < len(self._spans) and self._spans[at][1] <= day:
            return self._spans[at][0]
        return None


def _stretches(cells: Iterable[tuple[int, int]], whole: _Days) -> Iterator[tuple[int, int, int]]:
    """(owner, start, end) of the loose days that are whole days of the plan, neighbours joined."""
    days: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for day, owner in cells:
        if whole.segment(day) is not None:
            days[owner].append((day * DAY, (day + 1) * DAY))
    for owner, spans in sorted(days.items()):
        for start, end in joined(spans):
            yield owner, start, end


class _ByOwner:
    """Regions by whose runs they want, for one pass over all runs."""

    def __init__(self, regions: Iterable[_Region]) -> None:
        self._regions: dict[tuple[int | None, int | None], list[_Region]] = defaultdict(list)
        for region in sorted(regions, key=lambda region: region.start):
            self._regions[region.account, region.user].append(region)
        self._ends = {owner: [r.end for r in found] for owner, found in self._regions.items()}

    def meeting(self, held: Held) -> Iterator[_Region]:
        """Regions that a run overlaps, or begins in."""
        last = max(held.finish, held.begin + 1)
        for owner in ((None, None), (held.account, None), (None, held.user)):
            regions = self._regions.get(owner)
            if not regions:
                continue
            at = bisect_left(self._ends[owner], held.begin + 1)
            while at < len(regions) and regions[at].start < last:
                yield regions[at]
                at += 1


def _mid_day(edges: Sequence[int], day: int) -> bool:
    """Whether an edge lies inside a day, so that the day is the runs' to answer."""
    return any(edge // DAY == day and edge % DAY for edge in edges)


class _Remembered:
    """Labels of those that keep them, asked for once; of the others each time."""

    def __init__(self, labeller: Labeller, moving: Subset | None = None) -> None:
        self._labeller = labeller
        self._moving = moving or Subset(frozenset(), frozenset())
        self._known: dict[Key, tuple[str, ...]] = {}

    def labels(self, key: Key, at: int) -> tuple[str, ...]:
        found = self._known.get(key)
        if found is None:
            found = self._labeller.labels(key, at)
            if key[0] not in self._moving.accounts and key[1] not in self._moving.users:
                self._known[key] = found
        return found


def _add(sums: list[int], values: Sequence[int]) -> None:
    for place, value in enumerate(values):
        sums[place] += value
