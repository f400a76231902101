"""Ingest beside other writers, and what it says about the runs it changes."""

from __future__ import annotations

import io
from pathlib import Path

from collectors.slurm.sacct import SacctReader
from opsd.core.consortium import Consortium
from opsd.core.flags import Flag
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import DAY, Window
from opsd.pipeline import consortium, ingest, usage
from opsd.store import migrate, read
from opsd.store.engine import Store, open_engine, sqlite_address

HEADER = "JobIDRaw|Cluster|Account|State|Submit|Start|End|AllocTRES|NodeList|SLUID\n"
AT = 1_790_000_000 // DAY * DAY


def line(job: int, end: int = AT + 100, sluid: str = "") -> str:
    """One ended run on a GPU node, its GPU untyped."""
    return f"{job}|mn5|a|COMPLETED|{AT}|{AT}|{end}|cpu=1,gres/gpu=1,node=1|n1|{sluid}\n"


def reader(*lines: str) -> SacctReader:
    """An export of these lines."""
    return SacctReader(io.BytesIO((HEADER + "".join(lines)).encode()), name="export")


def new_store(folder: Path) -> Store:
    """An empty database."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    return store


def test_an_inventory_applied_between_two_batches_is_not_overlooked(tmp_path: Path) -> None:
    """Runs stored after a consortium file was applied have its classes, those before it too."""
    store = new_store(tmp_path)
    known = Consortium.of([Cluster("mn5"), NodeClass("mn5", "ACC", nodes="n1", gpus=4, gpu_class="h100")])
    applied: list[int] = []

    def apply_once(consumed: int) -> None:
        if not applied:
            consortium.apply(store, known, author="test", now=AT)
        applied.append(consumed)

    source = reader(*(line(job) for job in range(1, 5)))
    ingest.run(store, source, source="x", observed_at=AT, now=AT, batch_rows=2, progress=apply_once)

    with store.read() as connection:
        rows = usage.run(connection, Window(AT, AT + DAY), ("gpu_class",)).rows
    assert [("h100",)] == [row.key for row in rows]
    assert 4 * 100 == rows[0].measures.gpu_seconds
    assert len(applied) > 1
    store.close()


def test_a_second_sluid_is_said_when_it_comes(tmp_path: Path) -> None:
    """The import that makes a run odd counts it, and the loser's seconds can be told."""
    store = new_store(tmp_path)
    first = ingest.run(store, reader(line(1, AT + 100, "sA")), source="x", observed_at=AT, now=AT)
    later = reader(line(1, AT + 500, "sB"))
    second = ingest.run(store, later, source="x", observed_at=AT + 9, now=AT)

    with store.read() as connection:
        lost = read.losing_sluids(connection)
    assert {Flag.GPU_UNCLASSIFIED: 1} == dict(first.tally.flags)
    assert {Flag.TWO_SLUIDS: 1} == dict(second.tally.flags)
    assert (1, 100) == lost
    store.close()
