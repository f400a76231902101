"""The usage tree: hierarchy by indent and weight, each level the subtotal of what stands below it.

Invariant: a subtotal's range is exactly the lines below it; SUBTOTAL skips the subtotals in there.
"""

from __future__ import annotations

from typing import Any

from opsd import reports
from opsd.core import countries
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.statement import LEVELS, TOTAL, Place, Statement, UsageRow
from opsd.reports.as_xlsx.sheet import ACCENT, GREY, RED, RULE, SHARE, TINT, Sheet, area, cell

HEAD = 3
GPU, NODE, CPU, PART = 3, 4, 5, 6
_COLUMNS = (
    "Pool / country / organisation / project", "Id", "Remark", "GPU-hours", "Node-hours", "CPU-hours",
    "Share of GPU-hours",
)  # fmt: skip
_LOOKS: dict[str, dict[str, Any]] = {
    "pool": {"bold": True, "font_color": ACCENT, "bg_color": TINT},
    "country": {"bold": True, "indent": 1},
    "organisation": {"indent": 2},
    "project": {"indent": 3, "font_color": GREY},
    UNATTRIBUTED: {"bold": True, "font_color": RED, "bg_color": TINT},
    TOTAL: {"bold": True, "top": 1, "bottom": 6, "border_color": RULE},
}


def draw(sheet: Sheet, statement: Statement) -> dict[Place, int]:
    """Draw it; returns the line of every place that is a sum (the total's is `Place()`)."""
    sheet.title("Usage by pool, country, organisation and project")
    sheet.head(HEAD, _COLUMNS, numeric=(GPU, NODE, CPU, PART))
    sheet.raw.outline_settings(True, False, True, False)
    rows = statement.usage
    last = HEAD + len(rows)
    for line, row in enumerate(rows, HEAD + 1):
        _texts(sheet, statement, line, row)
        _numbers(
            sheet, line, row, statement, (HEAD + 1, last - 1) if row.level == TOTAL else _below(rows, line)
        )
        if row.level in LEVELS[1:]:
            sheet.fold(line, LEVELS.index(row.level))
    sheet.freeze(HEAD + 1, 1)
    return {row.place: line for line, row in enumerate(rows, HEAD + 1) if row.level != LEVELS[-1]}


def _below(rows: tuple[UsageRow, ...], line: int) -> tuple[int, int]:
    """First and last line of what a row sums."""
    at = line - HEAD - 1
    depth = _depth(rows[at])
    end = at + 1
    while end < len(rows) and _depth(rows[end]) > depth:
        end += 1
    return line + 1, HEAD + end


def _depth(row: UsageRow) -> int:
    return LEVELS.index(row.level) if row.level in LEVELS else 0


def _texts(sheet: Sheet, statement: Statement, line: int, row: UsageRow) -> None:
    look = _LOOKS[row.level]
    plain = {key: value for key, value in look.items() if key != "indent"}
    key = getattr(row.place, row.level, "")
    names = {TOTAL: "Total", UNATTRIBUTED: "Unattributed: accounts bound to no award"}
    name = countries.name(key) if row.level == "country" else statement.name(row.level, key)
    sheet.text(line, 0, names.get(row.level) or name, **look)
    sheet.text(line, 1, "" if key == name else key, **plain)
    sheet.text(line, 2, _remark(statement, row), **plain)


def _remark(statement: Statement, row: UsageRow) -> str:
    if row.level == "pool":
        funder, pays = statement.pools.get(row.place.pool, ("", ""))
        return f"paid by {funder} ({pays})" if funder else ""
    return reports.outside(row.place.outside) if row.level == "project" else ""


def _numbers(sheet: Sheet, line: int, row: UsageRow, statement: Statement, below: tuple[int, int]) -> None:
    look = {key: value for key, value in _LOOKS[row.level].items() if key != "indent"}
    for column, hundredths in zip((GPU, NODE, CPU), row.hours, strict=True):
        if row.lowest or below[1] < below[0]:
            sheet.hours(line, column, hundredths, **look)
        else:
            sheet.sums(line, column, f"=SUBTOTAL(9,{area(*below, column)})", hundredths, **look)
    whole = statement.total.hours.gpu
    total = cell(HEAD + len(statement.usage), GPU)
    share = row.hours.gpu / whole if whole else 0.0
    formula = f"=IF({total}=0,0,{cell(line, GPU)}/{total})"
    sheet.formula(line, PART, formula, share, SHARE, **look)
