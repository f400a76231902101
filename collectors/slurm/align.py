"""Finds the records of an export with free text, where a name may hold delimiters and line ends.

Each column but the free ones has a shape. A line (or several, joined) is a record if its pieces can
be dealt to the columns in order, one to each structured column, one or more to each free one. All
ways to deal them are followed at once: bit i of a state says "i columns are dealt", so a piece costs
a few operations on one integer however many ways there are, and each line is looked at a fixed number
of times however many lines a name has.

Invariant: a record is accepted only if every way to deal its pieces agrees on every column that is
kept; whatever is not accepted comes out again as fragments, byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from collectors.slurm.columns import KEPT, is_free, shape
from collectors.slurm.layout import Layout

_CACHED = 64  # pieces up to this length are remembered: most are empty or repeat
_CACHE_SIZE = 20_000


class Shapes:
    """Which columns accept a piece, as bits."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.work = 0  # pieces looked at, for the test that a long name costs no more than its length
        self.done = 1 << layout.fields
        self.free = sum(1 << at for at, name in enumerate(layout.columns) if is_free(name))
        self.absorbs = self.free << 1
        self.kept = sum(1 << at for name in KEPT if (at := layout.index(name)) is not None)
        self._by_shape = self._group()
        self._cache: dict[str, int] = {}

    def _group(self) -> dict[re.Pattern[str], int]:
        groups: dict[re.Pattern[str], int] = {}
        for at, name in enumerate(self.layout.columns):
            if (pattern := shape(name)) is not None:
                groups[pattern] = groups.get(pattern, 0) | 1 << at
        return groups

    def accepting(self, piece: str) -> int:
        """Bit i: column i can hold the piece."""
        self.work += 1
        if (found := self._cache.get(piece)) is not None:
            return found
        if "\n" in piece:
            return self.free
        found = self.free
        for pattern, columns in self._by_shape.items():
            if pattern.match(piece):
                found |= columns
        if self.layout.trailing and piece == "":
            found |= self.done >> 1
        if len(piece) <= _CACHED and len(self._cache) < _CACHE_SIZE:
            self._cache[piece] = found
        return found

    def forward(self, state: int, accepting: int) -> int:
        """The states after one more piece."""
        return (state & accepting) << 1 | state & self.absorbs

    def backward(self, state: int, accepting: int) -> int:
        """The states before one more piece, given those after it."""
        return accepting & state >> 1 | self.absorbs & state


class Joiner:
    """Takes lines that are no record by themselves and tells when the last ones are one together."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self.lines: list[str] = []
        self._before_last = 0

    def add(self, line: str) -> int | None:
        """Add a line; the number of lines, counted from the last, that now are a record."""
        self.lines.append(line)
        return self._length() if self._advance(line) & self.shapes.done else None

    def clear(self) -> list[str]:
        """Forget the lines held and hand them back."""
        lines, self.lines, self._before_last = self.lines, [], 0
        return lines

    def _pieces(self, line: str) -> list[str]:
        return line.split(self.shapes.layout.delimiter)

    def _advance(self, line: str) -> int:
        """A record may start at every line; a line may also continue the free text before it."""
        shapes = self.shapes
        first, *others = self._pieces(line)
        state = shapes.forward(self._before_last, shapes.free) | shapes.forward(1, shapes.accepting(first))
        self._before_last |= 1
        for piece in others:
            self._before_last = state
            state = shapes.forward(state, shapes.accepting(piece))
        return state

    def _length(self) -> int:
        """The fewest last lines that are a record: what stands before them may be another's."""
        shapes, state, joined = self.shapes, self.shapes.done, False
        for count, line in enumerate(reversed(self.lines), 1):
            first, *others = self._pieces(line)
            for piece in reversed(others):
                state = shapes.backward(state, shapes.free if joined else shapes.accepting(piece))
                joined = False
            if (shapes.free if joined else shapes.accepting(first)) & state >> 1 & 1:
                return count
            joined = True
        return len(self.lines)


def _states(pieces: Sequence[str], shapes: Shapes) -> tuple[list[int], list[int]]:
    accepting = [shapes.accepting(piece) for piece in pieces]
    states = [1]
    for columns in accepting:
        states.append(shapes.forward(states[-1], columns))
    return accepting, states


def dealt(text: str, shapes: Shapes) -> list[str] | None:
    """The pieces of the kept columns, in the layout's places ("" in the others).

    None if the text is no record, or if the ways to read it disagree on a kept column.
    """
    pieces = text.split(shapes.layout.delimiter)
    accepting, states = _states(pieces, shapes)
    after = shapes.done
    if not states[-1] & after:
        return None
    holders: dict[str, int] = {}  # piece -> kept columns that some way gives it to
    for piece, columns, before in zip(
        reversed(pieces), reversed(accepting), reversed(states[:-1]), strict=True
    ):
        if held := before & columns & after >> 1 & shapes.kept:
            holders[piece] = holders.get(piece, 0) | held
        after = shapes.backward(after, columns)
    return _agreed(holders, shapes)


def _agreed(holders: dict[str, int], shapes: Shapes) -> list[str] | None:
    fields = [""] * shapes.layout.fields
    seen = 0
    for piece, columns in holders.items():
        if seen & columns:
            return None
        seen |= columns
        for at in range(len(fields)):
            if columns >> at & 1:
                fields[at] = piece
    return fields


def is_record(text: str, shapes: Shapes) -> bool:
    """Whether there is any way to read the text as one record."""
    return bool(_states(text.split(shapes.layout.delimiter), shapes)[1][-1] & shapes.done)
