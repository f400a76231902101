"""Reads what a cluster consists of, and what could not be used when, into the database.

Invariant: the same span read twice, or spans in any order, leave the same rows behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collectors.protocol import AccountingTables, Machine
from opsd.core.errors import Refused, Unavailable
from opsd.core.period import DAY, Window
from opsd.core.records import NodeEvent, PartitionLimit, Reservation
from opsd.store import machine as stored
from opsd.store.engine import Store

BACK = 7 * DAY  # read again each time: an event that goes on ends some day, a reservation is changed
AHEAD = 30 * DAY  # reservations are made long before they begin


@dataclass(frozen=True, slots=True)
class Result:
    """What was read, and what of it was not known, or otherwise."""

    cluster: str
    span: Window
    events: int
    reservations: int
    partitions: int
    new: int
    changed: int
    dropped: int  # reservations that were moved or taken back before they began
    notes: tuple[str, ...] = ()  # what was not told this time, and by whom


def run(
    store: Store,
    machine: Machine,
    tables: AccountingTables | None = None,
    *,
    cluster: str,
    now: int,
    start: int | None = None,
    end: int | None = None,
    since: int | None = None,
) -> Result:
    """Read a span: by default the last week, and reservations of the next month.

    Events and reservations come from slurmdbd's own tables where those are granted and answer, else from
    sacctmgr. Partitions are the controller's to tell: while it is away, what was known of them stays.

    Args:
        cluster: the stable name that its rows stand under, whatever Slurm calls it now.
        now: when the answers are from.
        since: where the very first reading of a cluster starts, if `start` does not say.

    Raises:
        Unavailable: an answer was not whole; nothing of the span was stored.
    """
    if start is None:
        start = _beginning(store, cluster, now - BACK, since)
    span = Window(start, max(start, now + AHEAD if end is None else end))
    notes: list[str] = []
    events, reservations = _past(machine, tables, span, notes)
    events = [one._replace(cluster=cluster) for one in events]
    reservations = [one._replace(cluster=cluster) for one in reservations]
    partitions = [one._replace(cluster=cluster) for one in _partitions(machine, notes)]
    with store.write() as connection:
        saved = [
            stored.save_events(connection, events, now),
            stored.close_vanished(connection, cluster, events, span.end, now),
            stored.save_reservations(connection, cluster, reservations, span.start, span.end, now),
            stored.save_partitions(connection, partitions, now),
        ]
    new, changed, dropped = (sum(column) for column in zip(*saved, strict=True))
    return Result(
        cluster, span, len(events), len(reservations), len(partitions), new, changed, dropped, tuple(notes)
    )


def _past(
    machine: Machine, tables: AccountingTables | None, span: Window, notes: list[str]
) -> tuple[Sequence[NodeEvent], Sequence[Reservation]]:
    if tables is not None:
        try:
            return tables.events(span.start, span.end), tables.reservations(span.start, span.end)
        except (Unavailable, Refused) as err:
            notes.append(f"{err}: events and reservations come from sacctmgr meanwhile")
    return machine.events(span.start, span.end), machine.reservations(span.start, span.end)


def _partitions(machine: Machine, notes: list[str]) -> Sequence[PartitionLimit]:
    try:
        return machine.partitions()
    except Unavailable as err:
        notes.append(f"{err}: partitions are taken as they were last seen")
        return ()


def _beginning(store: Store, cluster: str, usual: int, since: int | None) -> int:
    with store.read() as connection:
        known = stored.is_known(connection, cluster)
    return usual if known or since is None else min(usual, since)
