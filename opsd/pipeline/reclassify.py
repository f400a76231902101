"""After the node inventory changed: classes of stored runs, as of each run's start."""

from __future__ import annotations

from collectors.slurm.hosts import expand
from opsd.core.shape import Inventory
from opsd.store import parties
from opsd.store import reclassify as stored
from opsd.store.engine import Connection


def reclassify(connection: Connection) -> int:
    """Classify the runs of every cluster anew inside the caller's transaction; returns how many changed."""
    consortium = parties.load(connection)
    return stored.reclassify(connection, Inventory(consortium.node_classes, expand), consortium.clusters)
