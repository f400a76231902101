"""`opsd status`: what each step did last, and the exit code that says whether eyes are needed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opsd.cli import main, status
from opsd.store import hold, measured, migrate, steps, sweeps
from opsd.store.engine import Store, open_engine
from opsd.store.hold import Holder
from opsd.store.measured import Cursor
from opsd.store.steps import DONE, FAILED, RUNNING, Last

NOW = 1_795_000_000
WELL = (
    Last("ingest", NOW - 130, NOW - 126, NOW - 126, 4_200, DONE, "", 0, NOW + 170),
    Last("reread", NOW - 43_000, NOW - 42_990, NOW - 42_990, 9_800, DONE, "", 0, NOW + 43_400),
    Last("review", NOW - 300_000, NOW - 299_000, NOW - 299_000, 900_000, DONE, "", 0, NOW + 304_800),
    Last("rebuild", NOW - 126, NOW - 125, NOW - 125, 812, DONE, "", 0, NOW + 174),
    Last("balances", NOW - 30, NOW - 29, NOW - 29, 470, DONE, "", 0, NOW + 30),
    Last("credits", NOW - 1_200, NOW - 1_199, NOW - 1_199, 240, DONE, "", 0, NOW + 2_400),
    Last("notify", NOW - 28, NOW - 28, NOW - 28, 120, DONE, "", 0, NOW + 32),
    Last("reconcile", NOW - 41_000, NOW - 40_990, NOW - 40_990, 2_100, DONE, "", 0, NOW + 45_400),
    Last("slurm", NOW - 41, NOW - 40, NOW - 40, 350, DONE, "", 0, NOW + 20),
    Last("machine", NOW - 300, NOW - 299, NOW - 299, 640, DONE, "", 0, NOW + 600),
    Last("fetch", NOW - 200, NOW - 199, NOW - 199, 380, DONE, "", 0, NOW + 100),
    Last("efficiency", NOW - 301, NOW - 300, NOW - 300, 910, DONE, "", 0, NOW + 600),
    Last("housekeeping", NOW - 40_000, NOW - 39_999, NOW - 39_999, 53, DONE, "", 0, NOW + 46_400),
)
DATA = Path(__file__).parent.parent / "data" / "golden"


@pytest.fixture
def store(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A database whose steps are all well, and a clock that stands still."""
    monkeypatch.setattr(status, "now", lambda: NOW)
    monkeypatch.setenv("OPSD_DB", sqlite_url)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("OPSD_CONFIG", raising=False)
    store = open_engine(sqlite_url)
    migrate.upgrade(store)
    note(store, *WELL)
    yield store
    store.close()


def note(store: Store, *rows: Last) -> None:
    """Let the database say so."""
    for row in rows:
        steps.note(store, row)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """The exit code and the output."""
    code = main(["status", *words])
    return code, capsys.readouterr().out


def test_all_is_well(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and each step with its times."""
    code, out = told(capsys, "--format", "json")
    found = json.loads(out)

    ages = [126, 42_990, 299_000, 125, 29, 1_199, 28, 40_990, 40, 299, 199, 300, 39_999]
    assert (0, ["ok"] * 13, ages) == (
        code, [row["result"] for row in found], [row["age_seconds"] for row in found]
    )  # fmt: skip
    assert ("2026-11-18T11:04:30+00:00", 4_200, 900, False) == (
        found[0]["started_at"], found[0]["duration_ms"], found[0]["stale_after_seconds"], found[0]["stale"]
    )  # fmt: skip


def test_what_a_step_did_without_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """It succeeded, so the code is 0; whoever looks learns which question Slurm left open."""
    why = "cluster lab: queue: squeue: nobody answers"
    note(store, Last("slurm", NOW - 41, NOW - 40, NOW - 40, 350, DONE, why, 0, NOW + 20))
    code, out = told(capsys)

    assert (0, True) == (code, f"slurm: {why}" in out.splitlines())


def test_csv_has_the_same(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """One line per step, truth values in words."""
    _, out = told(capsys, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))

    expected = ["ingest", "reread", "review", "rebuild", "balances", "credits", "notify", "reconcile"]
    expected += ["slurm", "machine", "fetch", "efficiency", "housekeeping"]
    assert expected == [row["step"] for row in rows]
    assert {"false"} == {row["stale"] for row in rows}


def test_nothing_ever_ran(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """What has never succeeded is stale."""
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM step")
    code, out = told(capsys, "--format", "json")

    assert (3, {"never"}, {None}) == (
        code, {row["result"] for row in json.loads(out)}, {row["age_seconds"] for row in json.loads(out)}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("row", "held", "result"),
    [
        (Last("balances", NOW - 30, NOW - 29, NOW - 301, 470, DONE), True, "ok"),  # stale
        (Last("balances", NOW - 30, NOW - 29, NOW - 90, 470, FAILED, "it broke", 1), True, "failed"),
        (Last("balances", NOW - 30, None, NOW - 90, 470, RUNNING, "process 1 on x", 2), True, "running"),
        (Last("balances", NOW - 121, None, NOW - 130, 470, RUNNING, "process 1 on x"), True, "late"),
        (Last("balances", NOW - 121, None, NOW - 130, 470, RUNNING, "process 1 on x"), False, "died"),
    ],
)
def test_what_needs_eyes(
    store: Store, capsys: pytest.CaptureFixture[str], row: Last, held: bool, result: str
) -> None:
    """Stale, failed, failing while it runs again, late, died: each ends with 3."""
    note(store, row)
    taken = hold.take(store, Holder(7, "here", NOW)) if held else None
    code, out = told(capsys, "--format", "json")
    if taken:
        taken.release()

    found = {row["step"]: row["result"] for row in json.loads(out)}
    assert (3, result) == (code, found["balances"])


def test_running_in_time(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A run under way is nothing to worry about."""
    note(store, Last("balances", NOW - 119, None, NOW - 130, 470, RUNNING, "process 1 on x"))

    assert 0 == told(capsys)[0]


@pytest.mark.golden
def test_as_a_table(
    store: Store, capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    """Who runs the daemon, how far Slurm is read, and what is wrong, in eighty columns."""
    problem = "sacct: no whole answer within 300 s: it was stopped"
    note(store, Last("ingest", NOW - 130, NOW - 126, NOW - 3_700, 300_211, FAILED, problem, 4, NOW + 470))
    with store.write() as connection:
        sweeps.cover(connection, "mn5", NOW - 3_700, NOW - 3_700)
    taken = hold.take(store, Holder(4711, "service1", NOW - 90_000))
    code, out = told(capsys)
    taken.release()

    golden(DATA / "status.txt", out)
    assert 3 == code


@pytest.mark.golden
def test_as_a_table_without_a_daemon(
    store: Store, capsys: pytest.CaptureFixture[str], golden: Callable[[Path, str], None]
) -> None:
    """Nothing comes next; what is stale is said."""
    note(store, Last("balances", NOW - 8_000, NOW - 7_999, NOW - 7_999, 470, DONE, "", 0, NOW - 7_940))
    code, out = told(capsys)

    golden(DATA / "status-no-daemon.txt", out)
    assert 3 == code


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (99, "99 s"),
        (100, "1 min"),
        (5_999, "99 min"),
        (6_000, "1 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_spans(seconds: int, text: str) -> None:
    """One unit, rounded down."""
    assert text == status.span(seconds)


def test_agents(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """How many answered when last asked, and the first of those that did not."""
    with store.write() as connection:
        for number in range(7):
            measured.keep(connection, "mn5", f"a{number}:9751", [], Cursor("s", 0), NOW)
        for number in range(5):
            measured.failed(connection, "mn5", f"a{number}:9751", "connection refused")
    out = told(capsys)[1]

    assert "2 agents of 7 answered when last asked what jobs did with their GPUs\n" in out
    assert "mn5 a0:9751: connection refused\nmn5 a1:9751: connection refused\n" in out
    assert "and 2 more\n" in out
