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
    FromClause,
    Label,
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

from opsd.core.flags import Flag
from opsd.core.period import DAY
from opsd.core.shape import Shape
from opsd.core.tres import Tres
from opsd.core.usage import Counts, Suspension, suspension
from opsd.store import tables
from opsd.store.facts import counts_by_shape, dims, in_days, of, overlapping
from opsd.store.intern import texts
from opsd.store.limits import Limits

_run, _fact, _dirty = tables.run, tables.day_fact, tables.dirty_cell

DIMENSIONS = ("account", "user", "state", "partition", "qos")  # in the order of a fact's key
SECONDS = ("run", "suspended")
MEASURES = ("cpu_seconds", "node_seconds", "gpu_seconds", "mem_mb_seconds", "billing_seconds")
Key = tuple[int, ...]  # one number per dimension, 0 where not wanted
Values = tuple[int, ...]  # runs, then SECONDS or MEASURES


class Held(NamedTuple):
    """One run's hold on its allocation; `finish` of an open run is when it was last seen open."""

    id: int
    begin: int
    finish: int
    suspended: Suspension
    account: int
    user: int
    state: int
    partition: int
    qos: int
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
        of_accounts, of_users = _fact.c.account_id.in_(self.accounts), _fact.c.user_id.in_(self.users)
        if self.accounts and self.users:
            return or_(of_accounts, of_users)
        return of_users if self.users else of_accounts


HELD = (_run.c.id, _run.c.begin, _run.c.finish, _run.c.suspended, _run.c.suspensions, *dims())


def held_of(row: Sequence[Any], *, ended: bool) -> Held:
    """A run from the columns of HELD."""
    number, begin, finish, total, spans, *who = row
    suspended = suspension(total, spans, begin, finish, ended=ended) if total or spans else 0
    return Held(number, begin, finish, suspended, *who)


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
        wanted: which of DIMENSIONS to tell apart.
        by_shape: seconds per shape; else what they amount to: seconds times the shapes' counts.
        by_day: tell the days apart too.
        skip_dirty: leave out stale cells (the caller takes those from the runs).
        only, beside: take just these accounts and users, or everything but them.
    """
    tail = [*(["shape_id"] if by_shape else []), *(["day"] if by_day else [])]
    names = [f"{name}_id" for name in DIMENSIONS if name in wanted] + tail
    values = ["starts", *(("run_seconds", "suspended_seconds") if by_shape else MEASURES)]
    chosen = [in_days(first, last, few=only is not None and bool(only.accounts))]
    if skip_dirty:
        stale = exists().where(_dirty.c.day == _fact.c.day, _dirty.c.account_id == _fact.c.account_id)
        chosen.append(not_(stale))
    if only is not None:
        chosen.append(only.condition())
    if beside is not None:
        chosen.append(not_(beside.condition()))
    if connection.dialect.name == "sqlite" and not by_day:
        query = _in_order(chosen, wanted, names, values)
    else:
        query = _summed(_fact, names, values).where(*chosen)
    yield from _fact_rows(connection, query, wanted, by_day=by_day, by_shape=by_shape)


def _summed(source: FromClause, names: Sequence[str], values: Sequence[str]) -> Select[Any]:
    groups = [source.c[name] for name in names]
    return select(*groups, *(func.sum(source.c[name]).label(name) for name in values)).group_by(*groups)


def _in_order(
    chosen: Sequence[ColumnElement[bool]], wanted: Sequence[str], names: Sequence[str], values: Sequence[str]
) -> Select[Any]:
    """Grouped twice: by a head of the key, which needs no sorting, then those few by what is wanted.

    SQLite sorts whatever it groups in another order than the key's; PostgreSQL hashes.
    """
    head = max((DIMENSIONS.index(name) for name in wanted), default=-1) + 1
    finer = ["month", *(f"{name}_id" for name in DIMENSIONS[:head])]
    finer += [name for name in names if name not in finer]
    return _summed(_summed(_fact, finer, values).where(*chosen).subquery(), names, values)


def _fact_rows(
    connection: Connection, query: Select[Any], wanted: Sequence[str], *, by_day: bool, by_shape: bool
) -> Iterator[FactSum]:
    places = [place for place, name in enumerate(DIMENSIONS) if name in wanted]
    told = len(places)
    lead = told + by_shape + by_day
    found: Any = connection.execute(query).cursor  # bare tuples: there may be many
    for row in found:
        if row[lead] is None:
            continue  # without groups there is a line even for no facts at all
        values = row[lead:] if _WHOLE.issuperset(map(type, row)) else tuple(map(int, row[lead:]))
        key = [0] * len(DIMENSIONS)
        for place, value in zip(places, row, strict=False):
            key[place] = value
        shape, day = (row[told] if by_shape else 0), (row[lead - 1] if by_day else 0)
        yield FactSum(tuple(key), shape, day, values)


_WHOLE = frozenset({int})  # PostgreSQL adds bigints up to a numeric


def alive_counts(
    connection: Connection, instant: int, wanted: Sequence[str], *, by_shape: bool
) -> Iterator[tuple[Key, int, int]]:
    """(key, shape, how many) of the ended runs that began before an instant and ended after it."""
    # Hidden in an expression, so that SQLite does not walk the whole index by account to group in its order.
    account = (_run.c.account_id + literal_column("0")).label("account")
    places = [place for place, name in enumerate(DIMENSIONS) if name in wanted]
    columns = [(account, *dims()[1:])[place] for place in places]
    columns += [_run.c.shape_id] if by_shape else []
    groups = [column.element if isinstance(column, Label) else column for column in columns]
    for query in _alive(columns, instant):
        for *told, count in connection.execute(query.add_columns(func.count()).group_by(*groups)):
            key = [0] * len(DIMENSIONS)
            for place, value in zip(places, told, strict=False):
                key[place] = value
            if count:  # without groups there is a line even for none
                yield tuple(key), told[-1] if by_shape else 0, count


def dirty_cells(connection: Connection, first: int, last: int) -> list[tuple[int, int]]:
    """(day, account) cells of the days [first, last) whose facts may be stale."""
    query = select(_dirty.c.day, _dirty.c.account_id).where(_dirty.c.day >= first, _dirty.c.day < last)
    return [(row.day, row.account_id) for row in connection.execute(query)]


def runs_overlapping(
    connection: Connection, start: int, end: int, *, account: int | None = None, user: int | None = None
) -> Iterator[Held]:
    """Ended runs that overlap [start, end), zero-second ones that begin in it included."""
    accounts = None if account is None else [account]
    for row in connection.execute(overlapping(HELD, start, end, accounts=accounts, user=user)):
        yield held_of(row, ended=True)


def runs_alive_at(
    connection: Connection, instant: int, *, account: int | None = None, user: int | None = None
) -> Iterator[Held]:
    """Ended runs that began before an instant and ended after it."""
    accounts = None if account is None else [account]
    near, far = _alive(HELD, instant)
    for query in (near.where(*of(accounts, user)), far.where(*of(accounts, user, hidden=True))):
        for row in connection.execute(query):
            yield held_of(row, ended=True)


def _alive(columns: Sequence[ColumnElement[Any]], instant: int) -> tuple[Select[Any], Select[Any]]:
    """Runs that began in the day before an instant, and the longer ones that began earlier."""
    near = select(*columns).where(
        _run.c.begin > instant - DAY, _run.c.begin < instant, _run.c.finish > instant
    )
    far = select(*columns).where(
        _run.c.begin <= instant - DAY, _run.c.finish > instant, tables.LONGER_THAN_A_DAY
    )
    return near, far


def _open(columns: Sequence[Any]) -> Select[Any]:
    return select(*columns).where(tables.STILL_OPEN)


def open_runs(connection: Connection) -> list[Held]:
    """Runs without an end, each until it was last seen so."""
    columns = (_run.c.id, _run.c.begin, _run.c.seen_open, *HELD[3:])
    rows = connection.execute(_open(columns))
    return [held_of((row[0], row[1], max(row[1], row[2]), *row[3:]), ended=False) for row in rows]


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
    columns = (_run.c.id, _run.c.start, _run.c.limit_seconds, _run.c.cluster_id, _run.c.partition_id)
    limits, words = Limits(connection), texts(connection)
    result = []
    ids = sorted(found)
    for at in range(0, len(ids), 500):
        for row in connection.execute(select(*columns).where(_run.c.id.in_(ids[at : at + 500]))):
            where = words[row.cluster_id], words[row.partition_id or tables.EMPTY_WORD]
            result.append(
                Limited(found[row.id], row.start, limits.seconds(row.limit_seconds, *where, row.start))
            )
    return result


class Names(NamedTuple):
    """What the numbers in keys stand for."""

    accounts: dict[int, tuple[str, str]]  # id -> (cluster, account)
    words: dict[int, str]
    shapes: dict[int, Shape]
    counts: dict[int, Counts]


def names(connection: Connection) -> Names:
    """Every account, word and shape: some thousands, small beside one month of facts."""
    words = texts(connection)
    accounts = {
        row.id: (words[row.cluster_id], row.name) for row in connection.execute(select(tables.account))
    }
    shapes = {row.id: _shape(row) for row in connection.execute(select(tables.shape))}
    return Names(accounts, words, shapes, counts_by_shape(connection))


def _shape(row: Row[Any]) -> Shape:
    pairs = (part.rpartition("=") for part in row.gpus.split(",") if part)
    gpus = tuple((name, int(count)) for name, _, count in pairs)
    return Shape(Tres.from_canonical(row.tres), gpus, row.node_class)


def losing_sluids(connection: Connection) -> tuple[int, int]:
    """(runs seen under two SLUIDs, seconds of those that do not count)."""
    version = tables.run_version
    flagged = and_(tables.NEEDS_EYES, _run.c.flags.op("&")(int(Flag.TWO_SLUIDS)) != 0)
    rows = connection.execute(
        select(_run.c.id, _run.c.submit, _run.c.sluid.label("counts"), version)
        .join(version, version.c.run_id == _run.c.id)
        .where(flagged, version.c.sluid.is_not(None))
    ).mappings()
    best: dict[tuple[int, str], tuple[tuple[bool, int, int], int]] = {}
    runs = set()
    for row in rows:
        runs.add(row["id"])
        if row["sluid"] == row["counts"]:
            continue
        rank = (row["end"] is not None, row["observed_at"], row["hash"])
        seconds = _seconds(row["submit"], row["start"], row["end"] or row["observed_at"])
        key = (row["id"], row["sluid"])
        best[key] = max(best.get(key, (rank, seconds)), (rank, seconds))
    return len(runs), sum(seconds for _, seconds in best.values())


def _seconds(submit: int, start: int | None, end: int) -> int:
    return 0 if start is None else max(0, end - max(start, submit))
