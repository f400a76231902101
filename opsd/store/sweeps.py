"""How far each cluster's accounting has been read, and which open runs a reading did not show.

Invariant: `covered_until` is moved by whoever stored everything up to it, in a later transaction; so it is
never ahead of what is stored, whenever a process dies.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select

from opsd.store import tables
from opsd.store.intern import upsert

_run, _sweep, _word = tables.run, tables.sweep, tables.word
_NAMED_IDS = 500


def covered_until(connection: Connection, cluster: str) -> int | None:
    """Up to when a cluster's accounting is in; None: never read."""
    return connection.scalar(select(_sweep.c.covered_until).where(_sweep.c.cluster == cluster))


def cover(connection: Connection, cluster: str, until: int, observed_at: int) -> None:
    """Note that everything up to `until` is in."""
    row = {"covered_until": until, "observed_at": observed_at}
    statement = upsert(connection, _sweep).values(cluster=cluster, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["cluster"], set_=row))


def unseen(connection: Connection, cluster: str, observed_at: int, before: int) -> dict[int, int]:
    """Open runs that began before an instant and that nobody has seen since `observed_at`: run -> job id."""
    query = (
        select(_run.c.id, _run.c.job_id)
        .join(_word, _word.c.id == _run.c.cluster_id)
        .where(tables.STILL_OPEN, _word.c.text == cluster)
        .where(_run.c.observed_at < observed_at, _run.c.begin < before)
        .order_by(_run.c.id)
    )
    return {row.id: row.job_id for row in connection.execute(query)}


def alive(connection: Connection, runs: Sequence[int], observed_at: int, start: int, end: int) -> list[int]:
    """Job ids of those runs that were seen since `observed_at` to have been alive in [start, end)."""
    found: list[int] = []
    for at in range(0, len(runs), _NAMED_IDS):
        query = (
            select(_run.c.job_id)
            .where(_run.c.id.in_(runs[at : at + _NAMED_IDS]), _run.c.observed_at >= observed_at)
            .where(_run.c.eligible > 0, _run.c.eligible < end)
            .where(or_(_run.c.finish.is_(None), _run.c.finish >= start))
        )
        found += connection.scalars(query)
    return found
