"""Six months with every kind of row, added up by slurmdbd itself: the certificate explains every second."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.slurm import cluster, history, history_tables, mutation, oracle
from tests.slurm.beside import NEEDS_EYES, Cells, Certificate, Opsd, sreport
from tests.slurm.cluster import Slurm
from tests.slurm.conftest import NO_SLURM

# October and March: in Madrid both days are inside on which the clocks change.
MONTHS = ("2025-10", "2025-11", "2025-12", "2026-01", "2026-02", "2026-03")
AFTER = "2026-04-01"
SINCE = "2025-09-20"
SUBMISSIONS, LEAST_RUNS = 16_500, 20_000
ASKED = (*oracle.NAMES.values(), "gres/gpu:h100")  # what a history's slurmdbd tracks
CHANGED_MONTH = MONTHS[2]


class Told:
    """A history in a Slurm's accounting, and opsd beside it."""

    def __init__(self, zone: str, seed: int) -> None:
        self.zone = zone
        self.history = history.make(self.at(f"{MONTHS[0]}-01"), self.at(AFTER), SUBMISSIONS, seed)
        self.slurm = Slurm(Path(tempfile.mkdtemp(prefix="opsd-history-")), zone, jobs=False)
        self.certificates: dict[str, Certificate] = {}

    def at(self, day: str) -> int:
        """Midnight of a day, by its own clock."""
        return int(datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(self.zone)).timestamp())

    def up(self) -> None:
        """Start slurmdbd, write the history, have it added up."""
        weeks = [self.at(f"{month}-{day:02}") for month in MONTHS for day in (1, 9, 17, 25)]
        self.slurm.up()
        history_tables.fill(self.slurm, self.history)
        history_tables.roll_up(self.slurm, self.history, [*weeks, self.at(AFTER)], int(time.time()))
        history_tables.afterwards(self.slurm)

    def commands(self) -> Path:
        """Slurm's own commands; but scontrol's controller is not here, so that tells two partitions."""
        folder = self.slurm.folder / "bin"
        folder.mkdir(exist_ok=True)
        for name in ("sacct", "sacctmgr", "sreport", "squeue", "sshare", "sinfo", "sdiag"):
            if not (folder / name).exists():
                (folder / name).symlink_to(shutil.which(name) or "")
        lines = "".join(
            f"echo 'PartitionName={part.name} AllowGroups=ALL MaxTime=3-00:00:00 Nodes={nodes} TRES=cpu=1'\n"
            for part, nodes in (
                (history.CPU, "c[001-040],x[001-002]"),
                (history.GPU, "g[001-024],r[001-003]"),
            )
        )
        (folder / "scontrol").write_text("#!/bin/sh\n" + lines)
        (folder / "scontrol").chmod(0o755)
        return folder

    def opsd(self, folder: Path, capsys: pytest.CaptureFixture[str], **more: str) -> Opsd:
        """opsd with a database of its own."""
        return Opsd(folder, self.slurm, capsys, since=SINCE, bin=str(self.commands()), **more)

    def window(self, month: str) -> tuple[int, int]:
        """A civil month."""
        after = dict(zip(MONTHS, (*(f"{one}-01" for one in MONTHS[1:]), AFTER), strict=True))[month]
        return self.at(f"{month}-01"), self.at(after)

    def options(self, month: str) -> tuple[str, ...]:
        """A civil month, for a command."""
        start, end = self.window(month)
        return ("--from", str(start), "--to", str(end))

    def sreport(self, month: str) -> Cells:
        """What Slurm reports of a month; lines without a user are the accounts'."""
        start, end = (history_tables.local(self.zone, at) for at in self.window(month))
        return sreport(self.slurm, start, end, ASKED)


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
    """Month by month, cell by cell; and what is changed behind opsd's back is not."""
    knows = told.opsd(tmp_path / "knows", capsys, database_url=told.slurm.database_url())
    knows("ingest")
    with subtests.test(msg="capacity of everything"):
        balanced(knows, "--from", str(told.at(f"{MONTHS[0]}-01")), "--to", str(told.at(AFTER)))
    for check in (with_the_tables, as_the_oracle_says, capacity_is_balanced):
        for month in MONTHS:
            with subtests.test(msg=f"{check.__name__} {month}"):
                check(told, knows, month)
    with subtests.test(msg="every kind of row"):
        nothing_is_missing(told)
    with subtests.test(msg="without the tables"):
        without_the_tables(told, told.opsd(tmp_path / "ignorant", capsys))
    if told.zone == "UTC":  # once is enough: nothing about it depends on the clock
        return
    for name, change in mutation.MUTATIONS.items():
        with subtests.test(msg=name):
            mutation.shows(change, knows, CHANGED_MONTH, told.zone, told.window(CHANGED_MONTH))


def with_the_tables(told: Told, opsd: Opsd, month: str) -> None:
    """With slurmdbd's tables nothing is unexplained, in any cell."""
    found = opsd.certificate(month, told.zone)
    told.certificates[month] = found

    assert {} == found.column("unexplained")
    assert 0 == found.code
    assert told.sreport(month) == found.column("sreport")


def as_the_oracle_says(told: Told, opsd: Opsd, month: str) -> None:
    """sreport says what the rule of the roll-up, written down twice, makes of the rows."""
    parents = dict(told.slurm.sql("select acct, parent_acct from lab_assoc_table where user = ''"))
    expected = oracle.lines(oracle.used(told.history, *told.window(month)), parents)
    reported = told.certificates[month].column("sreport")

    assert expected == {cell: used for cell, used in reported.items() if cell[2] in oracle.NAMES.values()}


def capacity_is_balanced(told: Told, opsd: Opsd, month: str) -> None:
    """Against sreport's utilization of the cluster nothing is left over."""
    balanced(opsd, "--no-ingest", *told.options(month))


def balanced(opsd: Opsd, *words: str) -> None:
    """Every line of every TRES."""
    code, out, err = opsd("capacity", "--against", "sreport", *words, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))

    assert {} == {(row["tres"], row["line"]): row["left_over"] for row in rows if row["left_over"] != "0"}
    assert {"cpu", "gres/gpu"} <= {row["tres"] for row in rows}
    assert 0 == code, err


def nothing_is_missing(told: Told) -> None:
    """Enough runs, and every cause that a history without late records can hold."""
    runs = sum(1 for job in told.history.jobs if job.start and job.tres.cpu)
    for cause in ("reservation_idle", "resize_overlap"):
        assert all(found.column(cause) for found in told.certificates.values()), cause

    assert LEAST_RUNS <= runs


def without_the_tables(told: Told, opsd: Opsd) -> None:
    """From text alone, something is unexplained where a suspension cannot be placed, and named so."""
    opsd("ingest", *told.options(CHANGED_MONTH))
    found = opsd.certificate(CHANGED_MONTH, told.zone)
    left = found.column("unexplained")
    unknown = opsd.document(CHANGED_MONTH, told.zone)["unknown"]
    named = {
        (one["account"], one["user"], one["tres"])
        for one in unknown
        if one["words"].startswith("suspension cannot be placed")
    }

    assert left
    assert {cell for cell in left if cell[1]} <= named
    assert {"cpu"} == {tres for _, _, tres in left}
    assert NEEDS_EYES == found.code
