"""A statement as an Excel workbook: a sheet per section, real numbers, totals as formulas, ready for A4.

Invariant: every formula carries the value that opsd has for it, and recalculating changes none.
"""

from __future__ import annotations

from opsd.core.statement.build import Statement
from opsd.reports.as_xlsx import section
from opsd.reports.as_xlsx.book import Book
from opsd.reports.as_xlsx.chart import Pictures
from opsd.reports.as_xlsx.names import sheet_names
from opsd.reports.locale import Locale


def render(statement: Statement, locale: Locale) -> bytes:
    """The cover first; the figures behind the charts last."""
    book = Book(statement, locale)
    titles = [locale.word(found.title) for found in statement.sections]
    pictures = Pictures(book, locale)
    *names, last = sheet_names([*titles, pictures.title])
    for number, found in enumerate(statement.sections):
        section.draw(book.sheet(names[number]), found, locale, pictures)
    pictures.finish(last)
    return book.content()
