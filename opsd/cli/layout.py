"""How wide the columns of a table are where there is less room than they want.

Invariant: numbers give way last. First texts that take any spare room give it back, then bars shrink,
then they go; then long column titles, then texts that allow it, then any text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

GAP = 2
SHORTEST = 4
SHORTEST_BAR = 6
BAR, TEXT, NUMBER = "bar", "text", "number"


class Need(NamedTuple):
    """What one column wants: for its title, for its cells, and how little it can do with."""

    kind: str
    title: int
    cells: int
    least: int | None = None
    soft: bool = False  # takes spare room, so gives way first

    @property
    def natural(self) -> int:
        """The width at which nothing is cut."""
        return max(self.title, self.cells, self.least or 0)


Floor = Callable[[Need], int | None]  # down to here; None: leave it alone

STAGES: tuple[Floor, ...] = (
    lambda need: (need.least or SHORTEST) if need.soft and need.kind == TEXT else None,
    lambda need: (need.least or SHORTEST_BAR) if need.kind == BAR else None,
    lambda need: 0 if need.kind == BAR else None,
    lambda need: max(need.cells, SHORTEST) if need.kind == NUMBER else None,
    lambda need: need.least if need.kind == TEXT else None,
    lambda need: SHORTEST if need.kind == TEXT else None,
    lambda need: SHORTEST if need.kind == NUMBER else None,
)


def widths(needs: Sequence[Need], room: int) -> list[int]:
    """The width of each column, 0 for one that is left out; with gaps at most `room` if it can be."""
    found = [need.natural for need in needs]
    for floor in STAGES:
        _shrink(found, [floor(need) for need in needs], room)
    return found


def widths_whole(
    needs: Sequence[Need], ranks: Sequence[int | None], room: int
) -> tuple[list[int], list[int]]:
    """Widths at which nothing is cut: columns that have a rank are left out, the lowest first, until all fit.

    Returns:
        The width of each column, and the places of those left out, in that order.
    """
    going = sorted((rank, place) for place, rank in enumerate(ranks) if rank is not None)
    dropped: list[int] = []
    while True:
        kept = [place for place in range(len(needs)) if place not in dropped]
        shown = dict(zip(kept, widths([needs[place] for place in kept], room), strict=True))
        if len(dropped) == len(going) or not any(_cut(needs[place], shown[place]) for place in kept):
            return [shown.get(place, 0) for place in range(len(needs))], dropped
        dropped.append(going[len(dropped)][1])


def _cut(need: Need, width: int) -> bool:
    return need.kind != BAR and width < need.natural


def _shrink(found: list[int], floors: Sequence[int | None], room: int) -> None:
    """Take from the widest that may give, until all fit or none can give any more."""
    while taken(found) > room:
        giving = [at for at, floor in enumerate(floors) if floor is not None and found[at] > floor]
        if not giving:
            return
        widest = max(giving, key=lambda at: found[at])
        found[widest] = found[widest] - 1 if floors[widest] else 0


def taken(found: Sequence[int]) -> int:
    """Columns and the gaps between them."""
    shown = [width for width in found if width]
    return sum(shown) + GAP * max(0, len(shown) - 1)
