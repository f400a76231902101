"""`opsd reconcile` on a command line, beside a recorded Slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.protocol import Reported
from opsd.cli import ingest, main
from opsd.pipeline.sources import ClusterSources
from opsd.store.engine import sqlite_address
from tests.fakes.recorded import CLUSTER, RecordedMachine, RecordedTables

REAL = Path(__file__).parent.parent / "data" / "slurm-real"
HOUR = ("--from", "@1795326300", "--to", "@1795329900", "--no-ingest")


class Accounting:
    """Proves the cluster's name."""

    def prove(self) -> str:
        """The recorded cluster."""
        return CLUSTER


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with the runs of a real hour, and the Slurm that had them behind `opsd`."""
    url = sqlite_address(tmp_path / "opsd.db")
    assert 0 == main(["--db", url, "import", "sacct", str(REAL / "sacct-num.psv.gz"), "--cluster", CLUSTER])
    slurm(monkeypatch)
    return url


def slurm(monkeypatch: pytest.MonkeyPatch, *extra: Reported) -> None:
    """Let the recorded Slurm answer, with lines that it did not say."""
    machine = RecordedMachine(REAL, REAL / "sreport-acct-user-seconds.psv.gz", 2_700, list(extra))
    found = ClusterSources(
        Accounting(),
        open_machine=lambda _name, _tables: machine,
        open_tables=lambda _name: RecordedTables(REAL),
    )
    monkeypatch.setattr(ingest, "sources", lambda _asked, _store: [found])


def test_nothing_is_unexplained(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The table tells first how it stands; the exit code is 0."""
    assert 0 == main(["--db", database, "reconcile", *HOUR])

    out = capsys.readouterr().out
    assert "lab against sreport, 2026-11-22T05:45:00+00:00" in out
    assert ["equal", "118"] == out.splitlines()[1].split()[:2]
    assert "resv idle" in out


def test_something_is_unexplained(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second that only Slurm has is one cell, and exit code 3."""
    slurm(monkeypatch, Reported("es-bio", "ana", "node", 1))

    assert 3 == main(["--db", database, "reconcile", *HOUR, "--format", "csv"])

    lines = capsys.readouterr().out.splitlines()
    assert 145 == len(lines)
    assert ["lab,es-bio,ana,node,513,514,0,0,0,0,0,0,0,0,0,1"] == [
        line for line in lines[1:] if not line.endswith(",0")
    ]


def test_a_file_for_an_auditor(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """-o writes the page, and nothing goes to stdout."""
    page = tmp_path / "certificate.html"
    capsys.readouterr()

    assert 0 == main(["--db", database, "reconcile", *HOUR, "--format", "html", "-o", str(page)])

    assert "" == capsys.readouterr().out
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_alone_on_stdout(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A document that can be read back."""
    capsys.readouterr()
    assert 0 == main(["--db", database, "reconcile", *HOUR, "--format", "json"])

    found = json.loads(capsys.readouterr().out)
    assert (144, 0) == (found["summary"]["cells"], found["summary"]["unexplained"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--against", "telemetry", "--format", "html"], "telemetry has table, csv and json"),
        (["--against", "telemetry", "--cluster", "lab"], "--by cluster tells them apart"),
        (["--against", "telemetry", "--by", "gpu_class"], "opsd usage --measured --by gpu_class"),
        (["--against", "telemetry", "--by", "countr"], "did you mean 'country'"),
        (["--by", "country"], "--by is for telemetry"),
        (["--against", "tea"], "there is sreport, and telemetry"),
        (["--from", "2026-11-01"], "go together"),
        (["--period", "2026-11", "--from", "2026-11-01"], "say one of the two"),
        (["--period", "november"], "not a period"),
        (["-o", "file"], "say which --format"),
        (["--cluster", "mars", "--no-ingest"], "no such cluster; there is lab"),
        (["--timezone", "Mars"], "unknown time zone"),
    ],
    ids=[
        "page",
        "one cluster",
        "class",
        "key",
        "by",
        "tea",
        "half a window",
        "two windows",
        "period",
        "output",
        "cluster",
        "zone",
    ],
)
def test_wrong_usage(database: str, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    """Each is refused with what to do, and exit code 2."""
    assert 2 == main(["--db", database, "reconcile", *words])

    assert said in capsys.readouterr().err


def test_a_time_without_a_whole_hour(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare, and why."""
    assert 1 == main(
        ["--db", database, "reconcile", "--from", "@1795326301", "--to", "@1795329899", "--no-ingest"]
    )

    assert "minute 45" in capsys.readouterr().err


CELL = ("explain", "certificate", *HOUR[:4], "--format", "json", "--limit", "3", "--cell")


def test_every_cell_can_be_explained(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its figures again, and contributions that add up to its causes."""
    capsys.readouterr()
    assert 0 == main(["--db", database, "reconcile", *HOUR, "--format", "json"])
    cells = json.loads(capsys.readouterr().out)["cells"]
    odd = [cell for cell in cells if cell["opsd"] != cell["sreport"]]
    for cell in [*odd, *cells[:3]]:
        key = f"account={cell['account']},user={cell['user']},tres={cell['tres']}"
        assert 0 == main(["--db", database, *CELL, key])
        found = json.loads(capsys.readouterr().out)

        assert (cell["opsd"], cell["sreport"], 0) == tuple(
            found["figure"][name] for name in ("opsd", "sreport", "unexplained")
        )
        parts = found["tables"]["contributions"]
        assert (
            cell["sreport"] - cell["opsd"] == parts["total"] == sum(row["seconds"] for row in parts["rows"])
        )

    assert odd


def test_a_cell_left_over_needs_eyes(
    database: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no cause explains is said, with exit code 3."""
    slurm(monkeypatch, Reported("es-bio", "ana", "node", 1))
    capsys.readouterr()

    assert 3 == main(["--db", database, *CELL, "account=es-bio,user=ana,tres=node"])
    assert ["1 node-seconds are unexplained"] == json.loads(capsys.readouterr().out)["needs_eyes"]


@pytest.mark.parametrize("keys", ["account", "user,gpu_class", "state,partition", ""])
def test_usage_of_a_real_hour_is_explained(
    database: str, capsys: pytest.CaptureFixture[str], keys: str
) -> None:
    """Every row of usage again, its runs adding up to it: requeues, shrinks, suspensions as they are."""
    window = ("--from", "@1795326300", "--to", "@1795329900")
    capsys.readouterr()
    main(["--db", database, "usage", *window, "--by", keys, "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    for row in rows[:6]:
        asked = [word for key in keys.split(",") if key for word in ("--cell", f"{key}={row[key]}")]
        for column in ("cpu_seconds", "gpu_seconds"):
            how = ("--column", column, "--limit", "4", "--format", "json")
            assert 0 == main(["--db", database, "explain", "usage", *window, *how, *asked])
            found = json.loads(capsys.readouterr().out)

            assert row[column] == found["figure"][column] == found["tables"]["runs"]["total"]

    assert rows
