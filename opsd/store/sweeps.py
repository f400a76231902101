"""How far each cluster's accounting has been read, which runs are open, and which a reading did not show.

Invariant: `covered_until` is moved by whoever stored everything up to it, in a later transaction; so it is
never ahead of what is stored, whenever a process dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, or_, select

from opsd.store import tables
from opsd.store.intern import upsert

_run, _sweep, _word = tables.run, tables.sweep, tables.word
_NAMED_IDS = 500


class Sweep(NamedTuple):
    """A cluster was read up to `covered_until`; what Slurm writes down late comes with the nightly sweep."""

    cluster: str
    covered_until: int
    observed_at: int


def every(connection: Connection) -> list[Sweep]:
    """How far each cluster was read, by name."""
    query = select(_sweep.c.cluster, _sweep.c.covered_until, _sweep.c.observed_at).order_by(_sweep.c.cluster)
    return [Sweep(*row) for row in connection.execute(query)]


def covered(connection: Connection) -> dict[str, int]:
    """Up to when each cluster that was ever read has been read."""
    return {sweep.cluster: sweep.covered_until for sweep in every(connection)}


def cover(connection: Connection, cluster: str, until: int, observed_at: int) -> None:
    """Note that a cluster was read up to `until`, and what was read is stored."""
    row = {"covered_until": until, "observed_at": observed_at}
    statement = upsert(connection, _sweep).values(cluster=cluster, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["cluster"], set_=row))


def open_runs(connection: Connection) -> dict[str, int]:
    """Runs that had begun and not ended when Slurm was last asked, by cluster; 0 where all have."""
    known = select(_word.c.text).where(_word.c.id.in_(select(tables.account.c.cluster_id).distinct()))
    counts = dict.fromkeys(connection.scalars(known), 0)
    query = (
        select(_word.c.text, func.count())
        .select_from(_run.join(_word, _word.c.id == _run.c.cluster_id))
        .where(tables.STILL_OPEN)
        .group_by(_word.c.text)
    )
    return dict(sorted((counts | {row[0]: row[1] for row in connection.execute(query)}).items()))


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
