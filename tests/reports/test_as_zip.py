"""The archive: every format and table of one language, and a manifest that vouches for each file."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from opsd import reports
from opsd.core.canonical import digest
from opsd.core.statement.build import Statement, build
from tests.fakes.blocks import FORMULAS, every_kind
from tests.fakes.dossiers import PLANTED_JOB, PLANTED_PATH, PLANTED_USER, sample

DIALECTS = {"tables": (",", ".", "utf-8"), "tables-semicolon": (";", ",", "utf-8-sig")}


@cache
def statement(scope: str = "") -> Statement:
    """The sample, or a part of it."""
    return build(sample(), scope)


@cache
def rendered(scope: str = "") -> bytes:
    """Its archive."""
    return reports.render(statement(scope), "zip")


@cache
def archive() -> dict[str, bytes]:
    """The files of the sample's archive."""
    with zipfile.ZipFile(io.BytesIO(rendered())) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


def test_the_same_statement_gives_the_same_archive() -> None:
    """However often it is made and rendered."""
    assert rendered() == reports.render(build(sample()), "zip")


def test_the_archive_holds_every_format_and_says_what_is_in_it() -> None:
    """Each file but the manifest stands in that with size and digest; each is what `render` gives."""
    files = dict(archive())
    manifest = json.loads(files.pop("manifest.json"))

    assert sorted(files) == [entry["name"] for entry in manifest["files"]]
    for entry in manifest["files"]:
        content = files[entry["name"]]
        assert (len(content), digest(content)) == (entry["size"], entry["sha256"])
    for form in ("xlsx", "csv", "csv-semicolon", "json"):
        assert reports.render(statement(), form) == files[reports.file_name(statement(), form)]
    assert files[reports.file_name(statement(), "pdf")].startswith(b"%PDF-")
    assert ("opsd-package/1", 1, "en") == (manifest["schema"], manifest["edition"], manifest["language"])
    assert sample().digests._asdict() == manifest["digests"]


def test_the_archive_tells_no_time_but_the_statements() -> None:
    """So that it is the same whenever it is made."""
    with zipfile.ZipFile(io.BytesIO(rendered())) as found:
        assert {(2026, 10, 31, 23, 0, 0)} == {entry.date_time for entry in found.infolist()}


# --------------------------------------------------------------------------------------------- its tables


def tables() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of the JSON, with the name that its CSV has in the archive."""
    content = json.loads(reports.render(statement(), "json"))
    for number, section in enumerate(content["sections"]):
        for block in section["blocks"]:
            if block["type"] == "table":
                yield f"{number:02}-{section['id']}-{block['id']}.csv", block


def agrees(cell: dict[str, Any], shown: str) -> bool:
    """Whether a field, its decimals with a dot, says what a cell of the JSON says."""
    name = next((name for name in ("hours", "count", "number", "amount") if name in cell), "")
    if name:
        return Fraction(str(cell[name])) == Fraction(shown)
    if cell.keys() & {"share", "ratio"}:
        return shown == (cell.get("share") or cell.get("ratio") or "")
    return not shown.startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("folder", DIALECTS)
def test_every_table_of_the_archive_says_what_the_json_says(folder: str) -> None:
    """Cell by cell, in the order of its rows; no text in it is a formula."""
    delimiter, decimal, encoding = DIALECTS[folder]
    names, seen = set(), 0
    for name, table in tables():
        text = archive()[f"{folder}/{name}"].decode(encoding)
        lines = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
        names.add(f"{folder}/{name}")
        assert [(row["role"], str(row["depth"])) for row in table["rows"]] == [
            (line["role"], line["depth"]) for line in lines
        ]
        for row, line in zip(table["rows"], lines, strict=True):
            for column, cell in row["cells"].items():
                seen += 1
                assert agrees(cell, line[column].replace(decimal, ".")), (name, column, cell, line[column])
    assert seen > 1_000
    assert names == {name for name in archive() if name.startswith(f"{folder}/")}


def test_formulas_in_names_are_harmless_in_the_tables() -> None:
    """Every way to begin one gets an apostrophe; a negative number gets none."""
    with zipfile.ZipFile(io.BytesIO(reports.render(every_kind(), "zip"))) as found:
        text = found.read("tables/00-cover-values.csv").decode()
    shown = [line["value"] for line in csv.DictReader(io.StringIO(text, newline=""))]

    assert [f"'{name}" for name in FORMULAS] == shown[: len(FORMULAS)]
    assert ["-0.05", "0.00", "-3"] == shown[len(FORMULAS) : len(FORMULAS) + 3]
    assert "-98330000.00" in shown


def test_a_spreadsheet_takes_no_fraction_for_a_day() -> None:
    """3/20 is no day in March: an apostrophe holds it where spreadsheets read; programs need none."""
    name, field = "01-funding-agreed_key.csv", "share_exact"
    plain, sheets = (archive()[f"{folder}/{name}"].decode(DIALECTS[folder][2]) for folder in DIALECTS)
    exact = [line[field] for line in csv.DictReader(io.StringIO(plain, newline=""))]
    held = [line[field] for line in csv.DictReader(io.StringIO(sheets, newline=""), delimiter=";")]

    assert any("/" in text for text in exact)
    assert [f"'{text}" if "/" in text else text for text in exact] == held


# ------------------------------------------------------------------------------------------ nothing leaks


def inside(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """A file, and everything packed in it."""
    yield name, content
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as found:
            for part in found.namelist():
                yield from inside(f"{name}/{part}", found.read(part))


@pytest.mark.parametrize("scope", ["", "country:ES"])
def test_no_user_job_or_path_is_in_any_file(scope: str) -> None:
    """Planted ones are searched for in every byte, also inside of archives and workbooks."""
    files = list(inside("zip", rendered(scope)))

    assert len(files) > 60
    for name, content in files:
        for planted in (PLANTED_USER, PLANTED_JOB, PLANTED_PATH):
            assert planted.encode() not in content, name
