"""The node inventory of the transaction that one writes in.

Invariant: runs are classified by the inventory that is in force when they become visible. Reading it
once per command would let a consortium file, applied between two batches, be overlooked for good.
"""

from __future__ import annotations

from collections.abc import Sequence

from collectors.slurm.hosts import expand
from opsd.core.parties import NodeClass
from opsd.core.shape import Inventory
from opsd.store import parties
from opsd.store.engine import Connection


class Inventories:
    """Hands out the current inventory, built anew only when its node classes have changed."""

    def __init__(self) -> None:
        self._classes: Sequence[NodeClass] = ()
        self._inventory = Inventory((), expand)

    def current(self, connection: Connection) -> Inventory:
        """The inventory as this transaction sees it."""
        classes = parties.node_classes(connection)
        if classes != self._classes:
            self._classes, self._inventory = classes, Inventory(classes, expand)
        return self._inventory
