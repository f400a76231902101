"""How a sheet is drawn: widths, heights of wrapped texts, and the set-up for paper.

Invariant: a row is as high as the text in it needs, so that nothing is cut on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from xlsxwriter.utility import xl_rowcol_to_cell

from opsd.reports.as_xlsx.breadth import lines
from opsd.reports.as_xlsx.cells import Cell
from opsd.reports.exact import harmless

if TYPE_CHECKING:
    from xlsxwriter.format import Format

ACCENT, TINT, RULE, GREY = "#1F4E79", "#E9EFF5", "#BFC7D0", "#595959"
Look = dict[str, Any]
_A4 = 9
_LINE, _PLAIN = 13, 13.5  # points: of one more line of text, of a row with one
_POINTS = 0.75  # of a pixel
_PAGE = (769.0, 500.0)  # points inside the margins
_SAFE = 0.92  # programs do not agree on how high a row is
_LEAST_WIDTH = 100  # characters on a sheet, so that paragraphs are no columns
_LEAST_COLUMN = 9
_MARGINS = {"left": 0.5, "right": 0.5, "top": 0.6, "bottom": 0.7}


class Frame(Protocol):
    """What all sheets of a workbook share."""

    footer: str
    below: str  # what stands under each title

    def style(self, look: dict[str, Any]) -> Format:
        """The format of a look, made once."""


class Sheet:
    """One sheet, whose widths are known before anything is drawn."""

    def __init__(self, book: Frame, raw: Any) -> None:  # noqa: ANN401  # xlsxwriter's worksheet
        self.book = book
        self.raw = raw
        self.line = 0  # the next free one
        self.widths: list[float] = []
        self._heights: dict[int, float] = {}  # points, of rows that are not plain
        self._kept: dict[int, int] = {}  # first and last line of what stands on one page
        self._wholes: dict[int, int] = {}  # the same of what stands on one page where it fits on one
        self._repeated = range(0)

    def begin(self, widths: Sequence[float]) -> None:
        """Set the columns' widths, and the paper."""
        self.widths = [max(width, _LEAST_COLUMN) for width in widths]
        while sum(self.widths) < _LEAST_WIDTH:
            self.widths.append(_LEAST_COLUMN)
        for column, width in enumerate(self.widths):
            self.raw.set_column(column, column, width)
        self.raw.set_default_row(_PLAIN)
        self.raw.set_landscape()
        self.raw.set_paper(_A4)
        self.raw.set_margins(**_MARGINS)
        self.raw.fit_to_pages(1, 0)
        self.raw.hide_gridlines(2)
        self.raw.outline_settings(True, False, True, False)  # sums stand above what they sum
        self.raw.set_footer(self.book.footer)

    def title(self, text: str) -> None:
        """What this sheet is, and of what."""
        self.text(self.line, 0, text, bold=True, font_size=16, font_color=ACCENT)
        self._row(self.line, 23)
        self.text(self.line + 1, 0, self.book.below, font_color=GREY)
        self.line += 3

    def heading(self, text: str) -> None:
        """The title of a block."""
        self.text(self.line, 0, text, bold=True, font_size=12, font_color=ACCENT)
        self._row(self.line, 17)
        self.line += 1

    def paragraph(self, text: str, first: int = 0, **look: Any) -> None:  # noqa: ANN401  # xlsxwriter's
        """A text over all columns from the first on, as high as it needs."""
        style = {"text_wrap": True, **_kept(text), **look}
        last = len(self.widths) - 1
        if first < last:
            self.raw.merge_range(self.line, first, self.line, last, "", self.book.style(style))
        self.raw.write_string(self.line, first, text, self.book.style(style))
        self.height(self.line, lines(text, sum(self.widths[first:]) - 1, bold="bold" in look))
        self.line += 1

    def text(self, row: int, column: int, text: str, **look: Any) -> None:  # noqa: ANN401  # xlsxwriter's
        """Text as it is."""
        self.raw.write_string(row, column, text, self.book.style({**_kept(text), **look}))

    def cell(self, row: int, column: int, found: Cell, look: Look, formula: str = "") -> None:
        """A value or, where there is a formula, that with its value."""
        value = found.value
        if isinstance(value, str) and not formula:
            self.text(row, column, value, **look)
            return
        style = self.book.style({"num_format": found.form, **look} if found.form else look)
        if formula:
            self.raw.write_formula(row, column, formula, style, value)
        elif isinstance(value, str | int | float):
            self.raw.write_number(row, column, value, style)
        else:
            self.raw.write_datetime(row, column, value, style)

    def blank(self, row: int, column: int, look: Look) -> None:
        """An empty cell that has a look."""
        self.raw.write_blank(row, column, None, self.book.style(look))

    def height(self, row: int, count: int, level: int = 0) -> None:
        """Make room for so many lines of text, and let the row be folded with others of its level."""
        if count > 1 or level:
            wanted = _LINE * count + 2 if count > 1 else _PLAIN
            self._row(row, max(wanted, self._heights.get(row, 0.0)), level)

    def _row(self, row: int, points: float, level: int = 0) -> None:
        self._heights[row] = points
        self.raw.set_row(row, points, None, {"level": level})

    # -- pages -----------------------------------------------------------------------------------------

    def keep(self, count: int) -> None:
        """Let so many lines from the next one on stand on one page."""
        self._kept[self.line] = self.line + count

    def whole(self, first: int) -> None:
        """Let what was drawn from this line on stand on one page, if a page can hold it."""
        self._wholes[first] = self.line - 1

    def repeat(self, first: int, last: int) -> None:
        """Print these lines on every page."""
        self._repeated = range(first, last + 1)
        self.raw.repeat_rows(first, last)

    def finish(self) -> None:
        """Begin a page where something that stands together would be torn, and wherever one is full."""
        width = sum((int(width * 7 + 0.5) + 5) * _POINTS for width in self.widths)
        capacity = _PAGE[1] / min(1.0, _PAGE[0] / width) * _SAFE
        above = self._high(self._repeated)
        breaks, used = [], 0.0
        for line in range(self.line):
            together = self._high(range(line, self._kept.get(line, line) + 1))
            whole = self._high(range(line, self._wholes.get(line, line) + 1))
            if above + whole <= capacity:
                together = max(together, whole)
            if used + together > capacity and line > self._repeated.stop:
                breaks.append(line)
                used = above
            used += self._high(range(line, line + 1))
        self.raw.set_h_pagebreaks(breaks)

    def _high(self, rows: range) -> float:
        return sum(self._heights.get(row, _PLAIN) for row in rows)


def _kept(text: str) -> Look:
    """What keeps a text a text, also once somebody edits it."""
    return {"quote_prefix": True} if harmless(text) != text else {}


def cell(row: int, column: int) -> str:
    """`D5`."""
    return str(xl_rowcol_to_cell(row, column))
