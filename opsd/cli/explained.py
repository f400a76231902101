"""An explanation on a terminal, and as JSON.

Invariant: both show the same values; the terminal leaves columns out rather than cut a figure, and says so.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, tzinfo
from fractions import Fraction
from typing import TYPE_CHECKING

from opsd.core.amounts import exact_text
from opsd.core.explanation import EXACT, NUMBER, TIME, Column, Explanation, Table, Value
from opsd.core.fields import ALWAYS
from opsd.core.period import isoformat, zone_name

if TYPE_CHECKING:
    from opsd.cli import draw

# Which columns give way first where there is no room for all; those without a rank stay.
_ORDER = (
    "nodes", "tres", "notes", "versions", "limit_seconds", "reading", "reservation", "open", "submit",
    "cluster", "pays", "funder", "pool", "organisation", "state", "author", "posted", "finished", "project",
    "qos", "partition", "account", "end", "start", "node_class", "to", "from", "suspended_rate", "user",
)  # fmt: skip
_RANKS = {name: rank for rank, name in enumerate(_ORDER)}


def as_json(found: Explanation, tz: tzinfo) -> None:
    """One object; times with their offset, exact numbers as text."""
    document = {
        "of": found.of,
        "asked": {name: _plain(value) for name, value in found.asked.items()},
        "figure": {name: _plain(value) for name, value in found.figure.items()},
        "facts": dict(found.facts),
        "tables": {table.name: _object(table, tz) for table in found.tables},
        "needs_eyes": list(found.eyes),
    }
    json.dump(document, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


def _object(table: Table, tz: tzinfo) -> dict[str, object]:
    names = [column.name for column in table.columns]
    kinds = [column.kind for column in table.columns]
    rows = [
        {name: _json(value, kind, tz) for name, kind, value in zip(names, kinds, row, strict=True)}
        for row in table.rows
    ]
    adds = {"adds": table.adds, "total": _plain(table.total)} if table.adds else {}
    return {"title": table.title, "rows": rows, **adds, "notes": list(table.notes)}


def _json(value: Value, kind: str, tz: tzinfo) -> Value:
    if kind == TIME and isinstance(value, int):
        return isoformat(value, tz)
    return exact_text(Fraction(value)) if kind == EXACT and isinstance(value, int) else _plain(value)


def _plain(value: Value) -> Value:
    return exact_text(value) if isinstance(value, Fraction) else value


def as_tables(found: Explanation, tz: tzinfo) -> None:
    """The figure, its tables, and what one must know about them."""
    from rich.padding import Padding
    from rich.text import Text

    from opsd.cli import draw

    console = draw.console()
    asked = ", ".join(f"{name} {value}" for name, value in found.asked.items())
    console.print(Text(f"{found.of}: {asked}", draw.TITLE))
    for name, value in found.figure.items():
        shown = _apart(value) if isinstance(value, str) else _shown(value, NUMBER, tz)
        console.print(Text.assemble("  ", (f"{name} = ", ""), (shown, "bold")))
    for table in found.tables:
        console.print()
        console.print(_drawn(table, tz) if table.rows else Text(f"{table.title}: none", draw.QUIET))
    if found.facts:
        console.print()
    for name, text in found.facts.items():
        console.print(Padding(Text.assemble((f"{name}: ", "bold"), text), (0, 0, 0, 2), expand=False))
    for text in found.eyes:
        console.print(Text(f"! {text}", draw.OVER))


def _drawn(table: Table, tz: tzinfo) -> draw.Drawn:
    from opsd.cli import draw

    kept = [place for place, column in enumerate(table.columns) if _says(table, place, column)]
    columns = [table.columns[place] for place in kept]
    ranks = [None if column.name == table.adds else _RANKS.get(column.name) for column in columns]
    heads = [
        draw.Column(column.name.replace("_", " "), numeric=column.kind in (NUMBER, EXACT), rank=rank)
        for column, rank in zip(columns, ranks, strict=True)
    ]
    rows = [[_shown(row[place], table.columns[place].kind, tz) for place in kept] for row in table.rows]
    total = None
    if table.adds and len(table.rows) > 1:
        total = [_shown(table.total, NUMBER, tz) if column.name == table.adds else "" for column in columns]
        total[ranks.index(None)] = "total"  # in the first column that is always there
    zone = f" ({zone_name(tz)})" if any(column.kind == TIME for column in columns) else ""
    caption = "\n".join(table.notes)
    return draw.table(f"{table.title}{zone}", heads, rows, total=total, caption=caption, all_in="json")


def _says(table: Table, place: int, column: Column) -> bool:
    """Whether a column says anything: one that is empty, or no more than `no` throughout, takes no room."""
    return column.name == table.adds or any(row[place] not in (None, "", False) for row in table.rows)


def _shown(value: Value, kind: str, tz: tzinfo) -> str:
    from opsd.core.figures import grouped

    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if kind == TIME and value == ALWAYS:
        return "always"
    if kind == TIME and isinstance(value, int):
        return datetime.fromtimestamp(value, UTC).astimezone(tz).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, Fraction):
        return grouped(value.numerator) if value.denominator == 1 else exact_text(value)
    return grouped(value) if isinstance(value, int) else value


def _apart(text: str) -> str:
    """An exact decimal with its thousands apart; any other word as it is."""
    from opsd.core.figures import grouped

    sign, digits = ("−", text[1:]) if text.startswith("-") else ("", text)  # noqa: RUF001 (as grouped)
    whole, point, rest = digits.partition(".")
    return f"{sign}{grouped(int(whole))}{point}{rest}" if whole.isdecimal() else text
