"""Certificates as they were made: the last one of each cluster and window, with its whole document.

Invariant: a window made again replaces the certificate of that window; no other is touched unless named.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from opsd.core.period import DAY, Window
from opsd.store import tables
from opsd.store.intern import upsert

_held = tables.certificate
_KEY = ("cluster", "start", "end")
_RECENT = DAY
_FIGURES = ("unknowable_cells", "seconds", "hours_not_added_up")


class Kept(NamedTuple):
    """One certificate, without its document."""

    cluster: str
    start: int
    end: int
    made_at: int
    cells: int
    unexplained_cells: int
    unknowable_cells: int = 0  # of those: within what nobody can know
    seconds: Mapping[str, tuple[int, int]] = {}  # by TRES: unexplained, and what Slurm reports in all
    hours_not_added_up: int | None = None  # None: not known, or kept before this was


def keep(connection: Connection, kept: Kept, document: str) -> None:
    """Store a certificate as the last one of its window."""
    row = {
        "made_at": kept.made_at, "cells": kept.cells, "unexplained_cells": kept.unexplained_cells,
        "figures": json.dumps({name: getattr(kept, name) for name in _FIGURES}),
        "document": zlib.compress(document.encode()),
    }  # fmt: skip
    key = dict(zip(_KEY, kept, strict=False))
    statement = upsert(connection, _held).values(**key, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=row))


def ends(connection: Connection, cluster: str, start: int) -> list[int]:
    """Where the windows end that begin at an instant."""
    query = select(_held.c.end).where(_held.c.cluster == cluster, _held.c.start == start)
    return sorted(connection.scalars(query))


def forget(connection: Connection, cluster: str, start: int, ends: Sequence[int]) -> None:
    """Certificates of these windows: a later one says all that they said."""
    which = _held.c.cluster == cluster, _held.c.start == start, _held.c.end.in_(ends)
    connection.execute(delete(_held).where(*which))


def every(connection: Connection) -> list[Kept]:
    """All that are kept, by cluster and time."""
    columns = [_held.c[name] for name in (*Kept._fields[:6], "figures")]
    query = select(*columns).order_by(*(_held.c[name] for name in _KEY))
    return [_kept(*row) for row in connection.execute(query)]


def _kept(
    cluster: str, start: int, end: int, made_at: int, cells: int, unexplained: int, figures: str
) -> Kept:
    told = json.loads(figures)
    seconds = {tres: (left, whole) for tres, (left, whole) in told["seconds"].items()}
    return Kept(
        cluster, start, end, made_at, cells, unexplained, told["unknowable_cells"], seconds,
        told.get("hours_not_added_up"),
    )  # fmt: skip


def standing(connection: Connection) -> list[Kept]:
    """How each cluster stands: the longest window of those that end within a day of its latest one.

    So a month stands until the first certificate of the next one that has a whole day.
    """
    found: dict[str, list[Kept]] = {}
    for kept in every(connection):
        found.setdefault(kept.cluster, []).append(kept)
    return [_longest(several) for several in found.values()]


def _longest(several: list[Kept]) -> Kept:
    latest = max(kept.end for kept in several)
    recent = [kept for kept in several if kept.end >= latest - _RECENT]
    return max(recent, key=lambda kept: (kept.end - kept.start, kept.end))


def document(connection: Connection, cluster: str, window: Window) -> str | None:
    """The document of a window's last certificate."""
    query = select(_held.c.document).where(
        _held.c.cluster == cluster, _held.c.start == window.start, _held.c.end == window.end
    )
    found = connection.scalar(query)
    return None if found is None else zlib.decompress(found).decode()
