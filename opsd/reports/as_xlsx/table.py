"""A table on a sheet: head, rows with indent and weight, sums as formulas, an outline to fold it.

Invariant: columns stand in the table's order from the first one on; a row of the table is a row of the sheet.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from opsd.core.statement.table import BAD, GOOD, LEAF, PLAIN, SUBTOTAL, TOTAL, WARN, Column, Row, Table
from opsd.core.statement.words import Code
from opsd.reports.as_xlsx.breadth import breadth, lines, longest_word
from opsd.reports.as_xlsx.cells import Cell, cell_of
from opsd.reports.as_xlsx.sheet import ACCENT, GREY, RULE, TINT, Look, Sheet, cell
from opsd.reports.as_xlsx.sums import row_formula, sum_of, summed_by
from opsd.reports.locale import Locale

TONES: Mapping[str, Look] = {
    PLAIN: {},
    GOOD: {"font_color": "#1B5E20"},
    WARN: {"font_color": "#8A4B00", "italic": True},
    BAD: {"font_color": "#B00020", "bold": True},
}
MONO: Look = {"font_name": "Courier New", "font_size": 9}
_DEEPEST = 7  # Excel's outline
_INDENT = 1.5  # characters
_LONGEST_WORD = 30
_TOGETHER = 3  # rows that stand on the page of their head
_EDGES = 2.0  # characters that stay free in a cell


class Room(NamedTuple):
    """How wide texts may be, in characters, before they are wrapped."""

    first: int  # in the first column
    wide: int
    other: int


class Drawing:
    """A table made ready: its cells are known, and how wide they want to be."""

    def __init__(self, table: Table, locale: Locale) -> None:
        self.table = table
        self.heads = [locale.word(column.label) for column in table.columns]
        self.cells: list[dict[str, Cell]] = [
            {name: cell_of(value, locale) for name, value in row.cells.items()} for row in table.rows
        ]
        self.title = locale.word(table.title)
        self.notes = [locale.word(note) for note in table.notes]
        self.empty = locale.word(table.empty) if table.empty else ""

    def widths(self, room: Room) -> list[float]:
        """What each column wants, in characters."""
        if self._says_why:
            return []
        return [self._width(at, column, room) for at, column in enumerate(self.table.columns)]

    @property
    def _says_why(self) -> bool:
        """Whether words stand in the table's place, because it has no rows."""
        return not self.table.rows and bool(self.empty)

    @cached_property
    def _right(self) -> list[bool]:
        """Which columns hold numbers, were it here and there a word instead of one."""
        return [
            column.sums or any(row[column.id].numeric for row in self.cells if column.id in row)
            for column in self.table.columns
        ]

    def _width(self, at: int, column: Column, room: Room) -> float:
        most = room.first if at == 0 else room.wide if column.wide else room.other
        wanted = longest_word(self.heads[at], bold=True)
        for row, cells in zip(self.table.rows, self.cells, strict=True):
            found = cells.get(column.id)
            if found is None:
                continue
            size = breadth(found.shown, bold=_strong(row))
            if not found.right and size > most:
                word = longest_word(found.shown, bold=_strong(row))
                size = min(size, max(most, min(word, _LONGEST_WORD)))
            wanted = max(wanted, size + _INDENT * (row.depth if at == 0 else self._beside(at)))
        return wanted + _EDGES

    def _beside(self, at: int) -> bool:
        """Whether a column of texts stands behind one of numbers, and keeps away from it."""
        return at > 0 and self._right[at - 1] and not self._right[at]

    # -- drawing ---------------------------------------------------------------------------------------

    def draw(self, sheet: Sheet) -> int:
        """Draw it from the sheet's next line on; returns the line of its head."""
        first = sheet.line
        sheet.keep(_TOGETHER + 2)
        sheet.heading(self.title)
        head = sheet.line
        if self._says_why:
            sheet.paragraph(self.empty, font_color=GREY)
        else:
            self._head(sheet)
            self._rows(sheet)
        for note in self.notes:
            sheet.paragraph(note, font_color=GREY, font_size=9)
        sheet.whole(first)
        sheet.line += 1
        return head

    def _head(self, sheet: Sheet) -> None:
        plain: Look = {
            "bold": True,
            "font_color": "#FFFFFF",
            "bg_color": ACCENT,
            "text_wrap": True,
            "valign": "bottom",
        }
        for at, name in enumerate(self.heads):
            indent: Look = {"indent": 1} if self._beside(at) else {}
            place: Look = {"align": "right"} if self._right[at] else {"align": "left", **indent}
            sheet.text(sheet.line, at, name, **{**plain, **place})
        room = zip(self.heads, sheet.widths, strict=False)
        sheet.height(sheet.line, max(lines(name, width - 0.4, bold=True) for name, width in room))
        sheet.line += 1

    def _rows(self, sheet: Sheet) -> None:
        first = sheet.line
        places = {column.id: at for at, column in enumerate(self.table.columns)}

        def there(row: int, name: str) -> str:
            return cell(first + row, places[name])

        members = summed_by(self.table.rows)
        last = len(self.table.rows) - 1
        for number, row in enumerate(self.table.rows):
            if number and number == last - _TOGETHER + 1:
                # Neither the total nor a note stands alone on a page.
                sheet.keep(_TOGETHER - 1 + len(self.notes))
            high = 1
            for at, column in enumerate(self.table.columns):
                look = self._look(row, at)
                found = self.cells[number].get(column.id)
                if found is None:
                    sheet.blank(sheet.line, at, look)
                    continue
                formula = ""
                if column.formula is not None and row.role in (LEAF, SUBTOTAL, TOTAL):
                    held, total = self.cells[number], self.cells[last]
                    formula = row_formula(column.formula, number, last, held, total, there)
                elif column.sums and found.numeric and members[number]:
                    formula = sum_of(members[number], column.id, there)
                if isinstance(row.cells[column.id], Code):
                    look = {**look, **MONO}
                count = 1 if found.right else _lines_of(found.shown, sheet.widths[at], look)
                if count > 1:
                    look = {**look, "text_wrap": True}
                    high = max(high, count)
                sheet.cell(sheet.line, at, found, look, formula)
            sheet.height(sheet.line, high, min(row.depth, _DEEPEST))
            sheet.line += 1

    def _look(self, row: Row, at: int) -> Look:
        look: Look = {**_ROLES[row.role], **TONES[row.tone]}
        if row.role == SUBTOTAL and row.depth == 0:
            look |= {"bold": True, "bg_color": TINT}
        if not row.summed:
            look["italic"] = True
        if self._right[at]:
            return {**look, "align": "right"}
        indent = row.depth if at == 0 else int(self._beside(at))
        return {**look, "align": "left", **({"indent": indent} if indent else {})}


_ROLES: Mapping[str, Look] = {
    LEAF: {},
    SUBTOTAL: {"bold": True},
    TOTAL: {"bold": True, "top": 1, "bottom": 6, "border_color": RULE},
}


def _strong(row: Row) -> bool:
    return row.role != LEAF or row.tone == BAD


def _lines_of(text: str, width: float, look: Look) -> int:
    """How many lines a text takes in a cell."""
    return lines(text, width - 1 - _INDENT * look.get("indent", 0), bold="bold" in look)
