"""From a number back to what it was counted from: runs with every version, and the readings they came in.

Invariant: nothing here decides anything; a run is handed over as it is stored, with the version that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from opsd.core.records import RunRecord
from opsd.core.versions import Version, merge
from opsd.store import read, tables
from opsd.store.read import Held
from opsd.store.write import RUN_COLUMNS, Reader

_run, _log, _word, _dirty = tables.run, tables.import_log, tables.word, tables.dirty_cell
_FEW_ACCOUNTS = 24  # beyond, one pass over all runs of the window is quicker than a look for each
_NAMED_IDS = 500


class Traced(NamedTuple):
    """One run: what it counts as, and everything ever said of it."""

    id: int
    record: RunRecord  # the version that counts, with what it lacks taken from the others
    begin: int | None
    finish: int | None
    seen_open: int | None
    flags: int
    shape: int
    versions: tuple[Version, ...]  # by when they were last seen


class Reading(NamedTuple):
    """Where some runs came from."""

    id: int
    source: str
    observed_at: int
    finished_at: int | None


def held(connection: Connection, start: int, end: int, accounts: frozenset[int]) -> Iterator[Held]:
    """Runs of these accounts that overlap [start, end), one after the other; open ones until last seen."""
    for run in read.open_runs(connection):
        if run.account in accounts and run.begin < end and max(run.finish, run.begin + 1) > start:
            yield run
    if len(accounts) <= _FEW_ACCOUNTS:
        for account in sorted(accounts):
            yield from read.runs_overlapping(connection, start, end, account=account)
        return
    for run in read.runs_overlapping(connection, start, end):
        if run.account in accounts:
            yield run


def runs(connection: Connection, ids: Iterable[int]) -> dict[int, Traced]:
    """Some runs by their id."""
    found = {}
    for run_id, (stored, versions) in Reader(connection).runs(ids).items():
        row = dict(zip(RUN_COLUMNS, stored, strict=True))
        seen = tuple(sorted(versions.values(), key=lambda version: (version.observed_at, version.rank)))
        found[run_id] = Traced(
            run_id, merge(seen).record, row["begin"], row["finish"], row["seen_open"], row["flags"],
            row["shape_id"], seen,
        )  # fmt: skip
    return found


def of_job(connection: Connection, job_id: int, cluster: str | None) -> list[Traced]:
    """Every run of a job id, oldest first: attempts, and after a wrap of the ids other jobs too."""
    query = select(_run.c.id).where(_run.c.job_id == job_id)
    if cluster is not None:
        query = query.where(_run.c.cluster_id.in_(select(_word.c.id).where(_word.c.text == cluster)))
    else:
        known = select(tables.account.c.cluster_id).distinct()  # the key begins with the cluster
        query = query.where(_run.c.cluster_id.in_(known))
    found = runs(connection, connection.scalars(query).all()).values()
    return sorted(found, key=lambda run: (run.record.cluster, run.record.submit))


def job_range(connection: Connection) -> tuple[int, int] | None:
    """The smallest and the largest job id stored; None while there is none."""
    row = connection.execute(select(func.min(_run.c.job_id), func.max(_run.c.job_id))).one()
    return None if row[0] is None else (row[0], row[1])


def readings(connection: Connection, ids: Iterable[int]) -> list[Reading]:
    """Some readings of accounting text, oldest observation first."""
    wanted = sorted(set(ids))
    columns = (_log.c.id, _log.c.source, _log.c.observed_at, _log.c.finished_at)
    found = []
    for at in range(0, len(wanted), _NAMED_IDS):
        query = select(*columns).where(_log.c.id.in_(wanted[at : at + _NAMED_IDS]))
        found += [Reading(*row) for row in connection.execute(query)]
    return sorted(found, key=lambda reading: (reading.observed_at, reading.id))


def stale_days(connection: Connection, first: int, last: int, accounts: Sequence[int]) -> int:
    """How many days in [first, last) of these accounts have facts that await a rebuild."""
    wanted = set(accounts)
    return sum(account in wanted for _, account in read.dirty_cells(connection, first, last))


def flagged(
    connection: Connection, start: int, end: int, accounts: frozenset[int], flags: int, most: int
) -> list[Traced]:
    """Runs of these accounts that overlap [start, end) and carry one of some flags, at most so many."""
    finish = func.coalesce(_run.c.finish, _run.c.seen_open, _run.c.begin)
    query = (
        select(_run.c.id)
        .where(_run.c.account_id.in_(accounts), _run.c.begin < end, finish > start)
        .where(_run.c.flags.op("&")(flags) != 0)
        .order_by(_run.c.begin)
        .limit(most)
    )
    found = runs(connection, connection.scalars(query).all())
    return sorted(found.values(), key=lambda run: (run.begin or 0, run.id))
