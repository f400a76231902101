"""opsd beside a real Slurm: what it counts is what Slurm reports, whatever happens on the way."""

from __future__ import annotations

import csv
import io
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.slurm.live import LiveSlurm
from opsd.cli import main
from opsd.core.errors import Refused
from tests.slurm.cluster import CLUSTER, Slurm

pytestmark = [pytest.mark.slurm, pytest.mark.xdist_group("slurm")]

TRES = {
    "cpu": "cpu_seconds",
    "gres/gpu": "gpu_seconds",
    "mem": "mem_mb_seconds",
    "node": "node_seconds",
    "billing": "billing_seconds",
}
Cells = dict[tuple[str, str, str], int]


class Opsd:
    """The `opsd` command with a database of its own, beside the Slurm of the tests."""

    def __init__(
        self, folder: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str], bin_folder: str = ""
    ) -> None:
        self.slurm = slurm
        self.options = ["--db", f"sqlite:///{folder}/opsd.db", "--config", f"{folder}/opsd.toml"]
        self.capsys = capsys
        conf = slurm.environment["SLURM_CONF"]
        stated = f'bin = "{bin_folder}"\n' if bin_folder else ""
        (folder / "opsd.toml").write_text(
            f'[slurm]\nconf = "{conf}"\nsince = "1 days"\nwindow_hours = 6\n{stated}'
        )

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one command."""
        code = main([*words, *self.options])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def ingest(self) -> str:
        """An ingest that must succeed; what it says."""
        code, out, err = self("ingest")
        assert (0, "") == (code, err)
        return out

    def cells(self) -> Cells:
        """What every user of every account used in the hour."""
        start, end = str(self.slurm.hour_ends - 3600), str(self.slurm.hour_ends)
        words = ("usage", "--by", "account,user", "--from", start, "--to", end, "--format", "csv")
        code, out, _ = self(*words)
        assert 0 == code
        return {
            (row["account"], row["user"], column): int(row[column])
            for row in csv.DictReader(io.StringIO(out))
            for column in TRES.values()
            if int(row[column])
        }


@pytest.fixture
def opsd(tmp_path: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> Opsd:
    """opsd with an empty database."""
    return Opsd(tmp_path, slurm, capsys)


@pytest.fixture(scope="session")
def reported(slurm: Slurm) -> Cells:
    """What Slurm itself reports for the hour, user by user."""
    offset = -slurm.hour_ends % 3600
    start, end = (
        datetime.fromtimestamp(at + offset, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        for at in (slurm.hour_ends - 3600, slurm.hour_ends)
    )
    slurm.run("sacctmgr", "-i", "rollup", start, end)
    text = slurm.run(
        "sreport", "-n", "-P", "-t", "seconds", f"--tres={','.join(TRES)}",
        "cluster", "AccountUtilizationByUser", f"Start={start}", f"End={end}",
    )  # fmt: skip
    cells: Cells = defaultdict(int)
    for line in text.splitlines():
        _, account, login, _, tres, used = line.split("|")
        if login and int(used):
            cells[account, login, TRES[tres]] += int(used)
    return dict(cells)


def test_every_cell_of_a_real_hour_equals_sreport(opsd: Opsd, reported: Cells) -> None:
    """Requeued, suspended, cancelled, failed, timed out or still running: usage is what Slurm reports."""
    opsd.ingest()

    assert reported == opsd.cells()
    used = {column for _, _, column in reported}
    assert used == set(TRES.values())
    assert {("games", "es-bio"), ("games", "pt-ml")} <= {(user, account) for account, user, _ in reported}


def test_the_hour_held_every_kind_of_job(opsd: Opsd, slurm: Slurm) -> None:
    """The comparison with sreport would be worth little if the hour had been a dull one."""
    opsd.ingest()

    start, end = str(slurm.hour_ends - 3600), str(slurm.hour_ends)
    code, out, _ = opsd("usage", "--by", "state", "--from", start, "--to", end, "--format", "csv")
    assert 0 == code
    states = {row["state"] for row in csv.DictReader(io.StringIO(out))}
    assert {"CANCELLED", "COMPLETED", "FAILED", "REQUEUED", "RUNNING", "TIMEOUT"} == states
    suspended = slurm.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1hour", "-o", "Suspended").split()
    assert 2 == sum(text != "00:00:00" for text in suspended)


def test_a_second_ingest_changes_nothing(opsd: Opsd) -> None:
    """Reading the same accounting again leaves every run as it was."""
    opsd.ingest()
    before = opsd.cells()
    again = opsd.ingest()

    assert "0 new, 0 changed" in again
    assert before == opsd.cells()


def test_slurmdbd_away_stores_nothing_and_is_caught_up(opsd: Opsd, slurm: Slurm, reported: Cells) -> None:
    """While slurmdbd is stopped an ingest fails and counts nothing; afterwards nothing is missing."""
    slurm.order("stop", "slurmdbd")
    try:
        code, out, err = opsd("ingest")
    finally:
        slurm.order("start", "slurmdbd")

    assert (1, "") == (code, out)
    assert "opsd: sacctmgr ended with 1: " in err
    assert "Connection refused" in err
    assert {} == opsd.cells()
    opsd.ingest()
    assert reported == opsd.cells()


def test_an_ingest_killed_between_two_windows_is_caught_up(
    tmp_path: Path, slurm: Slurm, reported: Cells, capsys: pytest.CaptureFixture[str]
) -> None:
    """A SIGKILL in the middle leaves totals right, and the next ingest reads the rest."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "sacctmgr").symlink_to(shutil.which("sacctmgr") or "")
    (commands / "sacct").write_text(
        f"#!/bin/sh\necho >>{tmp_path}/calls\n"
        f'[ "$(wc -l <{tmp_path}/calls)" != 3 ] || kill -9 $PPID\nexec sacct "$@"\n'
    )
    (commands / "sacct").chmod(0o755)
    opsd = Opsd(tmp_path, slurm, capsys, str(commands))
    killed = subprocess.run(
        [sys.executable, "-m", "opsd", "ingest", *opsd.options], capture_output=True, text=True, check=False
    )

    assert -signal.SIGKILL == killed.returncode
    assert opsd.cells().items() <= reported.items()
    assert "span" in opsd.ingest()
    assert reported == opsd.cells()


def test_who_may_not_see_every_run_is_refused(slurm: Slurm) -> None:
    """Without operator rights sacct answers with one's own runs alone, so opsd does not even ask."""
    own = slurm.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1hour", "-o", "User", user="games")
    assert {"games"} == set(own.split())

    assert "Refused: user games may not see everybody's runs" in _proof(slurm, "games")
    slurm.run("sacctmgr", "-i", "-Q", "modify", "user", "games", "set", "adminlevel=Operator")
    try:
        assert CLUSTER == _proof(slurm, "games")
    finally:
        slurm.run("sacctmgr", "-i", "-Q", "modify", "user", "games", "set", "adminlevel=None")
    assert "Refused" in _proof(slurm, "news")


def _proof(slurm: Slurm, user: str) -> str:
    """What `prove` says to somebody else: only the process's user changes, as they may not read this code."""
    source = LiveSlurm(
        folder=None, conf=slurm.environment["SLURM_CONF"], timeout_seconds=30, clock=lambda: 0.0
    )
    os.seteuid(pwd.getpwnam(user).pw_uid)
    try:
        return source.prove()
    except Refused as err:
        return f"Refused: {err}"
    finally:
        os.seteuid(0)
