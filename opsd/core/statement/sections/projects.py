"""Awards over or under their grant, expiring, ended, used outside their dates; reports due.

Invariant: left = granted - used in every row as shown; each unit has a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from opsd.core.period import DAY
from opsd.core.statement import terms
from opsd.core.statement.accounts import Account, by_unit
from opsd.core.statement.footing import footed
from opsd.core.statement.table import (
    BAD,
    PLAIN,
    TOTAL,
    WARN,
    Block,
    Column,
    Facts,
    Less,
    Paragraph,
    Per,
    Row,
    Section,
    Table,
)
from opsd.core.statement.view import View
from opsd.core.statement.words import Count, Day, Text, Value, msg

SOON = 60 * DAY
AFTER_END = Column("outside_hours", msg("Used outside its dates"), sums=True, wanted=2)
COLUMNS = (
    terms.PROJECT,
    terms.TITLE,
    terms.AWARD,
    Column("mode", msg("Access mode"), wanted=2),
    Column("start", msg("Start"), wanted=2),
    Column("end", msg("End")),
    Column("granted", msg("Granted"), sums=True),
    Column("charged", msg("Charged in the period"), sums=True, wanted=2),
    Column("used", msg("Used"), sums=True),
    Column("settled", msg("Used by ended runs"), sums=True, wanted=2),
    Column("accrued", msg("Used by open runs"), sums=True, wanted=2),
    Column("left", msg("Left"), formula=Less(("granted", "used"))),
    Column("used_share", msg("Used, of granted"), formula=Per("used", "granted")),
)
DUE, DAYS = Column("report_due", msg("Report due")), Column("report_days", msg("Days until then"))
REPORT = (replace(DUE, wanted=2), replace(DAYS, wanted=2))
REPORTS = (terms.PROJECT, terms.TITLE, terms.AWARD, DUE, DAYS)


def section(view: View) -> Section | None:
    """How many need eyes, and a table for each unit."""
    if not view.accounts:
        return Section("projects", msg("Projects and awards"), (Paragraph(msg("There are no awards.")),))
    tables = [_table(view, unit, found) for unit, found in by_unit(view.accounts).items()]
    blocks: tuple[Block, ...] = (_facts(view), *_reports(view), *tables)
    return Section("projects", msg("Projects and awards"), blocks)


def _reports(view: View) -> Iterator[Table]:
    """Whose report is due soon, or was due."""
    dated = [(one.award.report_due, one) for one in view.accounts if one.award.report_due is not None]
    found = [one for due, one in dated if due <= view.dossier.as_of + SOON]
    found.sort(key=lambda one: (one.award.report_due or 0, one.award.id))
    if found:
        rows = tuple(_report(view, one) for one in found)
        yield Table("reports", msg("Reports due within 60 days, or whose day has passed"), REPORTS, rows)


def _report(view: View, one: Account) -> Row:
    row, shown = _row(view, one), {column.id for column in REPORTS}
    cells = {name: value for name, value in row.cells.items() if name in shown}
    return replace(row, cells=cells, tone=WARN if (one.award.report_due or 0) < view.dossier.as_of else PLAIN)


def _facts(view: View) -> Facts:
    as_of, every = view.dossier.as_of, view.accounts
    due = [one.award.report_due - as_of for one in every if one.award.report_due is not None]
    over = [one for one in every if one.over]
    past = [one for one in every if not one.over and one.balance.state.startswith("threshold-")]
    counts = (
        ("awards", msg("Awards"), len(every)),
        ("over_quota", msg("Over quota"), len(over)),
        ("past_threshold", msg("Past a threshold"), len(past)),
        ("expiring", msg("Ending within 60 days"), sum(_ends_soon(one, as_of) for one in every)),
        ("ended", msg("Ended"), sum(_is_over(one, as_of) for one in every)),
        ("outside", msg("Used outside their dates"), sum(one.balance.after_end > 0 for one in every)),
        ("reports_due", msg("Reports due within 60 days"), sum(0 <= seconds <= SOON for seconds in due)),
        ("reports_overdue", msg("Reports whose day has passed"), sum(seconds < 0 for seconds in due)),
    )
    facts = tuple((name, label, Count(number)) for name, label, number in counts)
    return Facts("attention", msg("Awards that need eyes"), facts)


def _is_over(one: Account, as_of: int) -> bool:
    return one.award.end is not None and one.award.end <= as_of


def _ends_soon(one: Account, as_of: int) -> bool:
    return one.award.end is not None and as_of < one.award.end <= as_of + SOON


def _table(view: View, unit: str, found: Sequence[Account]) -> Table:
    outside = any(one.after_end.hundredths for one in found)
    report = any(one.award.report_due is not None for one in found)
    columns = (*COLUMNS, *((AFTER_END,) if outside else ()), terms.STATE, *(REPORT if report else ()))
    rows = [_row(view, one) for one in found]
    rows.append(Row({"project": terms.TOTAL}, {"unit": unit}, TOTAL))
    notes = [msg("Granted, used and left are as of the end of what is reported, since the award began.")]
    if any(one.balance.committed is None for one in found):
        notes.append(msg("What open runs may still use is not known of every award."))
    return Table(
        f"projects_{unit.replace('-', '_')}",
        msg("Awards in {unit}", unit=terms.UNITS[unit]),
        columns,
        footed(columns, rows),
        tuple(notes),
    )


def _row(view: View, one: Account) -> Row:
    award, as_of = one.award, view.dossier.as_of
    cells: dict[str, Value] = {
        "project": Text(award.project),
        "title": Text(view.name("project", award.project)),
        "award": Text(award.id),
        "mode": Text(award.mode),
        "start": Day(award.start),
        "granted": one.granted,
        "charged": one.charged,
        "used": one.used,
        "settled": one.settled,
        "accrued": one.accrued,
        "outside_hours": one.after_end,
        "state": terms.state(one, as_of),
    }
    if award.end is not None:
        cells["end"] = Day(award.end)
    if _ends_soon(one, as_of):
        cells["state"] = terms.joined((*terms.words(one, as_of), msg("ends within 60 days")))
    if award.report_due is not None:
        days = (award.report_due - as_of) // DAY
        cells |= {"report_due": Day(award.report_due), "report_days": Count(days)}
    return Row(cells, {"project": award.project, "award": award.id, "unit": award.unit}, tone=_tone(one))


def _tone(one: Account) -> str:
    if one.over:
        return BAD
    return PLAIN if one.balance.state == "ok" and not one.balance.after_end else WARN
