"""The two ways to write a CSV: for programs, and for spreadsheets with a decimal comma.

Invariant: a number is told from a text by its type, never by its look: `-5` is a number, `'-5` a name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from opsd.reports.exact import harmless


class Figure(NamedTuple):
    """A number as decimal text with a dot."""

    text: str


Field = str | int | Figure


class Dialect(NamedTuple):
    """How fields are written, and lines of them."""

    delimiter: str
    decimal: str
    encoding: str

    def written(self, header: Sequence[str], lines: Iterable[Sequence[Field]]) -> bytes:
        """A file."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=self.delimiter, lineterminator="\r\n")
        writer.writerow(header)
        writer.writerows([self._field(field) for field in line] for line in lines)
        return out.getvalue().encode(self.encoding)

    def _field(self, field: Field) -> str | int:
        match field:
            case Figure(text):
                return text.replace(".", self.decimal)
            case str():
                return harmless(field)
            case _:
                return field


COMMA = Dialect(",", ".", "utf-8")
SEMICOLON = Dialect(";", ",", "utf-8-sig")
