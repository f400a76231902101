"""From a run to whole seconds: its interval, its two components, its cut by UTC days.

Invariant: for any cut of an interval into pieces, the pieces' run and suspended seconds add up to
the interval's, exactly. Everything else (TRES, charges) is seconds times a shape.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from operator import itemgetter
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
    if record.suspended or (record.suspensions and record.suspended is None):
        flags |= _odd_suspension(record, begin, finish)
    return begin, finish, int(flags)


def _odd_suspension(record: RunRecord, begin: int, finish: int | None) -> int:
    """Whether a suspension is without its times, or longer than its run."""
    flags, seconds = Flag.NONE, record.suspended or 0
    if record.suspensions:
        last = begin if finish is None else finish
        seconds = sum((last if end is None else end) - start for start, end in spans(record.suspensions))
    else:
        flags |= Flag.SUSPENDED_UNPLACED
    if finish is not None and seconds > finish - begin:
        flags |= Flag.SUSPENDED_CAPPED
    return int(flags)


# ------------------------------------------------------------------------------------- when it was suspended

Span = tuple[int, int]
# What a run's suspension is cut by: when it was, as disjoint spans in time order inside the run; or, where
# only the total is known, that many seconds.
Suspension = int | tuple[Span, ...]


def spans_text(found: Iterable[tuple[int, int | None]]) -> str:
    """`RunRecord.suspensions` of a run's suspensions, in any order; what lasted no second is left out."""
    lasting = {(start, end) for start, end in found if start > 0 and (end is None or end > start)}
    in_order = sorted(lasting, key=lambda span: (span[0], span[1] is None, span[1] or 0))
    return ",".join(f"{start}-{'' if end is None else end}" for start, end in in_order)


def spans(text: str) -> list[tuple[int, int | None]]:
    """The inverse of `spans_text`; for stored values only, never for text from outside."""
    pairs = (part.split("-") for part in text.split(",")) if text else ()
    return [(int(start), int(end) if end else None) for start, end in pairs]


def suspension(total: int | None, text: str | None, begin: int, finish: int, *, ended: bool) -> Suspension:
    """How the suspension of a run is cut: by its times where they are known, else by its total.

    A second is suspended or not, whatever the number of rows that say so. A total of 0 means never, as
    for Slurm, which then looks at no row.

    Args:
        finish: of a run that goes on: when it was last seen to. What is not over ends there.
        ended: whether the run has; what is told as not over is then older than the end, so it lasts until
            the total is used up, if that can be a total at all.
    """
    if total == 0 or not text:
        return total or 0
    found = spans(text)
    if ended and total is not None and total <= finish - begin:
        rest = max(0, total - sum(end - start for start, end in found if end is not None))
        return _union(((start, start + rest if end is None else end) for start, end in found), begin, finish)
    return _union(((start, finish if end is None else end) for start, end in found), begin, finish)


def _union(found: Iterable[Span], begin: int, finish: int) -> tuple[Span, ...]:
    """Spans in order of their starts, as disjoint spans inside [begin, finish)."""
    joined: list[Span] = []
    for first, last in found:
        start, end = max(first, begin), min(last, finish)
        if end <= start:
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return tuple(joined)


_END = itemgetter(1)


def _overlap(suspended: tuple[Span, ...], a: int, b: int) -> int:
    """Seconds of disjoint spans inside [a, b)."""
    seconds = 0
    for at in range(bisect_right(suspended, a, key=_END), len(suspended)):
        start, end = suspended[at]
        if start >= b:
            break
        seconds += min(end, b) - max(start, a)
    return seconds


# ------------------------------------------------------------------------------------------------------ cuts


class Seconds(NamedTuple):
    """The two disjoint components of usage."""

    run: int
    suspended: int


def cut(begin: int, finish: int, suspended: Suspension, a: int, b: int) -> Seconds:
    """Run and suspended seconds of the interval [begin, finish) inside [a, b).

    Where only the total of suspended seconds is known, they are spread evenly, rounded down at every
    edge: the difference of two such roundings makes any cut add up.

    Args:
        suspended: from `suspension`; a total that is more than the interval is long counts as the interval.
    """
    a, b = max(a, begin), min(b, finish)
    if b <= a:
        return Seconds(0, 0)
    if not suspended:
        return Seconds(b - a, 0)
    if isinstance(suspended, tuple):
        off = _overlap(suspended, a, b)
        return Seconds(b - a - off, off)
    off = spread(min(suspended, finish - begin), begin, finish, a, b)
    return Seconds(b - a - off, off)


def spread(total: int, begin: int, finish: int, a: int, b: int) -> int:
    """The part of a total of [begin, finish) that falls to [a, b): evenly, rounded down at every edge.

    What has no length is all in its first instant.
    """
    if finish <= begin:
        return total if a <= begin < b else 0
    a, b = max(a, begin), min(b, finish)
    length = finish - begin
    return 0 if b <= a else total * (b - begin) // length - total * (a - begin) // length


Counts = tuple[int, ...]  # cpu, node, gpu, mem in MB, billing: what a second is multiplied by


def amounts(counts: Counts, run: int, suspended: int) -> tuple[int, ...]:
    """Seconds times counts, in their order.

    Suspended time is off the cpu and on everything else, as Slurm counts.
    """
    cpu, node, gpu, mem_mb, billing = counts
    held = run + suspended
    return run * cpu, held * node, held * gpu, held * mem_mb, held * billing


def by_day(begin: int, finish: int, suspended: Suspension) -> Iterator[tuple[int, int, int, int]]:
    """(UTC day, run seconds, suspended seconds, starts) of an ended run, day by day.

    A run of zero seconds still starts: it is counted once, with nothing.
    """
    first, last = begin // DAY, max(finish - 1, begin) // DAY
    for day in range(first, last + 1):
        run, off = cut(begin, finish, suspended, day * DAY, (day + 1) * DAY)
        yield day, run, off, int(day == first)
