"""Figures that need a word beside them: a year that begins late, a share of one column."""

from __future__ import annotations

from opsd.core.statement.build import build
from opsd.core.statement.table import OfTotal, Paragraph, Table
from opsd.core.statement.words import Month, msg
from tests.fakes.agreements import award, dossier, line, past

SAID = "No use is on record before {month}: figures of the year begin there."


def told(*months: str) -> list[object]:
    """The months that the cover names."""
    held = dossier(
        award("one"), lines=(line("one", 7),), year=tuple(past(month, "one", 7) for month in months)
    )
    found = next(section for section in build(held).sections if section.id == "cover")
    texts = [block.text for block in found.blocks if isinstance(block, Paragraph)]
    return [dict(text.values)["month"] for text in texts if text.id == SAID]


def test_the_cover_says_where_the_year_begins() -> None:
    """A year of which January is on record needs no word."""
    assert [Month("2026-08")] == told("2026-09", "2026-08", "2026-10")
    assert [] == told("2026-01", "2026-10")
    assert [] == told()


def test_a_share_says_of_what_it_is() -> None:
    """Beside CPU-hours stands the share of GPU-hours alone: a column that divides by a total names it."""
    held = dossier(award("one"), lines=(line("one", 7),))
    tables = [
        block for section in build(held).sections for block in section.blocks if isinstance(block, Table)
    ]
    told = {
        column.label for table in tables for column in table.columns if isinstance(column.formula, OfTotal)
    }
    assert {msg("Share of GPU-hours")} == told
