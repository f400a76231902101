"""Events, reservations and partitions in the database: in any order, twice, changed and taken back."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.errors import Unavailable
from opsd.core.period import DAY, HOUR
from opsd.core.records import DOWN, DRAIN, REGISTERED, NodeEvent, PartitionLimit, Reservation
from opsd.pipeline import machine
from opsd.store import machine as stored
from opsd.store import migrate
from opsd.store.engine import Store, open_engine

NOW = 1_795_831_200
TRES = "cpu=16,mem=64000"


@dataclass
class Cluster:
    """A machine that answers what it is told to."""

    known: list[NodeEvent] = field(default_factory=list)
    reserved: list[Reservation] = field(default_factory=list)
    limits: list[PartitionLimit] = field(default_factory=list)
    asked: list[tuple[int, int]] = field(default_factory=list)
    away: str = ""  # why the controller does not answer

    def events(self, start: int, end: int) -> Sequence[NodeEvent]:
        """Those that overlap."""
        self.asked.append((start, end))
        return [one for one in self.known if one.start < end and (one.end is None or one.end >= start)]

    def reservations(self, start: int, end: int) -> Sequence[Reservation]:
        """The same."""
        return [one for one in self.reserved if one.start < end and one.end >= start]

    def partitions(self) -> Sequence[PartitionLimit]:
        """All."""
        if self.away:
            raise Unavailable(self.away)
        return self.limits


@pytest.fixture
def store(store_url: str) -> Any:
    """An empty database of either kind."""
    found = open_engine(store_url)
    migrate.upgrade(found)
    yield found
    found.close()


def read(store: Store, cluster: Cluster, now: int = NOW) -> machine.Result:
    """One reading."""
    return machine.run(store, cluster, cluster="lab", now=now)  # type: ignore[arg-type]


def event(node: str = "n1", start: int = NOW - HOUR, end: int | None = None, kind: str = DOWN) -> NodeEvent:
    """An event of a node."""
    return NodeEvent("slurm-name", node, start, end, kind, kind.upper(), "a | b\nc", TRES)


def reservation(number: int = 1, start: int = NOW - HOUR, end: int = NOW + HOUR, **more: Any) -> Reservation:
    """A reservation of one node."""
    row = Reservation("slurm-name", number, start, end, "res", "n1", "", TRES, (3, 5))
    return row._replace(**more)


def test_what_was_read_stands_under_the_stable_name(store: Store) -> None:
    """Every record comes back as it was, but for the cluster's name; a second reading changes nothing."""
    registered = event("", NOW - DAY, kind=REGISTERED)._replace(nodes="n[1-4]")
    limit = PartitionLimit("slurm-name", "gpu", 86_400, "n[1-4]", "cpu=64")
    cluster = Cluster([registered, event()], [reservation(), reservation(2, associations=None)], [limit])

    first, second = read(store, cluster), read(store, cluster)

    assert (5, 0) == (first.new, first.changed)
    assert (0, 0, 0) == (second.new, second.changed, second.dropped)
    with store.read() as connection:
        assert [one._replace(cluster="lab") for one in cluster.known] == stored.events(
            connection, "lab", NOW - 2 * DAY, NOW
        )
        assert [one._replace(cluster="lab") for one in cluster.reserved] == stored.reservations(
            connection, "lab", NOW - 2 * DAY, NOW
        )
        assert [(NOW, limit._replace(cluster="lab"))] == stored.partitions(connection, "lab")
        assert ["lab"] == stored.clusters(connection)


def test_an_event_that_ended_later(store: Store) -> None:
    """Its row gets the end; an older answer read afterwards does not open it again."""
    read(store, Cluster([event()]))

    done = read(store, Cluster([event(end=NOW + 60)]), NOW + 600)
    older = read(store, Cluster([event()]), NOW + 300)

    assert (0, 1, 0) == (done.new, done.changed, older.changed)
    with store.read() as connection:
        assert [NOW + 60] == [one.end for one in stored.events(connection, "lab", NOW - DAY, NOW + DAY)]


def test_an_open_event_that_vanished_ended_when_it_was_last_seen(store: Store) -> None:
    """What Slurm no longer has is not away for ever; an answer about earlier says nothing of it."""
    read(store, Cluster([event(), event("n2")]))
    machine.run(store, Cluster(), cluster="lab", now=NOW + 60, start=0, end=NOW - DAY)  # type: ignore[arg-type]

    gone = read(store, Cluster([event("n2")]), NOW + 600)

    assert (1, 0) == (gone.changed, gone.new)
    with store.read() as connection:
        assert [NOW, None] == [one.end for one in stored.events(connection, "lab", NOW - DAY, NOW)]


def test_an_open_event_that_is_seen_again_goes_on(store: Store) -> None:
    """An answer that lacked it was no whole truth; the later one counts."""
    for known, now in (([event()], NOW), ([], NOW + 600), ([event()], NOW + 900)):
        read(store, Cluster(known), now)

    with store.read() as connection:
        assert [None] == [one.end for one in stored.events(connection, "lab", NOW - DAY, NOW)]


def test_an_event_whose_kind_changed_is_one_event(store: Store) -> None:
    """A node that was down and is said to be drained since the same second is not away twice."""
    read(store, Cluster([event()]))
    read(store, Cluster([event(kind=DRAIN)]), NOW + 60)

    with store.read() as connection:
        assert [DRAIN] == [one.kind for one in stored.events(connection, "lab", NOW - DAY, NOW)]


def test_a_reservation_changed_midway_is_two_records(store: Store) -> None:
    """The first ends where the second begins; both stay, also when it is deleted in Slurm afterwards."""
    read(store, Cluster(reserved=[reservation()]))
    halves = [reservation(end=NOW + 60), reservation(start=NOW + 60, nodes="n[1-2]")]

    done = read(store, Cluster(reserved=halves), NOW + 120)
    gone = read(store, Cluster(), NOW + 180)

    assert (1, 1, 0) == (done.new, done.changed, gone.dropped)
    with store.read() as connection:
        assert [(NOW - HOUR, NOW + 60), (NOW + 60, NOW + HOUR)] == [
            (one.start, one.end) for one in stored.reservations(connection, "lab", NOW - DAY, NOW + DAY)
        ]


def test_a_reservation_moved_before_it_began_has_never_been(store: Store) -> None:
    """Slurm moves its record: the time that it was first planned for was never reserved."""
    read(store, Cluster(reserved=[reservation(start=NOW + HOUR, end=NOW + 2 * HOUR)]))

    moved = read(store, Cluster(reserved=[reservation(start=NOW + DAY, end=NOW + 2 * DAY)]), NOW + 60)
    late = read(store, Cluster(reserved=[reservation(start=NOW + DAY, end=NOW + 2 * DAY)]), NOW + 3 * DAY)

    assert (1, 1, 0) == (moved.new, moved.dropped, late.dropped)
    with store.read() as connection:
        assert [NOW + DAY] == [
            one.start for one in stored.reservations(connection, "lab", NOW - DAY, NOW + 9 * DAY)
        ]


def test_a_partition_is_kept_from_when_it_changed(store: Store) -> None:
    """One row while it stays as it is; another when its limit or its nodes are others."""
    limits = [PartitionLimit("x", "gpu", seconds, nodes) for seconds, nodes in ((60, "n1"), (60, "n2"))]

    new = [
        read(store, Cluster(limits=[limits[number]]), NOW + at).new
        for number, at in ((0, 0), (0, 60), (1, 120))
    ]

    assert [1, 0, 1] == new
    with store.read() as connection:
        assert [(NOW, "n1"), (NOW + 120, "n2")] == [
            (since, limit.nodes) for since, limit in stored.partitions(connection, "lab")
        ]


def test_the_first_reading_goes_back_as_far_as_the_accounting(store: Store) -> None:
    """Later ones read the last week again."""
    cluster = Cluster([event()])
    for now in (NOW, NOW + 60):
        machine.run(store, cluster, cluster="lab", now=now, since=NOW - 90 * DAY)  # type: ignore[arg-type]

    assert [NOW - 90 * DAY, NOW + 60 - machine.BACK] == [start for start, _ in cluster.asked]


@given(st.permutations(range(4)), st.randoms(use_true_random=False))
def test_order_does_not_matter(order: list[int], chance: random.Random) -> None:
    """Four observations of three events, in any order and some twice, leave the same rows."""
    seen = [
        [event(), event("n2")],
        [event(end=NOW + 5), event("n2")],
        [event(end=NOW + 5), event("n2", kind=DRAIN)],
        [event(end=NOW + 6), event("n2", end=NOW + 9, kind=DRAIN), event("n3")],
    ]
    again = [*order, *chance.choices(order, k=2)]

    results = []
    for numbers in (range(4), again):
        store = open_engine("sqlite://")
        migrate.ensure_current(store)
        for number in numbers:
            read(store, Cluster(seen[number]), NOW + number)
        with store.read() as connection:
            results.append(stored.events(connection, "lab", NOW - DAY, NOW + DAY))
        store.close()

    assert results[0] == results[1]
    assert [NOW + 6, NOW + 9, None] == [one.end for one in results[0]]


def test_a_controller_away_costs_the_partitions_alone(store: Store) -> None:
    """Events are stored and what was known of partitions stays; the result says who did not answer."""
    limit = PartitionLimit("slurm-name", "gpu", 86_400, "n[1-4]", "cpu=64")
    read(store, Cluster([], [], [limit]))

    done = read(store, Cluster([event()], [], away="scontrol ended with 1"), NOW + HOUR)

    assert 1 == done.events
    assert ("scontrol ended with 1: partitions are taken as they were last seen",) == done.notes
    with store.read() as connection:
        assert [limit._replace(cluster="lab")] == [known for _, known in stored.partitions(connection)]


def test_tables_away_are_stood_in_for(store: Store) -> None:
    """Where slurmdbd's database does not answer, events come from its own commands, and it says so."""

    class Away:
        def events(self, start: int, end: int) -> Sequence[NodeEvent]:
            raise Unavailable("the database said no")

    done = machine.run(store, Cluster([event()]), Away(), cluster="lab", now=NOW)  # type: ignore[arg-type]

    assert 1 == done.events
    assert ("the database said no: events and reservations come from sacctmgr meanwhile",) == done.notes
