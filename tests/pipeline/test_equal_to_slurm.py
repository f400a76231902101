"""opsd's seconds against Slurm's own: real slurmdbd data with sreport's totals beside it."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from collectors.slurm import accounting_rows
from collectors.slurm.sacct import SacctReader
from opsd.core.period import Window
from opsd.pipeline import ingest, placement, rebuild, usage
from opsd.pipeline.placement import Result
from opsd.store import migrate
from opsd.store.engine import Store, open_engine, sqlite_address

DATA = Path(__file__).parent.parent / "data"
HISTORY, REAL = DATA / "slurm-history", DATA / "slurm-real"
COLUMN_OF = {
    "cpu": "cpu_seconds",
    "mem": "mem_mb_seconds",
    "node": "node_seconds",
    "billing": "billing_seconds",
    "gres/gpu": "gpu_seconds",
}
LATE = 1_900_000_000
Cells = dict[tuple[str, str, str], int]  # (account, user, TRES) -> seconds; "" = the account's own line


def windows() -> list[tuple[str, Window]]:
    """The windows that sreport was asked for."""
    lines = (line.split("\t") for line in (HISTORY / "windows.tsv").read_text().splitlines())
    return [(label, Window(int(start), int(end))) for label, start, end, *_ in lines]


def sreport(path: Path) -> Cells:
    """sreport's cells; a user with two associations has two lines, which add up."""
    cells: Cells = defaultdict(int)
    with gzip.open(path, "rt") as lines:
        for line in lines:
            fields = line.rstrip("\n").split("|")
            if len(fields) == 6 and fields[0] == "lab" and fields[4] in COLUMN_OF:
                cells[fields[1], fields[2], fields[4]] += int(fields[5])
    return dict(cells)


def opsd_cells(store: Store, window: Window) -> Cells:
    """opsd's user cells of a window."""
    with store.read() as connection:
        rows = usage.run(connection, window, ("account", "user")).rows
    return {
        (account, user, tres): getattr(measures, column)
        for (account, user), measures in rows
        for tres, column in COLUMN_OF.items()
    }


def loaded(folder: Path, path: Path) -> Store:
    """A database with one export in it."""
    store = open_engine(sqlite_address(folder / "opsd.db"))
    migrate.ensure_current(store)
    with path.open("rb") as stream:
        reader = SacctReader(stream, cluster="lab", name=path.name)
        result = ingest.run(store, reader, source=path.name, observed_at=LATE, now=LATE)
    assert result.quarantined == 0
    rebuild.run(store)
    return store


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Seven months of a cluster, rolled up by a real slurmdbd."""
    store = loaded(tmp_path_factory.mktemp("history"), HISTORY / "sacct-num.psv.gz")
    yield store
    store.close()


class SuspendTable:
    """slurmdbd's own table of suspensions, as it was dumped."""

    def __init__(self, path: Path) -> None:
        with gzip.open(path, "rt", newline="") as lines:
            self.found = accounting_rows.suspensions(csv.DictReader(lines, delimiter="\t"))

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """Those of some runs."""
        return {number: self.found[number] for number in db_indexes if number in self.found}


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The same months, with slurmdbd's word on when runs were suspended; facts built before and after."""
    store = loaded(tmp_path_factory.mktemp("placed"), HISTORY / "sacct-num.psv.gz")
    table = SuspendTable(HISTORY / "sql-lab_suspend_table.tsv.gz")
    assert Result(463, 463) == placement.run(store, table, cluster="lab", now=LATE)
    rebuild.run(store)
    yield store
    store.close()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One closed hour of real jobs."""
    store = loaded(tmp_path_factory.mktemp("real"), REAL / "sacct-num.psv.gz")
    yield store
    store.close()


def suspended_across(instants: tuple[int, int]) -> set[tuple[str, str]]:
    """(account, user) of suspended runs that cross an edge: text alone cannot place their suspension."""
    with gzip.open(HISTORY / "sacct-num.psv.gz", "rt", newline="") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter="|") if row["Start"].isdigit()]
    return {
        (row["Account"], row["User"])
        for row in rows
        if row["Suspended"] != "00:00:00"
        and any(
            int(row["Start"]) < edge and not (row["End"].isdigit() and int(row["End"]) <= edge)
            for edge in instants
        )
    }


@pytest.mark.parametrize(("label", "window"), windows(), ids=[label for label, _ in windows()])
def test_history_equals_sreport_cell_by_cell(history: Store, label: str, window: Window) -> None:
    """Every account, user and TRES of every window is sreport's to the second.

    Only cpu is left out, and only where a suspended run crosses the window's edge.
    """
    slurm = {key: used for key, used in sreport(HISTORY / f"sreport-{label}.psv.gz").items() if key[1]}
    unsure = suspended_across((window.start, window.end))

    mine = opsd_cells(history, window)

    different = {
        key: (mine.get(key, 0), slurm.get(key, 0))
        for key in slurm.keys() | mine.keys()
        if mine.get(key, 0) != slurm.get(key, 0)
    }
    assert {} == {key: pair for key, pair in different.items() if key[2] != "cpu" or key[:2] not in unsure}
    assert label == "dst-spring" or len(slurm) > 40


@pytest.mark.parametrize(("label", "window"), windows(), ids=[label for label, _ in windows()])
def test_placed_history_equals_sreport_in_every_cell(placed: Store, label: str, window: Window) -> None:
    """With suspensions where they were, no cell is left out, whatever crosses a window's edge.

    Users' lines, and the accounts' above them: sums over the tree.
    """
    slurm = sreport(HISTORY / f"sreport-{label}.psv.gz")

    mine = opsd_cells(placed, window)
    mine |= above(mine, tree(HISTORY / "sacctmgr-assoc-tree.psv.gz"))

    assert slurm == {key: used for key, used in mine.items() if used or key in slurm}
    assert label == "dst-spring" or len(slurm) > 40


def test_some_cells_are_compared_only_because_nothing_crosses(history: Store) -> None:
    """The exemption for suspended runs is narrow: few cells of few windows need it."""
    exempt = {label: len(suspended_across((w.start, w.end))) for label, w in windows()}

    assert max(exempt.values()) <= 10


def test_real_hour_equals_sreport_except_what_slurm_counts_twice(real: Store) -> None:
    """On user lines only pt-ml/filipe differs: Slurm counts a shrunk job's 12 seconds twice."""
    slurm = {key: n for key, n in sreport(REAL / "sreport-acct-user-seconds.psv.gz").items() if key[1]}

    mine = opsd_cells(real, Window(1_795_326_300, 1_795_329_900))

    more = {key: slurm[key] - mine.get(key, 0) for key in slurm if slurm[key] != mine.get(key, 0)}
    twice = {"cpu": 12, "node": 12, "gres/gpu": 12, "mem": 12_000, "billing": 108}
    assert {("pt-ml", "filipe", tres): seconds for tres, seconds in twice.items()} == more


def tree(path: Path) -> dict[str, str]:
    """Account -> parent, from the association tree."""
    with gzip.open(path, "rt", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="|"))
    return {
        row["Account"].strip(): row["ParentName"] for row in rows if not row["User"] and row["ParentName"]
    }


def above(cells: Cells, parents: Mapping[str, str]) -> Cells:
    """The accounts' own lines: what their users and the accounts below them used."""
    sums: Cells = defaultdict(int)
    for (account, _, tres), seconds in cells.items():
        at: str | None = account
        while at:
            sums[at, "", tres] += seconds
            at = parents.get(at)
    return dict(sums)


def test_real_account_lines_are_sums_over_the_tree_but_for_idle_reservations(real: Store) -> None:
    """Account lines are their users' and child accounts' sums; ro-geo's cpu also holds reserved idle time."""
    slurm = sreport(REAL / "sreport-acct-user-seconds.psv.gz")
    parents = tree(REAL / "sacctmgr-assoc-tree.psv.gz")
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for (account, user, tres), seconds in slurm.items():
        if not user:
            continue
        above: str | None = account
        while above:
            sums[above, tres] += seconds
            above = parents.get(above)

    over = {
        (account, tres): seconds - sums[account, tres]
        for (account, user, tres), seconds in slurm.items()
        if not user and seconds != sums[account, tres]
    }

    idle = over["ro-geo", "cpu"]
    assert {("ro-geo", "cpu"): idle, ("ro", "cpu"): idle, ("root", "cpu"): idle} == over
    assert idle == reserved_idle()


def reserved_idle() -> int:
    """Idle cpu-seconds of ro-geo's reservation, computed from the reservation rows and the jobs in them.

    Slurm charges reserved CPUs times the seconds in which no job of the reservation ran; `unused_wall`
    is a rougher number that slurmctld keeps itself.
    """
    with gzip.open(REAL / "sql-lab_resv_table.tsv.gz", "rt", newline="") as lines:
        reservations = list(csv.DictReader(lines, delimiter="\t"))
    with gzip.open(REAL / "sacct-num.psv.gz", "rt", newline="") as lines:
        jobs = [row for row in csv.DictReader(lines, delimiter="|") if row["ReservationId"] not in ("", "0")]
    total = 0
    for resv in reservations:
        start, end = int(resv["time_start"]), int(resv["time_end"])
        cpus = int(resv["tres"].removeprefix("1="))
        inside = [row for row in jobs if row["ReservationId"] == resv["id_resv"] and row["Start"].isdigit()]
        busy = sum(max(0, min(end, int(row["End"])) - max(start, int(row["Start"]))) for row in inside)
        total += cpus * (end - start - busy)
    return total
