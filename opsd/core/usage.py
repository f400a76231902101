"""From a run to whole seconds: its interval, its two components, its cut by UTC days.

Invariant: for any cut of an interval into pieces, the pieces' run and suspended seconds add up to
the interval's, exactly. Everything else (TRES, charges) is seconds times a shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from opsd.core.flags import Flag
from opsd.core.period import DAY
from opsd.core.records import ENDED_STATES, KNOWN_STATES, RunRecord

# (begin, finish, flags): when a run held its allocation. No begin: never; no finish: still.
# A bare tuple, because one is made for every record of an import.
Interval = tuple[int | None, int | None, int]


def interval(record: RunRecord) -> Interval:
    """The interval a run is counted over, with what is odd about it.

    Counting from max(Start, Submit) undoes the double start that Slurm 22.05 writes for the row
    after a shrink: it carries the original Start again.
    """
    if record.start is None or record.state == "PENDING":
        return None, None, 0
    flags = 0 if record.state in KNOWN_STATES else Flag.UNKNOWN_STATE
    if not record.tres:
        # Without an allocation there is nothing to count. A run cancelled while pending may print
        # Start = End and is not odd; an emptied expand donor, which stays without end, is.
        odd = record.end is None or record.end > record.start
        return None, None, int(flags | Flag.NO_ALLOCATION if odd else flags)
    begin = max(record.start, record.submit)
    if record.start < record.submit:
        flags |= Flag.START_BEFORE_SUBMIT
    finish = None if record.end is None else max(record.end, begin)
    if finish is None and record.state in ENDED_STATES:
        flags |= Flag.ENDED_WITHOUT_END
    if record.suspended:
        flags |= Flag.SUSPENDED_UNPLACED
        if finish is not None and record.suspended > finish - begin:
            flags |= Flag.SUSPENDED_CAPPED
    return begin, finish, int(flags)


class Seconds(NamedTuple):
    """The two disjoint components of usage."""

    run: int
    suspended: int


def cut(begin: int, finish: int, suspended: int, a: int, b: int) -> Seconds:
    """Run and suspended seconds of the interval [begin, finish) inside [a, b).

    Only the total of suspended seconds is known, so they are spread evenly, rounded down at every
    edge: the difference of two such roundings makes any cut add up.

    Args:
        suspended: total suspended seconds; more than the interval is long counts as the interval.
    """
    a, b = max(a, begin), min(b, finish)
    if b <= a:
        return Seconds(0, 0)
    if not suspended:
        return Seconds(b - a, 0)
    length = finish - begin
    total = min(suspended, length)
    off = total * (b - begin) // length - total * (a - begin) // length
    return Seconds(b - a - off, off)


Counts = tuple[int, ...]  # cpu, node, gpu, mem in MB, billing: what a second is multiplied by


def amounts(counts: Counts, run: int, suspended: int) -> tuple[int, ...]:
    """Seconds times counts, in their order.

    Suspended time is off the cpu and on everything else, as Slurm counts.
    """
    cpu, node, gpu, mem_mb, billing = counts
    held = run + suspended
    return run * cpu, held * node, held * gpu, held * mem_mb, held * billing


def by_day(begin: int, finish: int, suspended: int) -> Iterator[tuple[int, int, int, int]]:
    """(UTC day, run seconds, suspended seconds, starts) of an ended run, day by day.

    A run of zero seconds still starts: it is counted once, with nothing.
    """
    first, last = begin // DAY, max(finish - 1, begin) // DAY
    for day in range(first, last + 1):
        run, off = cut(begin, finish, suspended, day * DAY, (day + 1) * DAY)
        yield day, run, off, int(day == first)
