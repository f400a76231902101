"""MIG slices in usage: instances as Slurm counts them, and beside them parts of whole GPUs."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import pytest

from collectors.slurm.hosts import expand
from collectors.slurm.sacct import SacctReader
from opsd.cli import main
from opsd.core.consortium import Consortium, Item
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.core.slices import MigSlice
from opsd.pipeline import ingest, rebuild, usage
from opsd.store import imports, migrate, parties
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer

T = 1_780_272_000  # 2026-06-01 00:00 UTC
CHANGE = T + 12 * HOUR  # in mid-day: a seventh becomes an eighth
MACHINE: list[Item] = [
    Cluster("mn5"),
    Cluster("aiup"),
    NodeClass("mn5", "mig", nodes="m[1-9]", gpus=28, gpu_class="h100"),
    NodeClass("aiup", "mig", nodes="m[1-9]", gpus=28, gpu_class="b200"),
]
SLICES: list[Item] = [
    MigSlice("h100", "1g.10gb", Fraction(1, 7), valid_until=CHANGE),
    MigSlice("h100", "1g.10gb", Fraction(1, 8), valid_from=CHANGE),
    MigSlice("h100", "3g.40gb", Fraction("0.5")),
    MigSlice("b200", "1g.23gb+me", Fraction(1, 7)),
]


def ran(job: int, start: int, end: int | None, gpus: dict[str, int], **other: object) -> RunRecord:
    """A run on GPUs of these types."""
    total = sum(gpus.values())
    typed = (f",gres/gpu:{name}={count}" for name, count in sorted(gpus.items()))
    values = {
        "cluster": "mn5", "job_id": job, "submit": start, "start": start, "end": end, "account": "a",
        "state": "COMPLETED" if end else "RUNNING", "nodes": "m1", "hash": job,
        "tres": f"cpu=1,gres/gpu={total}{''.join(typed)},node=1",
    } | other  # fmt: skip
    return RunRecord(**values)  # type: ignore[arg-type]


RUNS = [
    ran(1, T, T + 7, {"h100": 4}),
    ran(2, T, T + 7, {"h100_1g.10gb": 2}),
    ran(3, CHANGE, CHANGE + 8, {"h100_1g.10gb": 3}),
    ran(4, CHANGE - 1, CHANGE + 6, {"1g.10gb": 1}),  # began under the old table, and stays with it
    ran(5, T - HOUR, T + 7 * DAY, {"h100": 1, "h100_3g.40gb": 1}, account="b"),
    ran(6, CHANGE + HOUR, None, {"h100_1g.10gb": 1}, account="open"),
    ran(7, T, T + 7, {"1g.23gb+me": 2}, account="c", cluster="aiup"),
    ran(8, T, T + 7, {}, account="d"),
    # Shrunk: its second row begins where the first ended, but Slurm's Start is the old one.
    ran(9, T, CHANGE + 16, {"h100_1g.10gb": 1}, account="e", submit=CHANGE + 9),
]
SEEN = CHANGE + HOUR + 80


def stored(url: str, records: list[RunRecord], *known: Item) -> Store:
    """A database with this master data, classified by its inventory."""
    store = open_engine(url)
    migrate.upgrade(store)
    held = Consortium.of(known)
    with store.write() as connection:
        parties.save(connection, Consortium(), held)
        number = imports.open_import(connection, "test", SEEN, SEEN)
        Writer(connection, Inventory(held.node_classes, expand), number, SEEN).batch(connection, records)
    return store


def asked(store: Store, window: Window, *keys: str) -> dict[tuple[str, ...], tuple[int, Fraction | None]]:
    """(instance-seconds, equivalents) by key."""
    with store.read() as connection:
        found = usage.run(connection, window, keys, with_equivalents=True)
    assert found.equivalents
    return {row.key: (row.measures.gpu_seconds, found.equivalents.of(row.key)) for row in found.rows}


def test_each_run_counts_by_the_table_of_its_start(store_url: str) -> None:
    """Shares are those in force when a run began, whatever the facts know; whole GPUs count as one."""
    store = stored(store_url, RUNS, *MACHINE, *SLICES)
    window = Window(T, T + 8 * DAY)
    expected = {
        ("a",): (28 + 14 + 24 + 7, Fraction(28) + 2 + 3 + 1),
        ("b",): (2 * 7 * DAY, Fraction(3, 2) * 7 * DAY),
        ("c",): (14, Fraction(2)),
        ("d",): (0, Fraction(0)),
        ("e",): (7, Fraction(1)),
        ("open",): (80, Fraction(10)),
    }
    assert expected == asked(store, window, "account")
    rebuild.run(store)
    assert expected == asked(store, window, "account")
    whole = (sum(gpu for gpu, _ in expected.values()), sum(e for _, e in expected.values()))
    assert {(): whole} == asked(store, window)
    store.close()


def test_any_cut_of_time_adds_up(store_url: str) -> None:
    """By hour, class and across the change of the table, the parts are the whole."""
    store = stored(store_url, RUNS, *MACHINE, *SLICES)
    rebuild.run(store)
    window = Window(T + 3, T + 2 * DAY + 5)
    ((_, whole),) = asked(store, window).values()
    for keys in (("hour",), ("gpu_class",), ("day", "account", "gpu_class"), ("cluster", "hour")):
        parts = [equivalent for _, equivalent in asked(store, window, *keys).values()]
        assert None not in parts
        assert whole == sum(part for part in parts if part is not None)
    by_class = asked(store, window, "gpu_class")
    assert (2 * DAY + 2, Fraction(2 * DAY + 2, 2)) == by_class["h100_3g.40gb",]
    store.close()


def test_a_slice_without_an_entry_is_unknown(store_url: str) -> None:
    """It is neither a GPU nor nothing: every sum it is in is unknown, all others stay known."""
    store = stored(store_url, [*RUNS, ran(20, T, T + 5, {"2g.20gb": 3})], *MACHINE, *SLICES)
    window = Window(T, T + 8 * DAY)
    found = asked(store, window, "account")
    assert (28 + 14 + 24 + 7 + 15, None) == found["a",]
    assert (14, Fraction(2)) == found["c",]
    with store.read() as connection:
        told = usage.run(connection, window, with_equivalents=True).equivalents
        later = usage.run(connection, Window(T + 5, T + DAY), with_equivalents=True).equivalents
    assert told
    assert later
    assert (usage.UnknownSlice("2g.20gb", "h100", 15),) == told.unknown
    assert () == later.unknown
    store.close()


def test_before_the_first_entry_it_is_unknown(sqlite_url: str) -> None:
    """An entry from a day on says nothing of runs that began earlier."""
    later = MigSlice("h100", "1g.10gb", Fraction(1, 7), valid_from=T + 1)
    runs = [ran(1, T, T + 7, {"h100_1g.10gb": 1}), ran(2, T + 1, T + 8, {"h100_1g.10gb": 1}, account="b")]
    store = stored(sqlite_url, runs, *MACHINE, later)
    window = Window(T, T + DAY)
    assert {("a",): (7, None), ("b",): (7, Fraction(1))} == asked(store, window, "account")
    store.close()


def test_columns_without_the_flag_stay(sqlite_url: str) -> None:
    """Who does not ask gets no such column, and no word about slices."""
    store = stored(sqlite_url, RUNS, *MACHINE)
    with store.read() as connection:
        assert usage.run(connection, Window(T, T + DAY)).equivalents is None
    store.close()


SACCT = (
    "JobIDRaw|Cluster|Account|User|Submit|Start|End|State|AllocTRES|NodeList\n"
    "1|mn5|a|ana|{T}|{T}|{E}|COMPLETED|cpu=1,gres/gpu:h100_1g.10gb=2,gres/gpu=2,node=1|m1\n"
    "2|mn5|b|ana|{T}|{T}|{E}|COMPLETED|cpu=1,gres/gpu:1g.10gb+me=1,gres/gpu=1,node=1|m1\n"
    "3|mn5|c|ana|{T}|{T}|{E}|COMPLETED|cpu=1,gres/gpu:a100_3g.20gb=1,gres/gpu=1,node=1|x1\n"
)


def test_the_command_names_what_is_unknown(
    sqlite_url: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """From Slurm's text with dots and pluses to the column, the missing entries, and the exit code 3."""
    file = tmp_path / "consortium.toml"
    file.write_text(
        '[[cluster]]\nid = "mn5"\n[[node_class]]\ncluster = "mn5"\nid = "mig"\nnodes = "m[1-9]"\n'
        'gpu_class = "h100"\n[[mig_slice]]\ngpu_class = "h100"\nprofile = "1g.10gb"\ngpus = "1/7"\n',
        encoding="utf-8",
    )
    assert main(["--db", sqlite_url, "consortium", "apply", str(file)]) == 0
    text = SACCT.replace("{T}", str(T)).replace("{E}", str(T + 10)).encode()
    store = open_engine(sqlite_url)
    ingest.run(store, SacctReader(io.BytesIO(text)), source="text", observed_at=SEEN, now=SEEN)
    store.close()
    command = ["--db", sqlite_url, "usage", "--from", "2026-06-01", "--to", "2026-06-02", "--by", "account"]
    capsys.readouterr()

    assert main([*command, "--format", "csv"]) == 0
    assert "equivalent" not in capsys.readouterr().out
    assert main([*command, "--equivalents", "--format", "csv"]) == 3
    said = capsys.readouterr()
    assert [
        "account,runs,cpu_seconds,node_seconds,gpu_seconds,mem_mb_seconds,billing_seconds,gpu_equivalent_seconds",
        "a,1,10,10,20,0,0,20/7",
        "b,1,10,10,10,0,0,unknown",
        "c,1,10,10,10,0,0,unknown",
    ] == said.out.splitlines()
    assert "10 GPU-seconds of 1g.10gb+me are of unknown size" in said.err
    assert 'gpu_class = "h100" and profile = "1g.10gb+me"' in said.err
    assert 'gpu_class = "a100" and profile = "3g.20gb"' in said.err
    assert main([*command, "--equivalents"]) == 3
    assert "GPU-eq-s" in capsys.readouterr().out

    more = tmp_path / "more.toml"
    more.write_text(
        '[[mig_slice]]\ngpu_class = "h100"\nprofile = "1g.10gb+me"\ngpus = "1/7"\n'
        '[[mig_slice]]\ngpu_class = "a100"\nprofile = "3g.20gb"\ngpus = 0.5\n',
        encoding="utf-8",
    )
    assert main(["--db", sqlite_url, "consortium", "apply", str(more)]) == 0
    capsys.readouterr()
    assert main([*command, "--equivalents", "--format", "csv"]) == 0
    values = [line.rpartition(",")[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert ["20/7", "10/7", "5"] == values
