"""Runs under the stable id of their cluster, whatever Slurm called it when they were read.

Invariant: a record is renamed before anything is decided about it, its content hash with it; so a run that
is read under two names of its cluster is one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collectors.slurm.content import content_hash
from opsd.core.errors import Refused
from opsd.core.parties import Cluster
from opsd.core.records import RunRecord
from opsd.pipeline.inventory import Inventories
from opsd.store import identity as stored
from opsd.store.engine import Connection
from opsd.store.write import Writer


def renamed(records: Sequence[RunRecord], names: Mapping[str, str]) -> Sequence[RunRecord]:
    """Records under their clusters' ids.

    Args:
        names: former name -> id.
    """
    if not names:
        return records
    return [
        _renamed(record, names[record.cluster]) if record.cluster in names else record for record in records
    ]


def _renamed(record: RunRecord, cluster: str) -> RunRecord:
    moved = record._replace(cluster=cluster)
    return moved._replace(hash=content_hash(moved))


def keep_former_names(before: Mapping[str, Cluster], after: Mapping[str, Cluster]) -> None:
    """Refuse that a former name is taken away: its runs have become the cluster's own, and would count twice.

    Raises:
        Refused: naming each.
    """
    for name, cluster in before.items():
        if lost := set(cluster.former_names) - set(after[name].former_names):
            raise Refused(
                f"cluster {name}: former_names: {', '.join(sorted(lost))} cannot be taken away: what was "
                f"read under it stands under {name}, and would count twice if read again: leave it there"
            )


def adopt(connection: Connection) -> int:
    """Move the runs that stand under former names to the ids, inside the caller's transaction; how many."""
    names = stored.former(connection)
    writer = Writer(connection, Inventories().current(connection), 0, 0)
    return stored.adopt(connection, names, writer, lambda record: _renamed(record, names[record.cluster]))
