"""Notices that people were sent, or are to be sent: one row for each and recipient.

Invariant: no row is ever taken away, so nothing is told twice to anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, func, select

from opsd.core.notices import Kept, Notice
from opsd.store import tables
from opsd.store.intern import upsert

_held = tables.notice
_KEY = ("award", "kind", "mark", "recipient")
_REST = ("due_at", "sent_at", "next_at", "message_id", "failures", "error")


def by_award(connection: Connection) -> dict[str, list[Kept]]:
    """Everything that is remembered."""
    found: dict[str, list[Kept]] = defaultdict(list)
    columns = [_held.c[name] for name in (*_KEY, *_REST)]
    for row in connection.execute(select(*columns).order_by(*(_held.c[name] for name in _KEY))).mappings():
        notice = Notice(row["award"], row["kind"], row["mark"])
        found[notice.award].append(Kept(notice, row["recipient"], **{name: row[name] for name in _REST}))
    return found


def keep(connection: Connection, rows: Iterable[Kept]) -> None:
    """Remember these as they are now."""
    values = [
        {
            "award": row.notice.award, "kind": row.notice.kind, "mark": row.notice.mark,
            "recipient": row.recipient, **{name: getattr(row, name) for name in _REST},
        }
        for row in rows
    ]  # fmt: skip
    if not values:
        return
    insert = upsert(connection, _held)
    changes = {name: insert.excluded[name] for name in _REST if name != "due_at"}
    connection.execute(insert.on_conflict_do_update(index_elements=_KEY, set_=changes), values)


def waiting(connection: Connection) -> int:
    """How many are due and not sent."""
    return int(connection.scalar(select(func.count()).where(_held.c.next_at.is_not(None))) or 0)
