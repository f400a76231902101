"""Certificates as they were made: the last one of each cluster and window, with its whole document.

Invariant: a window made again replaces the certificate of that window; no other is touched.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from opsd.core.period import Window
from opsd.store import tables
from opsd.store.intern import upsert

_held = tables.certificate
_KEY = ("cluster", "start", "end")


class Kept(NamedTuple):
    """One certificate, without its document."""

    cluster: str
    start: int
    end: int
    made_at: int
    cells: int
    unexplained_cells: int


def keep(
    connection: Connection,
    cluster: str,
    window: Window,
    made_at: int,
    *,
    cells: int,
    unexplained: int,
    document: str,
) -> None:
    """Store a certificate as the last one of its window."""
    row = {"made_at": made_at, "cells": cells, "unexplained_cells": unexplained, "document": document}
    statement = upsert(connection, _held).values(cluster=cluster, start=window.start, end=window.end, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=row))


def every(connection: Connection) -> list[Kept]:
    """All that are kept, the last made last."""
    query = select(*(_held.c[name] for name in Kept._fields)).order_by(
        _held.c.made_at, _held.c.cluster, _held.c.start, _held.c.end
    )
    return [Kept(*row) for row in connection.execute(query)]


def document(connection: Connection, cluster: str, window: Window) -> str | None:
    """The document of a window's last certificate."""
    query = select(_held.c.document).where(
        _held.c.cluster == cluster, _held.c.start == window.start, _held.c.end == window.end
    )
    return connection.scalar(query)
