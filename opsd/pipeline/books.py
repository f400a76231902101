"""The books of one cluster, kept from what is stored: its nodes, what runs held of them, and why else not.

Invariant: everything is read on the caller's connection, so all of it is of one instant of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from collectors.slurm import hosts
from opsd.core import capacity, nodes
from opsd.core.capacity import RESOURCES, Away, Balance, Held, Reserved
from opsd.core.nodes import Known, Nodes, Place
from opsd.core.period import Window
from opsd.core.plan import Plan
from opsd.core.records import MAINT, POWERED_DOWN, NodeEvent, PartitionLimit, Reservation
from opsd.core.tres import Tres
from opsd.core.usage import cut
from opsd.store import held, parties, read
from opsd.store import machine as stored
from opsd.store.engine import Connection
from opsd.store.read import Names

_CACHED = 50_000  # host lists

Expand = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Books:
    """The books of one cluster, and what they were kept from."""

    cluster: str
    balance: Balance
    nodes: Nodes
    runs: Sequence[held.Run]
    held: Sequence[Held]
    events: Sequence[NodeEvent]
    reservations: Sequence[Reservation]
    nowhere: dict[str, int] = field(default_factory=dict)  # by resource: held by runs without a node list
    runs_nowhere: int = 0


def clusters(connection: Connection) -> list[str]:
    """Every cluster that has a node class, a run, or has registered."""
    declared = {one.cluster for one in parties.node_classes(connection)}
    return sorted(declared.union(held.clusters(connection), stored.clusters(connection)))


def keep(connection: Connection, cluster: str, cuts: Plan, names: Names | None = None) -> Books:
    """Keep the books of one cluster."""
    names = read.names(connection) if names is None else names
    if not cuts.segments:
        return Books(cluster, Balance(), Nodes(), (), (), (), ())
    start, end = cuts.segments[0].start, cuts.segments[-1].end
    events = stored.events(connection, cluster, start, end)
    reservations = stored.reservations(connection, cluster, start, end)
    expand = expander()
    inventory = nodes.of(_known(connection, cluster, events, end), Window(start, end), expand)
    runs = list(held.runs(connection, cluster, start, end))
    placed = [_held(one, names, expand) for one in runs if one.nodes]
    balance = capacity.balance(
        cuts, inventory.places, placed, away(events, reservations, expand, end),
        reserved(reservations, inventory.places, expand),
    )  # fmt: skip
    without = [one for one in runs if not one.nodes]
    return Books(
        cluster, balance, inventory, runs, placed, events, reservations,
        _sums(without, names, start, end), len(without),
    )  # fmt: skip


def expander() -> Expand:
    """Host lists to names; the same few lists come again and again."""

    @lru_cache(maxsize=_CACHED)
    def expand(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(hosts.expand(text)))

    return expand


def away(
    events: Iterable[NodeEvent], reservations: Iterable[Reservation], expand: Expand, end: int
) -> Iterator[Away]:
    """Nodes that could not be used: by their events, and by reservations for maintenance."""
    for event in events:
        if event.node:
            planned = event.kind in (MAINT, POWERED_DOWN)
            yield Away(event.node, event.start, end if event.end is None else event.end, planned)
    for one in reservations:
        if is_maintenance(one):
            for node in expand(one.nodes):
                yield Away(node, one.start, one.end, planned=True)


def is_maintenance(one: Reservation) -> bool:
    """Whether nobody but administrators was to run there."""
    return "MAINT" in one.flags.split(",")


def reserved(reservations: Iterable[Reservation], places: Sequence[Place], expand: Expand) -> list[Reserved]:
    """Reservations for users; of one that lists fewer CPUs than its nodes have, that part of them."""
    counts = {place.node: place.counts for place in places}
    return [
        Reserved(one.id, one.start, one.end, listed, _part(one, listed, counts))
        for one in reservations
        if not is_maintenance(one)
        for listed in [expand(one.nodes)]
    ]


def _part(
    one: Reservation, listed: Sequence[str], counts: Mapping[str, tuple[int | None, int | None]]
) -> tuple[int, int] | None:
    tres = Tres.from_canonical(one.tres)
    cpus = [counts.get(node, (None, None))[0] for node in listed]
    known = [count for count in cpus if count is not None]
    if not tres.get("cpu") or len(known) < len(cpus) or tres.get("cpu") >= sum(known):
        return None
    return tres.get("cpu"), tres.gpus


def _known(connection: Connection, cluster: str, events: Sequence[NodeEvent], until: int) -> Known:
    classes = [one for one in parties.node_classes(connection) if one.cluster == cluster]
    latest: dict[str, PartitionLimit] = {}
    for since, one in stored.partitions(connection, cluster):
        if since < until or one.partition not in latest:  # the first also stands for the time before
            latest[one.partition] = one
    return Known(classes, events, list(latest.values()))


def _held(one: held.Run, names: Names, expand: Expand) -> Held:
    counts = names.counts[one.shape]
    return Held(
        one.id, one.begin, one.finish, expand(one.nodes), counts[0], counts[2], one.suspended, one.reservation
    )


def _sums(runs: Iterable[held.Run], names: Names, start: int, end: int) -> dict[str, int]:
    """What runs held, by resource, whatever the nodes."""
    sums = dict.fromkeys(RESOURCES, 0)
    for one in runs:
        seconds = cut(one.begin, one.finish, one.suspended, start, end)
        counts = names.counts[one.shape]
        sums["cpu"] += counts[0] * seconds.run
        sums["gpu"] += counts[2] * (seconds.run + seconds.suspended)
    return sums
