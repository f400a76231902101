"""GPU-seconds by what GPUs were doing, counted from one look to the next.

Invariant: seconds are added in the transaction that moves the mark up to which they are counted, so that
a process that dies, or a second one, counts no second twice; a counter never falls. Over all states of a
class they are its GPUs times the time, `unseen` where nobody looked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, select

from opsd.core.period import DAY
from opsd.core.present import GPU_STATES, UNSEEN
from opsd.store import tables
from opsd.store.intern import upsert

_seconds, _seen = tables.gpu_seconds, tables.gpu_seen
_MISSED_LOOKS, _LEAST_GAP = 5, 600
# A mark so far ahead was made by a clock that was wrong; it would stop the counters until that day comes.
# Clocks of two machines that both look may differ, but not by this.
_WRONG_CLOCK = DAY

Counts = Mapping[tuple[str, str], int]  # (class, state) -> GPUs, or seconds


class _Look(NamedTuple):
    at: int
    counts: Counts


def longest_gap(interval: float) -> int:
    """Looks further apart than this say nothing of the time between them."""
    return max(_LEAST_GAP, int(_MISSED_LOOKS * interval))


def look(
    connection: Connection, cluster: str, at: int, counts: Counts, interval: float
) -> dict[tuple[str, str], int]:
    """Count what was seen the last time up to now, and keep what is seen now.

    Args:
        connection: of a write transaction.
        at: when the GPUs were seen; not after the last look: then nothing is added and nothing kept.
        interval: seconds from one look to the next, as they should be.

    Returns:
        The counters, by class and state.
    """
    last = _last(connection, cluster)
    if last is None or last.at < at or last.at > at + _WRONG_CLOCK:
        begun = {(gpu_class, state): 0 for gpu_class, _ in counts for state in (*GPU_STATES, UNSEEN)}
        spent = {} if last is None or last.at > at else _spent(last, at, interval)
        _add(connection, cluster, begun | spent)
        _keep(connection, cluster, _Look(at, counts))
    return counted(connection, cluster)


def counted(connection: Connection, cluster: str) -> dict[tuple[str, str], int]:
    """The counters of a cluster, those of classes that are gone included, by class and state."""
    query = (
        select(_seconds.c.gpu_class, _seconds.c.state, _seconds.c.seconds)
        .where(_seconds.c.cluster == cluster)
        .order_by(_seconds.c.gpu_class, _seconds.c.state)
    )
    return {(row.gpu_class, row.state): row.seconds for row in connection.execute(query)}


def _spent(last: _Look, at: int, interval: float) -> dict[tuple[str, str], int]:
    gap = at - last.at
    is_seen = gap <= longest_gap(interval)
    found: dict[tuple[str, str], int] = {}
    for (gpu_class, state), gpus in last.counts.items():
        key = (gpu_class, state if is_seen else UNSEEN)
        found[key] = found.get(key, 0) + gpus * gap
    return found


def _last(connection: Connection, cluster: str) -> _Look | None:
    row = connection.execute(select(_seen.c.at, _seen.c.counts).where(_seen.c.cluster == cluster)).first()
    return None if row is None else _Look(row.at, _read(json.loads(row.counts)))


def _read(written: Iterable[tuple[str, str, int]]) -> Counts:
    return {(gpu_class, state): gpus for gpu_class, state, gpus in written}


def _keep(connection: Connection, cluster: str, seen: _Look) -> None:
    written = [[gpu_class, state, gpus] for (gpu_class, state), gpus in sorted(seen.counts.items()) if gpus]
    row = {"at": seen.at, "counts": json.dumps(written)}
    statement = upsert(connection, _seen).values(cluster=cluster, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["cluster"], set_=row))


def _add(connection: Connection, cluster: str, spent: Counts) -> None:
    rows = [
        {"cluster": cluster, "gpu_class": gpu_class, "state": state, "seconds": seconds}
        for (gpu_class, state), seconds in sorted(spent.items())
    ]
    if not rows:
        return
    statement = upsert(connection, _seconds)
    more = {"seconds": _seconds.c.seconds + statement.excluded.seconds}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["cluster", "gpu_class", "state"], set_=more), rows
    )
