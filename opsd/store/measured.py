"""Keeping what agents measured, how far each was asked, and which run each record is about.

Invariant: a page of a spool and the cursor behind it are one transaction, so a record is stored once,
however often it is handed out. Of two records of one run and device the longer one stands.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select, update

from opsd.core.measured import SLACK_SECONDS, Measured, Span, run_of
from opsd.store import tables
from opsd.store.intern import upsert

_measured, _spool, _run, _word = tables.measured, tables.spool, tables.run, tables.word
_AT_ONCE = 500


class Key(NamedTuple):
    """Which record."""

    cluster: str
    job_id: int
    uuid: str
    started: int


_KEY = Key._fields


class Cursor(NamedTuple):
    """How far an agent's spool was fetched."""

    spool: str = ""
    after: int = 0


def cursors(connection: Connection) -> dict[tuple[str, str], Cursor]:
    """Where to go on, by cluster and agent; one that was never asked is not there."""
    query = select(_spool.c.cluster, _spool.c.node, _spool.c.spool, _spool.c.cursor)
    return {(cluster, node): Cursor(*at) for cluster, node, *at in connection.execute(query)}


def keep(
    connection: Connection, cluster: str, node: str, found: Sequence[Measured], at: Cursor, now: int
) -> int:
    """Store a page and how far it goes, inside the caller's transaction.

    Returns:
        How many records were new, or longer than before.
    """
    longest = _longest(cluster, found)
    known = _held(connection, longest)
    rows = [
        _row(cluster, node, record, now)
        for key, record in longest.items()
        if record.allocated_ms > known.get(key, -1)
    ]
    if rows:
        insert = upsert(connection, _measured)
        changes = {name: insert.excluded[name] for name in rows[0] if name not in _KEY}
        longer = insert.excluded.allocated_ms > _measured.c.allocated_ms  # another daemon may be at it, too
        kept = insert.on_conflict_do_update(index_elements=list(_KEY), set_=changes, where=longer)
        connection.execute(kept, rows)
    further = {"spool": at.spool, "cursor": at.after, "fetched_at": now, "failure": ""}
    _note(connection, cluster, node, further)
    return len(rows)


def _longest(cluster: str, found: Sequence[Measured]) -> dict[Key, Measured]:
    """Of a page, each record once."""
    longest: dict[Key, Measured] = {}
    for record in found:
        key = Key(cluster, record.job_id, record.uuid, record.started)
        if key not in longest or record.allocated_ms > longest[key].allocated_ms:
            longest[key] = record
    return longest


def _held(connection: Connection, keys: Collection[Key]) -> dict[Key, int]:
    """How long the records of these jobs are that are stored."""
    m = _measured.c
    jobs = sorted({(key.cluster, key.job_id) for key in keys})
    found: dict[Key, int] = {}
    for at in range(0, len(jobs), _AT_ONCE):
        some = [job for _, job in jobs[at : at + _AT_ONCE]]
        query = select(*(m[name] for name in _KEY), m.allocated_ms)
        for *key, held in connection.execute(query.where(m.cluster == jobs[at][0], m.job_id.in_(some))):
            found[Key(*key)] = held
    return found


def _row(cluster: str, node: str, record: Measured, now: int) -> dict[str, object]:
    return {
        **record._asdict(), "cluster": cluster, "node": node.rpartition(":")[0],
        "xids": json.dumps(record.xids), "is_energy_estimated": int(record.is_energy_estimated),
        "is_end_seen": int(record.is_end_seen), "fetched_at": now, "run_id": None,
    }  # fmt: skip


def failed(connection: Connection, cluster: str, node: str, why: str) -> None:
    """Note that an agent did not answer; where to go on stays."""
    _note(connection, cluster, node, {"failure": why})


def _note(connection: Connection, cluster: str, node: str, changes: dict[str, object]) -> None:
    fresh = {"node": node, "cluster": cluster, "spool": "", "cursor": 0, "failure": "", **changes}
    insert = upsert(connection, _spool).values(fresh)
    connection.execute(insert.on_conflict_do_update(index_elements=["cluster", "node"], set_=changes))


def forget(connection: Connection, agents: Collection[tuple[str, str]]) -> None:
    """Leave only these: an agent that is no longer listed is not one that fails."""
    for cluster, node in cursors(connection).keys() - set(agents):
        connection.execute(delete(_spool).where(_spool.c.cluster == cluster, _spool.c.node == node))


def match(connection: Connection, since: int) -> int:
    """Find the runs of all records that ended since an instant; how many were found."""
    return place(connection, misplaced(connection, since, since))


def misplaced(connection: Connection, since: int, again: int) -> dict[Key, int | None]:
    """Records that belong to another run than they have, and to which; None: to none that is stored.

    Looked up is a record without a run, and one that does not fit the run it has: a record may come before
    the accounting tells that its run ended, or that the job ran again.

    Args:
        since: of records without a run, those that ended before are left out.
        again: the same of those with one, of which there are many more.
    """
    waiting: dict[tuple[str, int], list[tuple[Key, int, int | None]]] = defaultdict(list)
    m, run = _measured.c, _run.c
    columns = (*(m[name] for name in _KEY), m.ended, m.run_id)
    unknown = select(*columns).where(m.run_id.is_(None), m.ended >= since)
    misfit = or_(
        run.id.is_(None), run.finish.is_(None), m.started >= run.finish,
        m.ended > run.finish + SLACK_SECONDS, m.started < run.begin - SLACK_SECONDS,
    )  # fmt: skip
    joined = select(*columns).join_from(_measured, _run, m.run_id == run.id, isouter=True)
    for query in (unknown, joined.where(m.run_id.is_not(None), m.ended >= again, misfit)):
        for *key, ended, before in connection.execute(query):
            waiting[key[0], key[1]].append((Key(*key), ended, before))
    spans = dict(_runs(connection, list(waiting)))
    found: dict[Key, int | None] = {}
    for job, records in waiting.items():
        for which, ended, before in records:
            number = run_of(which.started, ended, spans.get(job, ()))
            if number != before:
                found[which] = number
    return found


def place(connection: Connection, found: Mapping[Key, int | None]) -> int:
    """Give records their runs; how many have one now."""
    if found:
        which = and_(*(_measured.c[name] == bindparam(f"of_{name}") for name in _KEY))
        rows = [
            {"number": number} | {f"of_{name}": value for name, value in key._asdict().items()}
            for key, number in found.items()
        ]
        connection.execute(update(_measured).where(which).values(run_id=bindparam("number")), rows)
    return sum(number is not None for number in found.values())


def _runs(
    connection: Connection, jobs: Sequence[tuple[str, int]]
) -> Iterator[tuple[tuple[str, int], list[Span]]]:
    """The runs of some jobs that ever held anything."""
    clusters = sorted({cluster for cluster, _ in jobs})
    query = select(_word.c.text, _word.c.id).where(_word.c.text.in_(clusters))
    names = {row.text: row.id for row in connection.execute(query)}
    for cluster in clusters:
        wanted = sorted(job for of, job in jobs if of == cluster)
        for at in range(0, len(wanted) if cluster in names else 0, _AT_ONCE):
            some = _run.c.job_id.in_(wanted[at : at + _AT_ONCE])
            runs = select(_run.c.job_id, _run.c.id, _run.c.begin, _run.c.finish).where(
                _run.c.cluster_id == names[cluster], some, _run.c.begin.is_not(None)
            )
            spans: dict[int, list[Span]] = defaultdict(list)
            for job, number, begin, finish in connection.execute(runs):
                spans[job].append(Span(number, begin, finish))
            for job, known in spans.items():
                yield (cluster, job), known


def unmatched(connection: Connection) -> dict[str, int]:
    """Records whose run is not known, by cluster; one whose agents are asked and that has none of them: 0."""
    found = dict.fromkeys(connection.scalars(select(_spool.c.cluster).distinct()), 0)
    query = select(_measured.c.cluster, func.count()).where(_measured.c.run_id.is_(None))
    found.update(
        (cluster, int(count)) for cluster, count in connection.execute(query.group_by(_measured.c.cluster))
    )
    return found


def oldest(connection: Connection) -> dict[str, int]:
    """When, of the agents that ever did, the one that is away longest last answered, by cluster."""
    query = select(_spool.c.cluster, func.min(_spool.c.fetched_at)).where(_spool.c.fetched_at.is_not(None))
    return {cluster: int(at) for cluster, at in connection.execute(query.group_by(_spool.c.cluster))}
