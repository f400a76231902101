"""The verbs around master data, as they are typed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from opsd.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = str(ROOT / "opsd" / "examples" / "founding-consortium.toml")
MORE = """
[[project]]
id = "p"
title = "P"
organisation = "bsc"
[[award]]
id = "a1"
project = "p"
pool = "ju"
amount = 5000
unit = "gpu-hours"
start = 2026-05-01
policy = "gpu-hours"
"""


@pytest.fixture(autouse=True)
def database(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database of its own for each test."""
    monkeypatch.setenv("OPSD_DB", sqlite_url)


@pytest.fixture
def more(tmp_path: Path) -> str:
    """A file that adds one award to the example."""
    file = tmp_path / "more.toml"
    file.write_text(MORE, encoding="utf-8")
    return str(file)


def test_the_example_checks_and_applies(capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped consortium is clean; applied twice it changes nothing the second time."""
    assert 0 == main(["consortium", "check", EXAMPLE])
    assert "6 funder" in capsys.readouterr().err
    assert 0 == main(["consortium", "apply", EXAMPLE])
    assert "Generalitat de Catalunya" in capsys.readouterr().out
    assert 0 == main(["consortium", "apply", EXAMPLE])
    assert "nothing to change\n" == capsys.readouterr().out


SLICE = """
[[mig_slice]]
gpu_class = "h100"
profile = "1g.10gb"
gpus = {}
from = 2026-05-01
"""


def test_slices_are_applied_changed_and_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A share stays the exact ratio that was given; a dry run keeps nothing; what cannot be is refused."""
    file = tmp_path / "slices.toml"
    file.write_text(SLICE.format('"1/7"'), encoding="utf-8")
    assert 0 == main(["consortium", "apply", str(file), "--dry-run"])
    assert "h100/1g.10gb" in capsys.readouterr().out
    main(["consortium", "export"])
    assert "mig_slice" not in capsys.readouterr().out
    assert 0 == main(["consortium", "apply", str(file)])
    assert 0 == main(["consortium", "apply", str(file)])
    assert capsys.readouterr().out.endswith("nothing to change\n")
    main(["consortium", "export"])
    assert SLICE.format('"1/7"').strip() in capsys.readouterr().out
    file.write_text(SLICE.format("1.5"), encoding="utf-8")
    assert 1 == main(["consortium", "apply", str(file)])
    assert "slices.toml:5: [[mig_slice]] gpus: not a part of one GPU: '1.5'" in capsys.readouterr().err


def test_a_dry_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """--dry-run shows the diff and leaves the database empty."""
    assert 0 == main(["consortium", "apply", EXAMPLE, "--dry-run"])
    assert "dry run: nothing was written" in capsys.readouterr().out
    main(["consortium", "export"])
    assert '[consortium]\nbook_zone = "UTC"\n' == capsys.readouterr().out


def test_export_comes_back(tmp_path: Path, more: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An exported file applies to a new database and is exported as the same bytes."""
    file = tmp_path / "out.toml"
    for path in (EXAMPLE, more):
        assert 0 == main(["consortium", "apply", path])
    assert 0 == main(["consortium", "export", str(file)])
    other = f"sqlite:///{tmp_path / 'other.db'}"
    assert 0 == main(["--db", other, "consortium", "apply", str(file)])
    capsys.readouterr()
    assert 0 == main(["--db", other, "consortium", "export"])
    assert file.read_text(encoding="utf-8") == capsys.readouterr().out


def test_reads_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`-` is standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[[cluster]]\nid = "c"\n')))
    assert 0 == main(["consortium", "apply", "-"])
    assert "cluster" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'[[pool]]\nid = "x"\nfunder = "y"\n', "bad.toml:3: pool x: unknown funder 'y'"),
        (b'[[pol]]\nid = "x"\n', "bad.toml:1: unknown table 'pol'; did you mean 'pool'?"),
        (b"a = 1\nb = '\xff'\n", "bad.toml:2: not UTF-8 text"),
    ],
)
def test_faults_are_placed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: bytes, message: str
) -> None:
    """What is wrong with a file or does not fit is told with file and line; the exit code is 1."""
    file = tmp_path / "bad.toml"
    file.write_bytes(text)
    for action in ("check", "apply"):
        assert 1 == main(["consortium", action, str(file)])
        assert message in capsys.readouterr().err


def test_a_missing_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that leads nowhere ends with one line."""
    assert 1 == main(["consortium", "apply", "nowhere.toml"])
    assert "opsd: nowhere.toml: No such file or directory; check the path and its permissions\n" == (
        capsys.readouterr().err
    )


def test_bind_and_list(more: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bound account is listed with its award and what its name suggests; dates are the book zone's."""
    for path in (EXAMPLE, more):
        main(["consortium", "apply", path])
    bind = ["account", "bind", "mn5/ehpc01", "--award", "a1", "--from", "2026-05-01", "--author", "me"]
    assert 0 == main(bind)
    assert "mn5/ehpc01 from 2026-05-01T00:00:00+02:00" in capsys.readouterr().out
    assert 0 == main(["account", "list", "--format", "json"])
    expected = {
        "cluster": "mn5", "account": "ehpc01", "award": "a1", "gpu_seconds": 0, "cpu_seconds": 0,
        "hint": "EuroHPC JU",
    }  # fmt: skip
    assert [expected] == json.loads(capsys.readouterr().out)
    assert 0 == main(["account", "list"])
    assert "ehpc01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["ehpc01", "--award", "a", "--from", "2026-05-01"], 2, "names no account: write CLUSTER/ACCOUNT"),
        (["mn5/x", "--award", "a", "--from", "May"], 2, "--from: not a time: 'May'"),
        (["mn5/x", "--award", "a", "--from", "2026-05-01T00:30"], 2, "not on a whole UTC hour"),
        (["mn5/x", "--award", "a", "--from", "2026-05-01"], 1, "unknown cluster 'mn5'"),
    ],
)
def test_wrong_bindings(
    words: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong usage ends with 2, what does not fit with 1, each with what to write instead."""
    assert code == main(["account", "bind", *words])
    assert message in capsys.readouterr().err


def test_import_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list of people is taken in at midnights of the book zone; a wrong one is refused by line."""
    main(["consortium", "apply", EXAMPLE])
    file = tmp_path / "people.csv"
    file.write_text("user,organisation,from,until\nbsc01,bsc,2026-01-01,\n", encoding="utf-8")
    assert 0 == main(["people", "import", str(file)])
    assert "bsc01 from 2026-01-01T00:00:00+01:00" in capsys.readouterr().out
    file.write_text("user,organisation\nbsc02,nobody\n", encoding="utf-8")
    assert 1 == main(["people", "import", str(file)])
    assert "unknown organisation 'nobody'" in capsys.readouterr().err
    file.write_text("user,organisation\nbsc02,\n", encoding="utf-8")
    assert 1 == main(["people", "import", str(file)])
    assert "people.csv:2: organisation is not a name" in capsys.readouterr().err
