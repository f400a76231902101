"""How a sheet is drawn: styles, widths that fit what they hold, and the set-up for paper.

Invariant: no text becomes a formula, a number or a link; a column is as wide as its widest number.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.utility import xl_rowcol_to_cell

from opsd import reports
from opsd.core.period import zone
from opsd.core.statement import PER_HOUR, Statement

ACCENT, TINT, RULE, GREY, RED = "#1F4E79", "#E9EFF5", "#BFC7D0", "#595959", "#B00020"
HOURS = '#,##0.00;-#,##0.00;"–"'  # noqa: RUF001 (a dash for nothing, as in printed tables)
SHARE = "0.0 %"
COUNT = "#,##0"
DATE = "yyyy-mm-dd"
_A4 = 9
_LINE = 13  # points
_LONGEST = 46  # a longer text is wrapped

_OPTIONS = {
    "in_memory": True,
    "strings_to_formulas": False,
    "strings_to_numbers": False,
    "strings_to_urls": False,
}


class Book:
    """A workbook in memory, with one style per look."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self._out = io.BytesIO()
        # A new table each time, because the library adds to it.
        plain = {"font_name": "Arial", "font_size": 10}
        self._book = Workbook(self._out, {**_OPTIONS, "default_format_properties": plain})
        self._styles: dict[tuple[tuple[str, Any], ...], Format] = {}
        self._sheets: list[Sheet] = []
        made = datetime.fromtimestamp(statement.as_of, zone("UTC"))
        self._book.set_properties(
            {
                "title": reports.title(statement),
                "author": statement.consortium,
                "created": made.replace(tzinfo=None),
            }
        )

    def sheet(self, name: str) -> Sheet:
        """A new sheet behind the others."""
        sheet = Sheet(self, self._book.add_worksheet(name))
        self._sheets.append(sheet)
        return sheet

    def style(self, **look: Any) -> Format:  # noqa: ANN401  # whatever xlsxwriter knows
        """The format of a look, made once."""
        key = tuple(sorted(look.items()))
        if key not in self._styles:
            self._styles[key] = self._book.add_format({"valign": "top", **look})
        return self._styles[key]

    def content(self) -> bytes:
        """The file."""
        for sheet in self._sheets:
            sheet.finish()
        self._book.close()
        return self._out.getvalue()


class Sheet:
    """One sheet, which remembers how wide its columns must be."""

    def __init__(self, book: Book, raw: Any) -> None:  # noqa: ANN401  # xlsxwriter's worksheet
        self.book = book
        self.raw = raw
        self._widths: dict[int, float] = {}
        self._heads: dict[int, Sequence[str]] = {}
        self._lines: dict[int, int] = {}  # of rows that hold a wrapped text
        self._levels: dict[int, int] = {}

    def text(self, row: int, column: int, text: str, *, fit: bool = True, **look: Any) -> None:  # noqa: ANN401
        """Text as it is; a long one is wrapped, and with `fit` off it may run over its neighbours."""
        if fit:
            self._fit(column, min(len(text), _LONGEST) + 1.5 * look.get("indent", 0), bold="bold" in look)
            if len(text) > _LONGEST:
                look["text_wrap"] = True
                self._lines[row] = max(self._lines.get(row, 1), _lines(text, _LONGEST))
        if "indent" in look:
            look["align"] = "left"
        if reports.harmless(text) != text:
            look["quote_prefix"] = True
        self.raw.write_string(row, column, text, self.book.style(**look))

    def number(self, row: int, column: int, value: float, form: str = COUNT, **look: Any) -> None:  # noqa: ANN401
        """A real number, shown in a form."""
        self._fit_number(column, value, form, look)
        self.raw.write_number(row, column, value, self.book.style(num_format=form, **look))

    def hours(self, row: int, column: int, hundredths: int, **look: Any) -> None:  # noqa: ANN401
        """Hundredths of hours as hours."""
        self.number(row, column, hundredths / PER_HOUR, HOURS, **look)

    def formula(
        self,
        row: int,
        column: int,
        formula: str,
        value: float | str,
        form: str = HOURS,
        **look: Any,  # noqa: ANN401
    ) -> None:
        """A formula, and the value it has."""
        if not isinstance(value, str):
            self._fit_number(column, value, form, look)
        self.raw.write_formula(row, column, formula, self.book.style(num_format=form, **look), value)

    def sums(self, row: int, column: int, formula: str, hundredths: int, **look: Any) -> None:  # noqa: ANN401
        """A formula over hours."""
        self.formula(row, column, formula, hundredths / PER_HOUR, **look)

    def date(self, row: int, column: int, at: int, **look: Any) -> None:  # noqa: ANN401
        """The day of an instant, in the statement's zone."""
        self._fit(column, 10, bold=False)
        local = datetime.fromtimestamp(at, zone(self.book.statement.span.zone))
        form = self.book.style(num_format=DATE, align="left", **look)
        self.raw.write_datetime(row, column, local.date(), form)

    def title(self, text: str) -> None:
        """The two lines at the top: what this sheet is, and of what."""
        statement = self.book.statement
        self.text(0, 0, text, fit=False, bold=True, font_size=14, font_color=ACCENT)
        scope = f" · {statement.scope.text}" if statement.scope else ""
        below = f"{statement.consortium} · {reports.title(statement)}{scope}"
        self.text(1, 0, below, fit=False, font_color=GREY)
        self.raw.set_row(0, 20)

    def heading(self, row: int, text: str) -> None:
        """The title of a table inside a sheet."""
        self.text(row, 0, text, fit=False, bold=True, font_size=12, font_color=ACCENT)
        self.raw.set_row(row, 17)

    def head(self, row: int, names: Sequence[str], numeric: Sequence[int] = (), across: int = 0) -> None:
        """The line of column names; those of numbers stand on the right.

        Args:
            across: how many columns its bar covers, where texts run over the columns behind the last.
        """
        for column in range(len(names), across):
            self.raw.write_blank(row, column, None, self.book.style(bg_color=ACCENT))
        self._heads[row] = names
        for column, name in enumerate(names):
            self._fit(column, max(map(len, name.split()), default=0), bold=True)
            look = {"bold": True, "font_color": "#FFFFFF", "bg_color": ACCENT, "text_wrap": True}
            beside = column - 1 in numeric and column not in numeric
            place = {"align": "right"} if column in numeric else {"align": "left", "indent": int(beside)}
            self.raw.write_string(row, column, name, self.book.style(**look, **place))

    def paragraph(self, row: int, text: str, **look: Any) -> None:  # noqa: ANN401
        """A text over all columns drawn so far, as high as it needs."""
        last = max(self._widths)
        widths = sum(self._width(column) for column in range(last + 1))
        self.raw.set_row(row, _LINE * _lines(text, widths) + 2)
        self.raw.merge_range(row, 0, row, last, "", self.book.style(text_wrap=True, **look))
        self.raw.write_string(row, 0, text, self.book.style(text_wrap=True, **look))

    def fold(self, row: int, level: int) -> None:
        """Let a row be hidden with others of its level."""
        self._levels[row] = level

    def freeze(self, row: int, columns: int = 0) -> None:
        """Keep what is above and left in sight, and print it on every page."""
        self.raw.freeze_panes(row, columns)
        self.raw.repeat_rows(row - 1)

    def finish(self) -> None:
        """Widths, and A4 landscape, as wide as the page."""
        for column in self._widths:
            self.raw.set_column(column, column, self._width(column))
        for row, names in self._heads.items():
            self._lines[row] = max(_lines(name, self._width(column)) for column, name in enumerate(names))
        for row in sorted({*self._lines, *self._levels}):
            lines = self._lines.get(row)
            folded = {"level": self._levels.get(row, 0)}
            # Not every program makes room for a wrapped text by itself.
            self.raw.set_row(row, _LINE * lines + 2 if lines else None, None, folded)
        self.raw.set_landscape()
        self.raw.set_paper(_A4)
        self.raw.set_margins(left=0.5, right=0.5, top=0.6, bottom=0.7)
        self.raw.fit_to_pages(1, 0)
        self.raw.hide_gridlines(2)
        statement = self.book.statement
        left = f"{statement.consortium} · {reports.title(statement)}".replace("&", "&&")[:180]
        self.raw.set_footer(f"&L&8{left}&R&8Page &P of &N")

    def _fit_number(self, column: int, value: float, form: str, look: dict[str, Any]) -> None:
        shown = {HOURS: f"{value:,.2f}", SHARE: f"{value * 100:.1f} %", COUNT: f"{value:,.0f}"}
        self._fit(column, len(shown.get(form, f"{value:g}")) + 1, bold="bold" in look)

    def _fit(self, column: int, characters: float, *, bold: bool) -> None:
        wanted = characters * (1.1 if bold else 1.0) + 1.5
        self._widths[column] = max(self._widths.get(column, 0), wanted)

    def _width(self, column: int) -> float:
        return self._widths.get(column, 8.43)


def _lines(text: str, width: float) -> int:
    """How many lines a text takes when its words are set one after the other."""
    lines, room = 1, width
    for word in text.split():
        if len(word) > room and room < width:
            lines, room = lines + 1, width
        room -= len(word) + 1
    return lines


def cell(row: int, column: int) -> str:
    """`D5`."""
    return str(xl_rowcol_to_cell(row, column))


def area(first: int, last: int, column: int) -> str:
    """`D5:D9`."""
    return f"{cell(first, column)}:{cell(last, column)}"
