"""Awards by unit: granted, charged, left, and the word for it.

Invariant: units are never added to each other; left and used are formulas over their own line.
"""

from __future__ import annotations

from typing import Any

from opsd import reports
from opsd.core.statement import BalanceRow, Shown, Statement, UnitTotal
from opsd.reports.as_xlsx.sheet import ACCENT, GREY, RED, RULE, SHARE, TINT, Sheet, area, cell

HEAD = 3
GRANTED, CHARGED, SETTLED, ACCRUED, LEFT, USED, OUTSIDE, STATE = range(6, 14)
_COLUMNS = (
    "Award", "Project", "Organisation", "Country", "Pool", "Until, not included", "Granted",
    "Charged in the period", "Settled", "Accrued", "Left", "Used", "Outside its dates", "State",
)  # fmt: skip
_PLAIN = {
    GRANTED: "granted",
    CHARGED: "charged",
    SETTLED: "settled",
    ACCRUED: "accrued",
    OUTSIDE: "after_end",
}
_TOTAL = {"bold": True, "top": 1, "border_color": RULE}


def draw(sheet: Sheet, statement: Statement) -> None:
    """One block per unit, with its own total."""
    sheet.title(f"Balances of awards on {reports.moment(statement, statement.as_of)}")
    sheet.head(HEAD, _COLUMNS, numeric=range(GRANTED, STATE))
    line = HEAD + 1
    for table in statement.balances:
        line = _block(sheet, statement, table, line) + 1
    if not statement.balances:
        sheet.text(line, 0, "No awards.", fit=False, font_color=GREY)
    sheet.freeze(HEAD + 1, 1)


def _block(sheet: Sheet, statement: Statement, table: UnitTotal, line: int) -> int:
    """Draw a unit's awards; returns the line behind its total."""
    unit = f"In {table.unit.replace('gpu', 'GPU')}"
    for column in range(len(_COLUMNS)):
        look = {"bold": True, "font_color": ACCENT, "bg_color": TINT}
        sheet.text(line, column, unit if column == 0 else "", fit=False, **look)
    first = line + 1
    for at, row in enumerate(table.rows, first):
        _row(sheet, statement, at, row)
    end = first + len(table.rows)
    _total(sheet, table, first, end)
    return end + 1


def _row(sheet: Sheet, statement: Statement, line: int, row: BalanceRow) -> None:
    look: dict[str, Any] = {"font_color": RED} if row.over else {}
    names = (
        row.award,
        statement.name("project", row.project),
        row.organisation,
        row.country,
        row.pool,
    )
    for column, text in enumerate(names):
        sheet.text(line, column, text, **look)
    if row.end is None:
        sheet.text(line, len(names), "open", **look)
    else:
        sheet.date(line, len(names), row.end, **look)
    shown = row.shown or Shown(0, 0, 0, 0, 0)
    for column, name in _PLAIN.items():
        sheet.hours(line, column, getattr(shown, name), **look)
    _derived(sheet, line, shown, look)
    words = reports.state(row, statement.as_of)
    sheet.text(line, STATE, words, indent=1, **look, **({"bold": True} if row.over else {}))


def _total(sheet: Sheet, table: UnitTotal, first: int, line: int) -> None:
    for column in range(len(_COLUMNS)):
        sheet.text(line, column, "Total" if column == 0 else "", fit=False, **_TOTAL)
    for column, name in _PLAIN.items():
        formula = f"=SUM({area(first, line - 1, column)})"
        sheet.sums(line, column, formula, getattr(table.shown, name), **_TOTAL)
    _derived(sheet, line, table.shown, _TOTAL)


def _derived(sheet: Sheet, line: int, shown: Shown, look: dict[str, Any]) -> None:
    granted, settled, accrued = (cell(line, column) for column in (GRANTED, SETTLED, ACCRUED))
    sheet.sums(line, LEFT, f"={granted}-{settled}-{accrued}", shown.left, **look)
    used = (shown.settled + shown.accrued) / shown.granted if shown.granted else ""
    formula = f'=IF({granted}=0,"",({settled}+{accrued})/{granted})'
    sheet.formula(line, USED, formula, used, SHARE, **look)
