"""Native charts, legible without colours, over figures that stand on a sheet of their own.

Invariant: a chart shows exactly the values of its block; neighbouring series differ in pattern and in grey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opsd.core.statement.table import BARS, COLUMNS, STACKS, Chart
from opsd.core.statement.words import msg
from opsd.reports.as_xlsx.breadth import lines
from opsd.reports.as_xlsx.cells import cell_of
from opsd.reports.as_xlsx.sheet import ACCENT, GREY, Sheet
from opsd.reports.locale import Locale

if TYPE_CHECKING:
    from opsd.reports.as_xlsx.book import Book

_KINDS = {
    BARS: {"type": "bar"},
    STACKS: {"type": "bar", "subtype": "stacked"},
    COLUMNS: {"type": "column"},
}
_DARK, _LIGHT = "#1F4E79", "#C9D6E4"
# From dark to light and back, so that neighbours differ in grey, too.
_FILLS: tuple[dict[str, Any], ...] = (
    {"fill": {"color": _DARK}},
    {"fill": {"color": _LIGHT}},
    {"pattern": {"pattern": "wide_upward_diagonal", "fg_color": _DARK, "bg_color": "#FFFFFF"}},
    {"fill": {"color": "#7F95AD"}},
    {"fill": {"color": "#FFFFFF"}},
    {"pattern": {"pattern": "wide_downward_diagonal", "fg_color": "#595959", "bg_color": _LIGHT}},
    {"pattern": {"pattern": "dotted_diamond", "fg_color": _DARK, "bg_color": "#FFFFFF"}},
    {"pattern": {"pattern": "horizontal_brick", "fg_color": _DARK, "bg_color": "#FFFFFF"}},
)
_ROW = 18  # pixels of a plain row
_WIDTH, _LEAST, _MOST = 900, 220, 510  # pixels; a higher one would not fit on a page
_PER_BAR = 18
_AROUND = 110  # title, axis and legend
_MOST_BARS, _MOST_COLUMNS = 24, 12  # more values than this hide each other


class Pictures:
    """The charts of a workbook, and the sheet of their figures."""

    def __init__(self, book: Book, locale: Locale) -> None:
        self._book = book
        self._locale = locale
        self._charts: list[tuple[Chart, Any]] = []
        self.title = locale.word(msg("Figures of the charts"))

    def draw(self, sheet: Sheet, block: Chart) -> None:
        """A chart at the sheet's next line; its figures follow in `finish`."""
        chart = self._book.chart(dict(_KINDS[block.kind]))
        height = self._height(block)
        self._charts.append((block, chart))
        chart.set_size({"width": _WIDTH, "height": height})
        sheet.raw.insert_chart(sheet.line, 0, chart, {"object_position": 2, "x_offset": 4, "y_offset": 4})
        count = height // _ROW + 1
        sheet.keep(count)
        sheet.line += count + 1

    def finish(self, name: str) -> None:
        """Write the figures, and point the charts at them; no sheet where there is no chart."""
        if not self._charts:
            return
        sheet = self._book.sheet(name)
        longest = max(len(block.series) for block, _ in self._charts)
        sheet.begin([46, *[18] * max(longest, 4)])
        sheet.title(self.title)
        for block, chart in self._charts:
            self._figures(sheet, name, block, chart)
        sheet.repeat(0, 2)
        sheet.finish()

    def _figures(self, sheet: Sheet, name: str, block: Chart, chart: Any) -> None:  # noqa: ANN401  # xlsxwriter's
        word, locale = self._locale.word, self._locale
        sheet.keep(len(block.categories) + 2)
        sheet.heading(word(block.title))
        head, high = sheet.line, 1
        for column, series in enumerate(block.series, 1):
            label = locale.text(series.label)
            sheet.text(head, column, label, bold=True, align="right", text_wrap=True)
            high = max(high, lines(label, sheet.widths[column] - 1, bold=True))
        sheet.height(head, high)
        for row, category in enumerate(block.categories, head + 1):
            sheet.text(row, 0, locale.text(category))
            for column, series in enumerate(block.series, 1):
                sheet.cell(row, column, cell_of(series.values[row - head - 1], locale), {"align": "right"})
        last = head + len(block.categories)
        for column, series in enumerate(block.series, 1):
            form = cell_of(series.values[0], locale).form if series.values else "General"
            chart.add_series(self._series(name, block, head, last, column, form))
        self._dress(chart, block)
        sheet.line = last + 2

    def _series(
        self, name: str, block: Chart, head: int, last: int, column: int, form: str
    ) -> dict[str, Any]:
        found: dict[str, Any] = {
            "name": [name, head, column],
            "categories": [name, head + 1, 0, last, 0],
            "values": [name, head + 1, column, last, column],
            "border": {"color": _DARK, "width": 0.5},
            "gap": 60,
            **_FILLS[(column - 1) % len(_FILLS)],
        }
        labelled = len(block.series) * len(block.categories)
        if labelled <= {BARS: _MOST_BARS, STACKS: 0, COLUMNS: _MOST_COLUMNS}[block.kind]:
            found["data_labels"] = {"value": True, "num_format": form, "font": {"size": 8}}
        return found

    def _dress(self, chart: Any, block: Chart) -> None:  # noqa: ANN401  # xlsxwriter's
        word = self._locale.word
        chart.set_title(
            {"name": word(block.title), "name_font": {"size": 11, "color": ACCENT}, "overlay": False}
        )
        figures = {
            "name": word(block.unit),
            "name_font": {"size": 9, "bold": False, "color": GREY},
            "num_font": {"size": 8},
            "num_format": "#,##0",
            "min": None if self._is_below_zero(block) else 0,  # a bar is as long as its number is large
            "major_gridlines": {"visible": True, "line": {"color": "#D9D9D9", "width": 0.5}},
        }
        names = {
            "num_font": {"size": 9},
            "reverse": block.kind != COLUMNS,
            "crossing": "max" if block.kind != COLUMNS else None,
        }
        across, down = (names, figures) if block.kind == COLUMNS else (figures, names)
        chart.set_x_axis(across)
        chart.set_y_axis(down)
        chart.set_legend(
            {"none": True} if len(block.series) < 2 else {"position": "bottom", "font": {"size": 9}}
        )

    def _is_below_zero(self, block: Chart) -> bool:
        shown = [cell_of(value, self._locale).value for series in block.series for value in series.values]
        return any(isinstance(value, int | float) and value < 0 for value in shown)

    @staticmethod
    def _height(block: Chart) -> int:
        if block.kind == COLUMNS:
            return 300
        bars = len(block.categories) * (len(block.series) if block.kind == BARS else 1)
        return min(max(_AROUND + _PER_BAR * bars + 10 * len(block.categories), _LEAST), _MOST)
