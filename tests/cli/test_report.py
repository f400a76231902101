"""`opsd report` as a file, against `opsd usage` and `opsd balance` on the demonstration's October."""

from __future__ import annotations

import csv
import io
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from opsd.cli import main, report
from opsd.core.errors import OpsdError
from opsd.pipeline import demo
from opsd.store import migrate
from opsd.store.engine import open_engine, sqlite_address

UNTIL = 1_794_700_800  # 2026-11-15
OCTOBER = ("--from", "2026-10-01", "--to", "2026-11-01", "--timezone", "Europe/Madrid")
END = "2026-11-01T00:00:00+01:00"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The demonstration's database."""
    folder = tmp_path_factory.mktemp("report") / "demo"
    demo.prepare(folder, UNTIL, 1)
    address = sqlite_address(folder / demo.DATABASE)
    store = open_engine(address)
    migrate.upgrade(store)
    demo.run(store, folder, UNTIL)
    store.close()
    return address


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated present, wherever a command looks at the clock."""
    monkeypatch.setattr(report, "now", lambda: UNTIL)


def opsd(database: str, *words: str | Path) -> int:
    """The command; its exit code."""
    return main(["--db", database, *map(str, words)])


def table(capsys: pytest.CaptureFixture[str], database: str, *words: str) -> list[dict[str, str]]:
    """What a command prints as CSV."""
    capsys.readouterr()
    assert opsd(database, *words, "--format", "csv") in (0, 3)
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def test_the_report_is_what_usage_says(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """October as CSV, to the second, line by line; something needs eyes."""
    assert opsd(database, "report", "--period", "2026-10", "-o", tmp_path / "r.csv") == 3
    told = list(csv.DictReader(io.StringIO((tmp_path / "r.csv").read_text(encoding="utf-8"))))
    keys = ("pool", "country", "organisation", "project")
    used = table(capsys, database, "usage", *OCTOBER, "--by", ",".join(keys))

    places: dict[tuple[str, ...], list[int]] = {}
    for row in told:
        if row["level"] in ("project", "unattributed"):
            place = tuple(row[key] for key in keys)
            sums = places.setdefault(place, [0, 0, 0])
            places[place] = [a + b for a, b in zip(sums, seconds(row), strict=True)]
    assert {tuple(row[key] for key in keys): seconds(row) for row in used} == places
    (total,) = table(capsys, database, "usage", *OCTOBER)
    assert [seconds(total)] == [seconds(row) for row in told if row["level"] == "total"]


def test_the_report_is_what_balance_says(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every award's balance at October's end, exact; and the runs behind it are counted once."""
    assert opsd(database, "report", "--period", "2026-10", "-o", tmp_path / "r.json") == 3
    told = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    sections = {section["id"]: section["blocks"] for section in told["sections"]}
    awards = {
        row["keys"]["award"]: row["cells"]
        for block in sections["projects"]
        for row in block.get("rows", ())
        if row["role"] == "leaf"
    }
    balances = table(capsys, database, "balance", "--as-of", END)

    assert sorted(awards) == [row["award"] for row in balances]
    for row in balances:
        cells = awards[row["award"]]
        for name in ("granted", "settled", "accrued", "left"):
            assert Fraction(row[name]) == Fraction(cells[name]["seconds"])
        outside = cells.get("outside_hours", {"seconds": "0"})  # a unit without any has no such column
        assert Fraction(row["after_end"]) == Fraction(outside["seconds"])
    (total,) = table(capsys, database, "usage", *OCTOBER)
    (quality,) = (block for block in sections["reconciliation"] if block.get("id") == "quality")
    assert int(total["runs"]) == next(
        fact["value"]["count"] for fact in quality["facts"] if fact["id"] == "runs"
    )


def seconds(row: dict[str, Any]) -> list[int]:
    """GPU-, node- and CPU-seconds."""
    return [int(row[f"{name}_seconds"]) for name in ("gpu", "node", "cpu")]


def test_use_after_an_award_is_marked(database: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """The demonstration has awards that were used after their end."""
    opsd(database, "report", "--period", "2026-10", "--format", "csv", "-o", "-")
    lines = csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode()))
    assert {"after-end"} == {line["outside_award"] for line in lines} - {""}


def test_the_workbook_can_be_opened(database: str, tmp_path: Path) -> None:
    """Without a format, and without a suffix, it is a workbook."""
    assert opsd(database, "report", "--period", "2026-10", "-o", tmp_path / "report") == 3
    workbook = load_workbook(io.BytesIO((tmp_path / "report").read_bytes()), read_only=True)
    assert len(workbook.sheetnames) > 5
    workbook.close()


@pytest.mark.parametrize(
    ("name", "start"),
    [("r.pdf", b"%PDF"), ("r.zip", b"PK"), ("r.json", b"{"), ("r-semicolon.csv", b"\xef\xbb\xbfperiod;")],
)
def test_the_format_follows_the_name(database: str, tmp_path: Path, name: str, start: bytes) -> None:
    """Each by its suffix, the longest that fits; in any language."""
    target = tmp_path / name
    assert opsd(database, "report", "--period", "2026-10", "--locale", "ro", "-o", target) == 3
    assert start == target.read_bytes()[: len(start)]


def test_the_same_command_gives_the_same_file(database: str, tmp_path: Path) -> None:
    """A period that is over does not depend on the clock."""
    for name in ("a.xlsx", "b.xlsx"):
        opsd(database, "report", "--period", "2026-10", "-o", tmp_path / name)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()


def test_every_language_has_the_same_numbers(database: str, tmp_path: Path) -> None:
    """Only the words differ."""
    found = []
    for language in ("en", "ca"):
        target = tmp_path / f"{language}.csv"
        opsd(database, "report", "--period", "2026-10", "--locale", language, "-o", target)
        found.append(list(csv.DictReader(io.StringIO(target.read_text(encoding="utf-8")))))
    columns = [name for name in found[0][0] if name.endswith(("_seconds", "_hours"))]
    first, second = ([[row[name] for name in columns] for row in rows] for rows in found)
    assert first == second


def test_a_scope_needs_no_eyes(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is nobody's is not part of it."""
    target = tmp_path / "tr.csv"
    assert opsd(database, "report", "--period", "2026-10", "--scope", "pays:TR", "-o", target) == 0
    assert b",TR," in target.read_bytes()
    assert "unattributed" not in target.read_text(encoding="utf-8")


def test_a_period_that_goes_on_is_provisional(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command says so, and so does the file."""
    opsd(database, "report", "--period", "2026-11", "-o", tmp_path / "r.json")
    assert "not over" in capsys.readouterr().err
    assert json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["provisional"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ["--period", "2026-10", "--format", "docx", "-o", "r"],
            2,
            "'docx': no such report format; there are",
        ),
        (
            ["--period", "2026-10", "-o", "r.docx"],
            2,
            "no report format is called .docx; there are xlsx pdf csv csv-semicolon json zip",
        ),
        (["--period", "2026-10", "--locale", "fr", "-o", "r"], 2, "'fr': no report is written in it"),
        (["--period", "2026-10", "--locale", "xx", "-o", "r"], 2, "there are en es ca pt tr ro"),
        (["--period", "2026-10", "--as", "reporte", "-o", "r"], 2, "did you mean 'reported'"),
        (["--period", "2026-10", "--as", "reported", "-o", "r"], 1, "2026-10 is not closed"),
        (["--period", "2026-10", "--edition", "2", "-o", "r"], 1, "2026-10 is not closed"),
        (["--period", "2026-10", "--as", "known", "--edition", "1", "-o", "r"], 2, "leave it out"),
        (["--period", "October", "-o", "r"], 2, "not a period: 'October'; write 2026-10"),
        (["--period", "2026-10", "--timezone", "Madrid", "-o", "r"], 2, "unknown time zone: 'Madrid'"),
        (["--period", "2026-10", "--scope", "user:ana", "-o", "r"], 2, "write one of country:X"),
        (
            ["--period", "2026-10", "--scope", "country:FR", "-o", "r"],
            2,
            "'country:FR': nothing of that name",
        ),
        (["--period", "2027", "-o", "r"], 1, "still to come"),
        (["--period", "2026-10", "-o", "."], 2, "is a folder"),
        (["--period", "2026-10", "-o", "nowhere/r.csv"], 1, "nowhere/r.csv: No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said(
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    said: str,
) -> None:
    """In one line with what there is instead; nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert code == opsd(database, "report", *words)
    assert said in capsys.readouterr().err
    assert [] == list(tmp_path.iterdir())


def test_a_workbook_is_not_shown_on_a_terminal(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be noise; a pipe may have it."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert opsd(database, "report", "--period", "2026-10", "-o", "-") == 1
    captured = capsys.readouterr()
    assert "" == captured.out
    assert "name a file with -o" in captured.err


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full when it comes to it."""

    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.usefixtures("no_room")
def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path: Path) -> None:
    """A failure in the middle leaves the old file, and nothing beside it."""
    target = tmp_path / "r.csv"
    target.write_bytes(b"old")
    with pytest.raises(OpsdError, match=r"r\.csv: No space left on device"):
        report.write(target, b"new")
    assert [b"old"] == [path.read_bytes() for path in tmp_path.iterdir()]


def test_a_link_stays_one(tmp_path: Path) -> None:
    """What it leads to is replaced."""
    (tmp_path / "real.csv").write_bytes(b"old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    report.write(tmp_path / "link.csv", b"new")
    assert (tmp_path / "link.csv").is_symlink()
    assert b"new" == (tmp_path / "real.csv").read_bytes()
