"""Suspended runs whose intervals are unknown, or may have grown since they were asked for.

Invariant: a run that has ended is asked for once. What it was told then is a version of its own with the
same start, end and suspended seconds; others of these, told later, make it waiting again.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, exists, not_, or_, select

from opsd.store import tables

_run, _version, _word = tables.run, tables.run_version, tables.word


class Waiting(NamedTuple):
    """A run to ask for, and what it was when this was decided."""

    run: int
    db_index: int
    start: int | None
    end: int | None
    suspensions: str | None  # as known so far


def waiting(connection: Connection, cluster: str) -> list[Waiting]:
    """Runs of a cluster with suspended seconds that slurmdbd may know more about, in order of their ids."""
    settled = exists().where(
        _version.c.run_id == _run.c.id,
        _version.c.suspensions == _run.c.suspensions,
        _version.c.start.is_not_distinct_from(_run.c.start),
        _version.c.end == _run.c.end,
        _version.c.suspended == _run.c.suspended,
    )
    query = (
        select(_run.c.id, _run.c.db_index, _run.c.start, _run.c.end, _run.c.suspensions)
        .where(
            tables.SUSPENDED,
            _run.c.cluster_id.in_(select(_word.c.id).where(_word.c.text == cluster)),
            _run.c.begin.is_not(None),
            _run.c.db_index > 0,
            or_(_run.c.end.is_(None), not_(settled)),
        )
        .order_by(_run.c.id)
    )
    return [Waiting(*row) for row in connection.execute(query)]
