"""A section as a sheet: its blocks one under the other, widths fit for all of its tables.

Invariant: every block of the section stands on its sheet, in its order.
"""

from __future__ import annotations

from itertools import zip_longest

from opsd.core.statement.table import BAD, PLAIN, WARN, Block, Chart, Facts, Paragraph, Section, Table
from opsd.core.statement.words import Code
from opsd.reports.as_xlsx.cells import cell_of
from opsd.reports.as_xlsx.chart import Pictures
from opsd.reports.as_xlsx.sheet import GREY, Look, Sheet
from opsd.reports.as_xlsx.table import MONO, TONES, Drawing
from opsd.reports.locale import Locale

_LABELS = 34  # characters: a longer label is wrapped
_LAST_HEAD = 12  # a head further down leaves no room for its rows
_STANDS_OUT: Look = {"bg_color": "#FDECEA", "left": 5, "border_color": "#B00020", "indent": 1}


def draw(sheet: Sheet, section: Section, locale: Locale, pictures: Pictures) -> None:
    """Draw it."""
    drawings = {id(block): Drawing(block, locale) for block in section.blocks if isinstance(block, Table)}
    facts = [block for block in section.blocks if isinstance(block, Facts)]
    labels = [len(locale.word(label)) + 2 for block in facts for _, label, _ in block.facts]
    wanted = [[float(min(max(labels), _LABELS))]] if labels else []
    wanted += [drawing.widths for drawing in drawings.values()]
    sheet.begin([max(column) for column in zip_longest(*wanted, fillvalue=0.0)])
    sheet.title(locale.word(section.title))
    heads = [head for block in section.blocks for head in _block(sheet, block, locale, pictures, drawings)]
    _keep_in_sight(sheet, heads)


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
    if block.title is not None:
        sheet.heading(locale.word(block.title))
    for _, label, value in block.facts:
        sheet.text(sheet.line, 0, locale.word(label), font_color=GREY, text_wrap=True)
        found = cell_of(value, locale)
        if isinstance(found.value, str):
            sheet.paragraph(found.value, first=1, **(MONO if isinstance(value, Code) else {}))
        else:
            sheet.cell(sheet.line, 1, found, {"align": "left"})
            sheet.line += 1
    sheet.line += 1


def _paragraph(sheet: Sheet, block: Paragraph, locale: Locale) -> None:
    look = TONES[block.tone]
    if block.tone in (WARN, BAD):
        look = {**look, **_STANDS_OUT}
    sheet.paragraph(locale.word(block.text), **look)
    if block.tone == PLAIN:
        sheet.line += 1


def _keep_in_sight(sheet: Sheet, heads: list[int]) -> None:
    """The head of the only table stays in sight and is printed on every page; else the sheet's title."""
    alone = len(heads) == 1 and heads[0] <= _LAST_HEAD
    row = heads[0] + 1 if alone else 2
    sheet.raw.freeze_panes(row, 1 if alone else 0)
    sheet.raw.repeat_rows(row - 1 if alone else 0, row - 1)
