"""How opsd draws on a terminal: tables, bars, numbers.

Invariant: colour never carries a meaning alone, and is left out where there is no terminal or
NO_COLOR is set; rounded numbers of a table still add up to its rounded total.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from opsd.cli import layout
from opsd.core.figures import grouped

WIDTH_OF_A_FILE = 100
EIGHTHS = " ▏▎▍▌▋▊▉█"
HEIGHTS = "▁▂▃▄▅▆▇█"
OVER, NEAR, WATCH, FINE, QUIET = "bold red", "dark_orange", "yellow", "green", "bright_black"
ACCENT, TITLE, TOTAL = "cyan", "bold", "bold"


class Bar:
    """A bar that fills the width of its column; what is beyond the whole is drawn as full and marked."""

    def __init__(self, fraction: float, *, width: int = 20, style: str = ACCENT, track: bool = True) -> None:
        self._fraction = max(0.0, fraction)
        self.width = width
        self._style = style
        self._track = track

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        filled, rest = _bar(self._fraction, min(self.width, options.max_width), ascii_only=options.ascii_only)
        yield Segment(filled, Style.parse(self._style))
        yield Segment(_track(rest, self._track, ascii_only=options.ascii_only), Style.parse(QUIET))

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(layout.SHORTEST, self.width), min(self.width, options.max_width))


Cell = Text | Bar | str | int | None


class Column(NamedTuple):
    """One column of a table.

    `least`: a text or bar may be shortened down to this many characters (opsd.cli.layout says in what
    order). `ratio`: its share of the room to spare; such a text gives way first. `rank`: it is left out,
    the lowest rank first, where otherwise something would be cut.
    """

    title: str
    numeric: bool = False
    least: int | None = None
    ratio: int | None = None
    style: str = ""
    rank: int | None = None


def console(file: TextIO | None = None, width: int | None = None) -> Console:
    """Standard output (or `file`), as wide as its terminal; a fixed width where nobody says how wide."""
    out = file or sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    if not encoding.lower().replace("-", "").startswith("utf"):
        reconfigure = getattr(out, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")  # a name with ț must not end the program
    if width is None and not out.isatty() and not os.environ.get("COLUMNS"):
        width = WIDTH_OF_A_FILE
    return Console(file=out, width=width, highlight=False, markup=False, emoji=False)


def table(
    title: str,
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    total: Sequence[Cell] | None = None,
    caption: str = "",
    head: bool = True,
    all_in: str = "csv",
) -> Drawn:
    """A table with a rule below its head, and one above its total; integers are grouped.

    Args:
        all_in: the format that has the columns for which there is no room.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    footer = None if total is None else [_cell(value) for value in total]
    return Drawn(title, columns, cells, footer, caption, head, all_in)


class Drawn:
    """A table that chooses its columns' widths when it learns how much room there is."""

    def __init__(
        self,
        title: str,
        columns: Sequence[Column],
        rows: Sequence[Sequence[Text | Bar]],
        total: Sequence[Text | Bar] | None,
        caption: str,
        head: bool,  # noqa: FBT001
        all_in: str,
    ) -> None:
        self._title = title
        self._columns = columns
        self._rows = rows
        self._total = total
        self._caption = caption
        self._head = head
        self._all_in = all_in

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        needs = [self._need(place, column) for place, column in enumerate(self._columns)]
        ranks = [column.rank for column in self._columns]
        widths, dropped = layout.widths_whole(needs, ranks, options.max_width)
        if self._title:
            yield Text(self._title, TITLE)
        yield self._grid(self._spread(widths, options.max_width))
        if self._caption:
            yield Text(self._caption, QUIET)
        if dropped:
            titles = ", ".join(self._columns[place].title for place in dropped)
            yield Text(f"no room for {titles}: --format {self._all_in} has every column", QUIET)

    def _need(self, place: int, column: Column) -> layout.Need:
        cells = [row[place] for row in self._rows]
        kind = layout.NUMBER if column.numeric else layout.TEXT
        if any(isinstance(cell, Bar) for cell in cells):
            kind = layout.BAR
        if self._total is not None:
            cells.append(self._total[place])
        widest = max((cell.width if isinstance(cell, Bar) else cell.cell_len for cell in cells), default=0)
        title = cell_len(column.title) if self._head else 0
        return layout.Need(kind, title, widest, column.least, soft=column.ratio is not None)

    def _spread(self, widths: list[int], room: int) -> list[int]:
        """Columns with a ratio take what is left over."""
        spare = max(0, room - layout.taken(widths))
        shares = sum(column.ratio or 0 for column in self._columns)
        return [
            width + spare * (column.ratio or 0) // (shares or 1)
            for width, column in zip(widths, self._columns, strict=True)
        ]

    def _grid(self, widths: Sequence[int]) -> Table:
        grid = Table(
            box=box.SIMPLE,
            show_edge=False,
            pad_edge=False,
            padding=(0, 0, 0, layout.GAP - 1),
            show_header=self._head,
            show_footer=self._total is not None,
            header_style="bold",
            footer_style=TOTAL,
        )
        kept = [place for place, width in enumerate(widths) if width]
        for place in kept:
            column = self._columns[place]
            grid.add_column(
                Text(column.title, no_wrap=True, overflow="ellipsis"),
                footer=self._total[place] if self._total is not None else "",
                justify="right" if column.numeric else "left",
                no_wrap=True,
                overflow="ellipsis",
                width=widths[place],
                style=column.style,
            )
        for row in self._rows:
            grid.add_row(*(row[place] for place in kept))
        return grid


def _cell(value: Cell) -> Text | Bar:
    if isinstance(value, Text | Bar):
        return value
    if isinstance(value, int):
        return Text(grouped(value))
    return Text("" if value is None else value)


def bar(fraction: float, width: int) -> str:
    """A bar as text: eighths of a block, padded to `width`."""
    filled, rest = _bar(max(0.0, fraction), width, ascii_only=False)
    return filled + " " * rest


def _bar(fraction: float, width: int, *, ascii_only: bool) -> tuple[str, int]:
    """The filled part, and how many columns are left."""
    over = fraction > 1
    eighths = width * 8 if over else int(fraction * width * 8 + 0.5)
    if fraction > 0 and not eighths:
        eighths = 1  # something is never nothing
    if ascii_only:
        filled = "#" * (eighths // 8)
    else:
        filled = EIGHTHS[8] * (eighths // 8) + (EIGHTHS[eighths % 8] if eighths % 8 else "")
    if over and width:
        filled = filled[:-1] + (">" if ascii_only else "▶")
    return filled, width - len(filled)


def _track(width: int, wanted: bool, *, ascii_only: bool) -> str:  # noqa: FBT001 (two ways to draw nothing)
    if not wanted:
        return " " * width
    return ("." if ascii_only else "·") * width


def state_style(used: int, granted: int, thresholds: Sequence[int] = (80, 95, 100)) -> str:
    """The colour of a balance: over, near its end, worth watching, or fine."""
    if used > granted:
        return OVER
    passed = sum(used * 100 >= threshold * granted for threshold in thresholds) if granted else 0
    return (FINE, WATCH, NEAR, NEAR)[min(passed, 3)]
