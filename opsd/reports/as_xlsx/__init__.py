"""A statement as an Excel workbook: sheets for each section, real numbers, totals as formulas, ready for A4.

Invariant: every formula carries the value that opsd has for it, and recalculating changes none.
"""

from __future__ import annotations

from opsd.core.statement.build import Statement
from opsd.core.statement.table import Section
from opsd.reports.as_xlsx import section
from opsd.reports.as_xlsx.apart import apart
from opsd.reports.as_xlsx.book import Book
from opsd.reports.as_xlsx.chart import Pictures
from opsd.reports.as_xlsx.names import sheet_names
from opsd.reports.locale import Locale


def render(statement: Statement, locale: Locale) -> bytes:
    """The cover first; the figures behind the charts last."""
    book = Book(statement, locale)
    pictures = Pictures(book, locale)
    parts = [(found, apart(found)) for found in statement.sections]
    titles = [title for found, tables in parts for title in (found.title, *(table.title for table in tables))]
    *names, last = sheet_names([*map(locale.word, titles), pictures.title])
    left = iter(names)
    for found, tables in parts:
        sheet = book.sheet(next(left))
        elsewhere = {id(table): next(left) for table in tables}
        section.draw(sheet, found, locale, pictures, elsewhere)
        for table in tables:
            own = Section(found.id, found.title, (table,))
            section.draw(book.sheet(elsewhere[id(table)]), own, locale, pictures)
    pictures.finish(last)
    return book.content()
