"""Fills the sums and formulas of a table's rows in, so that a section cannot write one that does not foot.

Invariant: a subtotal is the sum of the leaves below it, the total of all leaves, each as shown; a formula
is computed from what is shown in the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from opsd.core.statement.rounding import PER_HOUR
from opsd.core.statement.table import LEAF, SUBTOTAL, TOTAL, Column, Less, OfTotal, Per, Plus, Row
from opsd.core.statement.words import Amount, Count, Hours, Number, Ratio, Share, Value

Cells = Mapping[str, Value]


def footed(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with every sum and formula; a table of leaves alone needs no total."""
    done = [_summed(columns, rows, at) for at in range(len(rows))]
    total = done[-1].cells if done and done[-1].role == TOTAL else {}
    return tuple(replace(row, cells=computed(columns, row.cells, total)) for row in done)


def computed(columns: Sequence[Column], cells: Cells, total: Cells) -> Cells:
    """The cells of a row with its formulas."""
    found = dict(cells)
    for column in columns:
        value = _computed(column, found, total or found)
        if value is not None:
            found[column.id] = value
    return found


def add(values: Iterable[Value]) -> Value | None:
    """Values of one kind added up, as shown and exactly; None: there are none."""
    whole: Value | None = None
    for value in values:
        whole = value if whole is None else _add(whole, value)
    return whole


def shown(value: Value) -> Fraction:
    """The number that a value shows, but for percentages' and ratios' own rounding.

    Raises:
        TypeError: it is no number.
    """
    match value:
        case Hours(hundredths, _):
            return Fraction(hundredths, PER_HOUR)
        case Count(number):
            return Fraction(number)
        case Number(exact, _):
            return exact
        case Amount(micro, _):
            return Fraction(micro, 10**6)
    raise TypeError(f"no number to add or divide: {value!r}")


def _summed(columns: Sequence[Column], rows: Sequence[Row], at: int) -> Row:
    row = rows[at]
    if row.role not in (SUBTOTAL, TOTAL):
        return row
    below = [found for found in _below(rows, at) if found.role == LEAF and found.summed]
    cells = dict(row.cells)
    for column in columns:
        if column.sums:
            value = add(found.cells[column.id] for found in below if column.id in found.cells)
            if value is not None:
                cells[column.id] = value
    return replace(row, cells=cells)


def _below(rows: Sequence[Row], at: int) -> Iterable[Row]:
    if rows[at].role == TOTAL:
        yield from rows[:at]
        return
    for row in rows[at + 1 :]:
        if row.depth <= rows[at].depth:
            return
        yield row


def _computed(column: Column, cells: Cells, total: Cells) -> Value | None:
    match column.formula:
        case Less((first, *others)):
            parts = [cells[name] for name in others if name in cells]
            return _add(cells[first], *map(_negative, parts)) if first in cells else None
        case Plus(names):
            return add(cells[name] for name in names if name in cells)
        case Per(part, whole, ratio):
            value = _divided(cells, part, cells, whole)
            return None if part not in cells else Ratio(value) if ratio else Share(value)
        case OfTotal(name):
            return Share(_divided(cells, name, total, name)) if name in cells else None
    return None


def _divided(cells: Cells, part: str, of: Cells, whole: str) -> Fraction | None:
    if part not in cells or whole not in of or not shown(of[whole]):
        return None
    return shown(cells[part]) / shown(of[whole])


def _negative(value: Value) -> Value:
    match value:
        case Hours(hundredths, exact):
            return Hours(-hundredths, -exact)
        case Count(number):
            return Count(-number)
        case Number(exact, decimals):
            return Number(-exact, decimals)
        case Amount(micro, currency):
            return Amount(-micro, currency)
    raise TypeError(f"no number to subtract: {value!r}")


def _add(first: Value, *others: Value) -> Value:
    whole = first
    for value in others:
        match whole, value:
            case Hours(a, exact), Hours(b, more):
                whole = Hours(a + b, exact + more)
            case Count(a), Count(b):
                whole = Count(a + b)
            case Number(a, decimals), Number(b, digits):
                whole = Number(a + b, max(decimals, digits))
            case Amount(a, currency), Amount(b, other) if currency == other:
                whole = Amount(a + b, currency)
            case _:
                raise TypeError(f"values that cannot be added: {whole!r} and {value!r}")
    return whole
