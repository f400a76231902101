"""GPU-hours day by day, the countries that lead upon each other.

Invariant: places are percentages of the drawing, so it fits any width without being distorted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import NamedTuple

from opsd.core import figures
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.period import Window, days
from opsd.pipeline.usage import Row
from opsd.web import figure, words

_GAP = 0.2  # of a day's width
_LABELLED = ("01", "08", "15", "22", "29")


class Piece(NamedTuple):
    """A country's part of a day."""

    top: str
    height: str
    hue: int


class Day(NamedTuple):
    """A column of the chart."""

    left: str
    width: str
    pieces: tuple[Piece, ...]
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """The drawing, and what it says in words."""

    days: tuple[Day, ...]
    legend: tuple[tuple[int, str], ...]
    text: str


def chart(rows: Iterable[Row], window: Window, tz: tzinfo) -> Chart:
    """From rows of (day, country)."""
    use: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        use[row.key[0]][row.key[1]] = row.measures.gpu_seconds
    labels = [label for label, _ in days(window, tz)]
    sums = [sum(use[label].values()) for label in labels]
    order = _order(use.values())
    most = max(sums, default=0) or 1
    hours = figures.hours(sums)
    step = 100 / len(labels)
    drawn = tuple(
        Day(
            f"{at * step + step * _GAP / 2:.3f}%", f"{step * (1 - _GAP):.3f}%",
            tuple(_pieces(use[label], order, most)),
            f"{_named(label)}: {figures.grouped(hours[at])} GPU-hours",
            label[-2:].lstrip("0") if label[-2:] in _LABELLED else "",
        )
        for at, label in enumerate(labels)
    )  # fmt: skip
    fullest = max(range(len(sums)), key=lambda at: sums[at])
    text = (
        f"most on {_named(labels[fullest])}: {figures.grouped(hours[fullest])} GPU-hours" if any(sums) else ""
    )
    return Chart(drawn, tuple((figure.hue(code), words.party(code)) for code in order), text)


def _order(use: Iterable[dict[str, int]]) -> list[str]:
    totals: dict[str, int] = defaultdict(int)
    for day in use:
        for code, seconds in day.items():
            totals[code] += seconds
    found = [code for code, seconds in totals.items() if seconds]
    return sorted(found, key=lambda code: (code == UNATTRIBUTED, -totals[code], code))


def _pieces(use: dict[str, int], order: Iterable[str], most: int) -> Iterable[Piece]:
    """From the bottom up, the largest country of the month first."""
    below = 0
    for code in order:
        seconds = use.get(code, 0)
        below += seconds
        if seconds:
            yield Piece(f"{100 - 100 * below / most:.2f}%", f"{100 * seconds / most:.2f}%", figure.hue(code))


def _named(label: str) -> str:
    year, number, day = map(int, label.split("-"))
    return f"{day} {words.month(year, number)}"
