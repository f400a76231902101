"""Closed months, what stands against closing one, and what changed, as rows and as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from fractions import Fraction
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from opsd.cli import draw
from opsd.cli.draw import Cell, Column
from opsd.core import corrections, editions
from opsd.core.amounts import MICRO, exact_text
from opsd.core.dossier import Closing, Concern, Correction, Seconds
from opsd.core.editions import Change
from opsd.core.figures import grouped, largest_remainder
from opsd.core.period import HOUR, isoformat
from opsd.store.editions import Edition

_RESOURCES = tuple(f"{name}_seconds" for name in Seconds._fields)
LIST_COLUMNS = (
    "period", "edition", "closed_at", "author", "approver", "reason", *_RESOURCES,
    *(f"corrected_{name}" for name in _RESOURCES), "journal_entry", "digest", "facts", "master",
    "configuration", "program",
)  # fmt: skip
CHANGE_COLUMNS = (
    "by", "id", *(f"{name}_before" for name in _RESOURCES), *(f"{name}_after" for name in _RESOURCES),
    "charged",
)  # fmt: skip
ITEM_COLUMNS = ("period", "what", "id", "award", "outside", "cluster", *_RESOURCES, "charged")
_SHOWN = 12  # digits of a digest in a table
_MOST = 200


class Listed(NamedTuple):
    """One edition in a list; what was corrected since stands beside the first."""

    edition: Edition
    closing: Closing
    reported: Seconds
    corrected: Seconds


def list_rows(found: Iterable[Listed]) -> list[tuple[object, ...]]:
    """Exact values, for programs."""
    return [
        (
            one.edition.period, one.edition.number, isoformat(one.edition.made_at), one.closing.author,
            one.closing.approver, one.closing.reason, *one.reported, *one.corrected, one.edition.journal_id,
            one.edition.digest,
            *(one.edition.digests.get(name, "") for name in ("facts", "master", "configuration", "program")),
        )
        for one in found
    ]  # fmt: skip


def list_table(found: Sequence[Listed], tz: tzinfo) -> draw.Drawn:
    """Closed months, one line per edition."""
    columns = [
        Column("period"), Column("edition", numeric=True), Column("closed at"), Column("by", least=6),
        Column("GPU-h", numeric=True), Column("node-h", numeric=True, rank=1),
        Column("corrected GPU-h", numeric=True), Column("digest", rank=2),
    ]  # fmt: skip
    rows: list[Sequence[Cell]] = [
        (
            one.edition.period, one.edition.number, isoformat(one.edition.made_at, tz), _people(one.closing),
            _hours(one.reported.gpu), _hours(one.reported.node), _hours(one.corrected.gpu),
            one.edition.digest[:_SHOWN],
        )
        for one in found
    ]  # fmt: skip
    return draw.table("Closed months", columns, rows, caption="--format csv has seconds and whole digests")


def _people(closing: Closing) -> str:
    return f"{closing.author}, {closing.approver}" if closing.approver else closing.author


def _hours(seconds: int) -> str:
    (hundredths,) = largest_remainder([seconds * 100], HOUR)
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{grouped(abs(hundredths) // 100)}.{abs(hundredths) % 100:02}"


def concern_table(found: Sequence[Concern], missing: Sequence[Concern]) -> Table:
    """What stands against a close, every word of it."""
    open_ = {concern.name for concern in missing}
    table = Table(box=None, pad_edge=False, header_style="bold", title="What stands against closing",
                  title_justify="left", title_style="bold")  # fmt: skip
    for column in ("concern", "state", "what it is"):
        table.add_column(column, overflow="fold")
    for concern in found:
        state = Text("open", draw.NEAR) if concern.name in open_ else Text("acknowledged")
        table.add_row(Text(concern.name), state, Text(concern.text))
    return table


def item_rows(found: Iterable[Correction]) -> list[tuple[object, ...]]:
    """Every item of corrections; charges are exact unit-seconds."""
    return [
        (
            correction.period, item.what, item.id, item.award, item.outside, item.cluster, *item.seconds,
            exact_text(Fraction(item.charged, MICRO)),
        )
        for correction in found
        for item in correction.items
    ]  # fmt: skip


def correction_table(found: Sequence[Correction]) -> draw.Drawn:
    """What changed in closed months, a line per item."""
    items = [(correction.period, item) for correction in found for item in correction.items]
    rows: list[Sequence[Cell]] = [
        (
            period, item.what, item.id, f"{item.award or 'unattributed'} {item.outside}".rstrip(),
            _hours(item.seconds.gpu), _hours(item.seconds.node),
            _hours(Fraction(item.charged, MICRO).__floor__()),
        )
        for period, item in items[:_MOST]
    ]  # fmt: skip
    whole = corrections.total(item.seconds for _, item in items)
    columns = [
        Column("period"), Column("what"), Column("changed", least=8), Column("award", least=8),
        Column("GPU-h", numeric=True), Column("node-h", numeric=True), Column("charge", numeric=True, rank=1),
    ]  # fmt: skip
    total = ("total", None, None, None, _hours(whole.gpu), _hours(whole.node), None)
    more = f"and {len(items) - _MOST:,} more: --format csv has all" if len(items) > _MOST else ""
    title = "Corrections of closed months, now minus then"
    return draw.table(title, columns, rows, total=total if rows else None, caption=more)


def change_rows(found: Iterable[Change]) -> list[tuple[object, ...]]:
    """Every change, exact."""
    return [
        (one.by, one.id, *one.before, *one.after, exact_text(Fraction(one.charged, MICRO))) for one in found
    ]


def change_table(found: Sequence[Change], title: str) -> draw.Drawn:
    """What differs, from the whole down to runs."""
    order = {name: place for place, name in enumerate(editions.KINDS)}
    ordered = sorted(found, key=lambda one: (order[one.by], one.id))
    rows: list[Sequence[Cell]] = [
        (
            one.by, one.id, _hours(one.before.gpu), _hours(one.after.gpu), _hours(one.difference.gpu),
            _hours(one.difference.node),
        )
        for one in ordered[:_MOST]
    ]  # fmt: skip
    columns = [
        Column("by"), Column("", least=8), Column("GPU-h before", numeric=True),
        Column("after", numeric=True), Column("difference", numeric=True),
        Column("node-h difference", numeric=True, rank=1),
    ]  # fmt: skip
    more = f"and {len(ordered) - _MOST:,} more: --format csv has all" if len(ordered) > _MOST else ""
    return draw.table(title, columns, rows, caption=more)
