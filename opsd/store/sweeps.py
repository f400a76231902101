"""How far each cluster's accounting has been read, which runs are open, and which a reading did not show.

Invariant: `covered_until` is moved by whoever stored everything up to it, in a later transaction; so it is
never ahead of what is stored, whenever a process dies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, or_, select, update

from opsd.store import tables
from opsd.store.intern import upsert

_run, _sweep, _word = tables.run, tables.sweep, tables.word
_NAMED_IDS = 500


class Sweep(NamedTuple):
    """A cluster was read up to `covered_until`; what Slurm writes down late comes with the nightly sweep."""

    cluster: str
    covered_until: int
    observed_at: int
    notes: tuple[str, ...] = ()  # what its source cannot tell, and what opsd loses by it
    suspected: tuple[int, ...] = ()  # jobs that are open here and unknown to slurmctld: runaway, probably
    gone: tuple[int, ...] = ()  # jobs that are open here and no longer in the accounting: purged, probably
    modified_until: int | None = None  # what slurmdbd changed before this was read again, however old


def every(connection: Connection) -> list[Sweep]:
    """How far each cluster was read, by name."""
    columns = ("cluster", "covered_until", "observed_at", "notes", "suspected", "gone", "modified_until")
    query = select(*(_sweep.c[name] for name in columns)).order_by(_sweep.c.cluster)
    return [
        Sweep(
            row.cluster,
            row.covered_until,
            row.observed_at,
            tuple(row.notes.splitlines()),
            _wholes(row.suspected),
            _wholes(row.gone),
            row.modified_until,
        )
        for row in connection.execute(query)
    ]


def _wholes(joined: str) -> tuple[int, ...]:
    return tuple(map(int, joined.split(","))) if joined else ()


def one(connection: Connection, cluster: str) -> Sweep | None:
    """How far a cluster was read; None: never."""
    return next((sweep for sweep in every(connection) if sweep.cluster == cluster), None)


def note(
    connection: Connection,
    cluster: str,
    *,
    notes: Sequence[str] | None = None,
    suspected: Sequence[int] | None = None,
    gone: Sequence[int] | None = None,
) -> None:
    """Keep what the last sweep found out; None leaves what is known."""
    said = {
        "notes": None if notes is None else "\n".join(notes),
        "suspected": None if suspected is None else ",".join(map(str, suspected)),
        "gone": None if gone is None else ",".join(map(str, gone)),
    }
    values = {name: text for name, text in said.items() if text is not None}
    if values:
        connection.execute(update(_sweep).where(_sweep.c.cluster == cluster).values(values))


def covered(connection: Connection) -> dict[str, int]:
    """Up to when each cluster that was ever read has been read."""
    return {sweep.cluster: sweep.covered_until for sweep in every(connection)}


def cover(
    connection: Connection, cluster: str, until: int, observed_at: int, *, modified: int | None = None
) -> None:
    """Note that a cluster was read up to `until`, and what was read is stored.

    Args:
        modified: from when on changed rows are to be read again, where that is not known yet.
    """
    row = {"covered_until": until, "observed_at": observed_at}
    statement = upsert(connection, _sweep).values(cluster=cluster, modified_until=modified, **row)
    kept = {"modified_until": func.coalesce(_sweep.c.modified_until, modified)}
    connection.execute(statement.on_conflict_do_update(index_elements=["cluster"], set_=row | kept))


def reread(connection: Connection, cluster: str, modified_until: int) -> None:
    """Note that all rows that changed before an instant were read again."""
    named = update(_sweep).where(_sweep.c.cluster == cluster)
    connection.execute(named.values(modified_until=modified_until))


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


def begun(connection: Connection, cluster: str, before: int, since: int) -> list[tuple[int, bool]]:
    """Job ids of open runs that began before an instant, and whether each was seen since another."""
    query = (
        select(_run.c.job_id, _run.c.observed_at)
        .join(_word, _word.c.id == _run.c.cluster_id)
        .where(tables.STILL_OPEN, _word.c.text == cluster, _run.c.begin < before)
        .order_by(_run.c.job_id, _run.c.submit)
    )
    return [(row.job_id, row.observed_at >= since) for row in connection.execute(query)]


def earliest(connection: Connection, cluster: str) -> int | None:
    """When the first run of a cluster that is known began."""
    query = (
        select(_run.c.begin)
        .join(_word, _word.c.id == _run.c.cluster_id)
        .where(_word.c.text == cluster, _run.c.begin.is_not(None))
        .order_by(_run.c.begin)
        .limit(1)
    )
    return connection.scalar(query)


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
