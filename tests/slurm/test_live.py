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

TRES = {
    "cpu": "cpu_seconds",
    "gres/gpu": "gpu_seconds",
    "mem": "mem_mb_seconds",
    "node": "node_seconds",
    "billing": "billing_seconds",
}
STATES = {"CANCELLED", "COMPLETED", "FAILED", "REQUEUED", "RUNNING", "TIMEOUT"}
Cells = dict[tuple[str, str, str], int]


class Opsd:
    """The `opsd` command with a database of its own, beside the Slurm of the test."""

    def __init__(self, folder: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.slurm = slurm
        self.hour = ("--from", str(slurm.hour_ends - 3600), "--to", str(slurm.hour_ends))
        self.options = ["--db", f"sqlite:///{folder}/opsd.db", "--config", f"{folder}/opsd.toml"]
        self.capsys = capsys
        folder.mkdir()
        self.configure()

    def configure(self, **more: str) -> None:
        """Write the configuration file."""
        known = {"conf": self.slurm.environment["SLURM_CONF"], "since": "1 days", **more}
        lines = [f'{key} = "{value}"' for key, value in known.items()]
        (self.folder / "opsd.toml").write_text("\n".join(["[slurm]", "window_hours = 6", *lines]))

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

    def usage(self, by: str) -> list[dict[str, str]]:
        """What was used in the hour."""
        code, out, _ = self("usage", "--by", by, *self.hour, "--format", "csv")
        assert 0 == code
        return list(csv.DictReader(io.StringIO(out)))

    def cells(self) -> Cells:
        """What every user of every account used in the hour."""
        return {
            (row["account"], row["user"], column): int(row[column])
            for row in self.usage("account,user")
            for column in TRES.values()
            if int(row[column])
        }


def sreport(slurm: Slurm) -> Cells:
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


def equal_to_sreport(opsd: Opsd, reported: Cells) -> None:
    """Requeued, suspended, cancelled, failed, timed out or still running: usage is what Slurm reports."""
    opsd.ingest()

    assert reported == opsd.cells()
    assert {column for _, _, column in reported} == set(TRES.values())
    assert {("es-bio", "games"), ("pt-ml", "games")} <= {cell[:2] for cell in reported}


def no_dull_hour(opsd: Opsd, reported: Cells) -> None:
    """The comparison would be worth little if the hour had not held every kind of job."""
    opsd.ingest()

    assert STATES == {row["state"] for row in opsd.usage("state")}
    suspended = opsd.slurm.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1hour", "-o", "Suspended").split()
    assert 2 == sum(text != "00:00:00" for text in suspended)


def twice_changes_nothing(opsd: Opsd, reported: Cells) -> None:
    """Reading the same accounting again leaves every run as it was."""
    opsd.ingest()

    assert "0 new, 0 changed" in opsd.ingest()
    assert reported == opsd.cells()


def slurmdbd_away(opsd: Opsd, reported: Cells) -> None:
    """While slurmdbd is stopped an ingest fails and counts nothing; afterwards nothing is missing."""
    opsd.slurm.order("stop", "slurmdbd")
    try:
        code, out, err = opsd("ingest")
    finally:
        opsd.slurm.order("start", "slurmdbd")

    assert (1, "") == (code, out)
    assert "opsd: sacctmgr ended with 1: " in err
    assert "Connection refused" in err
    assert {} == opsd.cells()
    opsd.ingest()
    assert reported == opsd.cells()


def slurmctld_away(opsd: Opsd, reported: Cells) -> None:
    """Accounting is read while the controller is stopped."""
    opsd.slurm.order("stop", "slurmctld")
    opsd.ingest()

    assert reported == opsd.cells()


def killed_between_windows(opsd: Opsd, reported: Cells) -> None:
    """A SIGKILL in the middle leaves totals right, and the next ingest reads the rest."""
    commands, calls = opsd.folder / "bin", opsd.folder / "calls"
    commands.mkdir()
    (commands / "sacctmgr").symlink_to(shutil.which("sacctmgr") or "")
    (commands / "sacct").write_text(
        f"#!/bin/sh\necho >>{calls}\n"
        f'[ "$(wc -l <{calls})" != 3 ] || kill -9 $PPID\nexec {shutil.which("sacct")} "$@"\n'
    )
    (commands / "sacct").chmod(0o755)
    opsd.configure(bin=str(commands))
    ingest = [sys.executable, "-m", "opsd", "ingest", *opsd.options]
    killed = subprocess.run(ingest, capture_output=True, text=True, check=False)

    assert -signal.SIGKILL == killed.returncode
    assert opsd.cells().items() <= reported.items()
    opsd.ingest()
    assert reported == opsd.cells()


def rights(opsd: Opsd, reported: Cells) -> None:
    """Without operator rights sacct answers with one's own runs alone, so opsd does not even ask."""
    slurm = opsd.slurm
    own = slurm.run("sacct", "-a", "-X", "-n", "-P", "-S", "now-1hour", "-o", "User", user="games")
    assert {"games"} == set(own.split())

    assert "Refused: user games may not see everybody's runs" in _proof(slurm, "games")
    slurm.run("sacctmgr", "-i", "-Q", "modify", "user", "games", "set", "adminlevel=Operator")
    assert CLUSTER == _proof(slurm, "games")
    assert "Refused: user news may not" in _proof(slurm, "news")


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


# The last one leaves no controller.
CHECKS = (
    equal_to_sreport,
    no_dull_hour,
    twice_changes_nothing,
    slurmdbd_away,
    killed_between_windows,
    rights,
    slurmctld_away,
)


@pytest.mark.slurm
def test_beside_a_real_slurm(
    slurm: Slurm, tmp_path: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    """Every check holds, each with a database of its own. One test, so that one Slurm serves all workers."""
    reported = sreport(slurm)
    for check in CHECKS:
        with subtests.test(msg=check.__name__):
            check(Opsd(tmp_path / check.__name__, slurm, capsys), reported)
