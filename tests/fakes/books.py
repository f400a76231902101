"""A small database with everything the daemon shows: awards spent and not, unattributed use, an open run."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from collectors.slurm.hosts import expand
from opsd.core.amounts import micro_unit_seconds
from opsd.core.journal import Entry
from opsd.core.period import DAY, HOUR
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.store import imports, migrate, parties
from opsd.store.engine import Store
from opsd.store.write import Writer
from tests.fakes.consortia import CLUSTER, award, binding, consortium

T = 20_700 * DAY  # a midnight
NOW = T + 12 * HOUR  # when Slurm was last asked
ONE_GPU = "cpu=20,gres/gpu:h100=1,mem=64000,node=1"
FOUR_GPUS = "cpu=160,gres/gpu:h100=4,mem=512000,node=1"

KNOWN = consortium(
    award("large"),
    award("small", project="climate", pool="pt", amount=Fraction(10)),
    binding("es-large", "large"),
    binding("pt-small", "small"),
)
RUNS = (
    RunRecord(CLUSTER, 1, T, T, T + 2 * HOUR, "COMPLETED", "es-large", FOUR_GPUS, nodes="a1", limit=DAY),
    RunRecord(CLUSTER, 2, T, T, T + 3 * HOUR, "COMPLETED", "pt-small", FOUR_GPUS, nodes="a2", limit=DAY),
    RunRecord(CLUSTER, 3, T, T + 8 * HOUR, None, "RUNNING", "es-large", ONE_GPU, nodes="a1", limit=6 * HOUR),
    RunRecord(CLUSTER, 4, T, T, T + HOUR, "FAILED", "nobody", ONE_GPU, nodes="a3", limit=DAY),
)


def fill(store: Store) -> None:
    """Tables, master data, grants and runs; all facts stale."""
    migrate.upgrade(store)
    grants = [
        Entry(a.start, T, "grant", a.id, a.unit, micro_unit_seconds(a.amount), "", "test")
        for a in KNOWN.awards.values()
    ]
    with store.write() as connection:
        parties.save(connection, type(KNOWN)(), KNOWN)
        parties.post(connection, grants)
    read(store, RUNS)


def read(store: Store, runs: Sequence[RunRecord]) -> None:
    """Runs as Slurm told them at NOW."""
    hashed = [run._replace(hash=run.job_id) for run in runs]
    with store.write() as connection:
        number = imports.open_import(connection, "test", NOW, NOW)
        Writer(connection, Inventory(KNOWN.node_classes, expand), number, NOW).batch(connection, hashed)
        imports.close_import(connection, number, NOW)
