"""What slurmdbd's roll-up of an hour makes of one row of its job table, and of one reservation.

Facts of Slurm's src/plugins/accounting_storage/mysql/as_mysql_rollup.c (22.05), held against real data; see
docs/certificate.md. Invariant: only rows, reservations and events go in here, never a sum that Slurm reports.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from opsd.core.period import HOUR
from opsd.core.records import MAINT, REGISTERED, NodeEvent, Reservation
from opsd.core.tres import Tres

Spans = tuple[tuple[int, int], ...]  # half-open, in time order
Expand = Callable[[str], Sequence[str]]

EVER = 1 << 62  # the end of what goes on
_INT32 = 1 << 32
_FIRST = ("cpu", "mem", "energy", "node", "billing")  # Slurm's numbers of TRES: these come before any GRES


class Row(NamedTuple):
    """One row of slurmdbd's job table, as it stands or as it stood when somebody looked."""

    observed_at: int  # the last time it was seen so
    account: str
    user: str
    association: int | None  # 0: none, and then it is in no report
    start: int | None
    end: int | None  # None: it goes on
    eligible: int | None  # 0: never; None: not known, so taken as from the start
    tres: Tres
    reservation: int = 0


def parse_suspensions(text: str, until: int) -> Spans:
    """The intervals of `RunRecord.suspensions`; an open one goes on to `until`."""
    pairs = (entry.partition("-") for entry in text.split(",") if entry)
    return tuple((int(start), int(end) if end else until) for start, _, end in pairs)


def within(spans: Spans, a: int, b: int) -> int:
    """Seconds of spans inside [a, b), not more than that is long."""
    return min(sum(max(0, min(end, b) - max(start, a)) for start, end in spans), max(0, b - a))


def taken_off(spans: Spans, hours: Hours, a: int, b: int) -> int:
    """Suspended seconds that the roll-up takes off in [a, b): of each hour no more than there are in it.

    Rows of one suspension may overlap: then Slurm takes the time off twice.
    """
    if all(before[1] <= after[0] for before, after in pairwise(spans)):
        return within(spans, a, b)
    return sum(within(spans, max(a, hour), min(b, hour + HOUR)) for hour in hours.of(a, b))


class Hours(NamedTuple):
    """slurmdbd's hours: 3600 s each, beginning `offset` seconds into a UTC hour."""

    offset: int

    def top(self, instant: int) -> int:
        """The beginning of the hour that holds an instant."""
        return instant - (instant - self.offset) % HOUR

    def of(self, a: int, b: int) -> range:
        """The beginnings of the hours that overlap [a, b)."""
        return range(self.top(a), b, HOUR) if a < b else range(0)


def counted(row: Row, hours: Hours, a: int, b: int) -> tuple[int, int]:
    """The part of [a, b), full hours, that a row is counted in; empty where it is not.

    A row is looked at only in hours that end after it became eligible; an open one goes on to the end.
    """
    if row.start is None or row.eligible == 0 or row.association == 0:
        return a, a
    first = row.start if row.eligible is None else max(row.start, hours.top(row.eligible))
    start, end = max(first, a), b if row.end is None else min(row.end, b)
    return (start, end) if start < end else (a, a)


def idle_shares(
    reservation: Reservation,
    hour: int,
    rows: Iterable[tuple[Row, Spans]],
    events: Sequence[NodeEvent],
    hours: Hours,
    nodes: Collection[str],
) -> Iterator[tuple[str, int]]:
    """(TRES, seconds) that each association of a reservation is charged for what stood idle in an hour.

    A run in a reservation counts as using all of it. The first TRES without idle time ends the loop, the
    remainder of the division is lost, and the share is a 32-bit number: so Slurm counts.

    Args:
        rows: those that say they ran in this reservation, each with when it was suspended.
        events: of the cluster in this hour.
        nodes: the reservation's.
    """
    start, end = max(reservation.start, hour), min(reservation.end or hour + HOUR, hour + HOUR)
    if end <= start or not reservation.associations:
        return
    used = [_used(row, spans, hours, hour, start, end) for row, spans in rows]
    for name, count in sorted(Tres.from_canonical(reservation.tres), key=_slurm_order):
        if name in ("node", "energy") or not count:
            continue
        total = (end - start) * count - _away(name, start, end, hour, events, nodes)
        alloc = sum(seconds * count for seconds, holds in used if name in holds)
        idle = max(0, total) - alloc
        if idle <= 0:
            return
        yield name, _share(idle, len(reservation.associations))


def _slurm_order(entry: tuple[str, int]) -> tuple[int, str]:
    name = entry[0]
    return (_FIRST.index(name) if name in _FIRST else len(_FIRST)), name


def _used(
    row: Row, spans: Spans, hours: Hours, hour: int, start: int, end: int
) -> tuple[int, frozenset[str]]:
    """Seconds of the reservation that a run was in, and the TRES it held then."""
    a, b = counted(row._replace(association=None), hours, hour, hour + HOUR)
    awake = b - a - within(spans, a, b)
    holds = frozenset(name for name, count in row.tres if count and (name != "cpu" or awake))
    return max(0, min(b, end) - max(a, start)), holds


def _away(
    name: str, start: int, end: int, hour: int, events: Sequence[NodeEvent], nodes: Collection[str]
) -> int:
    """What nodes of a reservation could not give, as far as the cluster was there in that hour."""
    if not any(_overlap(event, hour, hour + HOUR) for event in events if event.kind == REGISTERED):
        return 0
    return sum(
        _overlap(event, start, end) * Tres.from_canonical(event.tres).get(name)
        for event in events
        if event.node in nodes and event.kind != MAINT
    )


def _overlap(event: NodeEvent, a: int, b: int) -> int:
    return max(0, (b if event.end is None else min(event.end, b)) - max(event.start, a))


def _share(idle: int, associations: int) -> int:
    """C's: cut to 32 bits with a sign, and divided towards zero."""
    cut = idle % _INT32
    cut -= _INT32 if cut >= _INT32 // 2 else 0
    return abs(cut) // associations * (1 if cut >= 0 else -1)


def _is_denied(then: Row, now: Row, rolled_at: int, modified_at: int | None) -> bool:
    """Whether slurmdbd's row stands as it did when the hour was added up, so that it was not otherwise then.

    All that changes without a trace is an end: of runaways that are mended, of a slurmctld's clean start.
    """
    only_ended = then.end is None and then._replace(end=now.end, observed_at=now.observed_at) == now
    return modified_at is not None and modified_at < rolled_at and not only_ended


def seen(
    now: Row, before: Sequence[Row], rolled_at: int, modified_at: int | None, mark: int | None = None
) -> Row | None:
    """The row as a roll-up saw it; None: there was none.

    Args:
        now: how it stands, and
        before: how it stood earlier, in the order in which it was last seen so.
        modified_at: when slurmdbd changed it last; None: not known, or not in what counts. Mending a runaway
            leaves it as it is.
        mark: from where slurmdbd will add up again; None: not known. A late end would have put it before
            that end.
    """
    at = bisect_left([row.observed_at for row in before], rolled_at)
    if at < len(before):
        return now if _is_denied(before[at], now, rolled_at, modified_at) else before[at]
    is_final = mark is not None and now.end is not None and now.end < mark
    if modified_at is None or modified_at <= rolled_at or is_final:
        return now
    if before:
        return before[-1]
    if now.start is None or now.start > rolled_at:
        return None
    # Nobody looked in time. What still ran then was there, and open; what had ended by then came late.
    return now._replace(end=None) if now.end is None or now.end > rolled_at else None
