"""How many runs of a window are odd in one way or another.

Invariant: only runs that overlap the window are looked at, by the indexes that usage is read by.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, case, func, select

from opsd.core.flags import Flag
from opsd.core.period import Window
from opsd.store import tables
from opsd.store.facts import overlapping

_run = tables.run


def counts(connection: Connection, window: Window, flags: Sequence[Flag]) -> tuple[int, ...]:
    """How many runs that overlap a window carry each of some flags."""
    ended = overlapping((_run.c.flags,), window.start, window.end)
    until = func.coalesce(_run.c.seen_open, _run.c.begin)
    open_ones = select(_run.c.flags).where(
        tables.STILL_OPEN,
        _run.c.begin < window.end,
        (until > window.start) | (_run.c.begin >= window.start),
    )
    sums = [0] * len(flags)
    for found in (ended.subquery(), open_ones.subquery()):
        carried = [
            func.coalesce(func.sum(case((found.c.flags.op("&")(int(flag)) != 0, 1), else_=0)), 0)
            for flag in flags
        ]
        for place, count in enumerate(connection.execute(select(*carried)).one()):
            sums[place] += int(count)
    return tuple(sums)
