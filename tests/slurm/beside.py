"""The `opsd` command beside a real Slurm: what it says, as rows.

Invariant: everything goes through `opsd.cli.main`, as an operator would do it; nothing is read from inside.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from opsd.cli import main
from tests.slurm.cluster import Slurm

TRES = {
    "cpu": "cpu_seconds",
    "gres/gpu": "gpu_seconds",
    "mem": "mem_mb_seconds",
    "node": "node_seconds",
    "billing": "billing_seconds",
}
NEEDS_EYES = 3
Cells = dict[tuple[str, str, str], int]  # account, user, TRES


class Opsd:
    """The command with a database of its own."""

    def __init__(
        self, folder: Path, slurm: Slurm, capsys: pytest.CaptureFixture[str], **more: str | int
    ) -> None:
        self.folder = folder
        self.slurm = slurm
        self.capsys = capsys
        self.options = ["--db", f"sqlite:///{folder}/opsd.db", "--config", f"{folder}/opsd.toml"]
        folder.mkdir()
        self.configure(**more)

    def configure(self, **more: str | int) -> None:
        """Write the configuration file."""
        known = {"conf": self.slurm.environment["SLURM_CONF"], "timezone": self.slurm.zone, "since": "1 days"}
        known |= more
        lines = [f"{key} = {json.dumps(value)}" for key, value in known.items()]
        (self.folder / "opsd.toml").write_text("\n".join(["[slurm]", *lines]))

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one command."""
        code = main([*words, *self.options])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def ingest(self, *words: str) -> str:
        """An ingest that must succeed; what it says."""
        code, out, err = self("ingest", *words)
        assert 0 == code, err
        return out

    def usage(self, by: str, *window: str) -> list[dict[str, str]]:
        """What was used."""
        code, out, _ = self("usage", "--by", by, *window, "--format", "csv")
        assert 0 == code
        return list(csv.DictReader(io.StringIO(out)))

    def cells(self, *window: str) -> Cells:
        """What every user of every account used."""
        return {
            (row["account"], row["user"], tres): int(row[column])
            for row in self.usage("account,user", *window)
            for tres, column in TRES.items()
            if int(row[column])
        }

    def certificate(self, period: str, zone: str = "UTC") -> Certificate:
        """`opsd reconcile` of a period, which nothing is read for."""
        words = ("reconcile", "--no-ingest", "--period", period, "--timezone", zone)
        code, out, err = self(*words, "--format", "csv")
        assert code in {0, NEEDS_EYES}, err
        return Certificate(code, list(csv.DictReader(io.StringIO(out))))

    def document(self, period: str, zone: str = "UTC") -> dict[str, Any]:
        """The same as JSON."""
        _, out, _ = self(
            "reconcile", "--no-ingest", "--period", period, "--timezone", zone, "--format", "json"
        )
        found: dict[str, Any] = json.loads(out)
        return found


class Certificate:
    """What `opsd reconcile` printed."""

    def __init__(self, code: int, rows: Sequence[Mapping[str, str]]) -> None:
        self.code = code
        self.rows = rows

    def column(self, name: str) -> Cells:
        """The cells in which a cause, or what is unexplained, is not zero."""
        return {
            (row["account"], row["user"], row["tres"]): int(row[name]) for row in self.rows if int(row[name])
        }


def sreport(slurm: Slurm, start: str, end: str, tres: Sequence[str]) -> Cells:
    """What Slurm itself reports between two of its local times; lines without a user are the accounts'."""
    text = slurm.run(
        "sreport", "-n", "-P", "-t", "seconds", f"--tres={','.join(tres)}",
        "cluster", "AccountUtilizationByUser", f"Start={start}", f"End={end}",
    )  # fmt: skip
    found: Cells = defaultdict(int)
    for line in text.splitlines():
        _, account, user, _, name, used = line.split("|")
        if int(used):
            found[account, user, name] += int(used)
    return dict(found)
