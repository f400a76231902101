"""How far the database has come: what is open, and until when Slurm's accounting has been read."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from opsd.store import tables


def open_runs(connection: Connection) -> dict[str, int]:
    """Runs that had begun and not ended when Slurm was last asked, by cluster; 0 where all have."""
    known = select(tables.word.c.text).where(
        tables.word.c.id.in_(select(tables.account.c.cluster_id).distinct())
    )
    counts = dict.fromkeys(connection.scalars(known), 0)
    query = (
        select(tables.word.c.text, func.count())
        .select_from(tables.run.join(tables.word, tables.word.c.id == tables.run.c.cluster_id))
        .where(tables.STILL_OPEN)
        .group_by(tables.word.c.text)
    )
    return dict(sorted((counts | {row[0]: row[1] for row in connection.execute(query)}).items()))


def covered(connection: Connection) -> dict[str, int]:
    """Until when everything that each cluster recorded is in, by cluster."""
    sweep = tables.sweep
    found = connection.execute(select(sweep.c.cluster, sweep.c.covered_until).order_by(sweep.c.cluster))
    return {row.cluster: row.covered_until for row in found}
