"""What Slurm books beside runs: idle time of reservations, and rows that a later roll-up left behind.

Invariant: the roll-up's own arithmetic, from reservations, node events and the runs inside; nothing that
Slurm reports as a sum goes in.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from collectors.protocol import AccountingTables, Machine
from collectors.slurm import hosts
from opsd.core import rollup
from opsd.core.certificate import REASSOCIATED, RESERVATION_IDLE, Contribution, Subject, Unknown
from opsd.core.reconcile import Rolled, Run
from opsd.core.records import Association, NodeEvent, Reservation
from opsd.core.rollup import Row, Spans
from opsd.store.evidence import Found


class Beside(NamedTuple):
    """Contributions that belong to no run."""

    contributions: list[Contribution]
    unknowns: list[Unknown]


def run(
    machine: Machine,
    tables: AccountingTables | None,
    runs: Sequence[Found],
    rolled: Rolled,
    associations: Sequence[Association],
) -> Beside:
    """All of them in a window."""
    by_id = {association.id: association for association in associations}
    found = _reservations(tables or machine, machine, runs, rolled, by_id)
    if tables is not None:
        found.contributions.extend(_stale(tables, rolled, by_id))
    return found


def _stale(
    tables: AccountingTables, rolled: Rolled, by_id: Mapping[int, Association]
) -> Iterator[Contribution]:
    """Rows of an association that had usage once and has none any more: no roll-up takes them away."""
    sums: dict[tuple[int, str], int] = defaultdict(int)
    for row in tables.stale_usage(rolled.window.start, rolled.window.end):
        if any(rolled.inside(row.hour, row.hour + 1)):
            sums[row.association, row.tres] += row.seconds
    for (number, tres), seconds in sums.items():
        if number in by_id and seconds:
            whose, subject = by_id[number], Subject("association", number)
            words = "rows of it that the last roll-up of their hours did not write"
            yield Contribution(REASSOCIATED, whose.account, whose.user, tres, seconds, subject, words)


class _Idle(NamedTuple):
    """What each association of a reservation is charged, by TRES."""

    reservation: Reservation
    shares: Mapping[str, int]


def _reservations(
    teller: AccountingTables | Machine,
    machine: Machine,
    runs: Sequence[Found],
    rolled: Rolled,
    by_id: Mapping[int, Association],
) -> Beside:
    window = rolled.window
    records = [
        record
        for record in teller.reservations(window.start, window.end)
        if record.start < window.end and record.end > window.start
    ]
    events = machine.events(window.start, window.end) if records else []
    parts: list[Contribution] = []
    unknowns: list[Unknown] = []
    for record in records:
        idle = _idle(record, runs, events, rolled)
        if record.associations is None:
            unknowns += list(_whose_is_unknown(idle))
        else:
            parts += list(_charged(idle, by_id))
    return Beside(parts, unknowns)


def _idle(record: Reservation, runs: Sequence[Found], events: Sequence[NodeEvent], rolled: Rolled) -> _Idle:
    inside = [
        one for one in runs if any(row.reservation == record.id for row in (one.run.now, *one.run.before))
    ]
    nodes = frozenset(hosts.expand(record.nodes)) if record.nodes else frozenset()
    shared = record if record.associations is not None else record._replace(associations=(0,))
    sums: dict[str, int] = defaultdict(int)
    for a, b in rolled.inside(record.start, record.end):
        for hour in rolled.hours.of(a, b):
            rows = [pair for one in inside if (pair := _at(one.run, record.id, hour, rolled)) is not None]
            shares = rollup.idle_shares(shared, hour, rows, events, rolled.hours, nodes)
            for name, seconds in shares:
                sums[name] += seconds
    return _Idle(record, sums)


def _at(run: Run, reservation: int, hour: int, rolled: Rolled) -> tuple[Row, Spans] | None:
    """A run as the roll-up of an hour saw it, if that was in this reservation."""
    row: Row | None = run.now
    if rolled.again_from is not None and hour >= rolled.again_from and hour in rolled.at:
        row = rollup.seen(run.now, run.before, rolled.at[hour], run.modified_at, rolled.mark)
    return None if row is None or row.reservation != reservation else (row, run.places or ())


def _charged(idle: _Idle, by_id: Mapping[int, Association]) -> Iterator[Contribution]:
    record = idle.reservation
    for number in record.associations or ():
        if number not in by_id:
            continue  # no row of any report: sreport goes by the tree
        whose = by_id[number]
        for name, seconds in idle.shares.items():
            words = f"idle in {record.name}, its share of {len(record.associations or ())}"
            subject = Subject("reservation", record.id, record.start)
            yield Contribution(RESERVATION_IDLE, whose.account, whose.user, name, seconds, subject, words)


def _whose_is_unknown(idle: _Idle) -> Iterator[Unknown]:
    record = idle.reservation
    for name, seconds in idle.shares.items():
        if seconds:
            words = f"nobody tells for whom {record.name} was reserved"
            subject = Subject("reservation", record.id, record.start)
            yield Unknown(RESERVATION_IDLE, "", "", name, min(0, seconds), max(0, seconds), subject, words)
