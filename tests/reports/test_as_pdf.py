"""The PDF as its readers' programs see it: text, fonts, boxes, structure; and that it is what it claims."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import NamedTuple

import pytest
import typst
from hypothesis import given, settings
from hypothesis import strategies as st

from opsd.core.consortium import Consortium
from opsd.core.dossier import Closing, Digests, Dossier, Span
from opsd.core.statement.build import REPORTED, Statement, build
from opsd.core.statement.table import (
    BAD,
    BARS,
    COLUMNS,
    LEAF,
    PLAIN,
    STACKS,
    SUBTOTAL,
    TOTAL,
    WARN,
    Block,
    Chart,
    Column,
    Facts,
    Paragraph,
    Row,
    Section,
    Series,
    Table,
)
from opsd.core.statement.words import (
    Amount,
    Code,
    Count,
    Country,
    Day,
    Hours,
    Month,
    Number,
    Share,
    Text,
    Value,
    msg,
)
from opsd.reports import as_pdf
from opsd.reports.as_pdf import axis, content, glyphs, layout, svg
from opsd.reports.locale import STYLES, Locale
from tests.conftest import LEFT_OUT
from tests.fakes import dossiers

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("pdftotext", "pdffonts", "pdfinfo", "pdftoppm", "qpdf"))),
    reason=f"{LEFT_OUT} poppler's programs or qpdf are missing (tests/needs.sh)",
)

START, END = 1_790_805_600, 1_793_487_600  # October 2026 in Madrid
ZONE = "Europe/Madrid"
HOSTILE = """#eval("1+1") $x^2$ [a](b) \\ \\u{41} @ref <l> `raw` *b* _i_ // c /* d */ ~ -- --- "q" 'q' = H"""
LETTERS = {
    "en": "Quick brown foxes & “quotes” … £€§",
    "es": "ÁÉÍÓÚÜÑ áéíóúüñ ¿qué? ¡sí! ª º",
    "ca": "ÀÈÉÍÏÒÓÚÜÇ àèéíïòóúüç l·l L·L",
    "pt": "ÁÂÃÀÇÉÊÍÓÔÕÚ áâãàçéêíóôõú",
    "tr": "ÇĞİIÖŞÜ çğıiöşü â î û fi fl ffi",  # noqa: RUF001 (Turkish)
    "ro": "ĂÂÎȘȚ ăâîșț Şş Ţţ",
}


def hours(hundredths: int) -> Hours:
    """Hours with so many hundredths."""
    return Hours(hundredths, Fraction(hundredths * 36))


def statement(*sections: Section, name: str = "R&D AI Factory", closed: bool = True) -> Statement:
    """A statement of these sections alone."""
    closing = Closing(2, END + 86_400, "Ana Souça", "İbrahim Şahin", "monthly", (), "f" * 64)
    dossier = Dossier(
        consortium=name,
        span=Span("2026-10", START, END, ZONE),
        as_of=END,
        version="1",
        master=Consortium.of([], name, ZONE),
        lines=(),
        digests=Digests(facts="0123456789abcdef" * 4) if closed else Digests(),
        closing=closing if closed else None,
    )
    return Statement(dossier, "", REPORTED, (), sections)


def section(*blocks: Block, id_: str = "projects") -> Section:
    """One section of these blocks."""
    return Section(id_, msg("Projects"), blocks)


def table(rows: Sequence[Row], columns: Sequence[str] = (), *, wanted: int = 1) -> Table:
    """A wide first column `name`, then number columns of these names."""
    numbers = tuple(Column(one, msg(one), sums=True, wanted=wanted) for one in columns)
    return Table("t", msg("By project"), (Column("name", msg("Project"), wide=True), *numbers), tuple(rows))


def row(
    name: str,
    cells: Mapping[str, Value] | None = None,
    *,
    role: str = LEAF,
    depth: int = 0,
    tone: str = PLAIN,
) -> Row:
    """A row whose first cell is a name."""
    return Row({"name": Text(name), **(cells or {})}, {}, role, depth, tone)


CHARTS = (
    Chart("b", BARS, msg("Entitled and used"), (Country("ES"), Country("PT"), Text("A & <long> " * 12)),
          (Series(Text("Entitled"), (hours(1234567), hours(234567), hours(0))),
           Series(Text("Used"), (hours(1034567), hours(334567), hours(17)))), msg("GPU-hours")),
    Chart("s", STACKS, msg("Where it went"), (Text("One"), Text("Two")),
          tuple(Series(Text(f"part {at}"), (hours(at * 100_000), hours(1000))) for at in range(7)),
          msg("GPU-hours")),
    Chart("c", COLUMNS, msg("By month"), tuple(Month(f"2026-{at:02}") for at in range(1, 13)),
          (Series(Text("Share"), tuple(Share(Fraction(at, 12) if at else None) for at in range(12))),),
          msg("share")),
)  # fmt: skip


class Pdf:
    """A PDF file and what programs say of it."""

    def __init__(self, folder: Path, data: bytes) -> None:
        self.path = folder / "statement.pdf"
        self.path.write_bytes(data)

    def asked(self, *command: str) -> str:
        """What a program says of it."""
        done = subprocess.run([*command[:1], *command[1:]], capture_output=True, check=True)
        return done.stdout.decode(errors="replace")

    @property
    def text(self) -> str:
        """In the order of the pages' own streams."""
        return self.asked("pdftotext", "-raw", str(self.path), "-")

    @property
    def squeezed(self) -> str:
        """Without blanks: what a cell says, also where it is folded."""
        return squeezed(self.text)

    @property
    def pages(self) -> list[str]:
        """The text of each page."""
        return self.text.split("\f")[:-1]


def squeezed(text: str) -> str:
    """A text without any blank."""
    return re.sub(r"\s+", "", text)


class Make:
    """Renders into a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, found: Statement, language: str = "en") -> Pdf:
        """A statement as a PDF in a language."""
        return Pdf(self.folder, as_pdf.render(found, Locale.of(language, ZONE)))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Renders a statement as a PDF."""
    return Make(tmp_path)


@pytest.fixture(scope="module")
def sample() -> Statement:
    """The statement of the dossier with everything odd in it."""
    return build(dossiers.sample())


# ------------------------------------------------------------------------------------- what it claims to be


def test_it_is_sound_and_says_that_it_is_pdf_a_and_pdf_ua(make: Make) -> None:
    """qpdf finds no error; the metadata name PDF/A-2 level A and PDF/UA-1; it is tagged, with a language."""
    pdf = make(statement(section(*CHARTS, table([row("p")]))), "pt")
    data = pdf.path.read_bytes()

    assert "No syntax or stream encoding errors" in pdf.asked("qpdf", "--check", str(pdf.path))
    assert b"<pdfaid:part>2</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in data
    assert b"<pdfuaid:part>1</pdfuaid:part>" in data
    assert re.search(
        r"/Lang\s*\(pt-PT\)", pdf.asked("qpdf", "--qdf", "--object-streams=disable", str(pdf.path), "-")
    )
    information = pdf.asked("pdfinfo", str(pdf.path))
    assert re.search(r"Tagged:\s+yes", information)
    assert re.search(r"Title:\s+R&D AI Factory · .*outubro de 2026", information)
    assert re.search(r"Author:\s+R&D AI Factory\n", information)


@pytest.mark.skipif(shutil.which("verapdf") is None, reason="veraPDF is not in Debian; used where present")
def test_verapdf_agrees(make: Make) -> None:
    """Level A of PDF/A-2, and PDF/UA-1."""
    pdf = make(statement(section(*CHARTS, table([row("p")]))))

    for flavour in ("2a", "ua1"):
        assert 'isCompliant="true"' in pdf.asked("verapdf", "--flavour", flavour, str(pdf.path))


def test_the_same_statement_gives_the_same_bytes(sample: Statement) -> None:
    """Twice in one language; another language differs."""
    english, turkish = Locale.of("en", ZONE), Locale.of("tr", ZONE)
    first = as_pdf.render(sample, english)

    assert first == as_pdf.render(sample, english)
    assert first != as_pdf.render(sample, turkish)


def test_its_time_is_that_of_the_statement(make: Make) -> None:
    """The dossier's as-of, never the clock."""
    information = make(statement(section())).asked("pdfinfo", "-isodates", str(make.folder / "statement.pdf"))

    assert re.findall(r"CreationDate:\s+2026-10-31T23:00:00", information)


# --------------------------------------------------------------------------------------------- what it says


@pytest.mark.parametrize("language", STYLES)
def test_every_word_and_number_of_the_statement_is_on_paper(
    language: str, sample: Statement, make: Make
) -> None:
    """In every language: titles, labels, cells of columns that are printed, facts and paragraphs."""
    locale = Locale.of(language, ZONE)
    found = joined(make(sample, language).text)
    tree = glyphs.covered(content.of(sample, locale))
    printed = layout.laid(tree, glyphs.Faces.of(tree))
    cells = 0

    for part in [{"title": printed["title"], "blocks": printed["cover"]}, *printed["sections"]]:
        assert joined(part["title"]) in found
        for block in part["blocks"]:
            for text in _texts(block):
                assert joined(text) in found
                cells += 1
    assert cells > 200


def joined(text: str | list[str]) -> str:
    """Without blanks and hyphens: pdftotext takes each hyphen at a line's end for one that divides a word."""
    return re.sub(r"[\s-]+", "", "".join(text))


def _texts(block: content.Tree) -> list[str]:
    match block["kind"]:
        case "table" if block["rows"]:
            cells = [cell for one in block["rows"] for cell in one["cells"]]
            return ["".join(cell) for cell in [*(column["label"] for column in block["columns"]), *cells]]
        case "facts":
            return ["".join(text) for fact in block["facts"] for text in (fact["label"], fact["value"])]
        case "paragraph":
            return ["".join(block["text"])]
        case _:
            return [block["title"]]


def test_the_tables_numbers_are_those_of_the_statement(sample: Statement) -> None:
    """A cell's text is the locale's text of the statement's value, in the statement's order."""
    locale = Locale.of("ro", ZONE)
    tree = content.of(sample, locale)
    tables = [block for part in tree["sections"] for block in part["blocks"] if block["kind"] == "table"]
    ours = [
        block
        for part in sample.sections
        if part.id != content.COVER
        for block in part.blocks
        if isinstance(block, Table) and block.wanted == 1
    ]

    assert len(ours) == len(tables) > 5
    for mine, theirs in zip(ours, tables, strict=True):
        for line, shown in zip(mine.rows, theirs["rows"], strict=True):
            texts = [locale.text(line.cells[one.id]) if one.id in line.cells else "" for one in mine.columns]
            assert texts == shown["cells"]


@pytest.mark.parametrize("language", LETTERS)
def test_the_letters_of_each_language_come_back(language: str, make: Make) -> None:
    """From cells, titles of charts and pictures alike, and every font is embedded."""
    letters = LETTERS[language]
    chart = replace(CHARTS[0], categories=(Text(letters), Text("b"), Text("c")))
    pdf = make(statement(section(table([row(letters)]), chart), name=letters), language)
    fonts = pdf.asked("pdffonts", str(pdf.path)).splitlines()[2:]

    assert pdf.squeezed.count(squeezed(letters)) >= 4
    assert fonts
    assert all(line.split()[-5:-2] == ["yes", "yes", "yes"] for line in fonts)  # embedded, a part, to Unicode


def test_a_name_is_text_whatever_it_holds(make: Make) -> None:
    """Code and markup of the typesetter, of SVG and of PDF come out letter by letter."""
    names = (HOSTILE, "</text></svg><script>1</script>", "(a) Tj ET endstream", "%!PS {x} & &amp; ]]>")
    blocks: list[Block] = [
        table([row(name) for name in names], ["used"]),
        Facts("f", msg("Facts"), tuple((f"f{at}", msg("Name"), Text(name)) for at, name in enumerate(names))),
        *(Paragraph(msg("It is {name}.", name=Text(name)), WARN) for name in names),
        replace(CHARTS[1], categories=(Text(names[0]), Text(names[1]))),
    ]
    found = make(statement(section(*blocks), name=HOSTILE)).squeezed

    for name in names:
        assert found.count(squeezed(name)) >= 3
    assert found.count(squeezed(HOSTILE)) >= 6


class Hard(NamedTuple):
    """A text and how it comes out."""

    text: str
    shown: str


HARD = (
    Hard("漢字 ab", "[U+6F22][U+5B57] ab"),
    Hard("한글", "[U+D55C][U+AE00]"),
    Hard("smile 😀", "smile [U+1F600]"),
    Hard("a\u202eb\u200bc", "a[U+202E]b[U+200B]c"),  # turns the writing; shows nothing
    Hard("a\x00b\x1bc", "a[U+0000]b[U+001B]c"),
    Hard("\ue000 \U0010fffe", "[U+E000] [U+10FFFE]"),
    Hard("two\nlines\tand", "two lines and"),
    Hard("e\u0301n\u0303 S\u0327", "e\u0301n\u0303 S\u0327"),  # letters, and the marks that stand on them
    Hard("Ελληνικά Кириллица", "Ελληνικά Кириллица"),
)


@pytest.mark.parametrize(("text", "shown"), HARD, ids=[ascii(one.text) for one in HARD])
def test_no_character_is_lost(text: str, shown: str, make: Make) -> None:
    """What no typeface has stands there as its number, in tables, pictures and headers, and is explained."""
    chart = replace(CHARTS[0], categories=(Text(text), Text("b"), Text("c")))
    found = make(statement(section(table([row(text)]), chart), name=text)).squeezed

    assert found.count(squeezed(shown)) >= 4
    assert ("Unicodenumber" in found) == ("[U+" in shown)


def test_arabic_is_shown_in_its_own_letters(make: Make) -> None:
    """A typeface has them; they come out, embedded, and no number stands for them."""
    found = make(statement(section(table([row("قاعدة")])))).text

    assert set("قاعدة") <= set(found)
    assert "[U+" not in found


def test_a_mark_on_a_letter_that_unicode_has_not_whole_is_shown(make: Make) -> None:
    """By two glyphs; pdftotext tells such a pair twice, once for each."""
    found = make(statement(section(table([row("Xg\u0303X")])))).squeezed

    assert re.search("X(g\u0303){1,2}X", found)
    assert "[U+" not in found


@settings(max_examples=25)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8))
def test_any_text_can_be_set(names: list[str]) -> None:
    """The export to PDF/A, which refuses a missing glyph, takes whatever `covered` lets through."""
    done = glyphs.covered({"texts": names})

    assert as_pdf.render(statement(section(table([row(name) for name in names]))), Locale.of("en", ZONE))
    assert len(names) == len(done["texts"])


# ------------------------------------------------------------------------------------------------- the pages


def test_nothing_stands_outside_the_margins(make: Make) -> None:
    """However long a word and however many the columns."""
    name = "averylongwordwithoutanyend" * 12 + " and-then_a/path.with:many@parts" * 3
    many = [f"column{at}" for at in range(26)]
    wide = [row(name, {one: hours(123_456_789_012) for one in many}, depth=3, tone=BAD)]
    codes = Facts("f", msg("Digests"), (("c", msg("Command"), Code("opsd --" + "x" * 300)),))
    id_ = Row({"name": Text("EHPC-AIF-2026PG01-1147" * 6), "code": Code("ab" * 60)}, {})
    ids = Table("i", msg("Ids"), (Column("name", msg("Award")), Column("code", msg("Code"))), (id_,))
    pdf = make(statement(section(table(wide, many), codes, ids, *CHARTS), section(table(wide)), name=name))

    assert not outside(pdf)
    assert squeezed(name) in pdf.squeezed
    assert pdf.squeezed.count("1,234,567,890.12") == 26


def test_nothing_of_the_sample_stands_outside_the_margins(sample: Statement, make: Make) -> None:
    """In the language with the longest words, too."""
    for language in ("en", "tr", "ro"):
        assert not outside(make(sample, language))


def test_a_name_that_just_fits_lies_on_nothing(sample: Statement, make: Make) -> None:
    """Whether it stands on one line or two is settled before its row's height is."""
    names = [f"AI Factory share ({'i' * a}{'r' * b}{'f' * c})" for a, b, c in product(range(6), repeat=3)]
    numbers = [f"column{at}" for at in range(12)]
    cells = {one: hours(12_345_678) for one in numbers}
    rows = [row(name, cells, role=SUBTOTAL if at % 2 else LEAF) for at, name in enumerate(names)]

    assert not covered(make(statement(section(table(rows, numbers)))))
    assert not covered(make(sample, "tr"))


def test_letters_side_by_side_are_as_wide_as_one_by_one(sample: Statement) -> None:
    """Up to what the layout doubts: for names, which have kerning, in both weights."""
    held = sample.dossier.master
    names = [one.name for one in held.organisations.values()] + [
        f"AI Factory share ({x}anya)" for x in "RTVWYA"
    ]
    faces = glyphs.Faces.of({"names": names})
    source = """#set text(font: ("Libertinus Serif", "New Computer Modern", "DejaVu Sans Mono"), size: 9pt,
      ligatures: false, number-type: "lining", number-width: "tabular")
    #let names = json(bytes(sys.inputs.names))
    #let widths(weight) = names.map(name => measure(text(weight: weight, name)).width.pt())
    #context [#metadata((widths("regular"), widths("bold"))) <widths>]"""
    asked = {"field": "value", "one": True, "ignore_system_fonts": True}
    told = typst.query(source.encode(), "<widths>", sys_inputs={"names": json.dumps(names)}, **asked)

    for bold, widths in enumerate(json.loads(told)):
        for name, width in zip(names, widths, strict=True):
            assert width <= faces.width(name, 9, bold=bool(bold)) + layout._DOUBT


def covered(pdf: Pdf) -> list[tuple[int, str, str]]:
    """Words that lie on each other: (page, word, word)."""
    found = []
    for number, (_, _, boxes) in enumerate(boxes_of(pdf), 1):
        for (left, top, right, foot, one), (l2, t2, r2, f2, other) in combinations(boxes, 2):
            across = min(right, r2) - max(left, l2)
            down = min(foot, f2) - max(top, t2)
            if across > 1 and down > 0.45 * min(foot - top, f2 - t2):
                found.append((number, one, other))
    return found


Box = tuple[float, float, float, float, str]  # left, top, right, foot, the word


def boxes_of(pdf: Pdf) -> list[tuple[float, float, list[Box]]]:
    """Each page's width and height, and its words."""
    xml = pdf.asked("pdftotext", "-bbox", str(pdf.path), "-")
    pages = re.findall(r'<page width="([\d.]+)" height="([\d.]+)">(.*?)</page>', xml, re.DOTALL)
    box = re.compile(r'xMin="([-\d.]+)" yMin="([-\d.]+)" xMax="([-\d.]+)" yMax="([-\d.]+)">(.*?)<')
    assert pages
    return [
        (float(width), float(height), [(*map(float, found[:4]), found[4]) for found in box.findall(words)])
        for width, height, words in pages
    ]


def outside(pdf: Pdf) -> list[tuple[int, str]]:
    """Words whose box leaves the text's width or the page's height: (page, word)."""
    return [
        (number, word)
        for number, (width, height, boxes) in enumerate(boxes_of(pdf), 1)
        for left, top, right, foot, word in boxes
        if left < layout.MARGIN - 1 or right > width - layout.MARGIN + 1 or not 20 < top < foot < height - 20
    ]


def test_a_long_table_repeats_its_head_and_numbers_its_pages(make: Make) -> None:
    """On every page it goes on; no row is cut by the end of a page; the total comes last."""
    rest = "of many, with a title so long that it goes on to a second line of its cell and even a third,"
    rows = [row(f"Project {at:03} {rest} {at:03}end", {"used": hours(at)}) for at in range(200)]
    total = row("Sum of all", {"used": hours(19_900)}, role=TOTAL)
    pdf = make(statement(section(table([*rows, total], ["used"]))), "tr")
    pages = [page for page in pdf.pages if "of many" in page]

    assert len(pages) > 3
    assert all("Project" in page.split("Project 0")[0] or "used" in page for page in pages)
    for page in pages:
        assert re.findall(r"Project (\d\d\d)", page) == re.findall(r"(\d\d\d)end", page)
    assert "Sum of all" in pages[-1]
    count = len(pdf.pages)
    locale = Locale.of("tr", ZONE)
    shown = [
        locale.word(msg("Page {page} of {pages}", page=Text(str(at + 1)), pages=Text(str(count))))
        for at in range(count)
    ]
    assert all(squeezed(line) in squeezed(page) for line, page in zip(shown, pdf.pages, strict=True))


def test_every_page_says_which_edition_it_is_of(make: Make) -> None:
    """With the first digits of the facts' digest; what is not closed says so instead."""
    closed = make(statement(section(table([row("p")]))))
    assert all("Edition 2" in page and "0123456789ab" in page for page in closed.pages)
    assert "Not closed" not in closed.text

    assert all("Not closed" in page for page in make(statement(section(), closed=False)).pages)


def test_it_can_be_signed(make: Make) -> None:
    """The cover names who prepared and who approved it, with room for signature and date."""
    line = msg("Place, date, signature")
    facts = (
        ("a", msg("Prepared by"), Text("Ana Souça")),
        ("b", line, Text("")),
        ("c", msg("Approved by"), Text("İbrahim Şahin")),
        ("d", line, Text("")),
    )
    cover = Section(
        content.COVER, msg("Usage report"), (Facts(content.SIGNATURES, msg("Signatures"), facts),)
    )
    pdf = make(statement(cover, section()))
    words = pdf.asked("pdftotext", "-bbox", str(pdf.path), "-")
    boxes = re.findall(r'yMin="([\d.]+)".*>(Souça|Şahin|Place,)<', words)

    assert ["Souça", "Place,", "Şahin", "Place,"] == [word for _, word in boxes]
    assert float(boxes[2][0]) - float(boxes[0][0]) > 30  # points: room for a hand


def test_columns_that_are_wanted_less_give_way_and_are_named(make: Make) -> None:
    """First they are left out, with a line that says where they are; only then is the page turned."""
    cells: dict[str, Value] = {f"n{at}": hours(123_456_789_012) for at in range(11)}
    extra: dict[str, Value] = {f"extra{at}": hours(55) for at in range(4)}
    few = table([row("p", cells)], list(cells)[:3])
    less = replace(
        table([row("p", {**cells, **extra})], list(cells)[:7]),
        columns=(*table([], list(cells)[:7]).columns, *table([], list(extra), wanted=2).columns[1:]),
    )
    turned = table([row("p", cells)], list(cells))

    assert "extra3" not in make(statement(section(few))).text
    found = make(statement(section(less))).squeezed
    assert "notonpaper:extra0,extra1,extra2,extra3" in found
    assert "0.55" not in found
    sizes = [make(statement(section(one))).asked("pdfinfo", "-l", "9", str(make.folder / "statement.pdf"))
             for one in (few, less, turned)]  # fmt: skip
    assert [0, 0, 1] == [len(re.findall(r"size:\s+841\.89 x 595\.", one)) for one in sizes]


def test_tones_have_a_mark_and_words(make: Make) -> None:
    """So that nothing is said by a colour alone."""
    rows = [row("a", tone=BAD), row("b", tone=WARN), row("c")]
    found = make(statement(section(table(rows), Paragraph(msg("Look here."), BAD)))).text

    assert found.count("■") == 3  # the row, the legend, the paragraph
    assert found.count("▲") == 2
    assert "needs action" in found
    assert "to be looked at" in found


def test_a_table_without_rows_says_so(make: Make) -> None:
    """With its own words."""
    empty = replace(table([]), empty=msg("Nothing was granted."))

    assert "Nothing was granted." in make(statement(section(empty))).text


# ------------------------------------------------------------------------------------------------- layout


@given(
    st.lists(st.lists(st.text("abc dÇ-_9", max_size=60), min_size=4, max_size=4), min_size=1, max_size=5),
    st.booleans(),
)
def test_columns_are_as_wide_as_the_page_and_no_piece_is_wider_than_its_column(
    rows: list[list[str]], marked: bool
) -> None:
    """And nothing is lost where a cell is broken."""
    columns = [
        {"label": f"Head {at}", "right": False, "code": False, "wide": at == 0, "wanted": 1}
        for at in range(4)
    ]
    lines = [{"role": LEAF, "depth": 1, "tone": "plain", "cells": cells} for cells in rows]
    block = {"kind": "table", "title": "t", "columns": columns, "rows": lines, "notes": [], "marked": marked,
             "left_out": ""}  # fmt: skip
    heads = dict.fromkeys(("consortium", "title", "period", "scope", "mark"), "a b")
    document = {
        **heads,
        "cover": [],
        "sections": [{"title": "a", "blocks": [block]}],
        "signing": {"rows": []},
    }
    (found,) = layout.laid(document, FACES)["sections"]
    (table_,) = found["blocks"]
    widths = [column["width"] for column in table_["columns"]]

    assert sum(widths) == pytest.approx(layout.LANDSCAPE if found["landscape"] else layout.PORTRAIT)
    for before, after in zip(rows, table_["rows"], strict=True):
        assert before == ["".join(cell) for cell in after["cells"]]
        for place, (cell, width) in enumerate(zip(after["cells"], widths, strict=True)):
            room = width - 2 * layout.INSET - (0 if place else layout.INDENT + layout.MARK * marked)
            for word in (word for piece in cell for word in piece.split(" ")):
                assert FACES.width(word, table_["size"]) <= room + 0.01


FACES = glyphs.Faces.of("abc dÇ-_9 Head 0123456789 t")


# ------------------------------------------------------------------------------------------------- charts


@given(st.lists(st.fractions(-(10**9), 10**9), max_size=6))
def test_the_axis_has_a_few_round_numbers_around_all_values(values: list[Fraction]) -> None:
    """0 is among them, and the steps are equal and of one or two digits."""
    found = axis.ticks(values)
    steps = {after - before for before, after in pairwise(found)}
    (step,) = steps
    while step < 10:
        step *= 10
    while step >= 100:
        step /= 10

    assert Fraction() in found
    assert found[0] <= min([Fraction(), *values])
    assert found[-1] >= max([Fraction(), *values])
    assert 2 <= len(found) <= 9
    assert step in (10, 20, 25, 50)


@pytest.mark.parametrize("chart", CHARTS, ids=[chart.kind for chart in CHARTS])
def test_a_picture_is_as_wide_as_the_page_and_describes_every_number(chart: Chart) -> None:
    """Bars are drawn to scale, and nothing leaves the picture."""
    locale = Locale.of("en", ZONE)
    tree = content.of(statement(section(chart)), locale)
    ((block,),) = (one["blocks"] for one in tree["sections"])
    (picture,) = svg.pictures(block, layout.PORTRAIT, glyphs.Faces.of(tree))["pictures"]
    root = ET.fromstring(picture["svg"])
    texts = [found.text or "" for found in root.iter("{http://www.w3.org/2000/svg}text")]

    assert all(locale.text(value) in picture["alt"] for series in chart.series for value in series.values)
    assert all(squeezed(locale.text(name)) in squeezed("".join(texts)) for name in chart.categories)
    for box in root.iter("{http://www.w3.org/2000/svg}rect"):
        at = float(box.get("x", 0))
        assert 0 <= at <= at + float(box.get("width", 0)) <= layout.PORTRAIT


def test_bars_are_drawn_to_scale() -> None:
    """A value twice as large is twice as long."""
    values = (Count(100), Count(200), Count(0), Count(50))
    chart = Chart("x", BARS, msg("Runs"), tuple(Text(f"c{at}") for at in range(4)),
                  (Series(Text("one"), values),), msg("runs"))  # fmt: skip
    tree = content.of(statement(section(chart)), Locale.of("en", ZONE))
    ((block,),) = (one["blocks"] for one in tree["sections"])
    (picture,) = svg.pictures(block, layout.PORTRAIT, glyphs.Faces.of(tree))["pictures"]
    long = [
        float(one)
        for one in re.findall(r'<rect x="[\d.]+" y="[\d.]+" width="([\d.]+)" height="10', picture["svg"])
    ]

    assert [2.0, 0.5] == pytest.approx([long[1] / long[0], long[2] / long[0]], abs=0.01)
    assert 3 == len(long)


def test_series_differ_without_colours() -> None:
    """Of two series beside each other the lightness differs clearly, or one is hatched."""
    shades = [fill.paint if fill.paint.startswith("url") else lightness(fill.paint) for fill in svg.FILLS]

    for one, other in zip(shades, [*shades[1:], shades[0]], strict=True):
        assert isinstance(one, str) or isinstance(other, str) or abs(one - other) > 0.3
    assert len(set(shades)) == len(shades) == 6


def lightness(paint: str) -> float:
    """Of `#rrggbb`, as a grey printer sees it."""
    red, green, blue = (int(paint[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_a_chart_with_many_categories_goes_on_in_the_next_picture() -> None:
    """So that none is taller than a page; each has the same axis."""
    values = tuple(Number(Fraction(at), 1) for at in range(60))
    chart = Chart("x", BARS, msg("Energy"), tuple(Text(f"c{at}") for at in range(60)),
                  (Series(Text("one"), values),), msg("kWh"))  # fmt: skip
    tree = content.of(statement(section(chart)), Locale.of("en", ZONE))
    ((block,),) = (one["blocks"] for one in tree["sections"])
    found = svg.pictures(block, layout.PORTRAIT, glyphs.Faces.of(tree))["pictures"]

    assert 3 == len(found)
    assert all(float(re.findall(r'height="([\d.]+)"', one["svg"])[0]) < 600 for one in found)
    assert all(">60<" in one["svg"] for one in found)


def test_amounts_days_and_subtotals_are_printed(make: Make) -> None:
    """Beside hours: money to the cent, days in the language's form, subtotals above what they sum."""
    line = Row({"name": Country("PT"), "a": Amount(1_234_567_890_000, "EUR"), "d": Day(START)}, {}, SUBTOTAL)
    columns = (Column("name", msg("Country")), Column("a", msg("Amount")), Column("d", msg("Day")))
    found = make(statement(section(Table("t", msg("Aid"), columns, (line,)))), "pt").squeezed

    assert "Portugal1234567,89EUR01/10/2026" in found
