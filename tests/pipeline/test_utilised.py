"""The books of a cluster beside Slurm's own utilization of it: real slurmdbd data, nothing left over."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from collectors.protocol import Utilised
from collectors.slurm import accounting_rows
from collectors.slurm.sacct import SacctReader
from opsd.core.consortium import Consortium
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import HOUR, Window, month_window, zone
from opsd.core.records import PartitionLimit
from opsd.pipeline import capacity, ingest, placement, utilised
from opsd.pipeline.utilised import Comparison
from opsd.store import machine, migrate, parties
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes.recorded import RecordedTables, table

DATA = Path(__file__).parent.parent / "data"
HISTORY, REAL = DATA / "slurm-history", DATA / "slurm-real"
GREW = 1_783_503_600  # ten GPU nodes more
REAL_WINDOW = Window(1_795_326_300, 1_795_329_900)
LATE = 1_900_000_000
CLASSES = (
    NodeClass("lab", "cpu", nodes="c[001-100],x[001-002]", cpus=128, gpus=0),
    NodeClass("lab", "gpu", nodes="g[001-030],r[001-003]", cpus=64, gpus=4, gpu_class="h100"),
    NodeClass("lab", "gpu-new", GREW, nodes="g[031-040]", cpus=64, gpus=4, gpu_class="h100"),
)
SMALL = (
    NodeClass("lab", "cpu", nodes="c[1-4]", cpus=16, gpus=0),
    NodeClass("lab", "gpu", nodes="n[1-4]", cpus=16, gpus=4, gpu_class="h100"),
)


def with_nodes(text: str) -> str:
    """The real hour's export with the column that this one was made without, from the job table."""
    with (REAL / "nodes.tsv").open() as lines:
        nodes = {row["DBIndex"]: row["NodeList"] for row in csv.DictReader(lines, delimiter="\t")}
    header, *lines_of_it = text.splitlines()
    at = header.split("|").index("DBIndex")
    rows = [f"{line}|{nodes.get(line.split('|')[at], '')}" for line in lines_of_it]
    return "\n".join([f"{header}|NodeList", *rows, ""])


def loaded(folder: Path, data: Path, text: str, classes: tuple[NodeClass, ...]) -> Store:
    """A database with runs, their suspensions, events and reservations as slurmdbd had them."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    with store.write() as connection:
        parties.save(connection, Consortium(), Consortium.of([Cluster("lab"), *classes]))
    reader = SacctReader(BytesIO(text.encode()), cluster="lab", name="sacct-num.psv")
    assert ingest.run(store, reader, source="recorded", observed_at=LATE, now=LATE).quarantined == 0
    placement.run(store, RecordedTables(data), cluster="lab", now=LATE)
    with gzip.open(data / "sql-tres_table.tsv.gz", "rt") as lines:
        names = accounting_rows.tres_names(csv.DictReader(lines, delimiter="\t"))
    events = [accounting_rows.event(row, "lab", names) for row in table(data, "event")]
    reserved = [accounting_rows.reservation(row, "lab", names) for row in table(data, "resv")]
    with store.write() as connection:
        machine.save_events(connection, events, LATE)
        machine.save_reservations(connection, "lab", reserved, 0, LATE, LATE)
    return store


def export(data: Path) -> str:
    """What sacct printed."""
    return gzip.decompress((data / "sacct-num.psv.gz").read_bytes()).decode()


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Seven months of a cluster that grew, was down, and lost its controller."""
    store = loaded(tmp_path_factory.mktemp("history"), HISTORY, export(HISTORY), CLASSES)
    yield store
    store.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One closed hour of real jobs, in which the cluster came up."""
    store = loaded(tmp_path_factory.mktemp("real"), REAL, with_nodes(export(REAL)), SMALL)
    yield store
    store.close()


def usage(data: Path, kind: str, start: int, end: int) -> list[Utilised]:
    """Slurm's own rows of a span, added up."""
    with gzip.open(data / "sql-tres_table.tsv.gz", "rt") as lines:
        names = accounting_rows.tres_names(csv.DictReader(lines, delimiter="\t"))
    sums: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for row in table(data, kind):
        if start <= int(row["time_start"]) < end:
            columns = ("alloc_secs", "down_secs", "pdown_secs", "idle_secs", "plan_secs")
            for at, column in enumerate(columns):
                sums[names[int(row["id_tres"])]][at] += int(row[column])
    return [Utilised(name, *values, sum(values)) for name, values in sums.items()]


def compared(store: Store, window: Window, slurm: list[Utilised]) -> Comparison:
    """The comparison of a window."""
    with store.read() as connection:
        return utilised.compare(connection, "lab", window, slurm)


@pytest.mark.parametrize("month", [5, 6, 7, 8, 9, 10])
def test_months_of_a_cluster_have_nothing_left_over(history: Store, month: int) -> None:
    """Nodes down, a controller away, a cluster that grew, over-commit: every line is explained exactly."""
    window = month_window(2026, month, zone("UTC"))
    slurm = usage(HISTORY, "usage_month", window.start, window.start + 1)

    found = compared(history, window, slurm)

    assert ["cpu", "gres/gpu"] == sorted({one.tres for one in found.lines})
    assert [] == found.left_over
    assert all(one.slurm for one in found.lines if one.line in ("total", "allocated", "unallocated"))
    for one in found.lines:
        assert one.slurm == one.opsd + sum(one.causes)


def test_a_real_hour_has_nothing_left_over(real: Store) -> None:
    """Reservations, jobs in them, drains, shrunk and suspended jobs: as Slurm itself wrote them."""
    slurm = usage(REAL, "usage_hour", REAL_WINDOW.start, REAL_WINDOW.end)

    found = compared(real, REAL_WINDOW, slurm)

    assert [] == found.left_over
    for one in found.lines:
        print(one)
