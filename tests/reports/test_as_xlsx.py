"""The workbook: what a reader of its cells finds, and what LibreOffice makes of it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from opsd import reports
from opsd.core.statement import PER_HOUR, Statement
from tests.conftest import LEFT_OUT
from tests.fakes.statements import sample

SHEETS = ["Summary", "Usage", "Balances", "Units and funders", "Data quality"]
Cells = dict[tuple[str, str], Any]


def opened(content: bytes, *, values: bool) -> Workbook:
    """The workbook as openpyxl reads it: with values, or with formulas."""
    return load_workbook(io.BytesIO(content), data_only=values)


def formulas(content: bytes) -> Cells:
    """(sheet, cell) -> value, of every cell that holds a formula."""
    written, valued = opened(content, values=False), opened(content, values=True)
    return {
        (sheet.title, cell.coordinate): valued[sheet.title][cell.coordinate].value
        for sheet in written
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "f"
    }


def column(content: bytes, sheet: str, letter: str) -> list[Any]:
    """The values of a column, from its head on."""
    return [cell.value for cell in opened(content, values=True)[sheet][letter]][3:]


def test_the_usage_sheet_shows_the_statements_hours() -> None:
    """As real numbers, line by line, the total last."""
    found = sample()
    content = reports.render(found, "xlsx")

    for letter, place in (("D", 0), ("E", 1), ("F", 2)):
        assert [row.hours[place] / PER_HOUR for row in found.usage] == column(content, "Usage", letter)[1:]


def test_every_subtotal_is_a_formula_over_what_stands_below_it() -> None:
    """And every lowest line is a plain number."""
    found = sample()
    sheet = opened(reports.render(found, "xlsx"), values=False)["Usage"]
    kinds = [sheet[f"D{line}"].data_type for line in range(5, 5 + len(found.usage))]

    assert ["n" if row.lowest else "f" for row in found.usage] == kinds
    assert f"=SUBTOTAL(9,D5:D{3 + len(found.usage)})" == sheet[f"D{4 + len(found.usage)}"].value


def test_balances_show_the_statements_numbers() -> None:
    """Per unit, with its total; left is what granted, settled and accrued leave."""
    found = sample()
    sheet = opened(reports.render(found, "xlsx"), values=True)["Balances"]
    lines = {row[0].value: [cell.value for cell in row] for row in sheet.iter_rows(min_row=5)}
    (gpu,) = (table for table in found.balances if table.unit == "gpu-hours")

    for row in gpu.rows:
        shown = row.shown
        assert shown is not None
        assert [value / PER_HOUR for value in (*shown[:4], shown.left)] == lines[row.award][6:11]
    assert lines["a2"][13] == "over quota"
    assert lines["a1"][13] == "ok, ended"


def test_no_text_is_a_formula_a_link_or_a_number() -> None:
    """Names that begin as formulas stay text, also once somebody edits them."""
    workbook = opened(reports.render(sample(), "xlsx"), values=False)
    risky = [
        cell
        for sheet in workbook
        for row in sheet.iter_rows()
        for cell in row
        if cell.data_type == "s" and str(cell.value).startswith(("=", "+", "-", "@"))
    ]

    assert {"=1+1", "@cmd|' /C calc'!A0"} <= {cell.value for cell in risky}
    assert all(cell.quotePrefix for cell in risky)


def test_it_is_set_up_for_paper() -> None:
    """A4 landscape, as wide as the page; heads repeated and in sight; pages numbered; `&` printed."""
    workbook = opened(reports.render(sample(), "xlsx"), values=False)

    assert SHEETS == workbook.sheetnames
    for sheet in workbook:
        assert ("landscape", 9) == (sheet.page_setup.orientation, int(sheet.page_setup.paperSize))
        assert (1, 0) == (int(sheet.page_setup.fitToWidth or 1), int(sheet.page_setup.fitToHeight))
        assert "Page &P of &N" in str(sheet.oddFooter.right.text)
        assert "R&&D" in str(sheet.oddFooter.left.text)
    for name in ("Usage", "Balances"):
        assert ("B5", "$4:$4") == (workbook[name].freeze_panes, workbook[name].print_title_rows)


def test_what_is_unconfirmed_says_so() -> None:
    """Beside the contribution."""
    sheet = opened(reports.render(sample(), "xlsx"), values=True)["Units and funders"]
    marks = {row[0].value: (row[6].value, row[7].value) for row in sheet.iter_rows()}

    assert (98.33, "confirmed") == marks["EuroHPC"]
    assert (6.5, "unconfirmed") == marks["Türkiye"]


# -- LibreOffice ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def soffice() -> str:
    """The program."""
    found = shutil.which("soffice")
    if found is None:
        pytest.skip(f"LibreOffice {LEFT_OUT}soffice was not found; install libreoffice-calc")
    return found


def converted(soffice: str, source: Path, form: str) -> Path:
    """A file in another form, by a LibreOffice with a profile of its own."""
    folder = source.parent / f"as-{form}"
    profile = f"-env:UserInstallation={(source.parent / 'profile').as_uri()}"
    command = [soffice, profile, "--headless", "--convert-to", form, "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return folder / f"{source.stem}.{form}"


def without_values(content: bytes) -> bytes:
    """The workbook as if nobody had ever calculated it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name.startswith("xl/worksheets/"):
                part = re.sub(rb"(</f>)<v>[^<]*</v>", rb"\1", part)
            new.writestr(name, part)
    return out.getvalue()


@pytest.mark.office
def test_libreoffice_calculates_what_we_wrote(soffice: str, tmp_path: Path) -> None:
    """Every formula, from nothing, gives the value that stands in our file."""
    ours = reports.render(sample(), "xlsx")
    bare = tmp_path / "bare.xlsx"
    bare.write_bytes(without_values(ours))
    assert {None} == set(formulas(bare.read_bytes()).values())

    theirs = opened(converted(soffice, bare, "xlsx").read_bytes(), values=True)

    expected = formulas(ours)
    assert len(expected) > 50
    for (sheet, cell), value in expected.items():
        found = theirs[sheet][cell].value
        assert value == (found if isinstance(value, str) else pytest.approx(found, abs=1e-9)), (sheet, cell)


@pytest.mark.office
@pytest.mark.parametrize("changes", [{}, {"balances": ()}], ids=["sample", "no awards"])
def test_libreoffice_prints_no_broken_cell(soffice: str, tmp_path: Path, changes: dict[str, Any]) -> None:
    """No number too wide for its column, no reference to nowhere, no formula that fails."""
    if shutil.which("pdftotext") is None:
        pytest.skip(f"LibreOffice {LEFT_OUT}pdftotext was not found; install poppler-utils")
    found: Statement = sample(**changes)
    source = tmp_path / "report.xlsx"
    source.write_bytes(reports.render(found, "xlsx"))
    pdf = converted(soffice, source, "pdf")
    text = subprocess.run(
        ["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True
    ).stdout

    assert f"{found.total.hours.gpu / PER_HOUR:,.2f}" in text
    assert [] == re.findall(r"###|#REF!|#VALUE!|#NAME\?|#DIV/0!|Err:\d+", text)
