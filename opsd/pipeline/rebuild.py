"""Rebuild the day facts of stale cells, oldest first, in short transactions.

Usage is right without it (reads take stale cells from the runs); this makes it quick again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from opsd.store import facts
from opsd.store.engine import Store

# About this many runs are read per transaction, so that other writers wait half a second, not ten.
_RUNS_PER_STEP = 30_000
_MOST_DAYS = 64


@dataclass(frozen=True, slots=True)
class Result:
    """What a rebuild did."""

    cells: int
    runs: int


def run(store: Store, progress: Callable[[int, int], None] | None = None) -> Result:
    """Rebuild until nothing is stale.

    Args:
        progress: called with (cells done, cells there were at the start).
    """
    with store.read() as connection:
        waiting = facts.dirty_count(connection)
    cells = runs = 0
    days = 1
    while True:
        with store.write() as connection:
            found = facts.next_dirty(connection, days)
            if found is None:
                return Result(cells, runs)
            read, done = facts.rebuild(connection, *found)
        cells, runs = cells + done, runs + read
        days = _next_days(days, read)
        if progress:
            progress(min(cells, waiting), waiting)


def _next_days(days: int, read: int) -> int:
    """As many days as bring the reads near the aim, never growing more than fourfold at once."""
    return max(1, min(_MOST_DAYS, days * 4, days * _RUNS_PER_STEP // max(read, 1)))


def everything(store: Store, progress: Callable[[int, int], None] | None = None) -> Result:
    """Throw all facts away and build them from the runs."""
    with store.write() as connection:
        facts.mark_all(connection)
    return run(store, progress)
