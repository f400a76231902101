"""The first page: what this is, what to beware of, use by pool and country, awards that need eyes.

Invariant: every number here points at the sheet it comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from opsd import reports
from opsd.core import countries as country_names
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.statement import NOWHERE, BalanceRow, Place, Statement, UsageRow
from opsd.reports.as_xlsx import usage
from opsd.reports.as_xlsx.sheet import ACCENT, GREY, RED, RULE, SHARE, Sheet, area, cell

Look = dict[str, Any]
_TOTAL: Look = {"bold": True, "top": 1, "border_color": RULE}
_UNATTRIBUTED = "Unattributed"
_ATTENTION = ("Award", "Unit", "Granted", "Left", "Used", "State")


def draw(sheet: Sheet, statement: Statement, lines: dict[Place, int]) -> None:
    """Draw it.

    Args:
        lines: of places on the usage sheet.
    """
    tops = [row for row in statement.usage if row.level in ("pool", UNATTRIBUTED)]
    line = _facts(sheet, statement)
    line = _warnings(sheet, statement, line + 1)
    line = _by_pool(sheet, statement, tops, lines, line + 1)
    line = _attention(sheet, statement, line + 1)
    _notes(sheet, statement, line + 1)


def _facts(sheet: Sheet, statement: Statement) -> int:
    span, quality = statement.span, statement.quality
    sheet.text(0, 0, reports.title(statement), fit=False, bold=True, font_size=16, font_color=ACCENT)
    sheet.raw.set_row(0, 23)
    sheet.raw.set_row(1, 17)
    sheet.text(1, 0, statement.consortium or "(the consortium has no name)", fit=False, font_size=12)
    seen = quality.last_observed
    read = (
        "nothing was ever read" if seen is None else f"Slurm's records as of {reports.both(statement, seen)}"
    )
    still = "still open" if statement.provisional else "open at the end of the period"
    facts = [
        ("Period", f"{span.text}, in the calendar of {span.zone}"),
        ("From", reports.both(statement, span.window.start)),
        ("To, not included", reports.both(statement, span.window.end)),
        ("As of", reports.both(statement, statement.as_of)),
        ("Data", read),
        ("Runs", f"{quality.runs:,} counted, {quality.open_runs:,} of them {still}"),
        ("Part", statement.scope.text if statement.scope else "everything"),
    ]
    for at, (name, value) in enumerate(facts, 3):
        sheet.text(at, 0, name, font_color=GREY)
        sheet.text(at, 1, value, fit=False)
    return 3 + len(facts)


def _warnings(sheet: Sheet, statement: Statement, line: int) -> int:
    texts = list(reports.warnings(statement))
    for at, text in enumerate(texts, line):
        sheet.text(at, 0, "Please note" if at == line else "", font_color=RED, bold=True)
        sheet.text(at, 1, text, fit=False, font_color=RED)
    return line + len(texts)


def _by_pool(
    sheet: Sheet, statement: Statement, tops: Sequence[UsageRow], lines: dict[Place, int], line: int
) -> int:
    """Pools down; across their GPU-hours by leading country, and what they used in all."""
    parts = {(row.place.pool, row.place.country): row for row in statement.usage if row.level == "country"}
    parts |= {(row.place.pool, row.place.country): row for row in tops if row.place == NOWHERE}
    countries = sorted({country for _, country in parts}, key=lambda name: (name == UNATTRIBUTED, name))
    gpu = len(countries) + 1
    sheet.heading(line, "Use by pool (who pays), its GPU-hours by country (who leads)")
    names = ("Pool", *map(_country, countries), "GPU-hours", "Node-hours", "CPU-hours", "Share of GPU-hours")
    sheet.head(line + 1, names, numeric=range(1, len(names)))
    first, end = line + 2, line + 2 + len(tops)
    for at, row in enumerate(tops, first):
        look: Look = {"font_color": RED} if row.place == NOWHERE else {}
        sheet.text(at, 0, _pool(statement, row.place), **look)
        for column, country in enumerate(countries, 1):
            part = parts.get((row.place.pool, country))
            if part is None:
                sheet.hours(at, column, 0, font_color=GREY)
            else:
                sheet.sums(at, column, _there(lines, part, usage.GPU), part.hours.gpu, **look)
        for column, source in enumerate((usage.GPU, usage.NODE, usage.CPU)):
            weight: Look = {**look, "bold": True} if source == usage.GPU else look
            sheet.sums(at, gpu + column, _there(lines, row, source), row.hours[column], **weight)
        _share(sheet, statement, at, end, gpu, row, look)
    sheet.text(end, 0, "Total", **_TOTAL)
    for column, country in enumerate(countries, 1):
        total = sum(row.hours.gpu for (_, led), row in parts.items() if led == country)
        sheet.sums(end, column, f"=SUM({area(first, end - 1, column)})", total, **_TOTAL)
    for column, hundredths in enumerate(statement.total.hours, gpu):
        formula = f"=SUM({area(first, end - 1, column)})" if tops else "=0"
        sheet.sums(end, column, formula, hundredths, **_TOTAL)
    _share(sheet, statement, end, end, gpu, statement.total, _TOTAL)
    return end + 1


def _there(lines: dict[Place, int], row: UsageRow, column: int) -> str:
    return f"=Usage!{cell(lines[row.place], column)}"


def _share(
    sheet: Sheet, statement: Statement, line: int, end: int, gpu: int, row: UsageRow, look: Look
) -> None:
    whole = statement.total.hours.gpu
    total = cell(end, gpu)
    share = row.hours.gpu / whole if whole else 0.0
    sheet.formula(line, gpu + 3, f"=IF({total}=0,0,{cell(line, gpu)}/{total})", share, SHARE, **look)


def _country(code: str) -> str:
    return _UNATTRIBUTED if code == UNATTRIBUTED else country_names.named(code)


def _pool(statement: Statement, place: Place) -> str:
    if place == NOWHERE:
        return _UNATTRIBUTED
    name = statement.name("pool", place.pool)
    return name if name == place.pool else f"{name} ({place.pool})"


def _attention(sheet: Sheet, statement: Statement, line: int) -> int:
    rows = [row for table in statement.balances for row in table.rows if row.eyes]
    if not rows:
        return line - 1
    sheet.heading(line, "Awards to look at, in the unit of the grant")
    sheet.head(line + 1, _ATTENTION, numeric=(2, 3, 4), across=len(_ATTENTION) + 1)
    for at, row in enumerate(sorted(rows, key=_urgency), line + 2):
        look: Look = {"font_color": RED} if row.over else {}
        assert row.shown is not None  # set for every row of a table
        sheet.text(at, 0, f"{row.award} · {statement.name('project', row.project)}", **look)
        sheet.text(at, 1, row.unit.replace("gpu", "GPU"), **look)
        sheet.hours(at, 2, row.shown.granted, **look)
        sheet.hours(at, 3, row.shown.left, **look)
        if row.granted:
            sheet.number(at, 4, row.used / row.granted, SHARE, **look)
        words = reports.state(row, statement.as_of)
        sheet.text(at, 5, words, fit=False, indent=1, **look, **({"bold": True} if row.over else {}))
    return line + 2 + len(rows)


def _urgency(row: BalanceRow) -> tuple[bool, float, str]:
    return (not row.over, -(row.used / row.granted) if row.granted else 0.0, row.award)


def _notes(sheet: Sheet, statement: Statement, line: int) -> None:
    sheet.heading(line, "How to read this")
    for at, text in enumerate(reports.notes(statement), line + 1):
        sheet.paragraph(at, text, font_color=GREY)
