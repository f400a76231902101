"""What stands on the pages, in a language and in order, without any layout: a tree that JSON can hold.

Invariant: every word is a message of the catalogues or somebody's own text, every number the locale's text
of a value of the statement; nothing is computed here but the round numbers of a chart's axis.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from opsd.core.statement import standing
from opsd.core.statement.table import PLAIN, STACKS, Chart, Facts, Paragraph, Section, Table
from opsd.core.statement.words import (
    Amount,
    Code,
    Count,
    Hours,
    Moment,
    Month,
    Msg,
    Number,
    Ratio,
    Share,
    Text,
    Value,
    msg,
)
from opsd.reports.as_pdf import axis

if TYPE_CHECKING:
    from opsd.core.statement.build import Statement
    from opsd.core.statement.table import Block, Column, Row
    from opsd.reports.locale import Locale

Tree = dict[str, Any]
COVER, PERIOD, SIGNATURES = "cover", "period", "signatures"
_IN_TITLE = ("consortium", "period", "scope")
PAGE, PAGES = "\x01", "\x02"  # where the typesetter puts the numbers
_NUMBERS = (Hours, Count, Share, Ratio, Number, Amount)
_SPACE = re.compile(r"[\t\n\r\v\f]+")
_DIGITS = 12  # of a digest, in the footer
_MICRO = 10**6


def of(statement: Statement, locale: Locale) -> Tree:
    """Everything that is printed."""
    return _Writer(statement, locale).document()


class _Writer:
    """One statement in one language."""

    def __init__(self, statement: Statement, locale: Locale) -> None:
        self.statement = statement
        self.dossier = statement.dossier
        self.locale = locale

    def document(self) -> Tree:
        cover = next((one for one in self.statement.sections if one.id == COVER), None)
        sections = [self._section(one) for one in self.statement.sections if one.id != COVER]
        title = self._word(cover.title) if cover else self._word(msg("Usage report"))
        consortium = self._text(Text(self.dossier.consortium))
        period = self._text(Month(self.dossier.span.text))
        return {
            "lang": self.locale.tag.partition("-")[0],
            "region": self.locale.tag.partition("-")[2],
            "about": " · ".join(part for part in (consortium, title, period, self._scope()) if part),
            "author": consortium,
            "consortium": consortium,
            "title": title,
            "period": period,
            "scope": self._scope(),
            "edition": self._edition(),
            "mark": self._mark(),
            "page": self._page(),
            "contents": self._word(msg("Contents")),
            "cover": [self._block(_untold(one)) for one in cover.blocks if not _signatures(one)]
            if cover
            else [],
            "signing": self._signing(cover),
            "sections": sections,
            "legend": {tone: self._word(word) for tone, word in _TONES.items()},
            "numbers_for_characters": self._word(_NUMBERS_FOR_CHARACTERS),
        }

    # -- around the pages ----------------------------------------------------------------------------

    def _scope(self) -> str:
        """Whose part it is, in the cover's own words."""
        if not self.statement.scope:
            return ""
        cover = [block for one in self.statement.sections if one.id == COVER for block in one.blocks]
        facts = [
            one for block in cover if isinstance(block, Facts) and block.id == PERIOD for one in block.facts
        ]
        said = next((value for name, _, value in facts if name == "scope"), None)
        return self._text(said or msg("Part: {scope}", scope=Text(self.statement.scope)))

    def _edition(self) -> list[str]:
        """What stands in every footer; a page alone tells which edition it is of."""
        closing, facts = self.dossier.closing, self.dossier.digests.facts[:_DIGITS]
        as_of = self._word(msg("as of {moment}", moment=Moment(self.dossier.as_of)))
        edition = self._word(msg("Edition {number}", number=Text(str(closing.edition)))) if closing else as_of
        return [edition, self._word(msg("facts {digest}", digest=Text(facts))) if facts else ""]

    def _mark(self) -> str:
        if self.dossier.provisional:
            return self._word(msg("Provisional: the period is not over"))
        if self.dossier.closing:
            return ""
        before = standing.reported_before(self.dossier) is not None
        return self._word(msg("As now known") if before else msg("Not closed"))

    def _page(self) -> list[str | int]:
        """The words around the two numbers, whichever comes first: `Page `, 1, ` of `, 2."""
        shown = self.locale.word(msg("Page {page} of {pages}", page=Text(PAGE), pages=Text(PAGES)))
        numbers: dict[str, str | int] = {PAGE: 1, PAGES: 2}
        return [numbers.get(piece, piece) for piece in re.split(f"([{PAGE}{PAGES}])", shown) if piece]

    def _signing(self, cover: Section | None) -> Tree:
        """The cover's signatures, by twos: who, and what to write on the line beside the name."""
        found = next((block for block in (cover.blocks if cover else ()) if _signatures(block)), None)
        if not isinstance(found, Facts) or found.title is None:
            return {"title": "", "rows": []}
        rows = [
            [self._word(role), self._text(name), self._word(line)]
            for (_, role, name), (_, line, _) in zip(found.facts[::2], found.facts[1::2], strict=True)
        ]
        return {"title": self._word(found.title), "rows": rows}

    # -- sections and blocks -------------------------------------------------------------------------

    def _section(self, section: Section) -> Tree:
        return {
            "id": section.id,
            "title": self._word(section.title),
            "blocks": [self._block(block) for block in section.blocks if _is_printed(block)],
        }

    def _block(self, block: Block) -> Tree:
        match block:
            case Table():
                return self._table(block)
            case Facts():
                return self._facts(block)
            case Paragraph():
                return {"kind": "paragraph", "text": self._word(block.text), "tone": block.tone}
            case Chart():
                return self._chart(block)

    def _facts(self, block: Facts) -> Tree:
        return {
            "kind": "facts",
            "title": self._word(block.title) if block.title else "",
            "facts": [
                {"label": self._word(label), "value": self._text(value), "code": isinstance(value, Code)}
                for _, label, value in block.facts
            ],
        }

    def _table(self, block: Table) -> Tree:
        return {
            "kind": "table",
            "title": self._word(block.title),
            "columns": [self._column(column, block.rows) for column in block.columns],
            "rows": [self._row(row, block.columns) for row in block.rows],
            "marked": any(row.tone != PLAIN for row in block.rows),
            "notes": [self._word(note) for note in block.notes],
            "empty": self._word(block.empty or msg("Nothing to show.")),
            "left_out": self._word(msg("In the workbook and the data files, not on paper:")),
        }

    def _column(self, column: Column, rows: tuple[Row, ...]) -> Tree:
        values = [row.cells[column.id] for row in rows if column.id in row.cells]
        return {
            "label": self._word(column.label),
            "right": column.sums or bool(column.formula) or any(isinstance(one, _NUMBERS) for one in values),
            "code": bool(values) and all(isinstance(value, Code) for value in values),
            "wide": column.wide,
            "wanted": column.wanted,
        }

    def _row(self, row: Row, columns: tuple[Column, ...]) -> Tree:
        return {
            "role": row.role,
            "depth": row.depth,
            "tone": row.tone,
            "cells": [self._text(row.cells[one.id]) if one.id in row.cells else "" for one in columns],
        }

    # -- charts --------------------------------------------------------------------------------------

    def _chart(self, block: Chart) -> Tree:
        sizes = [[_size(value) for value in series.values] for series in block.series]
        ends = [sum(column) for column in _columns(sizes)] if block.kind == STACKS else _flat(sizes)
        first = next((value for series in block.series for value in series.values), Count(0))
        return {
            "kind": "chart",
            "style": block.kind,
            "title": self._word(block.title),
            "unit": self._word(block.unit),
            "categories": [self._text(value) for value in block.categories],
            "series": [
                {
                    "label": self._text(series.label),
                    "sizes": [None if size is None else float(size) for size in row],
                    "texts": [self._text(value) for value in series.values],
                }
                for series, row in zip(block.series, sizes, strict=True)
            ],
            "ticks": [[float(at), self._text(_tick(first, at))] for at in axis.ticks(ends)],
        }

    # -- texts ---------------------------------------------------------------------------------------

    def _text(self, value: Value) -> str:
        return _SPACE.sub(" ", self.locale.text(value))

    def _word(self, message: Msg) -> str:
        return _SPACE.sub(" ", self.locale.word(message))


_TONES = {"good": msg("good"), "warn": msg("to be looked at"), "bad": msg("needs action")}
_NUMBERS_FOR_CHARACTERS = msg(
    "Some names hold characters that the typefaces of this document do not have. Each stands here as its "
    "Unicode number, as in {example}; the data files hold the characters themselves.",
    example=Text("[U+6F22]"),
)


def _untold(block: Block) -> Block:
    """The cover's facts without those that its title says in large letters."""
    if not isinstance(block, Facts) or block.id != PERIOD:
        return block
    return replace(block, facts=tuple(one for one in block.facts if one[0] not in _IN_TITLE))


def _signatures(block: Block) -> bool:
    return isinstance(block, Facts) and block.id == SIGNATURES


def _is_printed(block: Block) -> bool:
    """Whether it is more than a list for machines."""
    return not isinstance(block, Table) or block.wanted == 1


def _size(value: Value) -> Fraction | None:
    """How long a bar is."""
    match value:
        case Hours(hundredths, _):
            return Fraction(hundredths, 100)
        case Count(number):
            return Fraction(number)
        case Share(part) | Ratio(part):
            return part
        case Number(exact, _):
            return exact
        case Amount(micro, _):
            return Fraction(micro, _MICRO)
        case _:
            raise TypeError(f"no length of {type(value).__name__} in a chart")


def _tick(like: Value, at: Fraction) -> Value:
    """A round number on the axis of values like this one."""
    if isinstance(like, Share):
        return Share(at)
    return Count(int(at)) if at.denominator == 1 else Number(at, 3 if (at * 100).denominator > 1 else 2)


def _columns(sizes: list[list[Fraction | None]]) -> list[list[Fraction]]:
    return [[size or Fraction() for size in column] for column in zip(*sizes, strict=True)]


def _flat(sizes: list[list[Fraction | None]]) -> list[Fraction]:
    return [size for row in sizes for size in row if size is not None]
