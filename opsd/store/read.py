"""Reading usage: facts for whole days, runs for everything that facts cannot tell.

Nothing here decides whom a second belongs to or what it is charged: it hands over seconds by shape, or
what they amount to in TRES. All of it must run on one `Store.read()` connection, which sees one instant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from opsd.core.period import DAY
from opsd.core.shape import Shape
from opsd.core.tres import Tres
from opsd.store import tables
from opsd.store.facts import dims, overlapping
from opsd.store.intern import texts

_run, _fact, _dirty, _shape_table = tables.run, tables.day_fact, tables.dirty_cell, tables.shape

DIMENSIONS = ("account", "user", "partition", "qos", "state")
SECONDS = ("run", "suspended")
MEASURES = ("cpu", "node", "gpu", "mem_mb", "billing")
Key = tuple[int, ...]  # one number per dimension, 0 where not wanted
Values = tuple[int, ...]  # runs, then SECONDS or MEASURES


class Held(NamedTuple):
    """One run's hold on its allocation; `finish` of an open run is when it was last seen open."""

    id: int
    begin: int
    finish: int
    suspended: int
    account: int
    user: int
    partition: int
    qos: int
    state: int
    shape: int

    @property
    def key(self) -> Key:
        """Its dimensions."""
        return self[4:-1]


class FactSum(NamedTuple):
    """Facts summed over whole days."""

    key: Key
    shape: int  # only when asked by shape, else 0
    day: int  # only when asked by day, else 0
    values: Values


class Subset(NamedTuple):
    """The facts of some accounts, and those of some users."""

    accounts: frozenset[int]
    users: frozenset[int]

    def __bool__(self) -> bool:
        return bool(self.accounts or self.users)

    def condition(self) -> ColumnElement[bool]:
        """True for a fact of the subset."""
        return or_(_fact.c.account_id.in_(self.accounts), _fact.c.user_id.in_(self.users))


_HELD = (_run.c.id, _run.c.begin, _run.c.finish, func.coalesce(_run.c.suspended, 0), *dims())


def fact_sums(
    connection: Connection,
    first: int,
    last: int,
    wanted: Sequence[str],
    *,
    by_shape: bool = False,
    by_day: bool = False,
    skip_dirty: bool = False,
    only: Subset | None = None,
    beside: Subset | None = None,
) -> Iterator[FactSum]:
    """Sums over the day facts of the days [first, last).

    Args:
        wanted: which of DIMENSIONS to tell apart (an account may be told though not wanted).
        by_shape: seconds per shape; else what they amount to: seconds times the shapes' counts.
        by_day: tell the days apart too.
        skip_dirty: leave out stale cells (the caller takes those from the runs).
        only, beside: take just these accounts and users, or everything but them.
    """
    ordered = not by_day and not by_shape and _in_index_order(connection, first, last, wanted)
    told = _told(wanted, ordered=ordered)
    day: ColumnElement[int] = _fact.c.day
    groups = [*([day] if by_day else []), *told.values(), *([_fact.c.shape_id] if by_shape else [])]
    if ordered:
        # A term that hides the column from the key: the index in the order of the groups beats sorting.
        day = day + literal_column("0")
    query = select(*groups, func.sum(_fact.c.starts), *_sums(by_shape=by_shape)).group_by(*groups)
    query = query.where(day >= first, day < last)
    if not by_shape:
        query = query.join_from(_fact, _shape_table, _shape_table.c.id == _fact.c.shape_id)
    if skip_dirty:
        stale = exists().where(_dirty.c.day == _fact.c.day, _dirty.c.account_id == _fact.c.account_id)
        query = query.where(not_(stale))
    if only is not None:
        query = query.where(only.condition())
    if beside is not None:
        query = query.where(not_(beside.condition()))
    yield from _fact_rows(connection, query, list(told), by_day=by_day, by_shape=by_shape)


def _fact_rows(
    connection: Connection, query: Select[Any], told: Sequence[str], *, by_day: bool, by_shape: bool
) -> Iterator[FactSum]:
    places = [DIMENSIONS.index(name) for name in told]
    lead, tail = int(by_day), int(by_day) + len(told)
    for row in connection.execute(query):
        key = [0] * len(DIMENSIONS)
        for place, value in zip(places, row[lead:tail], strict=True):
            key[place] = value
        values = tuple(map(int, row[tail + by_shape :]))
        yield FactSum(tuple(key), row[tail] if by_shape else 0, row[0] if by_day else 0, values)


def _told(wanted: Sequence[str], *, ordered: bool) -> dict[str, ColumnElement[int]]:
    """The grouping columns, in the order of the index or key that holds them."""
    names = ("user", "account", "state") if ordered else DIMENSIONS
    chosen = {*wanted, "account"} if ordered else set(wanted)
    return {name: _fact.c[f"{name}_id"] for name in names if name in chosen}


def _in_index_order(connection: Connection, first: int, last: int, wanted: Sequence[str]) -> bool:
    """Whether the index by user is quicker than sorting: it is when most of the facts are read anyway."""
    if "user" not in wanted or not set(wanted) <= {"account", "user", "state"}:
        return False
    oldest, newest = (connection.scalar(select(bound(_fact.c.day))) for bound in (func.min, func.max))
    if oldest is None or newest is None:
        return False
    return bool((min(last, newest + 1) - max(first, oldest)) * 4 > newest + 1 - oldest)


def _sums(*, by_shape: bool) -> list[ColumnElement[Any]]:
    ran, held = _fact.c.run_seconds, _fact.c.run_seconds + _fact.c.suspended_seconds
    if by_shape:
        return [func.sum(ran), func.sum(_fact.c.suspended_seconds)]
    counts = [_shape_table.c[name] for name in MEASURES]
    # Suspended time is off the cpu and on everything else, as Slurm counts.
    return [func.sum((ran if count.name == "cpu" else held) * count) for count in counts]


def dirty_cells(connection: Connection, first: int, last: int) -> list[tuple[int, int]]:
    """(day, account) cells of the days [first, last) whose facts may be stale."""
    query = select(_dirty.c.day, _dirty.c.account_id).where(_dirty.c.day >= first, _dirty.c.day < last)
    return [(row.day, row.account_id) for row in connection.execute(query)]


def runs_overlapping(
    connection: Connection, start: int, end: int, *, account: int | None = None, user: int | None = None
) -> Iterator[Held]:
    """Ended runs that overlap [start, end), zero-second ones that begin in it included."""
    also = _of(account, user)
    for row in connection.execute(overlapping(_HELD, start, end, *also)):
        yield Held(*row)


def _of(account: int | None, user: int | None) -> list[ColumnElement[bool]]:
    chosen = [] if account is None else [_run.c.account_id == account]
    return chosen if user is None else [*chosen, _run.c.user_id == user]


def runs_alive_at(
    connection: Connection, instant: int, *, account: int | None = None, user: int | None = None
) -> Iterator[Held]:
    """Ended runs that began before an instant and ended after it."""
    also = _of(account, user)
    near = select(*_HELD).where(
        _run.c.begin > instant - DAY, _run.c.begin < instant, _run.c.finish > instant, *also
    )
    far = select(*_HELD).where(
        _run.c.begin <= instant - DAY, _run.c.finish > instant, tables.LONGER_THAN_A_DAY, *also
    )
    for query in (near, far):
        for row in connection.execute(query):
            yield Held(*row)


def _open(columns: Sequence[Any]) -> Select[Any]:
    return select(*columns).where(tables.STILL_OPEN)


def open_runs(connection: Connection) -> list[Held]:
    """Runs without an end, each until it was last seen so."""
    columns = (_run.c.id, _run.c.begin, _run.c.seen_open, func.coalesce(_run.c.suspended, 0), *dims())
    return [Held(row[0], row[1], max(row[1], row[2]), *row[3:]) for row in connection.execute(_open(columns))]


class Limited(NamedTuple):
    """A run that goes on at an instant, and the time limit it may still use up."""

    held: Held
    start: int  # as Slurm counts its limit from, the original start of a resized job
    limit: int | None  # seconds; None where no number is known


def going_on(connection: Connection, instant: int) -> list[Limited]:
    """Runs that began before an instant and had not ended at it, open ones included."""
    open_held = {held.id: held for held in open_runs(connection) if held.begin < instant}
    ending = {held.id: held for held in runs_alive_at(connection, instant)}
    found = open_held | ending
    limits = select(_run.c.id, _run.c.start, _run.c.limit_seconds)
    result = []
    ids = sorted(found)
    for at in range(0, len(ids), 500):
        for row in connection.execute(limits.where(_run.c.id.in_(ids[at : at + 500]))):
            known = row.limit_seconds if row.limit_seconds is not None and row.limit_seconds >= 0 else None
            result.append(Limited(found[row.id], row.start, known))
    return result


class Names(NamedTuple):
    """What the numbers in keys stand for."""

    accounts: dict[int, tuple[str, str]]  # id -> (cluster, account)
    words: dict[int, str]
    shapes: dict[int, Shape]


def names(connection: Connection) -> Names:
    """Every account, word and shape: some thousands, small beside one month of facts."""
    words = texts(connection)
    accounts = {
        row.id: (words[row.cluster_id], row.name) for row in connection.execute(select(tables.account))
    }
    shapes = {row.id: _shape(row) for row in connection.execute(select(tables.shape))}
    return Names(accounts, words, shapes)


def _shape(row: Row[Any]) -> Shape:
    pairs = (part.rpartition("=") for part in row.gpus.split(",") if part)
    gpus = tuple((name, int(count)) for name, _, count in pairs)
    return Shape(Tres.from_canonical(row.tres), gpus, row.node_class)


def losing_sluids(connection: Connection) -> tuple[int, int]:
    """(runs seen under two SLUIDs, seconds of the versions that do not count)."""
    from opsd.core.flags import Flag

    version = tables.run_version
    flagged = and_(tables.NEEDS_EYES, _run.c.flags.op("&")(int(Flag.TWO_SLUIDS)) != 0)
    lost = select(func.sum(version.c.end - version.c.start)).where(
        version.c.run_id.in_(select(_run.c.id).where(flagged)),
        version.c.sluid.is_not(None),
        version.c.end > version.c.start,
        exists().where(_run.c.id == version.c.run_id, or_(_run.c.sluid != version.c.sluid)),
    )
    runs = connection.scalar(select(func.count()).select_from(_run).where(flagged)) or 0
    return int(runs), int(connection.scalar(lost) or 0) if runs else 0
