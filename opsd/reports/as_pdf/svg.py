"""Charts as SVG: bars, stacks and columns that can be read without colours.

Invariant: pure: the same chart gives the same text. Series differ in lightness or hatching, never in hue
alone, and every number that has room stands beside its bar; all of them stand in the picture's description.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from opsd.core.statement.table import COLUMNS, STACKS

if TYPE_CHECKING:
    from opsd.reports.as_pdf.glyphs import Faces

Tree = dict[str, Any]

SIZE, SMALL = 8.0, 7.0  # of type
_FONT = "Libertinus Serif, New Computer Modern, DejaVu Sans Mono"
_INK, _GRID = "#1b2a3d", "#c9ced4"
_MOST_BARS, _MOST_COLUMNS = 24, 14  # categories of one picture; more go on in the next
_BAR, _GAP, _BETWEEN = 10.0, 1.5, 6.0  # points: a bar, between bars of a category, between categories
_LABELS = 150.0  # at most, for the names of categories
_HEIGHT = 130.0  # of columns
_PATTERNS = (
    '<pattern id="hatch" width="4" height="4" patternUnits="userSpaceOnUse"><rect width="4" height="4"'
    ' fill="#ffffff"/><path d="M-1,1 l2,-2 M0,4 l4,-4 M3,5 l2,-2" stroke="#1b2a3d" stroke-width="0.7"/>'
    "</pattern>"
    '<pattern id="dots" width="3" height="3" patternUnits="userSpaceOnUse"><rect width="3" height="3"'
    ' fill="#dfe6ee"/><circle cx="1.5" cy="1.5" r="0.7" fill="#1b2a3d"/></pattern>'
)


class Fill(NamedTuple):
    """How a series looks, and the colour of words on it (empty: no words)."""

    paint: str
    ink: str


# Neighbours differ most; in grey they are of about 25, 78, hatched, 50, dotted and 97 % lightness.
FILLS = (
    Fill("#27476b", "#ffffff"),
    Fill("#b9cbdd", _INK),
    Fill("url(#hatch)", ""),
    Fill("#6487ab", "#ffffff"),
    Fill("url(#dots)", ""),
    Fill("#f5f7fa", _INK),
)


def pictures(chart: Tree, room: float, faces: Faces) -> Tree:
    """A chart as pictures of that width, each with its description."""
    most = _MOST_COLUMNS if chart["style"] == COLUMNS else _MOST_BARS
    parts = [_part(chart, at, at + most) for at in range(0, len(chart["categories"]), most)]
    return {"pictures": [_Picture(part, room, faces).drawn() for part in parts]}


def _part(chart: Tree, start: int, end: int) -> Tree:
    series = [
        {**one, "sizes": one["sizes"][start:end], "texts": one["texts"][start:end]} for one in chart["series"]
    ]
    return {**chart, "categories": chart["categories"][start:end], "series": series}


class _Picture:
    """One picture; `out` gathers its elements."""

    def __init__(self, chart: Tree, room: float, faces: Faces) -> None:
        self.chart, self.room, self.faces = chart, room, faces
        self.low: float = chart["ticks"][0][0]
        self.high: float = chart["ticks"][-1][0]
        self.out: list[str] = []

    def drawn(self) -> Tree:
        top = self._legend()
        height = self._columns(top) if self.chart["style"] == COLUMNS else self._bars(top)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.room:.2f}" height="{height:.2f}"'
            f' viewBox="0 0 {self.room:.2f} {height:.2f}" font-family={quoteattr(_FONT)}>'
            f"<defs>{_PATTERNS}</defs>"
        )
        return {"svg": f"{head}{''.join(self.out)}</svg>", "alt": self._described(), "width": self.room}

    def _described(self) -> str:
        """Title, unit and every number."""
        series = self.chart["series"]
        lines = [
            f"{category}: " + "; ".join(f"{one['label']} {one['texts'][at]}" for one in series)
            for at, category in enumerate(self.chart["categories"])
        ]
        return ". ".join([f"{''.join(self.chart['title'])} ({self.chart['unit']})", *lines])

    def _legend(self) -> float:
        """Which series is which, where there are several; returns where it ends."""
        if len(self.chart["series"]) < 2:
            return 2.0
        x, y = 0.0, 2.0
        for at, series in enumerate(self.chart["series"]):
            first, *more = _folded(series["label"], self.room - 13, SIZE, self.faces)
            width = 13 + self._wide(first, SIZE) + 14
            if x and x + width > self.room + 14:
                x, y = 0.0, y + 12
            self._box(x, y, 9, 8, at)
            self._words(first, x + 13, y + 7, SIZE)
            for line in more:
                y += 12
                self._words(line, x + 13, y + 7, SIZE)
            x += width
        return y + 18

    # -- bars and stacks: the axis at the foot ---------------------------------------------------------

    def _bars(self, top: float) -> float:
        stacked = self.chart["style"] == STACKS
        names = [_folded(name, _LABELS, SIZE, self.faces) for name in self.chart["categories"]]
        left = max((self._wide(line, SIZE) for lines in names for line in lines), default=0.0) + 8
        right = self.room - max(self._ends(), default=0.0) - 6
        thick = _BAR if stacked else len(self.chart["series"]) * (_BAR + _GAP) - _GAP
        heights = [max(thick, len(lines) * (SIZE + 1.5)) for lines in names]
        foot = top + sum(heights) + _BETWEEN * len(heights)
        self._upright(left, right, top - 3, foot)
        y = top
        for at, (lines, height) in enumerate(zip(names, heights, strict=True)):
            begin = y + (height - len(lines) * (SIZE + 1.5)) / 2
            for line, text in enumerate(lines):
                self._words(text, left - 6, begin + line * (SIZE + 1.5) + SIZE * 0.85, SIZE, "end")
            (self._stack if stacked else self._group)(at, y + (height - thick) / 2, left, right)
            y += height + _BETWEEN
        return foot + 22

    def _ends(self) -> Iterator[float]:
        """How wide what stands behind the bars is."""
        if self.chart["style"] != STACKS:
            for series in self.chart["series"]:
                for text in series["texts"]:
                    yield self._wide(text, SMALL) + 4
        yield self._wide(self.chart["ticks"][-1][1], SMALL) / 2

    def _group(self, at: int, y: float, left: float, right: float) -> None:
        for place, series in enumerate(self.chart["series"]):
            size = series["sizes"][at]
            zero, end = self._across(0, left, right), self._across(size or 0, left, right)
            if size:
                self._box(min(zero, end), y, abs(end - zero), _BAR, place)
            self._beside(series["texts"][at], max(zero, end) + 4, y + _BAR * 0.77)
            y += _BAR + _GAP

    def _beside(self, text: str, x: float, y: float) -> None:
        """Words on the grid, which does not run through them."""
        self.out.append(
            f'<rect x="{x - 1:.2f}" y="{y - SMALL * 0.8:.2f}" width="{self._wide(text, SMALL) + 2:.2f}"'
            f' height="{SMALL}" fill="#ffffff"/>'
        )
        self._words(text, x, y, SMALL)

    def _stack(self, at: int, y: float, left: float, right: float) -> None:
        begin = 0.0
        for place, series in enumerate(self.chart["series"]):
            size = series["sizes"][at] or 0.0
            start, end = (self._across(value, left, right) for value in (begin, begin + size))
            if size:
                self._box(start, y, end - start, _BAR, place)
                self._inside(series["texts"][at], (start + end) / 2, y + _BAR * 0.75, end - start, place)
            begin += size

    def _inside(self, text: str, middle: float, y: float, width: float, place: int) -> None:
        ink = FILLS[place % len(FILLS)].ink
        if ink and self._wide(text, SMALL) + 4 <= width:
            self._words(text, middle, y, SMALL, "middle", ink)

    def _upright(self, left: float, right: float, top: float, foot: float) -> None:
        """Grid lines, their numbers and the unit."""
        free = left - 200
        for value, text in self.chart["ticks"]:
            x = self._across(value, left, right)
            self._line(x, top, x, foot, zero=value == 0)
            half = self._wide(text, SMALL) / 2
            if x - half >= free:
                self._words(text, x, foot + 9, SMALL, "middle")
                free = x + half + 5
        self._words(self.chart["unit"], (left + right) / 2, foot + 19, SMALL, "middle")

    def _across(self, value: float, left: float, right: float) -> float:
        return left + (value - self.low) / (self.high - self.low) * (right - left)

    # -- columns: the axis at the side -----------------------------------------------------------------

    def _columns(self, top: float) -> float:
        top += 14  # for the unit and the first label
        series, count = self.chart["series"], max(1, len(self.chart["categories"]))
        left = max(self._wide(text, SMALL) for _, text in self.chart["ticks"]) + 8
        step = (self.room - left - 4) / count
        bar = min(26.0, step * 0.76 / len(series))
        texts = [text for one in series for text in one["texts"]]
        flat = max((self._wide(text, SMALL) for text in texts), default=0) <= step * 0.96 / len(series)
        if not flat:
            top += max(self._wide(text, SMALL) for text in texts)
        foot = top + _HEIGHT
        self._words(self.chart["unit"], 0, top - 8 if flat else 8 + top - 14 - self._tallest(texts), SMALL)
        for value, text in self.chart["ticks"]:
            y = self._down(value, top, foot)
            self._line(left, y, self.room, y, zero=value == 0)
            self._words(text, left - 5, y + 2.3, SMALL, "end")
        lines = 1
        for at, name in enumerate(self.chart["categories"]):
            middle = left + (at + 0.5) * step
            self._column(at, middle - bar * len(series) / 2, bar, top, foot, flat=flat)
            folded = _folded(name, step - 3, SMALL, self.faces)
            lines = max(lines, len(folded))
            for line, text in enumerate(folded):
                self._words(text, middle, foot + 10 + line * 8, SMALL, "middle")
        return foot + 6 + lines * 8 + 2

    def _tallest(self, texts: list[str]) -> float:
        return max(self._wide(text, SMALL) for text in texts)

    def _column(self, at: int, x: float, bar: float, top: float, foot: float, *, flat: bool) -> None:
        for place, series in enumerate(self.chart["series"]):
            size = series["sizes"][at]
            zero, end = self._down(0, top, foot), self._down(size or 0, top, foot)
            if size:
                self._box(x, min(zero, end), bar, abs(end - zero), place)
            above, middle = min(zero, end) - 3, x + bar / 2
            if flat:
                self._words(series["texts"][at], middle, above, SMALL, "middle")
            else:
                self._words(series["texts"][at], middle + SMALL * 0.3, above, SMALL, turned=True)
            x += bar

    def _down(self, value: float, top: float, foot: float) -> float:
        return foot - (value - self.low) / (self.high - self.low) * (foot - top)

    # -- elements --------------------------------------------------------------------------------------

    def _wide(self, text: str, size: float) -> float:
        return self.faces.width(text, size)

    def _box(self, x: float, y: float, width: float, height: float, place: int) -> None:
        self.out.append(
            f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"'
            f' fill="{FILLS[place % len(FILLS)].paint}" stroke="{_INK}" stroke-width="0.5"/>'
        )

    def _line(self, x1: float, y1: float, x2: float, y2: float, *, zero: bool) -> None:
        look = f'stroke="{_INK}" stroke-width="0.8"' if zero else f'stroke="{_GRID}" stroke-width="0.5"'
        self.out.append(f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" {look}/>')

    def _words(
        self,
        text: str,
        x: float,
        y: float,
        size: float,
        anchor: str = "start",
        ink: str = _INK,
        *,
        turned: bool = False,
    ) -> None:
        turn = f' transform="rotate(-90 {x:.2f} {y:.2f})"' if turned else ""
        self.out.append(
            f'<text x="{x:.2f}" y="{y:.2f}" font-size="{size}" text-anchor="{anchor}" fill="{ink}"{turn}>'
            f"{escape(text)}</text>"
        )


def _folded(text: str, room: float, size: float, faces: Faces) -> list[str]:
    """A name as lines; a word that is wider than the room is cut where the room ends, nothing is lost."""
    lines = [""]
    for word in text.split(" "):
        for at, part in enumerate(_chunks(word, room, size, faces)):
            longer = f"{lines[-1]} {part}" if lines[-1] and not at else part
            if lines[-1] and (at or faces.width(longer, size) > room):
                lines.append(part)
            else:
                lines[-1] = longer
    return lines


def _chunks(word: str, room: float, size: float, faces: Faces) -> Iterator[str]:
    start, used = 0, 0.0
    for at, letter in enumerate(word):
        width = faces.width(letter, size)
        if used + width > room and at > start:
            yield word[start:at]
            start, used = at, 0.0
        used += width
    yield word[start:]
