"""How opsd draws on a terminal: tables, bars, sparklines, numbers.

Invariant: colour never carries a meaning alone, and is left out where there is no terminal or
NO_COLOR is set; rounded numbers of a table still add up to its rounded total.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TextIO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from opsd.core.period import HOUR

WIDTH_OF_A_FILE = 100
EIGHTHS = " ▏▎▍▌▋▊▉█"
HEIGHTS = "▁▂▃▄▅▆▇█"
OVER, NEAR, WATCH, FINE, QUIET = "bold red", "dark_orange", "yellow", "green", "bright_black"
ACCENT, TITLE, TOTAL = "cyan", "bold", "bold"

Cell = RenderableType | int | None


class Column(NamedTuple):
    """One column of a table. `least` characters are kept; numbers are never cut."""

    title: str
    numeric: bool = False
    least: int | None = None
    ratio: int | None = None
    style: str = ""


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
) -> Table:
    """A table with a rule below its head, and one above its total; integers are grouped."""
    drawn = Table(
        title=Text(title, TITLE),
        title_justify="left",
        caption=Text(caption, QUIET) if caption else None,
        caption_justify="left",
        box=box.SIMPLE_HEAD if total is None else box.SIMPLE,
        pad_edge=False,
        padding=(0, 1),
        show_footer=total is not None,
        header_style="bold",
        footer_style=TOTAL,
    )
    for place, column in enumerate(columns):
        drawn.add_column(
            column.title,
            footer="" if total is None else _cell(total[place]),
            justify="right" if column.numeric else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=column.least,
            ratio=column.ratio,
            style=column.style,
        )
    for row in rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def _cell(value: Cell) -> RenderableType:
    if value is None:
        return Text("")
    if isinstance(value, int):
        return Text(grouped(value))
    return Text(value) if isinstance(value, str) else value


def grouped(number: int) -> str:
    """Thousands apart: 1,234,567; a true minus sign for what is below zero."""
    return f"{number:,}".replace("-", "−")  # noqa: RUF001 (the minus sign is as wide as a digit)


def percent(part: int, whole: int) -> str:
    """`104 %`; a dash where there is no whole. Never 100 % for what is not all, nor 0 % for something."""
    if whole <= 0:
        return "–"  # noqa: RUF001 (a dash, as in printed tables)
    rounded = (200 * part + whole) // (2 * whole)
    if rounded == 100 and part < whole:
        return "99 %"
    if rounded <= 100 < 101 and part > whole:
        return "101 %"
    return "<1 %" if rounded == 0 and part > 0 else f"{rounded} %"


def largest_remainder(parts: Sequence[int], unit: int) -> list[int]:
    """Whole units of each part, adding up to the rounded whole: largest remainders are rounded up."""
    whole = (2 * sum(parts) + unit) // (2 * unit)
    floors = [part // unit for part in parts]
    missing = whole - sum(floors)
    by_remainder = sorted(range(len(parts)), key=lambda at: (-(parts[at] % unit), at))
    raised = set(by_remainder[:missing])
    return [floor + (at in raised) for at, floor in enumerate(floors)]


def hours(seconds: Sequence[int]) -> list[int]:
    """Seconds as whole hours that add up."""
    return largest_remainder(seconds, HOUR)


def hours_of_matrix(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Seconds as whole hours whose rows add up to rounded row totals, those to the rounded whole.

    Each row's roundings-up go to the columns that have come off worst so far, so that the columns'
    sums stay within an hour or so of the truth as well.
    """
    totals = hours([sum(row) for row in rows])
    owed = [0] * max(map(len, rows), default=0)
    return [_hours_of_row(row, total, owed) for row, total in zip(rows, totals, strict=True)]


def _hours_of_row(row: Sequence[int], total: int, owed: list[int]) -> list[int]:
    shown = [seconds // HOUR for seconds in row]
    for place, seconds in enumerate(row):
        owed[place] += seconds % HOUR
    broken = [place for place, seconds in enumerate(row) if seconds % HOUR]
    for place in sorted(broken, key=lambda at: (-owed[at], at))[: total - sum(shown)]:
        shown[place] += 1
        owed[place] -= HOUR
    return shown


class Bar:
    """A bar that fills the width of its column; what is beyond the whole is drawn as full and marked."""

    def __init__(self, fraction: float, *, width: int = 20, style: str = ACCENT, track: bool = True) -> None:
        self._fraction = max(0.0, fraction)
        self._width = width
        self._style = style
        self._track = track

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        filled, rest = _bar(
            self._fraction, min(self._width, options.max_width), ascii_only=options.ascii_only
        )
        yield Segment(filled, Style.parse(self._style))
        yield Segment(_track(rest, self._track, ascii_only=options.ascii_only), Style.parse(QUIET))

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(4, self._width), min(self._width, options.max_width))


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


def sparkline(values: Sequence[int], width: int) -> str:
    """The course of a quantity in `width` characters; neighbours are added up where it is too long."""
    if not values:
        return ""
    width = min(width, len(values))
    edges = [len(values) * place // width for place in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in zip(edges, edges[1:], strict=False)]
    top = max(means) or 1
    return "".join(HEIGHTS[min(7, int(mean / top * 8))] if mean > 0 else " " for mean in means)


def state_style(used: int, granted: int, thresholds: Sequence[int] = (80, 95, 100)) -> str:
    """The colour of a balance: over, near its end, worth watching, or fine."""
    if used > granted:
        return OVER
    passed = sum(used * 100 >= threshold * granted for threshold in thresholds) if granted else 0
    return (FINE, WATCH, NEAR, NEAR)[min(passed, 3)]
