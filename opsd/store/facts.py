"""Day facts: derived from ended runs, marked stale by whoever changes a run, rebuilt here.

Invariant: a cell (account, UTC day) without a dirty mark holds exactly what its runs add up to.
Rebuilding deletes the cell and writes it anew in one transaction, so nothing stale can stay behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from opsd.core.period import DAY, month_number
from opsd.core.usage import Counts, amounts, by_day, suspension
from opsd.store import tables
from opsd.store.bulk import bulk_insert
from opsd.store.dirty import Held, mark_dirty
from opsd.store.tables import EMPTY_WORD

_run, _fact, _dirty = tables.run, tables.day_fact, tables.dirty_cell
# A few accounts are looked up one by one; for more, all runs of those days are read in the order in
# which they lie on disk, which is quicker than jumping from account to account.
_NAMED_ACCOUNTS = 8
_NAMED_MONTHS = 240


def dims() -> tuple[ColumnElement[Any], ...]:
    """A run's dimensions in the order of a fact's key; a missing text is the empty word."""
    return (
        _run.c.account_id,
        _or_empty("user_id"),
        _run.c.state_id,
        _or_empty("partition_id"),
        _or_empty("qos_id"),
        _run.c.shape_id,
    )


def _or_empty(name: str) -> ColumnElement[Any]:
    # A literal, not a bound value: PostgreSQL must see the same text in SELECT and in GROUP BY.
    return func.coalesce(_run.c[name], literal_column(str(EMPTY_WORD))).label(name)


def in_days(first: int, last: int, *, few: bool = False) -> ColumnElement[bool]:
    """Facts of the days [first, last), found by their months.

    Args:
        few: only some accounts are wanted: months named one by one let the key find them in each.
    """
    months = range(month_number(first), month_number(max(first, last - 1)) + 1)
    month = _fact.c.month
    found = (
        month.in_(months) if few and len(months) <= _NAMED_MONTHS else month.between(months[0], months[-1])
    )
    return and_(found, _fact.c.day >= first, _fact.c.day < last)


def overlapping(
    columns: Sequence[ColumnElement[Any]],
    start: int,
    end: int,
    *,
    accounts: Sequence[int] | None = None,
    user: int | None = None,
) -> Select[Any]:
    """Ended runs that overlap [start, end), zero-second ones that begin in it included.

    A run of at most a day that reaches into the window began less than a day before it; the longer
    ones are few and have an index of their own. So both halves read a narrow range of an index.
    """
    reaches = or_(_run.c.finish > start, _run.c.begin >= start)
    near = select(*columns).where(
        _run.c.begin >= start - DAY, _run.c.begin < end, _run.c.finish.is_not(None), reaches
    )
    far = select(*columns).where(_run.c.begin < start - DAY, _run.c.finish > start, tables.LONGER_THAN_A_DAY)
    near, far = near.where(*of(accounts, user)), far.where(*of(accounts, user, hidden=True))
    return select(union_all(near, far).subquery())


def of(
    accounts: Sequence[int] | None, user: int | None, *, hidden: bool = False
) -> list[ColumnElement[bool]]:
    """Only runs of these accounts, of this user.

    Args:
        hidden: so that the few long runs are found by their own index, not among all of an account's.
    """
    account: ColumnElement[int] = _run.c.account_id
    if hidden:
        account = account + literal_column("0")
    chosen: list[ColumnElement[bool]] = [] if accounts is None else [account.in_(accounts)]
    return chosen if user is None else [*chosen, _run.c.user_id == user]


def dirty_count(connection: Connection) -> int:
    """How many cells await a rebuild."""
    return int(connection.scalar(select(func.count()).select_from(_dirty)) or 0)


def next_dirty(connection: Connection, days: int) -> tuple[int, int, list[int]] | None:
    """The oldest stale days, at most `days` of them on end: (first, past the last, account ids)."""
    first = connection.scalar(select(func.min(_dirty.c.day)))
    if first is None:
        return None
    inside = and_(_dirty.c.day >= first, _dirty.c.day < first + days)
    accounts = connection.scalars(select(_dirty.c.account_id).where(inside).distinct()).all()
    last = connection.scalar(select(func.max(_dirty.c.day)).where(inside))
    assert last is not None
    return first, last + 1, sorted(accounts)


def rebuild(connection: Connection, first: int, last: int, accounts: Sequence[int]) -> tuple[int, int]:
    """Rebuild the stale cells of the days [first, last).

    Returns:
        (runs read, cells rebuilt).
    """
    stale = _stale_cells(connection, first, last)
    named = None if len(accounts) > _NAMED_ACCOUNTS else accounts
    _drop(connection, first, last, named)
    columns = (_run.c.begin, _run.c.finish, _run.c.suspended, _run.c.suspensions, *dims())
    # Bare tuples from the driver: a million Row objects would cost as much as the cutting.
    found: Any = connection.execute(overlapping(columns, first * DAY, last * DAY, accounts=named)).cursor
    runs = found.fetchall()
    _insert(connection, _sums(runs, stale))
    inside = and_(_dirty.c.day >= first, _dirty.c.day < last)
    connection.execute(delete(_dirty).where(inside))
    return len(runs), len(stale)


def mark_all(connection: Connection) -> None:
    """Forget every fact and mark every cell that a run or a fact stands in: a full rebuild."""
    spans = connection.execute(
        select(_run.c.account_id, _run.c.begin, _run.c.finish).where(
            _run.c.begin.is_not(None), _run.c.finish.is_not(None)
        )
    )
    cells = {cell for span in spans for cell in Held(*span).cells()}
    connection.execute(delete(_fact))
    mark_dirty(connection, cells)


def _stale_cells(connection: Connection, first: int, last: int) -> set[tuple[int, int]]:
    inside = and_(_dirty.c.day >= first, _dirty.c.day < last)
    return {(day, account) for day, account in connection.execute(select(_dirty).where(inside))}


def _drop(connection: Connection, first: int, last: int, named: Sequence[int] | None) -> None:
    stale = exists().where(_dirty.c.day == _fact.c.day, _dirty.c.account_id == _fact.c.account_id)
    # Named, a few accounts are found by the key; otherwise all facts of the months would be looked at.
    chosen = [] if named is None else [_fact.c.account_id.in_(named)]
    few = named is not None
    connection.execute(delete(_fact).where(in_days(first, last, few=few), *chosen, stale))


def _sums(runs: Iterable[Sequence[Any]], stale: set[tuple[int, int]]) -> dict[tuple[int, ...], list[int]]:
    """(run seconds, suspended seconds, starts) by fact key, of the stale cells only."""
    sums: dict[tuple[int, ...], list[int]] = {}
    for begin, finish, total, spans, *who in runs:
        account = who[0]
        first = begin // DAY
        suspended = suspension(total, spans, begin, finish, ended=True) if total or spans else 0
        if not suspended and finish <= (first + 1) * DAY:
            parts: Iterable[tuple[int, int, int, int]] = (
                (first, finish - begin, 0, 1),
            )  # as by_day says, sooner
        else:
            parts = by_day(begin, finish, suspended)
        for day, ran, off, starts in parts:
            if (day, account) not in stale:
                continue
            key = (month_number(day), *who, day)
            known = sums.get(key)
            if known is None:
                sums[key] = [ran, off, starts]
            else:
                known[0] += ran
                known[1] += off
                known[2] += starts
    return sums


_NAMES = tuple(column.name for column in _fact.c)


def counts_by_shape(connection: Connection) -> dict[int, Counts]:
    """What a second of each shape is multiplied by."""
    shape = tables.shape
    columns = (shape.c.id, shape.c.cpu, shape.c.node, shape.c.gpu, shape.c.mem_mb, shape.c.billing)
    return {number: tuple(counts) for number, *counts in connection.execute(select(*columns))}


def _insert(connection: Connection, sums: dict[tuple[int, ...], list[int]]) -> None:
    counts = counts_by_shape(connection)
    rows = []
    for key in sorted(sums):
        run, suspended, starts = sums[key]
        rows.append((*key, run, suspended, starts, *amounts(counts[key[_SHAPE]], run, suspended)))
    bulk_insert(connection, _fact, _NAMES, rows)


_SHAPE = _NAMES.index("shape_id")
