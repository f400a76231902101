"""The benchmark's stand-in prints what sacct would, and its sweep finds nothing new in it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from opsd.core.period import DAY
from tests.benchmarks import sweep
from tests.benchmarks.import_rate import opsd, run

ROWS = 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in with a few rows, and a database that has them."""
    made = tmp_path_factory.mktemp("sweep")
    everything = sweep.write_rows(made, ROWS)
    run(opsd(made / "opsd.db", "import", "sacct", str(everything)))
    return made


@pytest.mark.parametrize(("first", "days"), [(90, 90), (90, 7), (83, 1), (40, 30), (1, 1)])
def test_a_window_holds_the_rows_that_overlap_it(folder: Path, first: int, days: int) -> None:
    """Whoever was eligible before its end and had not ended before its start, once."""
    start = sweep.NOW - first * DAY
    end = start + days * DAY
    expected = [line for eligible, ended, line in sweep.rows(ROWS) if overlaps(eligible, ended, start, end)]
    asked = [
        f"--{name}={datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}"
        for name, at in (("starttime", start), ("endtime", end))
    ]
    command = [str(folder / "bin" / "sacct"), *asked]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    header, *lines = printed.splitlines(keepends=True)
    assert sweep.HEADER == header
    assert sorted(expected) == sorted(lines)
    assert lines


def overlaps(eligible: int, ended: int | None, start: int, end: int) -> bool:
    """As `sacct --starttime --endtime` selects."""
    return eligible < end and (ended is None or ended >= start)


def test_the_sweep_reads_all_and_changes_nothing(folder: Path) -> None:
    """Every run is read again as unchanged; then changed ones move usage by just their second."""
    told = sweep.swept(folder)
    assert (0, 0, 0) == (told["new"], told["changed"], told["rebuilt"])
    assert told["unchanged"] == told["rows"]
    assert told["rows"] >= ROWS
    assert 29 == sweep.one_changed(folder)["times"]
