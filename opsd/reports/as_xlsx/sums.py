"""What a table's sums and row formulas are in a workbook.

Invariant: a formula is written only where every cell it counts with is a number or empty; it then gives
what the table shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from opsd.core.statement.table import SUBTOTAL, TOTAL, Formula, Less, OfTotal, Per, Plus, Row
from opsd.reports.as_xlsx.cells import Cell
from opsd.reports.locale import NOTHING

_MOST_ARGUMENTS = 200  # Excel takes 255

At = Callable[[int, str], str]  # the cell of a row and a column's id: `D5`


def summed_by(rows: Sequence[Row]) -> list[list[int]]:
    """For each row the rows that it sums by itself: those below a subtotal, all outermost of a total."""
    found: list[list[int]] = [[] for _ in rows]
    outermost: list[int] = []
    open_sums: list[int] = []
    for at, row in enumerate(rows):
        if row.role == TOTAL:
            found[at], outermost, open_sums = outermost, [], []
            continue
        while open_sums and rows[open_sums[-1]].depth >= row.depth:
            open_sums.pop()
        if row.summed:
            (found[open_sums[-1]] if open_sums else outermost).append(at)
        if row.role == SUBTOTAL:
            open_sums.append(at)
    return found


def sum_of(members: Sequence[int], column: str, at: At) -> str:
    """`=SUM(D6:D9,D12)`."""
    areas = [
        at(first, column) if first == last else f"{at(first, column)}:{at(last, column)}"
        for first, last in _runs(members)
    ]
    while len(areas) > _MOST_ARGUMENTS:
        areas = [
            f"SUM({','.join(areas[first : first + _MOST_ARGUMENTS])})"
            for first in range(0, len(areas), _MOST_ARGUMENTS)
        ]
    return f"=SUM({','.join(areas)})"


def _runs(members: Sequence[int]) -> Iterator[tuple[int, int]]:
    ends = [at for at, (here, there) in enumerate(pairwise(members)) if there != here + 1]
    for first, last in zip([0, *(end + 1 for end in ends)], [*ends, len(members) - 1], strict=True):
        yield members[first], members[last]


def row_formula(
    formula: Formula, row: int, last: int, held: Mapping[str, Cell], total: Mapping[str, Cell], at: At
) -> str:
    """A column's formula in a row; empty where it could not give the value that stands there.

    Args:
        last: the table's last row, whose cells are `total`.
    """
    match formula:
        case Less(columns):
            return _chained("-", columns, row, held, at)
        case Plus(columns):
            return _chained("+", columns, row, held, at)
        case Per(part, whole):
            return _quotient(at(row, part), at(row, whole), held.get(part), held.get(whole))
        case OfTotal(column):
            return _quotient(at(row, column), at(last, column), held.get(column), total.get(column))


def _chained(sign: str, columns: Sequence[str], row: int, held: Mapping[str, Cell], at: At) -> str:
    cells = [held.get(column) for column in columns]
    if not all(found is None or found.numeric for found in cells):
        return ""
    return "=" + sign.join(at(row, column) for column in columns)


def _quotient(part: str, whole: str, over: Cell | None, under: Cell | None) -> str:
    if over is None or under is None or not over.numeric or not under.numeric:
        return ""
    return f'=IF({whole}=0,"{NOTHING}",{part}/{whole})'
