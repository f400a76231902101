"""A statement's use as one flat table: CSV after RFC 4180, UTF-8, decimal dots.

Invariant: lines of one lowest level (`project` with `unattributed`, or `part`) add up to the line `total`, in
every column; texts are never formulas.
"""

from __future__ import annotations

from opsd.core.statement.build import Statement
from opsd.reports.as_csv import tree
from opsd.reports.as_csv.dialect import COMMA
from opsd.reports.locale import Locale


def render(statement: Statement, locale: Locale) -> bytes:  # noqa: ARG001  # the same in every language
    """A header and one line per row of the usage tree."""
    return COMMA.written(tree.COLUMNS, tree.lines(statement))
