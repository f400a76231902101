"""`opsd demo` from the command line to the tables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from opsd.cli import main


@pytest.fixture
def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a demonstration in tmp_path/demo prints."""
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["demo", "--once", "--dir", str(tmp_path / "demo")]) == 0
    return capsys.readouterr().out


def usage(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> str:
    """`opsd usage` as CSV over the whole period."""
    command = [
        "--db",
        f"sqlite:///{folder / 'opsd.db'}",
        "usage",
        "--from",
        "2026-08-01",
        "--to",
        "2026-11-15",
    ]
    assert main([*command, "--format", "csv", *words]) in (0, 3)
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_whole_way_twice(shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Same bytes, printed and asked for; the tables say what usage says; the story is told."""
    assert main(["demo", "--once", "--dir", str(tmp_path / "again")]) == 0
    again = capsys.readouterr()
    assert shown == again.out
    assert "OPSD_DB=" in again.err
    by = ("--by", "account,user,month,pays,country,uses,state")
    assert usage(capsys, tmp_path / "demo", *by) == usage(capsys, tmp_path / "again", *by)

    total = usage(capsys, tmp_path / "demo").splitlines()[1].split(",")
    hours = f"{(int(total[3]) + 1800) // 3600:,}"
    assert len(re.findall(rf"^total .*{hours}", shown, re.MULTILINE)) == 2

    assert shown.count("over quota") == 2
    assert shown.count("past 95 %") == 3
    assert shown.count("past 80 %") == 7
    assert shown.count("hardly used") == 1
    assert "etur77" in shown
    assert "not charged" not in shown
    assert re.search(r"^ *0  records in quarantine", shown, re.MULTILINE)
    assert "Türkiye" in shown

    held = tomllib.loads((tmp_path / "demo" / "consortium.toml").read_text())
    assert f"of {len(held['award'])} awards" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--until", "1980-01-01"], "between 1991 and 2100"),
        (["--until", "soon"], "not a time"),
    ],
)
def test_wrong_usage(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said in one line, and nothing is written."""
    assert main(["demo", "--dir", str(tmp_path / "demo"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


def test_its_database_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A demonstration must never be poured into books that are real."""
    assert main(["--db", "sqlite:////nowhere/opsd.db", "demo"]) == 2
    assert "--dir" in capsys.readouterr().err
