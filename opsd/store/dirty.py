"""Dirty cells: the (UTC day, account) cells of the day facts that may be stale.

Invariant: whoever changes what a run holds marks its cells in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection

from opsd.core.period import DAY
from opsd.store import tables
from opsd.store.bulk import sqlite_insert
from opsd.store.intern import upsert


class Held(NamedTuple):
    """The cells of the day facts that a run stands in."""

    account_id: int
    begin: int | None
    finish: int | None

    def cells(self) -> Iterable[tuple[int, int]]:
        """(day, account id) of an ended run; an open one is in no fact."""
        if self.begin is None or self.finish is None:
            return ()
        last = max(self.finish - 1, self.begin) // DAY
        return ((day, self.account_id) for day in range(self.begin // DAY, last + 1))


def mark_dirty(connection: Connection, cells: Iterable[tuple[int, int]]) -> None:
    """Say that the day facts of these (day, account id) cells may be stale."""
    chosen = sorted(set(cells))
    if not chosen:
        return
    if connection.dialect.name == "sqlite":
        text = sqlite_insert(tables.dirty_cell, ("day", "account_id"))
        connection.exec_driver_sql(f"{text} ON CONFLICT DO NOTHING", chosen)
        return
    statement = upsert(connection, tables.dirty_cell).on_conflict_do_nothing()
    connection.execute(statement, [{"day": day, "account_id": account} for day, account in chosen])
