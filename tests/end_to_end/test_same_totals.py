"""Twice, in halves, in any order, by two at once, or killed: the same totals."""

from __future__ import annotations

import gzip
import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from opsd.core.period import Window
from opsd.core.tres import Tres
from opsd.core.usage import cut
from opsd.pipeline import usage
from opsd.pipeline.usage import Measures
from opsd.store import facts, migrate, tables
from opsd.store.engine import Connection, open_engine, sqlite_address

HERE = Path(__file__).parent
EXPORT = HERE.parent / "data" / "slurm-history" / "sacct-num.psv.gz"
IMPORTER = HERE / "import_in_small_batches.py"
WINDOW = Window(1_777_593_600 + 12_345, 1_793_491_200 + 54_321)
KILLS = 20
Totals = dict[tuple[str, ...], Measures]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 6,000 rows of a real cluster's history, as a plain file."""
    path = tmp_path_factory.mktemp("export") / "sacct.psv"
    with gzip.open(EXPORT) as lines:
        path.write_bytes(b"".join(line for _, line in zip(range(6_001), lines, strict=False)))
    return path


def importer(database: Path, file: Path, rows: int = 300) -> subprocess.Popen[str]:
    """A process that imports."""
    command = [sys.executable, str(IMPORTER), str(database), str(file), str(rows)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def imported(database: Path, file: Path, rows: int = 300) -> tuple[int, int, int]:
    """Import to the end: (new, changed, unchanged)."""
    out, err = importer(database, file, rows).communicate(timeout=300)
    assert out.startswith("READY"), err
    new, changed, unchanged = map(int, out.splitlines()[-1].split())
    return new, changed, unchanged


def totals(database: Path) -> Totals:
    """What usage says, by account and state."""
    store = open_engine(sqlite_address(database))
    with store.read() as connection:
        found = usage.run(connection, WINDOW, ("account", "state"))
    store.close()
    return {row.key: row.measures for row in found.rows}


def from_the_runs(database: Path) -> Totals:
    """The same, by adding up the stored runs one by one."""
    store = open_engine(sqlite_address(database))
    found: Totals = defaultdict(Measures)
    with store.read() as connection:
        for key, measures in each_run(connection):
            found[key] = found[key].plus(measures)
    store.close()
    return {key: measures for key, measures in found.items() if any(measures)}


def each_run(connection: Connection) -> Iterator[tuple[tuple[str, ...], Measures]]:
    """(key, measures) of every stored run inside WINDOW."""
    run, account, word, shape = tables.run, tables.account, tables.word, tables.shape
    query = (
        select(run, account.c.name, word.c.text, shape.c.tres)
        .join(account, account.c.id == run.c.account_id)
        .join(word, word.c.id == run.c.state_id)
        .join(shape, shape.c.id == run.c.shape_id)
        .where(run.c.begin.is_not(None))
    )
    for row in connection.execute(query):
        finish = row.finish if row.finish is not None else max(row.begin, row.seen_open)
        ran, off = cut(row.begin, finish, row.suspended or 0, WINDOW.start, WINDOW.end)
        inside = row.begin < WINDOW.end and (finish > WINDOW.start or row.begin >= WINDOW.start)
        tres, held = Tres.from_canonical(row.tres), ran + off
        yield (row.name, row.text), Measures(
            int(inside), ran * tres.get("cpu"), held * tres.get("node"), held * tres.gpus,
            held * tres.get("mem"), held * tres.get("billing"),
        )  # fmt: skip


@pytest.fixture(scope="module")
def expected(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Totals:
    """The totals of one undisturbed import."""
    database = tmp_path_factory.mktemp("expected") / "opsd.db"
    assert (6_000, 0, 0) == imported(database, export)
    return totals(database)


def test_an_undisturbed_import_equals_its_runs(export: Path, tmp_path: Path) -> None:
    """The yardstick itself: usage is what the runs add up to."""
    imported(tmp_path / "opsd.db", export)

    assert from_the_runs(tmp_path / "opsd.db") == totals(tmp_path / "opsd.db")


def test_the_same_file_twice_changes_nothing(export: Path, tmp_path: Path, expected: Totals) -> None:
    """The second time every row is unchanged and every total the same."""
    imported(tmp_path / "opsd.db", export)

    assert (0, 0, 6_000) == imported(tmp_path / "opsd.db", export)
    assert expected == totals(tmp_path / "opsd.db")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_halves_in_either_order(
    export: Path, tmp_path: Path, expected: Totals, order: tuple[int, int]
) -> None:
    """Halves with an overlap, in either order, make the whole; the whole again changes nothing."""
    header, *lines = export.read_bytes().splitlines(keepends=True)
    halves = (lines[:3_500], lines[2_500:])
    for number in order:
        half = tmp_path / f"half{number}.psv"
        half.write_bytes(header + b"".join(halves[number]))
        imported(tmp_path / "opsd.db", half)

    assert expected == totals(tmp_path / "opsd.db")
    assert (0, 0, 6_000) == imported(tmp_path / "opsd.db", export)
    assert expected == totals(tmp_path / "opsd.db")


def test_two_processes_at_once(export: Path, tmp_path: Path, expected: Totals) -> None:
    """Two imports of one file side by side: each run once, and nobody fails."""
    database = tmp_path / "opsd.db"
    store = open_engine(sqlite_address(database))
    migrate.ensure_current(store)
    store.close()
    both = [importer(database, export), importer(database, export)]

    news = []
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        news.append(int(out.splitlines()[-1].split()[0]))

    assert 6_000 == sum(news)
    assert expected == totals(database)


def test_killed_at_random_points(export: Path, tmp_path: Path, expected: Totals) -> None:
    """After each kill -9 usage equals the runs stored so far; in the end nothing is lost or doubled."""
    chance = random.Random(20)
    database = tmp_path / "opsd.db"
    transactions = count_transactions(export, tmp_path / "counted.db")
    stages = set()
    for _ in range(KILLS):
        kill_after(importer(database, export), chance.randrange(transactions), chance.uniform(0, 0.03))
        stages.add(stage(database))
        assert from_the_runs(database) == totals(database)
        if chance.random() < 0.4:
            remove(database)

    imported(database, export)
    assert expected == totals(database)
    assert (0, 0, 6_000) == imported(database, export)
    assert len(stages) > 5, "the kills fell on too few different moments to prove anything"


def count_transactions(export: Path, database: Path) -> int:
    """How many lines an undisturbed import prints, less the last: one per transaction."""
    out, _ = importer(database, export).communicate(timeout=300)
    return len(out.splitlines()) - 1


def kill_after(process: subprocess.Popen[str], lines: int, delay: float) -> None:
    """Let a process print so many lines and go on for a moment, into the next transaction; then kill -9."""
    assert process.stdout
    for _, _ in zip(range(lines + 1), process.stdout, strict=False):
        pass
    time.sleep(delay)
    process.kill()
    process.communicate()


def stage(database: Path) -> tuple[int, int]:
    """(runs stored, cells still stale): where a kill fell."""
    store = open_engine(sqlite_address(database))
    with store.read() as connection:
        runs = len(connection.execute(select(tables.run.c.id)).all())
        stale = facts.dirty_count(connection)
    store.close()
    return runs, stale


def remove(database: Path) -> None:
    """Start from nothing again."""
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
