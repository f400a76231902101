"""The capacity of clusters, and where it went, by cluster, node class and civil period.

Invariant: every figure comes from the stored inventory, runs, events and reservations at one instant of the
database; `parts` gives those behind one figure, and their sum is the figure but for what overlaps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import NamedTuple

from opsd.core import plan
from opsd.core.capacity import LINES, RESOURCES, Lines, split
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.nodes import Place
from opsd.core.period import CALENDARS, Window, isoformat
from opsd.core.records import MAINT, POWERED_DOWN
from opsd.core.usage import cut
from opsd.pipeline import books
from opsd.pipeline.books import Books, Expand
from opsd.store import machine as stored
from opsd.store import read, sweeps
from opsd.store.engine import Connection

KEYS = ("cluster", "node_class", *CALENDARS)
DEFAULT = ("cluster", "node_class")
COLUMNS = ("resource", *LINES)


class Row(NamedTuple):
    """One line of a capacity table."""

    key: tuple[str, ...]
    resource: str
    lines: Lines


@dataclass(frozen=True, slots=True)
class Capacity:
    """A capacity table, sorted by key, without all-zero rows; and what it could not count, in words."""

    keys: tuple[str, ...]
    rows: tuple[Row, ...]
    window: Window
    notes: tuple[str, ...]


def check_keys(keys: Sequence[str]) -> tuple[str, ...]:
    """The keys if all exist and none comes twice."""
    for position, key in enumerate(keys):
        if key not in KEYS:
            raise WrongUsage(f"--by {key!r}: no such key" + nearest(key, KEYS, f"keys: {' '.join(KEYS)}"))
        if key in keys[:position]:
            raise WrongUsage(f"--by names {key!r} twice: name each key once")
    return tuple(keys)


def run(
    connection: Connection, window: Window, keys: Sequence[str] = DEFAULT, *, tz: tzinfo = UTC
) -> Capacity:
    """The capacity of every cluster in a window.

    Args:
        connection: from `Store.read()`.
        keys: any of KEYS, in the order of the table's columns.
        tz: whose months, days and hours.
    """
    keys = check_keys(keys)
    calendars = [key for key in keys if key in CALENDARS]
    cuts = plan.make(window, calendars, tz)
    names = read.names(connection)
    sums: dict[tuple[tuple[str, ...], int], Lines] = {}
    notes: list[str] = []
    for cluster in books.clusters(connection):
        found = books.keep(connection, cluster, cuts, names)
        for (node_class, periods, resource), lines in found.balance.lines.items():
            known = {
                "cluster": cluster,
                "node_class": node_class,
                **dict(zip(calendars, periods, strict=True)),
            }
            key = tuple(known[name] for name in keys), resource
            sums[key] = sums.get(key, Lines()).plus(lines)
        notes += _notes(connection, found, window)
    ordered = sorted(sums)
    rows = [Row(key, RESOURCES[at], sums[key, at]) for key, at in ordered if any(sums[key, at])]
    return Capacity(keys, tuple(rows), window, tuple(notes))


# ------------------------------------------------------------------------------------------------ notes


def _notes(connection: Connection, found: Books, window: Window) -> Iterator[str]:
    """What a reader must know before believing the lines."""
    where = f"cluster {found.cluster}: "
    yield from (where + note for note in found.nodes.notes)
    over = [sum(one.over_commit for (*_, at), one in found.balance.lines.items() if at == n) for n in (0, 1)]
    if any(over):
        yield (
            f"{where}runs held {_amounts(over)} more than their nodes have: what is above is in no line "
            "(over-commit; or a run that was not spread evenly over its nodes)"
        )
    if any(found.nowhere.values()):
        yield (
            f"{where}{_runs(found.runs_nowhere)} no node list, so what they held is in no line "
            f"({_amounts(list(found.nowhere.values()))}): import NodeList, too"
        )
    elsewhere = [sum(one[at] for one in found.balance.elsewhere.values()) for at in (0, 1)]
    if any(elsewhere):
        yield (
            f"{where}{_amounts(elsewhere)} were held on nodes of which no class and no registration tells "
            f"what they have ({', '.join(sorted(found.balance.elsewhere)[:3])}): they are in no line"
        )
    covered = sweeps.covered(connection).get(found.cluster)
    if covered is not None and covered < window.end:
        yield f"{where}accounting was read up to {isoformat(covered)} only: what is later looks unallocated"
    told = stored.told(connection, found.cluster)
    if told is None:
        yield f"{where}no event was ever read from Slurm, so nothing is known to have been down or reserved"
        return
    if told.start > window.start:
        yield (
            f"{where}Slurm's first event is of {isoformat(told.start)}: of earlier nothing is known to have "
            "been down or reserved"
        )
    if told.end < window.end:
        yield f"{where}events were read up to {isoformat(told.end)} only: what is later looks unallocated"


def _runs(number: int) -> str:
    return "1 run has" if number == 1 else f"{number:,} runs have"


def _amounts(seconds: Sequence[int]) -> str:
    return " and ".join(
        f"{amount:,} {name}-seconds" for name, amount in zip(("CPU", "GPU"), seconds, strict=True) if amount
    )


# ------------------------------------------------------------------------------------------------ parts


class Part(NamedTuple):
    """One thing behind a figure, and its resource-seconds of it."""

    what: str  # "run", "event", "reservation" or "node"
    id: str  # the run's number here, a node and its time, a reservation's number and name
    start: int
    end: int
    seconds: int


def parts(
    connection: Connection,
    window: Window,
    node_class: str,
    resource: str,
    column: str,
    *,
    cluster: str | None = None,
) -> list[Part]:
    """What is behind one figure.

    Runs behind `allocated`, events and reservations behind what is down or reserved, nodes behind `total` and
    `unallocated`. Each part's seconds are its own, before what comes first at an instant is taken off: those
    of runs add up to allocated and over-commit, those of outages to at least the line.

    Raises:
        WrongUsage: there is no such resource or column.
    """
    if resource not in RESOURCES or column not in LINES:
        raise WrongUsage(
            f"{resource} {column}: no such figure; "
            f"resources: {' '.join(RESOURCES)}, columns: {' '.join(LINES)}"
        )
    at = RESOURCES.index(resource)
    found: list[Part] = []
    for name in books.clusters(connection) if cluster is None else [cluster]:
        kept = books.keep(connection, name, plan.make(window, (), UTC))
        places = [one for one in kept.nodes.places if one.node_class == node_class and one.counts[at]]
        found += _parts(kept, places, at, column, books.expander())
    return sorted(found, key=lambda part: (part.start, part.what, part.id))


def _parts(kept: Books, places: Sequence[Place], at: int, column: str, expand: Expand) -> Iterator[Part]:
    if column in ("total", "unallocated"):
        for place in places:
            seconds = (place.counts[at] or 0) * (place.end - place.start)
            yield Part("node", place.node, place.start, place.end, seconds)
        return
    by_node: dict[str, list[Place]] = {}
    for place in places:
        by_node.setdefault(place.node, []).append(place)
    if column == "allocated":
        yield from _run_parts(kept, by_node, at)
        return
    planned = column == "planned_down"
    for event in kept.events:
        is_planned = event.kind in (MAINT, POWERED_DOWN)
        if event.node in by_node and column != "reserved_idle" and planned == is_planned:
            yield from _outage("event", event.node, event.start, event.end, [event.node], by_node, at)
    for one in kept.reservations:
        if books.is_maintenance(one) == planned and column != "down":
            name = f"{one.id} {one.name}".strip()
            yield from _outage("reservation", name, one.start, one.end, expand(one.nodes), by_node, at)


def _run_parts(kept: Books, by_node: Mapping[str, Sequence[Place]], at: int) -> Iterator[Part]:
    for one in kept.held:
        shares = split((one.cpu, one.gpu)[at], len(one.nodes))
        seconds, first, last = 0, one.finish, one.begin
        for node, share in zip(one.nodes, shares, strict=True):
            for place in by_node.get(node, ()):
                a, b = max(one.begin, place.start), min(one.finish, place.end)
                if a < b:
                    held_for = cut(one.begin, one.finish, one.suspended, a, b)
                    seconds += share * (held_for.run + (held_for.suspended if at else 0))
                    first, last = min(first, a), max(last, b)
        if seconds:
            yield Part("run", str(one.run), first, last, seconds)


def _outage(
    what: str, name: str, start: int, end: int | None, its: Iterable[str],
    by_node: Mapping[str, Sequence[Place]], at: int,
) -> Iterator[Part]:  # fmt: skip
    seconds, first, last = 0, None, None
    for node in its:
        for place in by_node.get(node, ()):
            a, b = max(start, place.start), place.end if end is None else min(end, place.end)
            if a < b:
                seconds += (place.counts[at] or 0) * (b - a)
                first, last = min(first or a, a), max(last or b, b)
    if seconds:
        yield Part(what, name, first or start, last or start, seconds)
