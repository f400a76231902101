"""Usage, balances and quarantine as tables for people; exact numbers are what csv and json are for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING

from rich.text import Text

from opsd.cli import draw, gpu_use_columns
from opsd.cli.draw import Bar, Column
from opsd.core import figures
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.period import HOUR, isoformat

if TYPE_CHECKING:
    from opsd.pipeline.balance import Line
    from opsd.pipeline.outlook import Outlook, Outlooks
    from opsd.pipeline.usage import Usage

_SECONDS = ("runs", "CPU-s", "node-s", "GPU-s", "mem MB-s", "billing-s")
_HOURS = ("runs", "CPU-h", "node-h", "GPU-h", "mem GB-h", "billing-h")
_RANKS = (4, 5, 3, 6, 2, 1)  # which of them gives way first where a figure would be cut
_UNITS = (1, HOUR, HOUR, HOUR, 1024 * HOUR, HOUR)
# Below this many CPU-hours a table in hours would be a table of zeros.
_FEW_SECONDS = 50 * HOUR
_BAR_WIDTH = 16


def usage_table(found: Usage, tz: tzinfo) -> None:
    """One line per key, with a bar for the column that says most."""
    by_hour = max(found.total[1:4]) >= _FEW_SECONDS
    main = 3 if found.total.gpu_seconds else 1
    columns = [Column(key.replace("_", " ")) for key in found.keys]
    columns += [
        Column(name, numeric=True, rank=None if place == main else rank)
        for place, (name, rank) in enumerate(zip(_HOURS if by_hour else _SECONDS, _RANKS, strict=True))
    ]
    added = _equivalents(found, by_hour=by_hour)
    if added:
        columns.append(Column("GPU-eq-h" if by_hour else "GPU-eq-s", numeric=True))
    measured = [] if found.uses is None else gpu_use_columns.table(found, by_hour=by_hour)
    columns += [
        Column(title, numeric=True, rank=None if title.startswith("seen") else 7 + place)
        for place, (title, *_) in enumerate(measured)
    ]
    columns.append(Column("", least=4))
    measures = [row.measures for row in found.rows]
    shown = [_in_units([m[place] for m in measures], _UNITS[place] if by_hour else 1) for place in range(6)]
    most = max((m[main] for m in measures), default=0) or 1
    bars = [Bar(m[main] / most, width=_BAR_WIDTH, track=False) for m in measures]
    lines: list[Sequence[draw.Cell]] = [
        (
            *row.key, *(column[at] for column in shown), *added[at : at + 1],
            *(column[at] for _, column, _ in measured), bars[at],
        )
        for at, row in enumerate(found.rows)
    ]  # fmt: skip
    single = len(found.rows) < 2
    sums = (*(sum(column) for column in shown[1:]),)
    whole = (one for *_, one in measured)
    total = None if single else (*_total_label(found), None, *sums, *_sum(added), *whole, None)
    window = f"{isoformat(found.window.start, tz)} to {isoformat(found.window.end, tz)}"
    title, caption = f"Usage from {window}", _caption(by_hour) if lines else ""
    draw.console().print(draw.table(title, columns, lines, total=total, caption=caption))


def _equivalents(found: Usage, *, by_hour: bool) -> list[int | str]:
    """A figure per row, rounded so that they add up; none if they were not asked for."""
    if found.equivalents is None:
        return []
    exact = [found.equivalents.of(row.key) for row in found.rows]
    known = [value for value in exact if value is not None]
    unit = math.lcm(*(value.denominator for value in known))
    parts = [int(value * unit) for value in known]
    rounded = iter(figures.largest_remainder(parts, unit * HOUR if by_hour else unit))
    return ["unknown" if value is None else next(rounded) for value in exact]


def _sum(column: Sequence[int | str]) -> list[int | str]:
    whole = [value for value in column if isinstance(value, int)]
    return [sum(whole) if len(whole) == len(column) else "unknown"] if column else []


def _in_units(values: Sequence[int], unit: int) -> list[int]:
    return list(values) if unit == 1 else figures.largest_remainder(values, unit)


def _total_label(found: Usage) -> tuple[str, ...]:
    return ("total", *("" for _ in found.keys[1:])) if found.keys else ()


def _caption(by_hour: bool) -> str:  # noqa: FBT001
    unit = "hours, rounded so that every column adds up" if by_hour else "seconds"
    return f"in {unit}; --format csv has whole seconds. A run counts in every line it overlaps."


def balance_table(found: Outlooks) -> None:
    """One line per award or group: how much of the grant is gone, what is left, and how long that lasts."""
    balances = found.balances
    columns = [
        Column(balances.by), Column("unit"), Column("granted", numeric=True, rank=9),
        Column("settled", numeric=True, rank=5), Column("accrued", numeric=True, rank=3),
        Column("committed", numeric=True, rank=1), Column("left", numeric=True),
        Column("free", numeric=True, rank=2), Column("7 days", numeric=True, rank=6),
        Column("elapsed", numeric=True, rank=7), Column("used", numeric=True, rank=8),
        Column("", least=6), Column("forecast", rank=10), Column("state", rank=11),
    ]  # fmt: skip
    late = any(line.after_end for line in balances.lines)
    if late:
        columns.insert(_OUTSIDE, Column("outside", numeric=True, rank=4))
    rows = [_balance_row(line, found.of(line), late=late) for line in balances.lines]
    title = f"Balances by {balances.by} as of {isoformat(balances.as_of)}, in unit-hours"
    caption = _balance_caption(found, late=late)
    draw.console().print(draw.table(title, columns, rows, caption=caption, all_in="csv --forecast"))


def _balance_caption(found: Outlooks, *, late: bool) -> str:
    lines = found.balances.lines
    if not lines:
        return ""
    caption = "left = granted - settled - accrued, free = left - committed"
    caption += "; outside: before an award's start or after its end, in none of the others" if late else ""
    over = sum(line.over for line in lines)
    caption += f"; {over} over quota" if over else ""
    return f"{caption}\n{_AHEAD}"


_OUTSIDE = 8  # stands behind `free`
_AHEAD = "7 days: charged within the last seven; forecast: the day on which nothing is left if that goes on"


def _balance_row(line: Line, ahead: Outlook, *, late: bool) -> list[draw.Cell]:
    style = draw.state_style(line.used, line.granted, line.thresholds)
    unknown = line.committed is None
    # Largest remainders, so that the rounded line adds up as its caption says.
    parts = [line.settled, line.accrued, 0 if line.committed is None else line.committed]
    settled, accrued, committed = figures.largest_remainder(parts, MICRO_PER_HOUR)
    granted = _hours(line.granted)
    left = granted - settled - accrued
    row: list[draw.Cell] = [
        line.key, line.unit.removesuffix("-hours"), granted, settled, accrued,
        "unknown" if unknown else committed, Text(figures.grouped(left), style if line.over else ""),
        "unknown" if unknown else left - committed,
    ]  # fmt: skip
    if late:
        row.append(_hours(line.after_end) if line.after_end else None)
    share = line.used / line.granted if line.granted else 0.0
    return [
        *row, _hours(ahead.week), _elapsed(ahead), figures.percent(line.used, line.granted),
        Bar(share, width=_BAR_WIDTH, style=style), _expected(ahead), Text(line.state, style),
    ]  # fmt: skip


def _elapsed(ahead: Outlook) -> str | None:
    """Of its time; rounded as what is used of it."""
    share = ahead.elapsed
    return None if share is None else figures.percent(share.numerator, share.denominator)


def _expected(ahead: Outlook) -> str:
    """The day, UTC, as the instant above the table; or in a word why there is none."""
    state, at = ahead.forecast
    return state if at is None else isoformat(at)[: len("2027-02-03")]


def _hours(micro: int) -> int:
    return (2 * micro + MICRO_PER_HOUR) // (2 * MICRO_PER_HOUR)


def quarantine_table(rows: Sequence[Sequence[object]]) -> None:
    """What waits, where it stands in its source, and why."""
    columns = [
        Column("id", numeric=True), Column("source", least=8), Column("line", numeric=True),
        Column("bytes", numeric=True), Column("why", ratio=1, least=20),
    ]  # fmt: skip
    lines = [(str(row[0]), str(row[1]), str(row[2]), str(row[4]), str(row[6])) for row in rows]
    caption = "opsd quarantine show ID has the bytes; nothing here is counted" if rows else "nothing waits"
    draw.console().print(draw.table("Quarantine", columns, lines, caption=caption))
