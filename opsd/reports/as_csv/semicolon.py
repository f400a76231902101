"""The same table for spreadsheets of countries that write a decimal comma."""

from __future__ import annotations

from opsd.core.statement.build import Statement
from opsd.reports.as_csv import tree
from opsd.reports.as_csv.dialect import SEMICOLON
from opsd.reports.locale import Locale


def render(statement: Statement, locale: Locale) -> bytes:  # noqa: ARG001  # the same in every language
    """Semicolons, decimal commas, and a byte order mark."""
    return SEMICOLON.written(tree.COLUMNS, tree.lines(statement))
