"""Keeping a database small and quick without losing anything that was counted.

Invariant: runs, their versions, the journal and the quarantine are never deleted here. What goes is the
log of readings that found nothing new, are older than a given moment, and to which no run traces back.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from sqlalchemy import Connection, and_, delete, select
from sqlalchemy.engine.interfaces import DBAPICursor

from opsd.store import tables
from opsd.store.engine import Store, explained

_log = tables.import_log
_AT_ONCE = 500
_CHECKPOINT_WAIT_MS = 1_000


def idle_readings(connection: Connection, before: int) -> list[int]:
    """Readings that may be forgotten: ended, of an earlier time, and without a trace."""
    nothing = and_(_log.c.new == 0, _log.c.changed == 0, _log.c.quarantined == 0)
    ended = and_(_log.c.finished_at.is_not(None), _log.c.started_at < before)
    found = set(connection.scalars(select(_log.c.id).where(nothing, ended)))
    for table in (tables.run, tables.run_version):
        if found:  # a run seen again without news moves to the reading that saw it last
            found.difference_update(connection.scalars(select(table.c.import_id).distinct()))
    return sorted(found)


def forget(store: Store, readings: list[int]) -> None:
    """Delete readings from the log, some at a time, so that nobody waits."""
    for at in range(0, len(readings), _AT_ONCE):
        with store.write() as connection:
            connection.execute(delete(_log).where(_log.c.id.in_(readings[at : at + _AT_ONCE])))


def tidy(store: Store) -> bool:
    """Let an SQLite database refresh its statistics and empty its write-ahead log.

    Returns:
        False when somebody reads an old state, so that the log must wait; PostgreSQL does both by itself.
    """
    if not store.is_sqlite:
        return True
    with store.write() as connection:  # it reads before it writes, and must find no other writer in between
        connection.exec_driver_sql("PRAGMA optimize")
    with explained(store.shown), closing(store.engine.raw_connection()) as connection:
        plain = connection.cursor()  # outside any transaction, where alone a checkpoint is possible
        plain.execute("PRAGMA busy_timeout")
        waited = _only(plain)[0]
        plain.execute(f"PRAGMA busy_timeout={_CHECKPOINT_WAIT_MS}")
        try:
            plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy = _only(plain)[0]
        finally:
            plain.execute(f"PRAGMA busy_timeout={waited}")
    return not busy


def _only(cursor: DBAPICursor) -> Any:  # noqa: ANN401 (a row of whatever a PRAGMA says)
    row = cursor.fetchone()
    assert row is not None
    return row
