"""What clusters consisted of, what could not be used when, and how partitions are limited.

Invariant: saving is idempotent and in any order. Of one event or reservation the record seen last counts, of
two seen at once the one that has ended; nothing is deleted but a reservation that was moved or taken back
before it began. An open event that an answer no longer has ended when it was last seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Table, and_, delete, func, insert, or_, select, update

from opsd.core.period import Window
from opsd.core.records import NodeEvent, PartitionLimit, Reservation
from opsd.store import tables

_event, _reservation, _limit = tables.node_event, tables.reservation, tables.partition_limit
_AT_ONCE = 500

Key = tuple[Any, ...]


class Saved(NamedTuple):
    """What was written down anew."""

    new: int = 0
    changed: int = 0
    dropped: int = 0


def save_events(connection: Connection, found: Iterable[NodeEvent], observed_at: int) -> Saved:
    """Keep events as they were seen at an instant. Whatever kind it became, it is one."""
    rows = {(event.cluster, event.node, event.start): event._asdict() for event in found}
    return _save(connection, _event, ("cluster", "node", "start"), rows, observed_at)


def close_vanished(
    connection: Connection, cluster: str, found: Iterable[NodeEvent], end: int, observed_at: int
) -> Saved:
    """End what is open here and no longer in the whole answer for a span up to `end`, when last seen.

    Slurm has deleted or purged it; nobody knows more of it, and it must not stand open for ever.
    """
    answered = {(event.node, event.start) for event in found}
    query = select(_event.c.node, _event.c.start, _event.c.observed_at).where(
        _event.c.cluster == cluster, _event.c.end.is_(None), _event.c.start < end,
        _event.c.observed_at < observed_at,
    )  # fmt: skip
    gone = [row for row in connection.execute(query).all() if (row.node, row.start) not in answered]
    for row in gone:
        which = _is(_event, ("cluster", "node", "start"), (cluster, row.node, row.start))
        last = max(row.start, row.observed_at)
        connection.execute(update(_event).where(which).values(end=last))
    return Saved(changed=len(gone))


def save_reservations(
    connection: Connection, cluster: str, found: Iterable[Reservation], start: int, end: int, observed_at: int
) -> Saved:
    """Keep the whole answer for [start, end), as it was at an instant.

    Slurm moves the record of a reservation that is yet to begin, and forgets one taken back by then. So what
    stands here, had not begun when it was last seen, and is in the answer no more, has never been.
    """
    rows = {(one.cluster, one.id, one.start): _reservation_row(one) for one in found}
    saved = _save(connection, _reservation, ("cluster", "id", "start"), rows, observed_at)
    never = [
        key
        for key, seen in _awaited(connection, cluster, start, end)
        if key not in rows and seen < observed_at
    ]
    for key in never:
        connection.execute(delete(_reservation).where(_is(_reservation, ("cluster", "id", "start"), key)))
    return saved._replace(dropped=len(never))


def save_partitions(connection: Connection, found: Iterable[PartitionLimit], now: int) -> Saved:
    """Keep partitions as they are now: a row for each time that one changed."""
    known: dict[tuple[str, str], PartitionLimit] = {
        (limit.cluster, limit.partition): limit for since, limit in partitions(connection) if since <= now
    }
    new = [one for one in found if known.get((one.cluster, one.partition)) != one]
    if new:
        same = and_(_limit.c.since == now, _limit.c.cluster.in_({one.cluster for one in new}))
        names = {one.partition for one in new}
        connection.execute(delete(_limit).where(same, _limit.c.partition.in_(names)))
        connection.execute(insert(_limit), [one._asdict() | {"since": now} for one in new])
    return Saved(new=len(new))


def events(connection: Connection, cluster: str, start: int, end: int) -> list[NodeEvent]:
    """Every event that overlaps [start, end), by node and time."""
    query = select(*(_event.c[name] for name in NodeEvent._fields)).where(
        _event.c.cluster == cluster, _event.c.start < end, or_(_event.c.end.is_(None), _event.c.end > start)
    )
    return [NodeEvent(*row) for row in connection.execute(query.order_by(_event.c.node, _event.c.start))]


def reservations(connection: Connection, cluster: str, start: int, end: int) -> list[Reservation]:
    """Every record of a reservation that overlaps [start, end), by time."""
    query = select(*(_reservation.c[name] for name in Reservation._fields)).where(
        _reservation.c.cluster == cluster, _reservation.c.start < end, _reservation.c.end > start
    )
    return [_read(row) for row in connection.execute(query.order_by(_reservation.c.start, _reservation.c.id))]


def partitions(connection: Connection, cluster: str | None = None) -> list[tuple[int, PartitionLimit]]:
    """(since when, what) of every partition, in time order."""
    query = select(_limit.c.since, *(_limit.c[name] for name in PartitionLimit._fields))
    if cluster is not None:
        query = query.where(_limit.c.cluster == cluster)
    rows = connection.execute(query.order_by(_limit.c.since, _limit.c.cluster, _limit.c.partition))
    return [(row[0], PartitionLimit(*row[1:])) for row in rows]


def is_known(connection: Connection, cluster: str) -> bool:
    """Whether any event of a cluster was ever read."""
    return connection.scalar(select(_event.c.start).where(_event.c.cluster == cluster).limit(1)) is not None


def told(connection: Connection, cluster: str) -> Window | None:
    """From when to when events tell about a cluster; None where none was ever read."""
    query = select(func.min(_event.c.start), func.max(_event.c.observed_at)).where(
        _event.c.cluster == cluster
    )
    first, last = connection.execute(query).one()
    return None if first is None else Window(first, max(first, last))


def clusters(connection: Connection) -> list[str]:
    """Every cluster that ever registered."""
    query = select(_event.c.cluster).where(_event.c.node == "").distinct().order_by(_event.c.cluster)
    return list(connection.scalars(query))


def _reservation_row(one: Reservation) -> dict[str, Any]:
    told = one.associations
    return one._asdict() | {"associations": None if told is None else ",".join(map(str, told))}


def _read(row: Row[Any]) -> Reservation:
    found = Reservation._make(row)
    told = None if row.associations is None else filter(None, row.associations.split(","))
    return found._replace(associations=None if told is None else tuple(map(int, told)))


def _awaited(connection: Connection, cluster: str, start: int, end: int) -> list[tuple[Key, int]]:
    """Reservations of a span that had not begun when they were last seen, and when that was."""
    columns = _reservation.c
    query = select(columns.cluster, columns.id, columns.start, columns.observed_at).where(
        columns.cluster == cluster, columns.start < end, columns.end > start,
        columns.start > columns.observed_at,
    )  # fmt: skip
    return [((row[0], row[1], row[2]), row[3]) for row in connection.execute(query)]


def _save(
    connection: Connection,
    table: Table,
    key: Sequence[str],
    rows: dict[Key, dict[str, Any]],
    observed_at: int,
) -> Saved:
    """Insert what is new; of what is known, note that it was seen later, and how it was then."""
    stored = _stored(connection, table, key, rows)
    new, changed = [], 0
    for name, row in rows.items():
        seen = row | {"observed_at": observed_at}
        known = stored.get(name)
        if known is None:
            new.append(seen)
        elif _rank(known) < _rank(seen):
            connection.execute(update(table).where(_is(table, key, name)).values(**seen))
            changed += _differs(known, row)
    if new:
        connection.execute(insert(table), new)
    return Saved(len(new), changed)


def _differs(known: dict[str, Any], row: dict[str, Any]) -> bool:
    return any(known[name] != value for name, value in row.items())


def _rank(row: dict[str, Any]) -> tuple[Any, ...]:
    """The later observation, then the one that has ended, then whichever: the same of any two each time."""
    rest = sorted((name, str(value)) for name, value in row.items() if name != "observed_at")
    return row["observed_at"], row["end"] is not None, rest


def _is(table: Table, key: Sequence[str], values: Key) -> Any:  # noqa: ANN401  # a condition of SQLAlchemy's
    return and_(*(table.c[name] == value for name, value in zip(key, values, strict=True)))


def _stored(
    connection: Connection, table: Table, key: Sequence[str], wanted: dict[Key, dict[str, Any]]
) -> dict[Key, dict[str, Any]]:
    """The stored rows of these keys; found by when they began, of which a span has few."""
    starts = sorted({row["start"] for row in wanted.values()})
    found: dict[Key, dict[str, Any]] = {}
    for at in range(0, len(starts), _AT_ONCE):
        chosen = table.c.start.in_(starts[at : at + _AT_ONCE])
        for row in connection.execute(select(table).where(chosen)).mappings():
            found[tuple(row[name] for name in key)] = dict(row)
    return found
