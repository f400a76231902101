"""Seconds that runs waited, eligible, for their resources, by whose they are.

Invariant: a run counts once, also one that was resized; what waits still is in no accounting, so not here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, case, func, literal_column, select

from opsd.core.period import Window
from opsd.store import tables
from opsd.store.facts import dims
from opsd.store.read import DIMENSIONS, Key

_run = tables.run


class Wait(NamedTuple):
    """Runs of one kind, and what they waited together inside a window."""

    key: Key
    shape: int
    begin: int  # of a run whose account changes hands; else 0
    seconds: int
    runs: int


def inside(
    connection: Connection, window: Window, wanted: Sequence[str], moving: Collection[int]
) -> Iterator[Wait]:
    """The waits inside a window of runs that began since.

    Args:
        wanted: which of DIMENSIONS to tell apart.
        moving: accounts that change hands in the window: of these, when runs began is told apart, too.
    """
    eligible, start = _run.c.eligible, _run.c.start
    # A resized run goes on in a second row that was eligible when it was resized, so after its start.
    fit = (
        _run.c.begin > window.start, start == _run.c.begin, eligible > 0, eligible < start,
        eligible < window.end,
    )  # fmt: skip
    first = case((eligible > window.start, eligible), else_=window.start)
    last = case((start < window.end, start), else_=window.end)
    begin = case((_run.c.account_id.in_(sorted(moving)), _run.c.begin), else_=0) if moving else None
    named = [column for name, column in zip(DIMENSIONS, dims(), strict=False) if name in wanted]
    groups = [*named, _run.c.shape_id, *([] if begin is None else [begin.label("told_begin")])]
    query = (
        select(*groups, func.sum(last - first), func.count())
        .where(*fit)
        .group_by(*(literal_column(str(place)) for place in range(1, len(groups) + 1)))
    )
    places = [place for place, name in enumerate(DIMENSIONS) if name in wanted]
    found: Any = connection.execute(query)
    for row in found:
        key = [0] * len(DIMENSIONS)
        for place, value in zip(places, row, strict=False):
            key[place] = value
        shape, told = row[len(named)], 0 if begin is None else row[len(named) + 1]
        yield Wait(tuple(key), shape, told, int(row[-2]), int(row[-1]))
