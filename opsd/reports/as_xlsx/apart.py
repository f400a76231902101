"""Which tables have a sheet of their own: only one head on a sheet can stay in sight and be printed again.

Invariant: the same in every language, so that a sheet has one place in all of them.
"""

from __future__ import annotations

from opsd.core.statement.table import Chart, Section, Table

_MOST_ROWS = 30  # about a page
_MOST_COLUMNS = 10  # more of them would make the tables beside it small on paper


def apart(section: Section) -> list[Table]:
    """The long tables of a section that has others, and those much wider than its first one."""
    shown = [block for block in section.blocks if isinstance(block, Table | Chart)]
    tables = [block for block in shown if isinstance(block, Table)]
    if len(shown) < 2 or not tables:
        return []
    narrow = len(tables[0].columns) <= _MOST_COLUMNS
    return [table for table in tables if _long(table) or (narrow and _wide(table))]


def _long(table: Table) -> bool:
    return len(table.rows) > _MOST_ROWS


def _wide(table: Table) -> bool:
    return bool(table.rows) and len(table.columns) > _MOST_COLUMNS
