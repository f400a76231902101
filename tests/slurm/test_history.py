"""Six months with every kind of row, added up by slurmdbd itself: opsd's certificate explains every second."""

from __future__ import annotations

import csv
import io
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.slurm import cluster, history, history_tables, mutation, oracle
from tests.slurm.beside import NEEDS_EYES, Opsd
from tests.slurm.cluster import Slurm
from tests.slurm.conftest import NO_SLURM
from tests.slurm.history import History

# October and March: in Madrid both days are inside on which the clocks change.
MONTHS = ("2025-10", "2025-11", "2025-12", "2026-01", "2026-02", "2026-03")
AFTER = "2026-04"
SUBMISSIONS = 16_500
LEAST_RUNS = 20_000
SINCE = "2025-09-20"


class Told:
    """A history in a Slurm's accounting."""

    def __init__(self, zone: str, seed: int) -> None:
        self.zone = zone
        self.edges = [
            int(datetime.fromisoformat(f"{month}-01").replace(tzinfo=ZoneInfo(zone)).timestamp())
            for month in (*MONTHS, AFTER)
        ]
        self.history: History = history.make(self.edges[0], self.edges[-1], SUBMISSIONS, seed)
        self.slurm = Slurm(Path(tempfile.mkdtemp(prefix="opsd-history-")), zone, jobs=False)

    def up(self) -> None:
        """Start slurmdbd, write the history, have it added up."""
        self.slurm.up()
        history_tables.fill(self.slurm, self.history)
        history_tables.roll_up(self.slurm, self.history, self.edges, int(time.time()))
        history_tables.afterwards(self.slurm)

    def window(self, month: str) -> tuple[int, int]:
        """A civil month of its zone."""
        return tuple(self.edges[MONTHS.index(month) :][:2])  # type: ignore[return-value]

    def sreport(self, month: str) -> Mapping[tuple[str, str, str], int]:
        """What Slurm reports of a month."""
        start, end = (history_tables.local(self.zone, at) for at in self.window(month))
        text = self.slurm.run(
            "sreport", "-n", "-P", "-t", "seconds", f"--tres={','.join(oracle.NAMES.values())}",
            "cluster", "AccountUtilizationByUser", f"Start={start}", f"End={end}",
        )  # fmt: skip
        found: dict[tuple[str, str, str], int] = defaultdict(int)
        for line in text.splitlines():
            _, account, user, _, tres, used = line.split("|")
            if int(used):
                found[account, user, tres] += int(used)
        return dict(found)


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    """slurmdbd, alone, with a history that it has added up."""
    if lacking := cluster.missing():
        pytest.skip(f"{NO_SLURM}{lacking}")
    found = Told(*request.param)
    try:
        found.up()
        yield found
    finally:
        found.slurm.down()


@pytest.mark.slurm
@pytest.mark.parametrize("told", [("UTC", 1), ("Europe/Madrid", 2)], ids=["utc", "madrid"], indirect=True)
def test_every_second_of_six_months_is_explained(
    told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    """Each month: the history is as rich as it says, and the certificate leaves nothing unexplained."""
    knows = Opsd(tmp_path / "knows", told.slurm, capsys, since=SINCE, database_url=told.slurm.database_url())
    knows("ingest")
    for check in (as_the_oracle_says, with_the_tables, capacity_is_balanced):
        for month in MONTHS:
            with subtests.test(msg=f"{check.__name__} {month}"):
                check(told, knows, month)
    with subtests.test(msg="all kinds of rows"):
        nothing_is_missing(told, knows)
    with subtests.test(msg="without the tables"):
        without_the_tables(told, Opsd(tmp_path / "ignorant", told.slurm, capsys, since=SINCE))
    for name, change in mutation.MUTATIONS.items():
        with subtests.test(msg=name):
            mutation.shows(change, knows, MONTHS[2], told.zone, told.window(MONTHS[2]))


def as_the_oracle_says(told: Told, opsd: Opsd, month: str) -> None:
    """sreport says what the rule of the roll-up, written down twice, makes of the rows."""
    rows = told.slurm.sql("select acct, parent_acct from lab_assoc_table where user = ''")
    used = oracle.used(told.history, *told.window(month))

    assert oracle.lines(used, {account: parent for account, parent in rows}) == told.sreport(month)


def with_the_tables(told: Told, opsd: Opsd, month: str) -> None:
    """With slurmdbd's tables nothing is unexplained, in any cell."""
    found = opsd.certificate(month, told.zone)

    assert {} == found.column("unexplained")
    assert 0 == found.code
    assert told.sreport(month) == found.column("sreport")
    assert opsd.cells(
        *(f"--{name}={at}" for name, at in zip(("from", "to"), told.window(month), strict=True))
    )


def capacity_is_balanced(told: Told, opsd: Opsd, month: str) -> None:
    """Against sreport's utilization of the cluster nothing is left over."""
    start, end = told.window(month)
    code, out, err = opsd(
        "capacity", "--against", "sreport", "--from", str(start), "--to", str(end), "--format", "csv"
    )

    assert 0 == code, err
    rows = list(csv.DictReader(io.StringIO(out)))
    assert rows
    assert {"0"} == {row["left_over"] for row in rows}


def nothing_is_missing(told: Told, opsd: Opsd) -> None:
    """Enough runs, and every cause that a history can hold."""
    runs = sum(1 for job in told.history.jobs if job.start and job.tres.cpu)
    causes = {
        cause
        for month in MONTHS
        for cause in ("suspension", "reservation_idle", "resize_overlap")
        if opsd.certificate(month, told.zone).column(cause)
    }

    assert LEAST_RUNS <= runs
    assert {"reservation_idle", "resize_overlap"} <= causes


def without_the_tables(told: Told, opsd: Opsd) -> None:
    """From text alone, something is unexplained where a suspension cannot be placed, and named so."""
    opsd("ingest")
    seen = 0
    for month in MONTHS:
        found = opsd.certificate(month, told.zone)
        left = found.column("unexplained")
        named = {
            (one["account"], one["user"], one["tres"])
            for one in opsd.document(month, told.zone)["unknown"]
            if one["words"].startswith("suspension cannot be placed")
        }
        assert {cell for cell in left if cell[1]} <= named
        assert {"cpu"} >= {tres for _, _, tres in left}
        assert (NEEDS_EYES if left else 0) == found.code
        seen += len(left)
    assert seen
