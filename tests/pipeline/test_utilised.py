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
from opsd.core.utilisation import CAUSES, Difference
from opsd.pipeline import ingest, placement, utilised
from opsd.pipeline.utilised import Comparison
from opsd.store import machine, migrate, parties
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes.recorded import RecordedTables, table

DATA = Path(__file__).parent.parent / "data"
HISTORY, REAL = DATA / "slurm-history", DATA / "slurm-real"
GREW, QUIRKS_GREW = 1_783_503_600, 1_788_970_800  # ten GPU nodes more
QUIRKS = DATA / "slurm-quirks"
REAL_WINDOW = Window(1_795_326_300, 1_795_329_900)
LATE = 1_900_000_000


def classes(grew: int) -> tuple[NodeClass, ...]:
    """The made-up cluster's nodes."""
    return (
        NodeClass("lab", "cpu", nodes="c[001-100],x[001-002]", cpus=128, gpus=0),
        NodeClass("lab", "gpu", nodes="g[001-030],r[001-003]", cpus=64, gpus=4, gpu_class="h100"),
        NodeClass("lab", "gpu-new", grew, nodes="g[031-040]", cpus=64, gpus=4, gpu_class="h100"),
    )


CLASSES = classes(QUIRKS_GREW)
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


def loaded(folder: Path, data: Path, text: str, known: tuple[NodeClass, ...]) -> Store:
    """A database with runs, their suspensions, events and reservations as slurmdbd had them."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    with store.write() as connection:
        parties.save(connection, Consortium(), Consortium.of([Cluster("lab"), *known]))
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
    store = loaded(tmp_path_factory.mktemp("history"), HISTORY, export(HISTORY), classes(GREW))
    yield store
    store.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One closed hour of real jobs, in which the cluster came up."""
    store = loaded(tmp_path_factory.mktemp("real"), REAL, with_nodes(export(REAL)), SMALL)
    yield store
    store.close()


@pytest.fixture(scope="module")
def quirks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Three months with reservations, nodes of every run, and all that is odd."""
    store = loaded(tmp_path_factory.mktemp("quirks"), QUIRKS, export(QUIRKS), CLASSES)
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
    return [Utilised._make((name, *values, sum(values))) for name, values in sums.items()]


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


@pytest.mark.parametrize("month", [8, 9, 10])
def test_months_with_every_quirk_have_nothing_left_over(quirks: Store, month: int) -> None:
    """Reservations idle, changed, for maintenance and ignoring jobs; runaway, shrunk and suspended jobs."""
    window = month_window(2026, month, zone("UTC"))

    found = compared(quirks, window, usage(QUIRKS, "usage_month", window.start, window.start + 1))

    assert [] == found.left_over
    used = {name for one in found.lines for name, cause in zip(CAUSES, one.causes, strict=True) if cause}
    assert {"reservation", "reserved_jobs", "resize", "controller_away"} <= used
    assert {"over_commit", "unplaced", "inventory", "not_read"}.isdisjoint(used)


def test_a_real_hour_has_nothing_left_over(real: Store) -> None:
    """Reservations, jobs in them, drains, shrunk and suspended jobs: as Slurm itself wrote them."""
    found = compared(real, REAL_WINDOW, usage(REAL, "usage_hour", REAL_WINDOW.start, REAL_WINDOW.end))

    assert [] == found.left_over
    cpu = {one.line: one for one in found.lines if one.tres == "cpu"}
    # The cluster registered late in that hour, and a shrunk job counts twice for 12 seconds.
    assert (460_800, 51_584) == (cpu["total"].opsd, cpu["total"].slurm)
    assert {"inventory": -409_216} == causes(cpu["total"])
    assert {"over_commit": 1, "unplaced": 2, "resize": 12} == causes(cpu["allocated"])
    assert (512, 512, {}) == (cpu["down"].opsd, cpu["down"].slurm, causes(cpu["down"]))


ONE_SECOND_MORE = 'UPDATE run SET finish = finish + 1, "end" = "end" + 1 WHERE job_id = {job}'


def causes(one: Difference) -> dict[str, int]:
    """Those that make any difference."""
    return {name: cause for name, cause in zip(CAUSES, one.causes, strict=True) if cause}


def test_sreport_says_what_the_tables_say() -> None:
    """What is compared with is sreport's own answer."""
    with gzip.open(REAL / "sreport-util.psv.gz", "rt") as lines:
        rows = [line.strip().split("|") for line in lines if line.startswith("lab|")]
    told = {row[1]: tuple(map(int, row[2:])) for row in rows}

    found = {one.tres: one for one in usage(REAL, "usage_hour", REAL_WINDOW.start, REAL_WINDOW.end)}

    assert {name: found[name][1:] for name in told} == told


@pytest.mark.parametrize(
    ("table_name", "change", "line", "left"),
    [
        # a run that opsd has not, one that it has otherwise, an event and a reservation that it lacks
        ("run", "DELETE FROM run WHERE job_id = {job}", "allocated", "cpu"),
        ("run", ONE_SECOND_MORE, "allocated", "cpu"),
        ("node_event", "DELETE FROM node_event WHERE node = 'x002'", "down", "cpu"),
        ("reservation", "DELETE FROM reservation WHERE flags LIKE '%MAINT%'", "planned_down", "cpu"),
    ],
)  # fmt: skip
def test_a_wrong_record_is_left_over(
    tmp_path: Path, table_name: str, change: str, line: str, left: str
) -> None:
    """The comparison can fail: what is not as Slurm has it appears in its line, and in no cause."""
    store = loaded(tmp_path, QUIRKS, export(QUIRKS), CLASSES)
    window = month_window(2026, 9, zone("UTC"))
    with store.write() as connection:
        pick = (
            "SELECT job_id, finish - begin, shape_id FROM run WHERE reservation_id = 0 AND suspended = 0 "
            f"AND begin > {window.start} AND finish < {window.end} - 10 AND finish % 3600 < 3000 "
            "AND finish - begin > 100 GROUP BY job_id HAVING count(*) = 1 ORDER BY job_id LIMIT 1"
        )
        job = connection.exec_driver_sql(pick).one()
        done = connection.exec_driver_sql(change.format(job=job[0]))
        assert done.rowcount > 0, table_name
        cpus = connection.exec_driver_sql(f"SELECT cpu FROM shape WHERE id = {job[2]}").scalar_one()

    found = compared(store, window, usage(QUIRKS, "usage_month", window.start, window.start + 1))
    store.close()

    wrong = {(one.tres, one.line): one.left_over for one in found.left_over}
    assert wrong[left, line]
    if table_name == "run":
        seconds = -1 if "UPDATE" in change else job[1]
        assert seconds * cpus == wrong[left, line] == -wrong[left, "unallocated"]


def test_what_slurm_has_not_added_up_is_a_cause(quirks: Store) -> None:
    """Hours after the mark are in no report, and said."""
    window = month_window(2026, 9, zone("UTC"))
    until = window.end - 48 * HOUR
    with quirks.read() as connection:
        whole = utilised.compare(connection, "lab", window, [])
        part = utilised.compare(connection, "lab", Window(window.start, until), [])
        found = utilised.compare(connection, "lab", window, [], rolled_until=until)

    assert ["slurmdbd has added up to 2026-09-29T00:00:00+00:00 only"] == [
        note.partition(": ")[2] for note in found.notes
    ]
    for a, b, c in zip(whole.lines, part.lines, found.lines, strict=True):
        assert a.left_over - b.left_over == c.causes[-1]
        assert b.left_over == c.left_over
