"""What a cluster is called for good, whatever Slurm calls it: Slurm's own name may change.

Invariant: runs stand under the cluster's id from the moment a former name is declared, those stored
before included; a run that was read under both names is one run afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, Table, column, delete, select, table, update

from opsd.core.records import RunRecord
from opsd.store import measured, tables
from opsd.store.write import Reader, Writer

_cluster = table("cluster", column("id"), column("former_names"))
_run, _version = tables.run, tables.run_version
_CHUNK = 500
_NAMED = (
    tables.node_event,
    tables.reservation,
    tables.partition_limit,
    tables.certificate,
    tables.sweep,
    tables.measured,
    tables.spool,
    tables.gpu_seconds,
    tables.gpu_seen,
)
Rename = Callable[[RunRecord], RunRecord]


def former(connection: Connection) -> dict[str, str]:
    """Every former name of a cluster, and the id its runs stand under."""
    query = select(_cluster.c.id, _cluster.c.former_names).where(_cluster.c.former_names != "")
    return {name: row.id for row in connection.execute(query) for name in row.former_names.split(",")}


def of(connection: Connection, name: str) -> str:
    """The id under which a cluster of this name in Slurm is stored."""
    return former(connection).get(name, name)


def adopt(connection: Connection, names: Mapping[str, str], writer: Writer, rename: Rename) -> int:
    """Move what stands under former names to the clusters' ids, inside the caller's transaction.

    Every version of every run is stored anew as if it had been read under the id, so that what was read
    under both names becomes one run by the same rules as ever.

    Args:
        names: former name -> id.
        rename: gives a record the id of its cluster, and the content hash that goes with it.

    Returns:
        How many runs were moved.
    """
    moved = 0
    for old, new in names.items():
        known = connection.scalar(select(tables.word.c.id).where(tables.word.c.text == old))
        if known is not None:
            moved += _runs(connection, int(known), writer, rename)
            _forget_accounts(connection, int(known))
        for named in _NAMED:
            _rename(connection, named, old, new)
    if moved:
        measured.match(connection, 0)
    return moved


def _runs(connection: Connection, cluster: int, writer: Writer, rename: Rename) -> int:
    moved = 0
    some = select(_run.c.id).where(_run.c.cluster_id == cluster).limit(_CHUNK)
    while ids := connection.scalars(some).all():
        records = _taken_out(connection, ids, rename)
        for (writer.observed_at, writer.import_id), group in records.items():
            writer.batch(connection, group)
        moved += len(ids)
    return moved


def _taken_out(
    connection: Connection, ids: Sequence[int], rename: Rename
) -> dict[tuple[int, int], list[RunRecord]]:
    """All versions of some runs, renamed, by when and in which reading they were seen."""
    records: dict[tuple[int, int], list[RunRecord]] = defaultdict(list)
    for _, versions in Reader(connection).runs(ids).values():
        for version in versions.values():
            records[version.observed_at, version.import_id].append(rename(version.record))
    connection.execute(delete(_version).where(_version.c.run_id.in_(ids)))
    connection.execute(delete(_run).where(_run.c.id.in_(ids)))
    of_these = update(tables.measured).where(tables.measured.c.run_id.in_(ids))
    connection.execute(of_these.values(run_id=None))  # their ids are given anew, perhaps to others
    return records


def _forget_accounts(connection: Connection, cluster: int) -> None:
    """No run stands in them any more; the same names under the id have taken over."""
    held = tables.account
    old = connection.scalars(select(held.c.id).where(held.c.cluster_id == cluster)).all()
    for derived in (tables.day_fact, tables.dirty_cell):
        connection.execute(delete(derived).where(derived.c.account_id.in_(old)))
    connection.execute(delete(held).where(held.c.id.in_(old)))


def _rename(connection: Connection, named: Table, old: str, new: str) -> None:
    """Rows of the id win; what is not there yet moves."""
    rest = [key.name for key in named.primary_key.columns if key.name != "cluster"]
    other = named.alias()
    same = select(other.c.cluster).where(
        other.c.cluster == new, *(other.c[name] == named.c[name] for name in rest)
    )
    connection.execute(delete(named).where(named.c.cluster == old, same.exists()))
    connection.execute(update(named).where(named.c.cluster == old).values(cluster=new))
