"""What stands behind the numbers: what was counted, what was odd, how far Slurm was read."""

from __future__ import annotations

from opsd import reports
from opsd.core.flags import MEANINGS, Flag
from opsd.core.period import HOUR
from opsd.core.statement import Statement
from opsd.reports.as_xlsx.sheet import GREY, HOURS, Sheet

_MEANING = 9  # columns over which the longest meaning runs


def draw(sheet: Sheet, statement: Statement) -> None:
    """Counts, coverage, accounts nobody pays for, and charges that are missing."""
    sheet.title("Data quality")
    line = _counts(sheet, statement, 3)
    line = _coverage(sheet, statement, line + 1)
    if statement.quality.unbound:
        line = _unbound(sheet, statement, line + 1)
    if statement.quality.unpriced:
        sheet.heading(line + 1, "Use that could not be charged")
        for at, reason in enumerate(statement.quality.unpriced, line + 2):
            sheet.text(at, 0, reason, fit=False)


def _counts(sheet: Sheet, statement: Statement, line: int) -> int:
    quality = statement.quality
    rows = (
        ("Runs counted", quality.runs, "runs that overlap the period, each once"),
        ("Open runs", quality.open_runs, "of those, not ended at the end of what is reported"),
        ("Records in quarantine", quality.quarantined, "could not be read and are not counted"),
        ("Suspension not placed", quality.unplaced, f"runs: {MEANINGS[Flag.SUSPENDED_UNPLACED]}"),
        ("Seen under two Slurm ids", quality.two_sluids, f"runs: {MEANINGS[Flag.TWO_SLUIDS]}"),
    )
    sheet.head(line, ("What", "Count", "Meaning"), numeric=(1,), across=_MEANING)
    for at, (what, count, meaning) in enumerate(rows, line + 1):
        sheet.text(at, 0, what)
        sheet.number(at, 1, count)
        sheet.text(at, 2, meaning, fit=False, indent=1, font_color=GREY)
    end = line + 1 + len(rows)
    sheet.text(end, 0, "Unclassified GPU-hours")
    sheet.number(end, 1, quality.unclassified / HOUR, HOURS)
    sheet.text(end, 2, MEANINGS[Flag.GPU_UNCLASSIFIED], fit=False, indent=1, font_color=GREY)
    return end + 1


def _coverage(sheet: Sheet, statement: Statement, line: int) -> int:
    quality = statement.quality
    rows = [
        (f"Accounting of {found.cluster} read until", reports.both(statement, found.until))
        for found in quality.covered
    ]
    if not rows:
        rows.append(("Accounting read until", "not known: only files were imported"))
    for what, at in (
        ("Slurm said what was read last on", quality.last_observed),
        ("It was read on", quality.last_read),
    ):
        rows.append((what, "never" if at is None else reports.both(statement, at)))
    sheet.heading(line, "How far the data reach")
    for at, (what, when) in enumerate(rows, line + 1):
        sheet.text(at, 0, what)
        sheet.text(at, 1, when, fit=False)
    return line + 1 + len(rows)


def _unbound(sheet: Sheet, statement: Statement, line: int) -> int:
    sheet.heading(line, "Accounts bound to no award")
    sheet.head(line + 1, ("Account", "GPU-hours", "Node-hours", "CPU-hours"), numeric=(1, 2, 3))
    for at, found in enumerate(statement.quality.unbound, line + 2):
        sheet.text(at, 0, f"{found.cluster}/{found.account}")
        for column, hundredths in enumerate(found.hours, 1):
            sheet.hours(at, column, hundredths)
    return line + 2 + len(statement.quality.unbound)
