"""What one node-hour is on each class of nodes, and who pays: with sources and confirmations.

Invariant: a figure nobody confirmed says so beside itself; one nobody agreed on is no zero.
"""

from __future__ import annotations

from opsd.core import countries
from opsd.core.agreements import Funder
from opsd.core.parties import UnitTable
from opsd.core.statement import Statement
from opsd.reports.as_xlsx.sheet import GREY, RED, Sheet

_UNITS = ("gpu_hours", "core_hours", "cpu_hours", "khours")
_UNIT_HEAD = (
    "Node class", "Cluster", "Node-hours", "GPU-hours", "Core-hours", "CPU-hours", "Thousand core-hours",
    "Source",
)  # fmt: skip
_FUNDER_HEAD = (
    "Funder", "Id", "Kind", "Country", "Part of", "Pools", "Contribution, million euros", "Confirmed",
    "Source",
)  # fmt: skip
_MEUR, _AMOUNT = 6, "#,##0.00######"


def draw(sheet: Sheet, statement: Statement) -> None:
    """Two tables."""
    sheet.title("Units and funders")
    sheet.heading(3, "What one node-hour is")
    sheet.head(4, _UNIT_HEAD, numeric=range(2, 7))
    line = 5
    for table in statement.units:
        _unit(sheet, line, table)
        line += 1
    if not statement.units:
        sheet.text(line, 0, "No unit table is agreed.", fit=False, font_color=GREY)
        line += 1
    sheet.heading(line + 1, "Who pays")
    sheet.head(line + 2, _FUNDER_HEAD, numeric=(_MEUR,))
    for at, funder in enumerate(statement.funders, line + 3):
        _funder(sheet, statement, at, funder)


def _unit(sheet: Sheet, line: int, table: UnitTable) -> None:
    sheet.text(line, 0, table.node_class)
    sheet.text(line, 1, table.cluster)
    sheet.number(line, 2, 1, "General")
    for column, name in enumerate(_UNITS, 3):
        value = getattr(table, name)
        if value is None:
            sheet.text(line, column, "not agreed", align="right", font_color=GREY)
        else:
            sheet.number(line, column, float(value), "General")
    sheet.text(line, 7, table.source or "no source", indent=1, font_color=GREY)


def _funder(sheet: Sheet, statement: Statement, line: int, funder: Funder) -> None:
    pools = ", ".join(pool for pool, (payer, _) in statement.pools.items() if payer == funder.id)
    texts = (funder.name, funder.id, funder.kind, countries.named(funder.country or ""), funder.parent, pools)
    for column, text in enumerate(texts):
        sheet.text(line, column, text)
    if funder.amount_meur is None:
        sheet.text(line, _MEUR, "not stated", align="right", font_color=GREY)
    else:
        sheet.number(line, _MEUR, float(funder.amount_meur), _AMOUNT)
    if funder.confirmed:
        sheet.text(line, 7, "confirmed", indent=1)
    else:
        sheet.text(line, 7, "unconfirmed", indent=1, italic=True, font_color=RED)
    sheet.text(line, 8, funder.source or "no source", font_color=GREY)
