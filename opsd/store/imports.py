"""Where runs came from, and what could not be read: the import log and the quarantine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, func, select, update

from opsd.store import tables
from opsd.store.intern import upsert

_log, _quarantine = tables.import_log, tables.quarantine


class Bad(NamedTuple):
    """A record to keep until someone has seen to it."""

    source: str
    position: int  # byte offset in the (decompressed) source
    line: int
    digest: str  # sha256 of all its bytes, of a record read live less what grows while its run is open
    length: int
    data: bytes  # its bytes, the first MiB of a longer one
    layout: str  # what is needed to read it again
    reason: str


def open_import(connection: Connection, source: str, observed_at: int, now: int) -> int:
    """Begin a reading; returns its id."""
    row = {"source": source, "observed_at": observed_at, "started_at": now}
    return int(connection.execute(_log.insert().values(**row).returning(_log.c.id)).scalar_one())


def count_import(connection: Connection, import_id: int, **counts: int) -> None:
    """Add a batch's counts to a reading."""
    values: dict[str, Any] = {name: _log.c[name] + count for name, count in counts.items()}
    connection.execute(update(_log).where(_log.c.id == import_id).values(values))


def close_import(connection: Connection, import_id: int, now: int) -> None:
    """Mark a reading as read to its end."""
    connection.execute(update(_log).where(_log.c.id == import_id).values(finished_at=now))


def set_aside(connection: Connection, records: Sequence[Bad], observed_at: int, now: int) -> None:
    """Keep bad records; the same bytes at the same place are kept once."""
    if not records:
        return
    statement = upsert(connection, _quarantine).on_conflict_do_nothing()
    rows = [{**record._asdict(), "observed_at": observed_at, "first_seen": now} for record in records]
    connection.execute(statement, rows)


def quarantined(connection: Connection, *, resolved: bool = False) -> Sequence[RowMapping]:
    """What is in quarantine, without the bytes, oldest first."""
    columns = [column for column in _quarantine.c if column.name not in ("data", "layout")]
    query = select(*columns).order_by(_quarantine.c.id)
    if not resolved:
        query = query.where(_quarantine.c.resolved_at.is_(None))
    return connection.execute(query).mappings().all()


def quarantine_count(connection: Connection) -> int:
    """How many records await someone."""
    waiting = select(func.count()).select_from(_quarantine).where(_quarantine.c.resolved_at.is_(None))
    return int(connection.scalar(waiting) or 0)


def quarantine_entry(connection: Connection, entry_id: int) -> RowMapping | None:
    """One quarantined record, with its bytes."""
    return connection.execute(select(_quarantine).where(_quarantine.c.id == entry_id)).mappings().first()


def resolve(connection: Connection, entry_id: int, now: int) -> None:
    """Mark a quarantined record as seen to."""
    connection.execute(update(_quarantine).where(_quarantine.c.id == entry_id).values(resolved_at=now))
