"""Whether a table foots in what it shows: told from its columns and rows alone, whatever wrote them.

It takes shown numbers, so that files can be checked with it, too: a workbook's cells, a page's texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from opsd.core.statement.table import LEAF, SUBTOTAL, TOTAL, Column, Less, OfTotal, Per, Plus, Row, Table
from opsd.core.statement.words import Amount, Count, Hours, Number, Ratio, Share, Value

Numbers = Sequence[Mapping[str, Fraction]]  # of each row, by column, as shown


def number(value: Value) -> Fraction | None:
    """The number that a value shows; None: it is none."""
    match value:
        case Hours(hundredths, _):
            return Fraction(hundredths, 100)
        case Count(whole):
            return Fraction(whole)
        case Number(exact, _) | Share(Fraction() as exact) | Ratio(Fraction() as exact):
            return exact
        case Amount(micro, _):
            return Fraction(micro, 10**6)
    return None


def numbers(table: Table) -> Numbers:
    """What a table shows by itself."""
    found = []
    for row in table.rows:
        cells = {name: number(value) for name, value in row.cells.items()}
        found.append({name: value for name, value in cells.items() if value is not None})
    return found


def faults(table: Table, shown: Numbers | None = None) -> Iterator[str]:
    """What does not foot, in words; nothing where everything does.

    Args:
        shown: the numbers that a file shows of these rows; else the table's own.
    """
    read = numbers(table) if shown is None else shown
    yield from _shape(table)
    for at, row in enumerate(table.rows):
        if row.role in (SUBTOTAL, TOTAL):
            below = [one for one in _below(table.rows, at) if _counts(table.rows[one])]
            for column in table.columns:
                if column.sums:
                    yield from _sum(table, read, at, below, column)
        for column in table.columns:
            yield from _formula(table, read, at, column)


def _shape(table: Table) -> Iterator[str]:
    ids = [column.id for column in table.columns]
    if len(set(ids)) != len(ids):
        yield f"{table.id}: two columns of one id: {ids}"
    for at, row in enumerate(table.rows):
        if row.role == TOTAL and at != len(table.rows) - 1:
            yield f"{table.id}: the total is not the last row"
        if row.role == SUBTOTAL and not _below(table.rows, at):
            yield f"{table.id}: row {at} is a subtotal of nothing"


def _below(rows: Sequence[Row], at: int) -> list[int]:
    if rows[at].role == TOTAL:
        return list(range(at))
    found = []
    for below in range(at + 1, len(rows)):
        if rows[below].depth <= rows[at].depth:
            break
        found.append(below)
    return found


def _counts(row: Row) -> bool:
    return row.role == LEAF and row.summed


def _sum(table: Table, read: Numbers, at: int, below: Sequence[int], column: Column) -> Iterator[str]:
    parts = [read[one][column.id] for one in below if column.id in read[one]]
    known = read[at].get(column.id)
    if parts and (known is None or known != sum(parts)):
        yield f"{table.id}: {column.id} of row {at} is {known}, not {sum(parts)}"
    if not parts and known:
        yield f"{table.id}: {column.id} of row {at} is {known}, of nothing"


def _formula(table: Table, read: Numbers, at: int, column: Column) -> Iterator[str]:
    cells, total = read[at], read[-1]
    expected: Fraction | None = None
    match column.formula:
        case None:
            return
        case Less((first, *others)):
            if first in cells:
                expected = cells[first] - sum(cells.get(name, Fraction(0)) for name in others)
        case Plus(names):
            parts = [cells[name] for name in names if name in cells]
            expected = sum(parts, Fraction(0)) if parts else None
        case Per(part, whole, _):
            if part in cells and cells.get(whole):
                expected = cells[part] / cells[whole]
        case OfTotal(name):
            if name in cells and total.get(name):
                expected = cells[name] / total[name]
    if cells.get(column.id) != expected:
        yield f"{table.id}: {column.id} of row {at} is {cells.get(column.id)}, not {expected}"
