"""Give stored runs the classes that a changed node inventory says they had.

Invariant: a run whose shape changes marks its cells dirty in the same transaction, so usage by class
is right the moment the inventory is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from opsd.core.flags import Flag
from opsd.core.shape import Inventory, classify
from opsd.core.tres import Tres
from opsd.store import tables
from opsd.store.dirty import Held, mark_dirty
from opsd.store.intern import Shapes, texts

_run = tables.run
_BY_SHAPE = int(Flag.GPU_CLASS_DISAGREES | Flag.GPU_UNCLASSIFIED | Flag.NO_GPU_TRES | Flag.MIXED_NODE_CLASS)
_CHUNK = 20_000


def reclassify(connection: Connection, inventory: Inventory, clusters: Iterable[str]) -> int:
    """Classify the runs of some clusters anew; returns how many changed."""
    words = texts(connection)
    numbers = [number for number, text in words.items() if text in set(clusters)]
    worker = _Worker(connection, inventory, words)
    changed, last = 0, 0
    while rows := _next(connection, numbers, last):
        last = rows[-1][0]
        changed += worker.chunk(rows)
    return changed


def _next(connection: Connection, clusters: Sequence[int], last: int) -> Sequence[Sequence[Any]]:
    query = (
        select(
            _run.c.id, _run.c.cluster_id, _run.c.nodes, _run.c.partition_id,
            func.coalesce(_run.c.start, _run.c.submit), _run.c.shape_id, _run.c.flags,
            _run.c.account_id, _run.c.begin, _run.c.finish,
        )
        .where(_run.c.id > last, _run.c.cluster_id.in_(clusters))
        .order_by(_run.c.id)
        .limit(_CHUNK)
    )  # fmt: skip
    return connection.execute(query).all()


class _Worker:
    def __init__(self, connection: Connection, inventory: Inventory, words: dict[int, str]) -> None:
        self.connection = connection
        self.inventory = inventory
        self.words = words
        self.shapes = Shapes(connection)
        found = connection.execute(select(tables.shape.c.id, tables.shape.c.tres))
        self.tres = {row.id: Tres.from_canonical(row.tres) for row in found}

    def chunk(self, rows: Sequence[Sequence[Any]]) -> int:
        changes: list[dict[str, int]] = []
        stale: list[tuple[int, int]] = []
        for run_id, cluster, nodes, partition, at, old_shape, old_flags, account, begin, finish in rows:
            name = None if partition is None else self.words[partition]
            node_class, oddity = self.inventory.class_of(self.words[cluster], nodes, name, at)
            shape, flags = classify(self.tres[old_shape], node_class)
            new_shape = self.shapes[shape]
            new_flags = old_flags & ~_BY_SHAPE | (int(flags | oddity) if begin is not None else 0)
            if (new_shape, new_flags) != (old_shape, old_flags):
                self.tres.setdefault(new_shape, shape.tres)
                changes.append({"run_id": run_id, "new_shape": new_shape, "new_flags": new_flags})
                stale += Held(account, begin, finish).cells()
        if changes:
            statement = update(_run).where(_run.c.id == bindparam("run_id"))
            values: dict[str, Any] = {"shape_id": bindparam("new_shape"), "flags": bindparam("new_flags")}
            self.connection.execute(statement.values(**values), changes)
            mark_dirty(self.connection, stale)
        return len(changes)
