"""A section as a sheet: its blocks one under the other, widths fit for all of its tables.

Invariant: every block of the section stands on its sheet in its order, or its sheet says where it does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from opsd.core.statement.table import BAD, WARN, Block, Chart, Facts, Paragraph, Section, Table
from opsd.core.statement.words import Code
from opsd.reports.as_xlsx.breadth import breadth, lines
from opsd.reports.as_xlsx.cells import cell_of
from opsd.reports.as_xlsx.chart import Pictures
from opsd.reports.as_xlsx.sheet import GREY, Look, Sheet
from opsd.reports.as_xlsx.table import MONO, TONES, Drawing, Room
from opsd.reports.locale import Locale

_AROUND = 2.0  # characters beside a text
_LABELS = 34  # characters: a longer label is wrapped
_ROOMS = (Room(46, 38, 26), Room(40, 32, 16), Room(32, 26, 12), Room(28, 22, 9))
_FITTING = 150  # characters
_TOGETHER = 4
_LAST_HEAD = 12  # a head further down leaves no room for its rows
_STANDS_OUT: Look = {"bg_color": "#FDECEA", "left": 5, "border_color": "#B00020", "indent": 1}


def draw(
    sheet: Sheet,
    section: Section,
    locale: Locale,
    pictures: Pictures,
    elsewhere: Mapping[int, str] | None = None,
) -> None:
    """Draw it.

    Args:
        elsewhere: the sheets of tables that do not stand on this one, by the tables' `id`.
    """
    moved = elsewhere or {}
    drawings = {
        id(block): Drawing(block, locale)
        for block in section.blocks
        if isinstance(block, Table) and id(block) not in moved
    }
    sheet.begin(_widths(_of_facts(section, locale), list(drawings.values())))
    sheet.title(locale.word(section.title))
    heads = []
    for block, after in zip_longest(section.blocks, section.blocks[1:]):
        if id(block) in moved and isinstance(block, Table):
            _pointer(sheet, locale.word(block.title), moved[id(block)])
            continue
        heads += _block(sheet, block, locale, pictures, drawings)
        if isinstance(block, Paragraph) and not (_warns(block) and _warns(after)):
            sheet.line += 1
    pictures_and_tables = [
        block for block in section.blocks if isinstance(block, Table | Chart) and id(block) not in moved
    ]
    _keep_in_sight(
        sheet, heads, behind=bool(pictures_and_tables) and isinstance(pictures_and_tables[-1], Chart)
    )
    sheet.finish()


def _of_facts(section: Section, locale: Locale) -> list[float]:
    """What facts want: labels, and numbers beside them; texts beside them reach over more columns."""
    facts = [fact for block in section.blocks if isinstance(block, Facts) for fact in block.facts]
    labels = [breadth(locale.word(label)) + _AROUND for _, label, _ in facts]
    found = [cell_of(value, locale) for _, _, value in facts]
    numbers = [breadth(cell.shown) + _AROUND for cell in found if not isinstance(cell.value, str)]
    return [min(max(labels, default=0.0), _LABELS), max(numbers, default=0.0)]


def _pointer(sheet: Sheet, title: str, name: str) -> None:
    """Where a table is that has a sheet of its own."""
    sheet.keep(1)
    sheet.heading(title)
    sheet.text(sheet.line, 0, f"→ {name}", font_color=GREY)
    sheet.line += 2


def _widths(facts: list[float], drawings: Sequence[Drawing]) -> list[float]:
    """Of the columns that all tables of the sheet share: the widest that paper holds legibly."""
    found: list[float] = []
    for room in _ROOMS:
        wanted = [facts, *(drawing.widths(room) for drawing in drawings)]
        found = [max(column) for column in zip_longest(*wanted, fillvalue=0.0)]
        if sum(found) <= _FITTING:
            break
    return found


def _block(
    sheet: Sheet, block: Block, locale: Locale, pictures: Pictures, drawings: dict[int, Drawing]
) -> list[int]:
    """Draw a block; the lines of its heads."""
    match block:
        case Table():
            return [drawings[id(block)].draw(sheet)]
        case Facts():
            _facts(sheet, block, locale)
        case Paragraph():
            _paragraph(sheet, block, locale)
        case Chart():
            pictures.draw(sheet, block)
    return []


def _facts(sheet: Sheet, block: Facts, locale: Locale) -> None:
    sheet.keep(min(len(block.facts), _TOGETHER))
    if block.title is not None:
        sheet.heading(locale.word(block.title))
    for _, label, value in block.facts:
        sheet.text(sheet.line, 0, locale.word(label), font_color=GREY, text_wrap=True)
        sheet.height(sheet.line, lines(locale.word(label), sheet.widths[0] - 1))
        found = cell_of(value, locale)
        if isinstance(found.value, str):
            sheet.paragraph(found.value, first=1, **(MONO if isinstance(value, Code) else {}))
        else:
            sheet.cell(sheet.line, 1, found, {"align": "left"})
            sheet.line += 1
    sheet.line += 1


def _paragraph(sheet: Sheet, block: Paragraph, locale: Locale) -> None:
    look = TONES[block.tone]
    if _warns(block):
        look = {**look, **_STANDS_OUT}
    sheet.paragraph(locale.word(block.text), **look)


def _warns(block: Block | None) -> bool:
    return isinstance(block, Paragraph) and block.tone in (WARN, BAD)


def _keep_in_sight(sheet: Sheet, heads: list[int], *, behind: bool) -> None:
    """The head of the only table stays in sight and is printed on every page; else the sheet's title.

    Args:
        behind: whether a chart comes after the tables, which would stand below a head that is not its own.
    """
    alone = len(heads) == 1 and heads[0] <= _LAST_HEAD and not behind
    row = heads[0] if alone else 1
    sheet.raw.freeze_panes(row + 1, 1 if alone else 0)
    sheet.repeat(row if alone else 0, row if alone else 2)
