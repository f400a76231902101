"""What a statement is made of: sections of tables, charts, facts and paragraphs, in no format yet.

Invariant: every sum in a table is the sum of what is shown in it, and says so by its formula, so that a
workbook can say it, too. Renderers know these shapes and no section; sections know no format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from opsd.core.statement.words import Msg, Value

PLAIN, GOOD, WARN, BAD = "plain", "good", "warn", "bad"  # tones


class Less(NamedTuple):
    """The first column of the row minus the others: left = granted - settled - accrued."""

    columns: tuple[str, ...]


class Plus(NamedTuple):
    """The sum of columns of the row."""

    columns: tuple[str, ...]


class Per(NamedTuple):
    """One column of the row divided by another; nothing where that is 0. A percentage, or a plain `ratio`."""

    part: str
    whole: str
    ratio: bool = False


class OfTotal(NamedTuple):
    """A column of the row divided by the same column of the table's last row."""

    column: str


Formula = Less | Plus | Per | OfTotal


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `sums`: subtotals and totals of it are the sums of the rows below them."""

    id: str  # snake_case, stable: the key in JSON and the header of CSV
    label: Msg
    sums: bool = False
    formula: Formula | None = None  # of every row, totals included
    wide: bool = False  # may be long text: takes what width is left
    wanted: int = 1  # 1: always printed; 2: left out where paper is narrow (CSV, JSON, XLSX have it)


LEAF, SUBTOTAL, TOTAL = "leaf", "subtotal", "total"


@dataclass(frozen=True, slots=True)
class Row:
    """One line. A subtotal stands above the rows of greater depth that it sums; the total is the last row.

    `cells` are keyed by column id; an absent cell is empty. `keys` say what the row is about, in words for
    programs (pool, country, organisation, project, award, month, …).
    """

    cells: Mapping[str, Value]
    keys: Mapping[str, str]
    role: str = LEAF
    depth: int = 0
    tone: str = PLAIN
    summed: bool = True  # False: shown beside the sums, in none of them


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns."""

    id: str
    title: Msg
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[Msg, ...] = ()
    empty: Msg | None = None  # what is said instead of a table without rows
    wanted: int = 1  # 1: always printed; 2: a list for machines, left out on paper


@dataclass(frozen=True, slots=True)
class Facts:
    """Labels and values, one under the other: (stable id, label, value)."""

    id: str
    title: Msg | None
    facts: tuple[tuple[str, Msg, Value], ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph; a warning stands out."""

    text: Msg
    tone: str = PLAIN


BARS, STACKS, COLUMNS = "bars", "stacks", "columns"


class Series(NamedTuple):
    """One series of a chart: a value for each category."""

    label: Value
    values: tuple[Value, ...]  # Hours, Share, Count or Number


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture of numbers that stand in a table of the same section; legible without colours.

    `bars`: a horizontal bar per category and series; `stacks`: horizontal, series on end; `columns`:
    vertical, for months.
    """

    id: str
    kind: str
    title: Msg
    categories: tuple[Value, ...]
    series: tuple[Series, ...]
    unit: Msg


Block = Table | Facts | Paragraph | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """One numbered part of a statement."""

    id: str
    title: Msg
    blocks: tuple[Block, ...]
