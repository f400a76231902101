"""From when to when the database knows any use."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, select

from opsd.store import tables


class Span(NamedTuple):
    """When the first and the last run began that held anything."""

    first: int
    last: int


def span(connection: Connection) -> Span | None:
    """From the first run to the last; None while there is none. Two looks into one index."""
    begin = tables.run.c.begin
    first = connection.scalar(select(func.min(begin)))
    last = connection.scalar(select(func.max(begin)))
    return None if first is None or last is None else Span(int(first), int(last))
