"""The small world with prices of every kind, and a database of any world, for asking for its balances."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from collectors.slurm.hosts import expand
from opsd.core.agreements import Policy
from opsd.core.amounts import micro_unit_seconds
from opsd.core.consortium import KINDS, Consortium
from opsd.core.journal import Entry
from opsd.core.parties import NodeClass
from opsd.core.period import DAY, HOUR
from opsd.core.records import UNLIMITED, RunRecord
from opsd.core.shape import Inventory
from opsd.store import imports, migrate, parties
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer
from tests.pipeline import small_world

T = 20_700 * DAY  # when the journal was written


def grants(known: Consortium) -> list[Entry]:
    """Every award's amount, granted at its start."""
    return [
        Entry(a.start, T, "grant", a.id, a.unit, micro_unit_seconds(a.amount), "", "test")
        for a in known.awards.values()
    ]


def stored(
    url: str, rows: Sequence[RunRecord], known: Consortium, entries: Sequence[Entry], seen: int
) -> Store:
    """A database with these runs, seen at one time, this master data and this journal; all facts stale."""
    store = open_engine(url)
    if migrate.revision(store) is None:
        migrate.upgrade(store)
    numbered = [row._replace(job_id=number, hash=number) for number, row in enumerate(rows, 1)]
    with store.write() as connection:
        parties.save(connection, Consortium(), known)
        parties.post(connection, entries)
        number = imports.open_import(connection, "test", seen, seen)
        Writer(connection, Inventory(known.node_classes, expand), number, seen).batch(connection, numbered)
    return store


class World(NamedTuple):
    """The small world with prices of every kind, limits, and use before, in and after awards."""

    rows: list[RunRecord]
    known: Consortium
    entries: list[Entry]
    seen: int


BASE = small_world.BASE
LIMITS = (HOUR, HOUR, DAY, DAY, 5 * DAY, 5 * DAY, 9 * DAY, 9 * DAY, 9 * DAY, UNLIMITED, None)


def world(seed: int) -> World:
    """Policies and node classes that change in the middle of an hour, on top of the small world."""
    chance = random.Random(seed)
    rows = [row._replace(limit=chance.choice(LIMITS)) for row in small_world.records(chance, 90)]
    base = small_world.consortium(chance)
    turn, later = (BASE + chance.randrange(7 * DAY) for _ in range(2))
    thirds = '{"weights":{"a100":"1/3","h100":"5/7"}}'
    unlike = {
        "A1": {"policy": "weighed"}, "A2": {"policy": "share", "unit": "node-hours"},
        "A3": {"policy": "cores", "unit": "core-hours"},
    }  # fmt: skip
    known = Consortium.of(
        [
            *(item for kind in KINDS for item in base.items(kind)),
            *(replace(base.awards[name], **changes) for name, changes in unlike.items()),
            Policy("weighed", "gpu_hours", 0, turn, params='{"suspended":false}'),
            Policy("weighed", "gpu_hours", turn, params=thirds),
            Policy("share", "node_hours", params='{"mode":"largest-share"}'),
            Policy("cores", "core_hours", valid_from=min(turn, later)),
            NodeClass("mn5", "acc", 0, later, "", ("acc",), 40, 80, 64_000, 4, "h100"),
            NodeClass("mn5", "acc", later, None, "", ("acc",), 80, 160, 128_000, 4, "h100"),
            NodeClass("aiup", "gpp", partitions=("gpp",), cores=48, cpus=96, mem_mb=64_000, gpus=0),
        ]
    )
    more = Entry(BASE + 2 * DAY, BASE, "extension", "A1", "gpu-hours", 77, "", "test")
    return World(rows, known, [*grants(known), more], BASE + 9 * DAY)
