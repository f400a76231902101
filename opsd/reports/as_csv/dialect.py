"""The two ways to write a CSV: for programs, and for spreadsheets with a decimal comma.

Invariant: a number is told from a text by its type, never by its look: `-5` is a number, `'-5` a name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from opsd.reports.exact import harmless


class Figure(NamedTuple):
    """A number as decimal text with a dot."""

    text: str


Field = str | int | Figure
_PARTS = re.compile(r"\d+/\d+")  # 3/20: the third of twenty parts, or of a month


class Dialect(NamedTuple):
    """How fields are written, and lines of them."""

    delimiter: str
    decimal: str
    encoding: str
    for_sheets: bool  # whether a program reads it that turns texts into days

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
                return f"'{field}" if self.for_sheets and _PARTS.fullmatch(field) else harmless(field)
            case _:
                return field


COMMA = Dialect(",", ".", "utf-8", for_sheets=False)
SEMICOLON = Dialect(";", ",", "utf-8-sig", for_sheets=True)
