"""Runs with the nodes that they held: what the books of a cluster are kept from.

Invariant: each run that overlaps a window comes once, an open one until it was last seen open.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from opsd.core.usage import Suspension, suspension
from opsd.store import tables
from opsd.store.facts import overlapping

_run, _word = tables.run, tables.word


class Run(NamedTuple):
    """A run as opsd counts it, and as Slurm's record has it."""

    id: int
    begin: int
    finish: int
    start: int | None
    end: int | None
    eligible: int | None
    suspended: Suspension
    nodes: str
    reservation: int
    shape: int


_COLUMNS = (
    _run.c.id, _run.c.begin, _run.c.finish, _run.c.start, _run.c.end, _run.c.eligible, _run.c.suspended,
    _run.c.suspensions, _run.c.nodes, _run.c.reservation_id, _run.c.shape_id, _run.c.cluster_id,
    _run.c.seen_open,
)  # fmt: skip


def runs(connection: Connection, cluster: str, start: int, end: int) -> Iterator[Run]:
    """Every run of a cluster that overlaps [start, end)."""
    number = connection.scalar(select(_word.c.id).where(_word.c.text == cluster))
    if number is None:
        return
    for row in connection.execute(overlapping(_COLUMNS, start, end)):
        if row[11] == number:
            yield _read(row)
    still = select(*_COLUMNS).where(tables.STILL_OPEN, _run.c.cluster_id == number, _run.c.begin < end)
    for row in connection.execute(still):
        found = _read(row)
        if found.finish > start or found.end is None:
            yield found


def _read(row: Any) -> Run:  # noqa: ANN401  # a row of _COLUMNS
    (number, begin, finish, start, end, eligible, total, spans, nodes, reservation, shape, _, seen) = row
    ended = finish is not None
    finish = finish if ended else max(begin, seen or begin)
    off = suspension(total, spans, begin, finish, ended=ended) if total or spans else 0
    return Run(number, begin, finish, start, end, eligible, off, nodes or "", reservation or 0, shape)


def clusters(connection: Connection) -> list[str]:
    """Every cluster that has a run."""
    known = select(_word.c.text).where(_word.c.id.in_(select(tables.account.c.cluster_id).distinct()))
    return sorted(connection.scalars(known))
