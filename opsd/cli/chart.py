"""A stacked chart of text: the course of a quantity, by colour.

Invariant: a column is as high as the sum of its parts, to an eighth of a line; without colour the
sum is what remains to be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from opsd.cli.draw import HEIGHTS, QUIET
from opsd.core.figures import grouped

ASCII = ".:#"
Span = tuple[str, float]
GUTTER = 2  # between the scale and the columns


class Layer(NamedTuple):
    """One part of the sum: its colour and its course."""

    style: str
    values: Sequence[int]


class Chart:
    """Layers upon each other, one column per value, or per few values where the line is short."""

    def __init__(self, layers: Sequence[Layer], marks: Sequence[str], *, height: int = 6) -> None:
        """`marks` stands below: one text per value, empty for most."""
        self._layers = layers
        self._marks = marks
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        scale = len(grouped(max(map(sum, zip(*self._courses(1), strict=True)), default=0)))
        step = max(1, -(-len(self._marks) // max(1, options.max_width - scale - GUTTER)))
        columns = list(zip(*self._courses(step), strict=True))
        top = max(map(sum, columns), default=0) or 1
        draw = _ink(console, options)
        for line in reversed(range(self._height)):
            label = grouped(top) if line == self._height - 1 else "0" if line == 0 else ""
            yield Segment(f"{label:>{scale}}{' ' * GUTTER}", Style.parse(QUIET))
            low, high = top * line / self._height, top * (line + 1) / self._height
            for parts in columns:
                yield draw(self._spans(parts, low, high))
            yield Segment.line()
        yield Segment(f"{' ' * (scale + GUTTER)}{self._foot(step, len(columns))}", Style.parse(QUIET))
        yield Segment.line()

    def _courses(self, step: int) -> list[list[int]]:
        """Each layer's course, `step` values as their mean."""
        return [
            [_mean(layer.values[at : at + step]) for at in range(0, len(layer.values), step)]
            for layer in self._layers
        ]

    def _spans(self, parts: Sequence[int], low: float, high: float) -> list[Span]:
        """What of a column lies between two heights, from below: colour, and share of the height."""
        found: list[Span] = []
        edge = 0.0
        for layer, part in zip(self._layers, parts, strict=True):
            share = (min(edge + part, high) - max(edge, low)) / (high - low)
            edge += part
            if share > 0:
                found.append((layer.style, share))
        return found

    def _foot(self, step: int, columns: int) -> str:
        foot = [" "] * (columns + max(map(len, self._marks), default=0))
        for place, mark in enumerate(self._marks):
            if mark and place // step + len(mark) <= columns:
                foot[place // step : place // step + len(mark)] = mark
        return "".join(foot)[:columns].rstrip()


def _mean(values: Sequence[int]) -> int:
    return sum(values) // max(1, len(values))


def _ink(console: Console, options: ConsoleOptions) -> Callable[[list[Span]], Segment]:
    """How one character is drawn on this terminal."""
    if options.ascii_only:
        return lambda spans: Segment(_ascii(spans))
    if console.no_color or console.color_system is None:
        return lambda spans: Segment(_eighths(_full(spans)))
    return _coloured


def _full(spans: list[Span]) -> float:
    return sum(share for _, share in spans)


def _ascii(spans: list[Span]) -> str:
    full = _full(spans)
    return ASCII[min(2, int(full * 3))] if full > 1 / 6 else " "


def _eighths(full: float) -> str:
    eighths = int(full * 8 + 0.5)
    return HEIGHTS[min(8, eighths) - 1] if eighths else " "


def _coloured(spans: list[Span]) -> Segment:
    """One colour below, a second as background; where the column ends inside, the one with most of it."""
    full = _full(spans)
    if len(spans) < 2 or full < 15 / 16:
        style = max(spans, key=lambda span: span[1])[0] if spans else ""
        return Segment(_eighths(full), Style.parse(style))
    (lower, share), (upper, _) = spans[:2]
    return Segment(_eighths(max(share, 1 / 8)), Style.parse(f"{lower} on {upper}"))
