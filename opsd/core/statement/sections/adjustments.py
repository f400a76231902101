"""From opening to closing balance, the journal of the period, and what changed in months already reported.

Invariant: every line foots across, with what takes away as a negative number; opening as reported + what
changed since = opening as now known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from opsd.core.journal import GRANTING, Entry
from opsd.core.statement import changed, terms
from opsd.core.statement.accounts import Account, by_unit, parted, rounded
from opsd.core.statement.footing import footed
from opsd.core.statement.table import TOTAL, WARN, Block, Column, Paragraph, Plus, Row, Section, Table
from opsd.core.statement.view import View
from opsd.core.statement.words import Day, Hours, Text, Value, msg

MOVES = tuple(kind.replace("-", "_") for kind in GRANTING)
CLOSING = Column("closing", msg("Closing"), formula=Plus(("opening", *MOVES, "charged")))
OPENINGS = (
    terms.PROJECT,
    terms.AWARD,
    Column("reported", msg("Opening as reported"), sums=True),
    Column("use", msg("Corrections of use"), sums=True),
    Column("entries", msg("Entries dated back"), sums=True),
    Column("opening", msg("Opening as now known"), formula=Plus(("reported", "use", "entries"))),
)
JOURNAL = (
    Column("at", msg("Takes effect")),
    Column("posted", msg("Posted"), wanted=2),
    Column("number", msg("No.")),
    Column("kind", msg("Kind")),
    terms.AWARD,
    Column("unit", msg("Unit")),
    Column("hours", msg("Hours")),
    Column("subject", msg("About")),
    Column("reason", msg("Reason"), wide=True),
    Column("author", msg("Author")),
    Column("approver", msg("Approver")),
)


def section(view: View) -> Section | None:
    """Movements per unit, openings that changed, the journal, corrections, and closed months."""
    units = by_unit(view.accounts)
    blocks: list[Block] = [_movements(unit, found) for unit, found in units.items()]
    blocks += [table for unit, found in units.items() if (table := _openings(view, unit, found))]
    blocks.append(_journal(view))
    blocks += changed.blocks(view)
    return Section("adjustments", msg("Balances, adjustments and corrections"), tuple(blocks))


def _movements(unit: str, found: Sequence[Account]) -> Table:
    moved = {kind for one in found for kind, hours in one.moved.items() if hours.hundredths}
    columns = (
        terms.PROJECT,
        terms.AWARD,
        Column("opening", msg("Opening"), sums=True),
        *(
            Column(name, terms.ENTRIES[kind], sums=True, wanted=1 if kind in moved else 2)
            for name, kind in zip(MOVES, GRANTING, strict=True)
        ),
        Column("charged", msg("Charged"), sums=True),
        CLOSING,
    )
    rows = [_line(one) for one in found] + [Row({"project": terms.TOTAL}, {"unit": unit}, TOTAL)]
    return Table(
        f"movements_{unit.replace('-', '_')}", msg("Balances in {unit}", unit=terms.UNITS[unit]), columns,
        footed(columns, rows), (msg("What takes away is negative: closing is the sum of the line."),),
    )  # fmt: skip


def _line(one: Account) -> Row:
    cells: dict[str, Value] = {
        "project": Text(one.award.project),
        "award": Text(one.award.id),
        "opening": one.opening,
        **{name: one.moved[kind] for name, kind in zip(MOVES, GRANTING, strict=True)},
        "charged": Hours(-one.charged.hundredths, -one.charged.exact),
    }
    return Row(cells, {"project": one.award.project, "award": one.award.id, "unit": one.award.unit})


def _openings(view: View, unit: str, found: Sequence[Account]) -> Table | None:
    rows = [row for one in found if (row := _opening(view, one))]
    if not rows:
        return None
    rows.append(Row({"project": terms.TOTAL}, {"unit": unit}, TOTAL))
    return Table(
        f"openings_{unit.replace('-', '_')}",
        msg("Openings that are not as reported, in {unit}", unit=terms.UNITS[unit]),
        OPENINGS, footed(OPENINGS, rows),
    )  # fmt: skip


def _opening(view: View, one: Account) -> Row | None:
    told = one.balance.reported_closing
    if told is None or one.reported is None or told == one.opened:
        return None
    by_use, by_entries = changed.since_reported(view, one)
    cells: dict[str, Value] = {
        "project": Text(one.award.project), "award": Text(one.award.id), "reported": one.reported,
        "use": by_use, "entries": by_entries,
    }  # fmt: skip
    return Row(
        cells, {"project": one.award.project, "award": one.award.id, "unit": one.award.unit}, tone=WARN
    )


# ---------------------------------------------------------------------------------------------- journal


def _journal(view: View) -> Table | Paragraph:
    rows = tuple(_entries(view))
    if not rows:
        return Paragraph(msg("The journal has no entries in the period."))
    return Table("journal", msg("Journal entries of the period"), JOURNAL, rows)


def _entries(view: View) -> Iterator[Row]:
    shown = _amounts(view)
    for entry in view.dossier.entries:
        if view.whole or (entry.award and view.holds_award(entry.award)):
            yield _entry(view, entry, shown.get(entry))


def _entry(view: View, entry: Entry, hours: Hours | None) -> Row:
    cells: dict[str, Value] = {
        "at": Day(entry.at),
        "posted": Day(entry.posted),
        "number": Text(str(entry.id)),
        "kind": terms.ENTRIES[entry.kind],
        "reason": Text(entry.reason),
        "author": Text(entry.author),
        "approver": Text(entry.approver),
    }
    if entry.award:
        cells |= {"award": Text(entry.award), "unit": terms.UNITS[entry.unit]}
        if hours is not None:
            cells["hours"] = hours
    if entry.subject and (not entry.award or _is_seen(view, entry.subject)):
        cells["subject"] = Text(entry.subject)
    return Row(cells, {"entry": str(entry.id), "kind": entry.kind, "award": entry.award})


def _is_seen(view: View, award: str) -> bool:
    """Whether the other award of a transfer is one of the reader's, too."""
    return view.whole or (award in view.master.awards and view.holds_award(award))


def _amounts(view: View) -> dict[Entry, Hours]:
    """Amounts that add up to what the award's line shows of their kind, where they are all of it."""
    lines = {one.award.id: one for one in view.accounts}
    window = view.dossier.span.window
    found: dict[Entry, Hours] = {}
    granting = [entry for entry in view.dossier.entries if entry.award]
    for (award, kind), group in groupby(sorted(granting, key=_by_kind), key=_by_kind_only):
        entries = list(group)
        inside = [entry for entry in entries if window.start <= entry.at < window.end]
        found |= {entry: rounded(entry.amount) for entry in entries}
        line = lines.get(award)
        if line and sum(entry.amount for entry in inside) == line.balance.granted.get(kind, 0):
            parts = parted([entry.amount for entry in inside], line.moved[kind].hundredths)
            found |= dict(zip(inside, parts, strict=True))
    return found


def _by_kind_only(entry: Entry) -> tuple[str, str]:
    return entry.award, entry.kind


def _by_kind(entry: Entry) -> tuple[str, str, int]:
    return entry.award, entry.kind, entry.id
