"""How the verbs that change master data show what they change."""

from __future__ import annotations

import sys
from datetime import tzinfo
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from collectors.consortium.layout import TO_KEY
from collectors.consortium.writer import field_text
from opsd.core.amounts import exact_text, unit_hours
from opsd.core.changes import NEW, Change, Diff
from opsd.core.period import isoformat
from opsd.core.soundness import shown

MOST = 200  # changes shown one by one; a long list of people is counted
WIDE = 200  # columns where no terminal says how many it has
_COLOURS = {NEW: "green", "changed": "yellow"}


def console() -> Console:
    """Standard output, as wide as its terminal, or wide where it is none."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


def print_diff(diff: Diff, tz: tzinfo, *, dry_run: bool) -> None:
    """A table of what is new and what differs, then the journal entries that follow."""
    out = console()
    if not diff:
        out.print("nothing to change")
        return
    out.print(_table(diff, tz))
    if len(diff.changes) > MOST:
        out.print(f"and {len(diff.changes) - MOST:,} more")
    for entry in diff.entries[:MOST]:
        amount = exact_text(unit_hours(entry.amount))
        sign = "" if entry.amount < 0 else "+"
        line = (
            f"journal: {entry.kind} {entry.award} {sign}{amount} {entry.unit} from {isoformat(entry.at, tz)}"
        )
        out.print(Text(f"{line} ({entry.reason}; {entry.author})"))
    if dry_run:
        out.print("dry run: nothing was written")


def _table(diff: Diff, tz: tzinfo) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "table", "entry", "field", "value"):
        table.add_column(column, overflow="fold")
    for change in diff.changes[:MOST]:
        head = (Text(change.what, _COLOURS[change.what]), Text(change.table), Text(_named(change, tz)))
        for place, (field, before, after) in enumerate(change.fields or (("", None, None),)):
            value = Text(_value(field, after, tz)) if change.what == NEW else _arrow(field, before, after, tz)
            table.add_row(*(head if place == 0 else ("", "", "")), Text(TO_KEY.get(field, field)), value)
    return table


def _named(change: Change, tz: tzinfo) -> str:
    return shown(change.table, change.key, tz) if change.key else ""


def _arrow(field: str, before: Any, after: Any, tz: tzinfo) -> Text:  # noqa: ANN401  # any field's value
    old, new = _value(field, before, tz), _value(field, after, tz)
    return Text.assemble((old, "red"), " → ", (new, "green"))


def _value(field: str, value: Any, tz: tzinfo) -> str:  # noqa: ANN401
    return field_text(field, value, tz) if field and value is not None else "—" if field else ""
