"""The workbook: what a reader of its cells finds, and what LibreOffice makes of it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet

from opsd import reports
from opsd.core.amounts import MICRO
from opsd.core.statement import words
from opsd.core.statement.build import Statement, build
from opsd.core.statement.table import Block, Column, Facts, Row, Section, Table
from opsd.core.statement.view import PER_HOUR
from opsd.core.statement.words import Value, msg
from opsd.reports.as_xlsx.apart import apart
from opsd.reports.as_xlsx.names import LONGEST, sheet_names
from opsd.reports.as_xlsx.sums import sum_of
from opsd.reports.locale import NOTHING, STYLES, Locale
from tests.conftest import LEFT_OUT
from tests.fakes.blocks import FORMULAS, every_kind
from tests.fakes.dossiers import ZONE, sample

Cells = dict[tuple[str, str], Any]
HOURS = f'#,##0.00;-#,##0.00;"{NOTHING}"'


@cache
def statement(scope: str = "") -> Statement:
    """The sample, or a part of it."""
    return build(sample(), scope)


@cache
def content(language: str = "en", scope: str = "") -> bytes:
    """Its workbook."""
    return reports.render(statement(scope), "xlsx", language)


@cache
def kinds() -> bytes:
    """The workbook of every kind of block and value."""
    return reports.render(every_kind(), "xlsx")


@cache
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


def number(value: Value | None) -> Fraction | None:
    """What a value is as a number in a cell."""
    match value:
        case words.Hours(hundredths, _):
            return Fraction(hundredths, PER_HOUR)
        case words.Count(found):
            return Fraction(found)
        case words.Amount(micro, _):
            return Fraction(micro, MICRO)
        case words.Number(found, _):
            return found
        case words.Share(found) | words.Ratio(found):
            return found
        case _:
            return None


def first_row(sheet: Worksheet, section: Section, table: Table, locale: Locale) -> int:
    """The row of the sheet on which a table's first row stands."""
    titles = [
        cell.row
        for (cell,) in sheet.iter_rows(min_col=1, max_col=1)
        if cell.value == locale.word(table.title)
    ]
    named = [block for block in section.blocks if getattr(block, "title", None) == table.title]
    return titles[[block for block in named if isinstance(block, Table)].index(table)] + 2


def compared(language: str, scope: str = "") -> int:
    """Compare every number of every table with its cell; how many there were."""
    found, locale, seen = statement(scope), Locale.of(language, ZONE), 0
    book = opened(content(language, scope), values=True)
    for section, sheet in zip(parts(found), book.worksheets[:-1], strict=True):
        for table in (block for block in section.blocks if isinstance(block, Table) and block.rows):
            first = first_row(sheet, section, table, locale)
            for at, row in enumerate(table.rows, first):
                seen += same(sheet, at, table, row)
    return seen


def parts(found: Statement) -> list[Section]:
    """What stands on each sheet but the last: of a section what is not apart, then each table that is."""
    sheets = []
    for section in found.sections:
        moved = apart(section)
        here = tuple(block for block in section.blocks if block not in moved)
        sheets += [replace(section, blocks=here), *(replace(section, blocks=(table,)) for table in moved)]
    return sheets


def sixteen(value: Fraction) -> float:
    """A number to sixteen digits, as the file holds it: exact for all but quotients."""
    return float(f"{float(value):.16G}")


def same(sheet: Worksheet, at: int, table: Table, row: Row) -> int:
    """Compare the numbers of one row; how many there were."""
    expected = {column: number(row.cells.get(name.id)) for column, name in enumerate(table.columns, 1)}
    known = {column: value for column, value in expected.items() if value is not None}
    for column, value in known.items():
        found = sheet.cell(at, column).value
        assert found in (float(value), sixteen(value)), (sheet.title, table.id, at, column)
    return len(known)


@pytest.mark.parametrize("language", STYLES)
def test_every_number_of_every_table_is_a_number_in_the_workbook(language: str) -> None:
    """The very one that is shown everywhere, in each language, sums and formulas included."""
    assert compared(language) > 500


@pytest.mark.parametrize("scope", ["country:TR", "project:=1+1", "cluster:mn5-ai"])
def test_every_part_has_its_numbers(scope: str) -> None:
    """However little is left of its tables."""
    assert compared("es", scope) > 100


def test_every_kind_of_value_is_what_a_reader_expects() -> None:
    """Numbers with their format, real days, texts as they are, a dash for what there is no number of."""
    sheet = opened(kinds(), values=True).worksheets[0]
    values = {row[0].value: row[1] for row in sheet.iter_rows() if str(row[0].value).isdigit()}
    found = [values[str(at)] for at in range(len(FORMULAS), len(values))]

    assert [
        (-0.05, HOURS), (0, HOURS), (-3, "#,##0"), (NOTHING, "General"),
        (sixteen(Fraction(1, 3)), "0.0\u00a0%"), (NOTHING, "General"), (sixteen(Fraction(7, 6)), "0.00"),
        (sixteen(Fraction(-1, 3)), "#,##0.000"), (12_345, "#,##0"),
        (-98_330_000, '#,##0.00\\ "EUR"'), (10.000001, '#,##0.00\\ "RON"'),
        (datetime.fromisoformat("2026-10-01"), "yyyy-mm-dd"),
    ] == [(cell.value, cell.number_format) for cell in found[:12]]  # fmt: skip
    assert "2026-10-01\u00a000:00:00\u00a0UTC+02:00" == found[12].value
    assert ["October 2026", "2026", "Türkiye"] == [found[at].value for at in (13, 15, 16)]


def test_sums_are_formulas_over_what_they_sum() -> None:
    """A subtotal sums what stands directly under it, the total what stands in no subtotal."""
    sheet = opened(kinds(), values=False)["History 2"]
    head = next(cell.row for (cell,) in sheet.iter_rows(max_col=1) if cell.value == "Name")
    rows = [[cell.value for cell in row] for row in sheet.iter_rows(min_row=head + 1, max_row=head + 7)]
    at = head + 1

    assert [
        f"=SUM(B{at + 1},B{at + 4})", f"=SUM(B{at + 2})", 1000.02, 0.77, 2000.05, 0, f"=SUM(B{at},B{at + 5})",
    ] == [row[1] for row in rows]  # fmt: skip
    assert [
        f"=B{at}-C{at}", f"=B{at}+C{at}", f'=IF(B{at}=0,"{NOTHING}",C{at}/B{at})',
        f'=IF(C{at + 6}=0,"{NOTHING}",C{at}/C{at + 6})',
    ] == rows[0][3:7]  # fmt: skip


def test_a_sum_of_very_many_areas_is_still_a_formula_that_excel_takes() -> None:
    """No function has more than 255 arguments."""
    text = sum_of(range(0, 1_000, 2), "x", lambda row, _: f"B{row + 1}")

    assert re.findall(r"B\d+", text) == [f"B{row + 1}" for row in range(0, 1_000, 2)]
    assert all(len(part.split(",")) <= 255 for part in re.findall(r"SUM\(([^()]*)\)", text))
    assert "=SUM(B1:B2,B4)" == sum_of([0, 1, 3], "x", lambda row, _: f"B{row + 1}")


def test_no_text_is_a_formula_a_link_or_a_number() -> None:
    """Names that begin as formulas stay text, also once somebody edits them."""
    for found, expected in ((kinds(), set(FORMULAS)), (content(), {"=1+1", "@cmd|' /C calc'!A0", "-p5"})):
        workbook = opened(found, values=False)
        risky = [
            cell
            for sheet in workbook
            for row in sheet.iter_rows()
            for cell in row
            if cell.data_type == "s"
            and str(cell.value).startswith(("=", "+", "-", "@", "\t", "\r", "_x000D_"))
        ]

        assert {name.replace("\r", "_x000D_") for name in expected} <= {cell.value for cell in risky}
        assert all(cell.quotePrefix for cell in risky)
        assert [] == [
            cell for sheet in workbook for row in sheet.iter_rows() for cell in row if cell.hyperlink
        ]


def test_every_formula_is_one_of_ours() -> None:
    """Sums, differences and quotients of cells of the same sheet, and nothing else."""
    for found in (kinds(), content("tr")):
        texts = [
            str(cell.value)
            for sheet in opened(found, values=False)
            for row in sheet.iter_rows()
            for cell in row
            if cell.data_type == "f"
        ]
        ours = re.compile(r'=(SUM\([A-Z0-9:,SUM()]+\)|[A-Z0-9+-]+|IF\([A-Z]+\d+=0,".",[A-Z0-9]+/[A-Z0-9]+\))')

        assert len(texts) > 20
        assert [] == [text for text in texts if not ours.fullmatch(text)]


def test_it_is_set_up_for_paper() -> None:
    """A4 landscape, as wide as the page; heads repeated and in sight; pages numbered; `&` printed."""
    workbook = opened(content(), values=False)

    assert len(parts(statement())) + 1 == len(workbook.sheetnames)
    for sheet in workbook:
        assert ("landscape", 9) == (sheet.page_setup.orientation, int(sheet.page_setup.paperSize))
        assert (1, 0) == (int(sheet.page_setup.fitToWidth or 1), int(sheet.page_setup.fitToHeight))
        assert "Page &P of &N" in str(sheet.oddFooter.right.text)
        assert "R&&D" in str(sheet.oddFooter.left.text)
        assert "Edition 1 of 2026-11-04 · SHA-256 6e340b9cffb3" in str(sheet.oddFooter.center.text)
        assert (None, None) != (sheet.freeze_panes, sheet.print_title_rows)
    only = opened(kinds(), values=False)["History 2"]
    assert ("B6", "$5:$5") == (only.freeze_panes, only.print_title_rows)


def made(*blocks: Block) -> Workbook:
    """The workbook of one section of these blocks."""
    section = Section("parts", msg("Total"), blocks)
    found = Statement(sample(), "", "known", (), (section,))
    return opened(reports.render(found, "xlsx"), values=False)


def plain(name: str, rows: int, columns: int = 2) -> Table:
    """A table of so many rows of zeroes."""
    heads = tuple(Column(f"c{at}", msg("Used")) for at in range(columns))
    row = Row({column.id: words.Count(0) for column in heads}, {})
    return Table(name, msg(name), heads, (row,) * rows)


def test_a_long_or_very_wide_table_has_a_sheet_of_its_own() -> None:
    """Its head stays in sight and on every page; the section's sheet says where it is."""
    book = made(plain("Left", 3), plain("Projects", 31), plain("Used", 3, columns=11), plain("Granted", 30))

    assert ["Total", "Projects", "Used"] == book.sheetnames
    assert ["Left", "Used", "Projects", "→ Projects", "Used", "→ Used", "Granted"] == [
        cell.value
        for cell in book["Total"]["A"]
        if cell.row > 3 and isinstance(cell.value, str)
    ][:7]  # fmt: skip
    for name in ("Projects", "Used"):
        assert ("B6", "$5:$5") == (book[name].freeze_panes, book[name].print_title_rows)


def test_a_table_that_a_page_can_hold_is_not_torn() -> None:
    """It begins on the next page; one that no page can hold begins where it stands."""
    torn = made(plain("Left", 20), plain("Granted", 25))["Total"]
    alone = made(plain("Projects", 90))["Total"]

    assert [26] == [found.id for found in torn.row_breaks.brk]
    assert [33, 66] == [found.id for found in alone.row_breaks.brk]


def test_a_table_without_rows_does_not_widen_its_sheet() -> None:
    """One line of words stands in its place."""
    empty = replace(plain("Granted", 0, columns=14), empty=msg("Nothing."))
    sheet = made(plain("Left", 3), empty)["Total"]

    assert 14 > sheet.max_column


def test_a_fact_has_room_for_its_number() -> None:
    """However large it is: too narrow a column would show signs instead."""
    facts = Facts("short", None, (("cpu", msg("Used"), words.Hours(1_234_567_890_12, Fraction(0))),))
    sheet = made(facts)["Total"]

    assert len("1,234,567,890.12") < sheet.column_dimensions["B"].width


def test_a_long_name_leaves_room_in_the_foot() -> None:
    """Excel takes no foot of more than 255 characters, and an `&` must not be cut in two."""
    named = replace(sample(), consortium="R&D " * 90)
    book = opened(
        reports.render(Statement(named, "", "known", (), every_kind().sections), "xlsx"), values=False
    )
    left = str(book.worksheets[0].oddFooter.left.text)

    assert re.fullmatch(r"(R&&D )+R?&?&?D?", left)
    assert 80 < len(left) <= 100


def test_subtotals_can_be_folded() -> None:
    """Rows have the level of their depth; what sums them stands above them."""
    sheet = opened(kinds(), values=False)["History 2"]

    assert [0, 1, 2, 1, 1, 0, 0] == [sheet.row_dimensions[row].outlineLevel for row in range(6, 13)]
    assert sheet.sheet_properties.outlinePr.summaryBelow is False


def test_charts_are_told_apart_without_colours() -> None:
    """Each series has a fill of its own, and its figures stand on the last sheet."""
    with zipfile.ZipFile(io.BytesIO(kinds())) as archive:
        charts = [archive.read(name).decode() for name in archive.namelist() if "charts/chart" in name]
    figures = opened(kinds(), values=True)["Figures of the charts"]

    assert 3 == len(charts)
    for chart in charts:
        fills = re.findall(
            r"<c:ser>.*?<c:spPr>(<a:(?:solidFill|pattFill).*?</a:(?:solidFill|pattFill)>)", chart
        )
        assert 2 == len(set(fills))
    assert ["Granted", "=used"] == [cell.value for cell in figures[5]][1:3]
    assert [("Portugal", 3000, 100), ("=1+1", 0.07, -0.03)] == [
        tuple(cell.value for cell in row[:3]) for row in figures.iter_rows(min_row=6, max_row=7)
    ]


def test_a_bar_begins_at_zero() -> None:
    """Else a half would look like a tenth; where something is below zero, the program sees to it."""
    with zipfile.ZipFile(io.BytesIO(kinds())) as archive:
        below = {
            b'<c:min val="0"/>' in archive.read(name) for name in archive.namelist() if "charts/" in name
        }
    with zipfile.ZipFile(io.BytesIO(content())) as archive:
        charts = [archive.read(name) for name in archive.namelist() if "charts/chart" in name]

    assert {False} == below
    assert charts
    assert all(b'<c:min val="0"/>' in chart for chart in charts)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, "Edition 1 of 2026-11-04"),
        ({"closing": None}, "As now known; reported before as edition 1"),
        ({"closing": None, "closed": ()}, "Not closed; as of 2026-11-01"),
    ],
)
def test_the_foot_says_which_of_several_truths_it_is(known: dict[str, Any], said: str) -> None:
    """What was closed, what is known since, what is not closed yet."""
    found = replace(statement(), dossier=replace(sample(), **known))
    book = opened(reports.render(found, "xlsx"), values=False)

    assert str(book.worksheets[0].oddFooter.center.text).removeprefix("&8").startswith(said)


def test_warnings_stand_out() -> None:
    """Red, bold or slanted, on a ground of their own."""
    sheet = opened(kinds(), values=True).worksheets[0]
    (cell,) = (row[0] for row in sheet.iter_rows() if row[0].value == "3 things are wrong.")

    assert ("FFFDECEA", True) == (cell.fill.fgColor.rgb, cell.font.italic)


def test_sheets_have_names_that_excel_takes() -> None:
    """No forbidden sign, none too long, no two the same but for capitals."""
    titles = [
        "a/b: [c]*?",
        "'quoted'",
        "",
        "History",
        "x" * 40,
        "X" * 40,
        "Words " * 9,
        "İstanbul",
        "istanbul",
    ]
    names = sheet_names(titles)

    assert ["a b   c", "quoted", "-", "History 2"] == names[:4]
    assert ["x" * 29 + "…", "X" * 27 + "… 2", "Words Words Words Words Words…"] == names[4:7]
    assert len(names) == len({name.casefold() for name in names})
    assert max(map(len, names)) <= LONGEST


def test_every_language_names_its_sheets() -> None:
    """In its own words, as many as in English, with letters of its own."""
    names = {language: tuple(opened(content(language), values=True).sheetnames) for language in STYLES}

    assert {len(parts(statement())) + 1} == {len(found) for found in names.values()}
    assert len(STYLES) == len(set(names.values()))


# -- LibreOffice ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def soffice() -> str:
    """The program."""
    found = shutil.which("soffice")
    if found is None:
        pytest.skip(f"LibreOffice {LEFT_OUT}soffice was not found; install libreoffice-calc")
    return found


def converted(soffice: str, form: str, *sources: Path) -> list[Path]:
    """Files in another form, by one LibreOffice with a profile of its own."""
    beside = sources[0].parent
    folder = beside / f"as-{form}"
    profile = f"-env:UserInstallation={(beside / 'profile').as_uri()}"
    command = [
        soffice,
        profile,
        "--headless",
        "--convert-to",
        form,
        "--outdir",
        str(folder),
        *map(str, sources),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [folder / f"{source.stem}.{form}" for source in sources]


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
    """Every formula of every table, from nothing, gives the value that stands in our file."""
    ours = {"sample": content(), "kinds": kinds()}
    for name, found in ours.items():
        (tmp_path / f"{name}.xlsx").write_bytes(without_values(found))
        assert {None} == set(formulas((tmp_path / f"{name}.xlsx").read_bytes()).values())

    theirs = converted(soffice, "xlsx", *(tmp_path / f"{name}.xlsx" for name in ours))

    for (name, found), path in zip(ours.items(), theirs, strict=True):
        calculated, expected = opened(path.read_bytes(), values=True), formulas(found)
        assert len(expected) > {"sample": 300, "kinds": 60}[name]
        for (sheet, cell), value in expected.items():
            other = calculated[sheet][cell].value
            same = value == other if isinstance(value, str) else value == pytest.approx(other, abs=1e-9)
            assert same, (sheet, cell, value, other)


@pytest.mark.office
def test_libreoffice_prints_no_broken_cell(soffice: str, tmp_path: Path) -> None:
    """No number too wide for its column, no reference to nowhere, none that fails; whole and in part."""
    if shutil.which("pdftotext") is None:
        pytest.skip(f"LibreOffice {LEFT_OUT}pdftotext was not found; install poppler-utils")
    scopes = {"whole": "", "part": "country:PT"}
    sources = [tmp_path / f"{name}.xlsx" for name in scopes]
    for source, scope in zip(sources, scopes.values(), strict=True):
        source.write_bytes(content("tr", scope))

    for pdf, scope in zip(converted(soffice, "pdf", *sources), scopes.values(), strict=True):
        command = ["pdftotext", "-layout", str(pdf), "-"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        total = sum(part.shown.gpu for part in statement(scope).parts) / PER_HOUR
        assert f"{total:,.2f}" in text
        assert [] == re.findall(r"###|#REF!|#VALUE!|#NAME\?|#DIV/0!|Err:\d+", text)
