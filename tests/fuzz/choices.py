"""Decisions read from bytes, so that a fuzzer that changes bytes changes what a writer writes.

Invariant: the same bytes make the same decisions in every process, with atheris or without; where the
bytes end, every decision is the plain one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Bytes, used up decision by decision."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """The next byte; 0 when there are none left."""
        at, self._at = self._at, self._at + 1
        return self._data[at] if at < len(self._data) else 0

    def number(self, most: int) -> int:
        """From 0 to `most`."""
        value, room = 0, most
        while room:
            value, room = value << 8 | self.byte(), room >> 8
        return value % (most + 1)

    def odd(self, of: int = 8) -> bool:
        """Rarely true; never where the bytes end."""
        return self.byte() % of == of - 1

    def pick(self, among: Sequence[T]) -> T:
        """One of them, the first where the bytes end."""
        return among[self.number(len(among) - 1)]

    def text(self, snippets: Sequence[str], most: int = 8) -> str:
        """Some snippets in a row."""
        return "".join(self.pick(snippets) for _ in range(self.number(most)))
