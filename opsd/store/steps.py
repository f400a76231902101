"""What the daemon's steps did last: one row per step.

Invariant: a row is written whole, so that a note that could not be made is caught up by the next one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, select

from opsd.store import tables
from opsd.store.engine import Store
from opsd.store.intern import upsert

RUNNING, DONE, FAILED, STOPPED = "running", "ok", "failed", "stopped"


@dataclass(frozen=True, slots=True)
class Last:
    """The last run of a step; `finished_at` None: it is running, or its process died."""

    name: str
    started_at: int
    finished_at: int | None = None
    succeeded_at: int | None = None  # of this run or an earlier one
    duration_ms: int | None = None  # of the last run that finished
    result: str = RUNNING
    message: str = ""
    failures: int = 0  # in a row
    next_at: int | None = None


def last(connection: Connection) -> dict[str, Last]:
    """The last run of every step that ever ran, by name."""
    return {row["name"]: Last(**row) for row in connection.execute(select(tables.step)).mappings()}


def note(store: Store, row: Last) -> None:
    """Keep a step's last run.

    Raises:
        StoreError: it cannot be written now.
    """
    values = asdict(row)
    with store.note() as connection:
        insert = upsert(connection, tables.step).values(values)
        changes = {name: insert.excluded[name] for name in values if name != "name"}
        connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=changes))
