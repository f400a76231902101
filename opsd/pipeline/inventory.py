"""The node inventory of the stored master data, ready to be asked for each run."""

from __future__ import annotations

from collectors.slurm.hosts import expand
from opsd.core.shape import Inventory
from opsd.store import parties
from opsd.store.engine import Store


def inventory(store: Store) -> Inventory:
    """Which node class a run's nodes were in, by the master data of this moment."""
    with store.read() as connection:
        return Inventory(parties.load(connection).node_classes, expand)
