"""A statement as an Excel workbook: real numbers, totals as formulas, ready to print on A4.

Invariant: every formula carries the value that opsd has for it, and recalculating changes none.
"""

from __future__ import annotations

from opsd.core.statement import Statement
from opsd.reports.as_xlsx import balances, quality, summary, units, usage
from opsd.reports.as_xlsx.sheet import Book


def render(statement: Statement) -> bytes:
    """Sheets Summary, Usage, Balances, Units and funders, Data quality."""
    book = Book(statement)
    # The summary points into the usage sheet, and stands before it.
    first = book.sheet("Summary")
    lines = usage.draw(book.sheet("Usage"), statement)
    balances.draw(book.sheet("Balances"), statement)
    units.draw(book.sheet("Units and funders"), statement)
    quality.draw(book.sheet("Data quality"), statement)
    summary.draw(first, statement, lines)
    return book.content()
