"""Values as a workbook holds them: real numbers and days with a number format, everything else as text.

Invariant: a cell's number is the one shown everywhere; the format says only how it is written.
"""

from __future__ import annotations

from datetime import date, datetime
from fractions import Fraction
from typing import NamedTuple

from opsd.core.amounts import MICRO
from opsd.core.period import zone
from opsd.core.statement import words
from opsd.core.statement.view import PER_HOUR
from opsd.core.statement.words import Value
from opsd.reports.locale import NOTHING, Locale

HOURS = f'#,##0.00;-#,##0.00;"{NOTHING}"'
COUNT = "#,##0"
RATIO = "0.00"


class Cell(NamedTuple):
    """What a cell holds, and how it looks."""

    value: float | str | date
    form: str  # a number format; empty: text
    shown: str  # about what a reader sees

    @property
    def numeric(self) -> bool:
        """Whether a formula may count with it."""
        return isinstance(self.value, int | float)

    @property
    def right(self) -> bool:
        """Whether it stands on the right: numbers, and the dash of a number that is not there."""
        return self.numeric or self.value == NOTHING


def cell_of(value: Value, locale: Locale) -> Cell:
    """A value of a statement as a cell."""
    number, form = _number(value, locale)
    if number is not None:
        return Cell(float(number), form, locale.text(value))
    if isinstance(value, words.Day):
        day = datetime.fromtimestamp(value.at, zone(locale.zone)).date()
        return Cell(day, locale.excel_date, locale.text(value))
    text = locale.text(value)
    return Cell(text, "", text)


def _number(value: Value, locale: Locale) -> tuple[Fraction | None, str]:  # noqa: PLR0911  # a line for each
    match value:
        case words.Hours(hundredths, _):
            return Fraction(hundredths, PER_HOUR), HOURS
        case words.Count(number):
            return Fraction(number), COUNT
        case words.Share(found):
            return found, locale.excel_share
        case words.Ratio(found):
            return found, RATIO
        case words.Number(found, decimals):
            return found, "#,##0" + (f".{'0' * decimals}" if decimals else "")
        case words.Amount(micro, currency):
            return Fraction(micro, MICRO), f'#,##0.00\\ "{currency}"'
        case _:
            return None, ""
