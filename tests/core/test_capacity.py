"""The books of nodes: who comes first at an instant, and that everything adds up."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.slurm.hosts import expand
from opsd.core import capacity, nodes
from opsd.core.capacity import Away, Held, Lines, Reserved, balance
from opsd.core.nodes import Known, Place
from opsd.core.parties import NodeClass
from opsd.core.period import DAY, HOUR, Window, zone
from opsd.core.plan import Plan, Segment, make
from opsd.core.records import CONTROLLER_AWAY, DOWN, REGISTERED, NodeEvent, PartitionLimit
from opsd.core.usage import cut

T = 1_795_831_200
HOUR_OF_IT = make(Window(T, T + HOUR), (), zone("UTC"))
NODE = Place("n1", T, T + HOUR, "acc", (80, 4))
RUN = Held(1, T, T + HOUR, ("n1",), 40, 2)
DOWN_FOR_HALF = Away("n1", T, T + HOUR // 2, planned=False)
MAINT = Away("n1", T, T + HOUR, planned=True)
KEPT = Reserved(7, T, T + HOUR, ("n1",))


def shares(held: Any = (), away: Any = (), reserved: Any = (), places: Any = (NODE,)) -> dict[str, Any]:
    """Half hours of a CPU, and of a GPU, by line; lines of nothing left out."""
    found = balance(HOUR_OF_IT, places, held, away, reserved)
    sums = [Lines(), Lines()]
    for (_, _, resource), lines in found.lines.items():
        sums[resource] = sums[resource].plus(lines)
    halves = [{line: getattr(one, line) / (HOUR // 2) for line in capacity.LINES[1:]} for one in sums]
    return {
        line: (halves[0][line], halves[1][line])
        for line in capacity.LINES[1:]
        if halves[0][line] or halves[1][line]
    }


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, {"unallocated": (160, 8)}),
        ({"held": [RUN]}, {"allocated": (80, 4), "unallocated": (80, 4)}),
        # a job on a draining node, or one that is said to be down, is allocated
        (
            {"held": [RUN], "away": [DOWN_FOR_HALF]},
            {"allocated": (80, 4), "down": (40, 2), "unallocated": (40, 2)},
        ),
        # planned down comes before down
        ({"away": [MAINT, DOWN_FOR_HALF]}, {"planned_down": (160, 8)}),
        ({"held": [RUN], "away": [MAINT]}, {"allocated": (80, 4), "planned_down": (80, 4)}),
        # down comes before reserved and idle
        ({"away": [DOWN_FOR_HALF], "reserved": [KEPT]}, {"down": (80, 4), "reserved_idle": (80, 4)}),
        # what a reservation's own run holds, or another one that goes on under it, is allocated
        (
            {"held": [RUN._replace(reservation=7)], "reserved": [KEPT]},
            {"allocated": (80, 4), "reserved_idle": (80, 4)},
        ),
        ({"held": [RUN], "reserved": [KEPT]}, {"allocated": (80, 4), "reserved_idle": (80, 4)}),
        # a reservation of some CPUs of the node: its own runs use it up, others do not
        (
            {"reserved": [KEPT._replace(part=(50, 0))]},
            {"reserved_idle": (100, 0), "unallocated": (60, 8)},
        ),
        (
            {"held": [RUN._replace(reservation=7)], "reserved": [KEPT._replace(part=(50, 0))]},
            {"allocated": (80, 4), "reserved_idle": (20, 0), "unallocated": (60, 4)},
        ),
        (
            {"held": [RUN], "reserved": [KEPT._replace(part=(50, 0))]},
            {"allocated": (80, 4), "reserved_idle": (80, 0), "unallocated": (0, 4)},
        ),
        # two reservations of the node whole: it is reserved once
        ({"reserved": [KEPT, KEPT._replace(id=8)]}, {"reserved_idle": (160, 8)}),
        # a suspended gang job: its CPUs are free, its GPUs are not
        (
            {"held": [RUN._replace(suspended=((T, T + HOUR // 2),))]},
            {"allocated": (40, 4), "unallocated": (120, 4)},
        ),
        (
            {"held": [RUN._replace(suspended=HOUR // 2)]},
            {"allocated": (40, 4), "unallocated": (120, 4)},
        ),
        # two that share a node in turns are not more than it has
        (
            {
                "held": [
                    Held(1, T, T + HOUR, ("n1",), 80, 0, ((T, T + HOUR // 2),)),
                    Held(2, T, T + HOUR, ("n1",), 80, 0, ((T + HOUR // 2, T + HOUR),)),
                ]
            },
            {"allocated": (160, 0), "unallocated": (0, 8)},
        ),
        # a node added mid-hour counts from then on
        (
            {"places": [NODE._replace(start=T + HOUR // 2)]},
            {"unallocated": (80, 4)},
        ),
        # a node that changes its class counts in each for its time
        (
            {
                "places": [
                    NODE._replace(end=T + HOUR // 2),
                    NODE._replace(start=T + HOUR // 2, node_class="new", counts=(40, 8)),
                ]
            },
            {"unallocated": (120, 12)},
        ),
        # a run of several nodes is split evenly, what is left over goes to the first
        (
            {
                "held": [Held(1, T, T + HOUR, ("n1", "n2", "n3"), 8, 4)],
                "places": [NODE._replace(node=name, counts=(3, 2)) for name in ("n1", "n2", "n3")],
            },
            {"allocated": (16, 8), "unallocated": (2, 4)},
        ),
        # allocation above a node's count is clipped
        (
            {"held": [RUN, RUN._replace(run=2, cpu=50, gpu=3)]},
            {"allocated": (160, 8)},
        ),
        # runs elsewhere, before, after, or of no second are nothing here
        (
            {
                "held": [
                    RUN._replace(nodes=("n9",)),
                    RUN._replace(begin=T - 9, finish=T),
                    RUN._replace(begin=T + HOUR, finish=T + HOUR + 9),
                    RUN._replace(begin=T + 5, finish=T + 5),
                ]
            },
            {"unallocated": (160, 8)},
        ),
    ],
)  # fmt: skip
def test_who_comes_first(case: dict[str, Any], expected: dict[str, Any]) -> None:
    """Allocated, then planned down, then down, then reserved and idle, then unallocated."""
    assert expected == shares(**case)


def test_over_commit_is_a_figure_of_its_own() -> None:
    """What was clipped is told, and is in no line."""
    found = balance(HOUR_OF_IT, [NODE], [RUN, RUN._replace(run=2, cpu=50, gpu=3)])

    assert [10 * HOUR, HOUR] == [found.lines["acc", (), resource].over_commit for resource in (0, 1)]


def test_a_day_over_committed_by_suspended_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where suspensions are known only as totals, a day is not asked about second by second."""
    looks = []
    monkeypatch.setattr(capacity, "cut", lambda *asked: (looks.append(asked), cut(*asked))[1])
    held = [Held(n, 0, DAY, ("a",), 6, 0, suspended) for n, suspended in ((1, DAY // 2), (2, DAY // 3))]
    day = Plan((Segment(0, DAY, ()),))

    lines = balance(day, [Place("a", 0, DAY, "acc", (8, 0))], held).lines["acc", (), 0]

    both = DAY // 6  # suspended every second and every third second: in every sixth both, in two neither
    assert (8 * 2 * both + 6 * 3 * both, 4 * 2 * both) == (lines.allocated, lines.over_commit)
    assert 10 > len(looks)


def test_what_is_held_on_unknown_nodes_is_told() -> None:
    """A node in no inventory has no line, and neither has a count that nobody knows."""
    places = [NODE._replace(counts=(80, None))]

    found = balance(HOUR_OF_IT, places, [RUN._replace(nodes=("n1", "n9"))])

    assert {"n1": [0, HOUR], "n9": [20 * HOUR, HOUR]} == found.elsewhere
    assert 20 * HOUR == found.lines["acc", (), 0].allocated
    assert Lines() == found.lines["acc", (), 1]


def test_hours_of_a_zone_with_half_hours() -> None:
    """They begin at xx:30 UTC, and what is between is cut there to the second."""
    cuts = make(Window(T, T + 2 * HOUR), ("hour",), zone("Asia/Kolkata"))
    place = NODE._replace(end=T + 2 * HOUR)

    found = balance(cuts, [place], [RUN._replace(begin=T + 1799, finish=T + 1801)])

    used = {key[1][0]: lines.allocated for key, lines in sorted(found.lines.items()) if key[2] == 1}
    totals = [lines.total for key, lines in sorted(found.lines.items()) if key[2] == 1]
    assert [2, 2, 0] == list(used.values())
    assert [4 * 1800, 4 * 3600, 4 * 1800] == totals
    assert all(label.endswith("00:00+05:30") for label in used)


# ------------------------------------------------------------------------------------------- properties

SPAN = 60
WINDOW = Window(0, SPAN)
seconds = st.integers(-10, SPAN + 10)
names = st.sampled_from(["a", "b", "c"])
some_names = st.lists(names, min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def spans(draw: Any) -> tuple[int, int]:
    """A start and a later end."""
    start = draw(seconds)
    return start, draw(st.integers(start, SPAN + 20))


@st.composite
def runs(draw: Any) -> Held:
    """A run; suspended at known times, or for so many seconds, or never."""
    begin, finish = draw(spans())
    edges = sorted(set(draw(st.lists(st.integers(begin, finish), max_size=4))))
    placed = tuple(zip(edges[::2], edges[1::2], strict=False))
    suspended = draw(st.sampled_from([0, placed, draw(st.integers(0, finish - begin))]))
    return Held(
        draw(st.integers(0, 9**9)), begin, finish, draw(some_names), draw(st.integers(0, 9)),
        draw(st.integers(0, 4)), suspended, draw(st.sampled_from([0, 0, 1, 2])),
    )  # fmt: skip


@st.composite
def worlds(draw: Any) -> tuple[list[Place], list[Held], list[Away], list[Reserved]]:
    """A little cluster with everything odd in it."""
    places = []
    for node in ("a", "b"):
        edge = draw(st.integers(0, SPAN))
        counts = draw(st.tuples(st.integers(0, 8), st.integers(0, 4)))
        places.append(Place(node, 0, edge, "one", counts))
        if draw(st.booleans()):
            places.append(Place(node, edge, SPAN, "two", (4, 2)))
    places = [place for place in places if place.start < place.end]
    held = draw(st.lists(runs(), max_size=6, unique_by=lambda run: run.run))
    outages = draw(st.lists(st.tuples(names, spans(), st.booleans()), max_size=4))
    away = [Away(node, start, end, planned) for node, (start, end), planned in outages]
    kept = draw(st.lists(st.tuples(st.sampled_from([1, 2, 3]), spans(), some_names), max_size=3))
    parts = st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(0, 4)))
    reserved = [Reserved(number, start, end, among, draw(parts)) for number, (start, end), among in kept]
    return places, held, away, reserved


def by_the_second(world: tuple[list[Place], list[Held], list[Away], list[Reserved]]) -> dict[Any, list[int]]:
    """The same books, kept second by second and thing by thing."""
    places, held, away, reserved = world
    sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 6)
    for place in places:
        for at in range(max(0, place.start), min(SPAN, place.end)):
            for resource in (0, 1):
                line = sums[place.node_class, resource]
                count = place.counts[resource] or 0
                inside: dict[int, int] = defaultdict(int)
                used = 0
                for run in held:
                    if run.begin <= at < run.finish and place.node in run.nodes:
                        whole = (run.cpu, run.gpu)[resource]
                        share = capacity.split(whole, len(run.nodes))[run.nodes.index(place.node)]
                        inside[run.reservation] += share
                        used += share * (1 - (resource == 0 and suspended(run, at)))
                used = min(used, count)
                states = {one.planned for one in away if one.node == place.node and one.start <= at < one.end}
                kept: dict[int, int] = defaultdict(int)
                whole_node = False
                for one in reserved:
                    if place.node in one.nodes and one.start <= at < one.end:
                        whole_node |= one.part is None
                        if one.part is not None:
                            shares = capacity.split(one.part[resource], len(one.nodes))
                            kept[one.id] += shares[one.nodes.index(place.node)]
                idle = count - used
                line[0] += count
                line[1] += used
                if states:
                    line[3 if True in states else 4] += idle
                else:
                    wanted = count if whole_node else sum(max(0, n - inside[i]) for i, n in kept.items())
                    line[2] += min(idle, wanted)
                    line[5] += idle - min(idle, wanted)
    return {key: line for key, line in sums.items() if line[0]}


def suspended(run: Held, at: int) -> int:
    """Whether a run is suspended in a second; evenly spread where only the total is known."""
    if isinstance(run.suspended, int):
        length = run.finish - run.begin
        before, after = (run.suspended * (second - run.begin) // length for second in (at, at + 1))
        return after - before
    return int(any(a <= at < b for a, b in run.suspended))


def summed(plan: Plan, world: tuple[list[Place], list[Held], list[Away], list[Reserved]]) -> dict[Any, Any]:
    """The books of a cut, periods added up."""
    sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 6)
    for (node_class, _, resource), lines in balance(plan, *world).lines.items():
        for at in range(6):
            sums[node_class, resource][at] += lines[at]
    return {key: line for key, line in sums.items() if line[0]}


def cut_at(edges: list[int]) -> Plan:
    """The window in pieces, each with a name."""
    starts = sorted({0, *edges})
    ends = [*starts[1:], SPAN]
    return Plan(tuple(Segment(a, b, (str(a),)) for a, b in zip(starts, ends, strict=True) if a < b))


@settings(max_examples=300)
@given(worlds())
def test_the_books_are_what_they_are_second_by_second(world: Any) -> None:
    """Every line of every class, and with it that they add up and none is negative."""
    assert by_the_second(world) == summed(cut_at([]), world)


@settings(max_examples=200)
@given(worlds(), st.lists(st.integers(1, SPAN - 1), max_size=8), st.randoms(use_true_random=False))
def test_any_cut_adds_up_in_any_order(world: Any, edges: list[int], chance: random.Random) -> None:
    """The lines of the pieces are the window's, whatever order runs and outages are told in."""
    shuffled = tuple(chance.sample(part, len(part)) for part in world)

    assert summed(cut_at([]), world) == summed(cut_at(edges), shuffled)  # type: ignore[arg-type]


def test_a_reservation_beside_a_run_suspended_at_unknown_times() -> None:
    """What is reserved and idle is counted second by second, as what the run holds: cuts add up."""
    world = (
        [Place("a", 0, SPAN, "two", (4, 2))],
        [Held(0, 0, 2, ("a",), 2, 0, suspended=1)],
        [],
        [Reserved(1, 0, 2, ("a",), (3, 0))],
    )
    assert by_the_second(world) == summed(cut_at([]), world) == summed(cut_at([1]), world)  # type: ignore[arg-type]
    assert [4 * SPAN, 2, 5, 0, 0, 4 * SPAN - 7] == by_the_second(world)["two", 0]


# ------------------------------------------------------------------------------------------ which nodes

ACC = NodeClass("lab", "acc", nodes="n[1-2]", cpus=80, gpus=4)
WHOLE = "cpu=200,gres/gpu=8,mem=9000,node=4"


def event(node: str, start: int, end: int | None, kind: str, **more: Any) -> NodeEvent:
    """An event about a node, or about the cluster."""
    return NodeEvent("lab", node, start, end, kind, "", "", "", "")._replace(**more)


def found(*classes: NodeClass, events: Any = (), partitions: Any = ()) -> nodes.Nodes:
    """The nodes of one hour."""
    return nodes.of(Known(classes, list(events), list(partitions)), Window(T, T + HOUR), expand)


def test_a_node_of_no_class_is_unclassified() -> None:
    """While Slurm registers it, also while its controller is away; what it has is told by its events."""
    events = [
        event("", T - 9, T + 900, REGISTERED, nodes="n[1-3]"),
        event("", T + 900, T + 1800, CONTROLLER_AWAY, nodes="n[1-3]"),
        event("", T + 1800, T + 2700, REGISTERED, nodes="n[1-3]"),
        event("n3", T, T + 1, DOWN, tres="cpu=16,gres/gpu=2"),
    ]

    assert [
        Place("n1", T, T + HOUR, "acc", (80, 4)),
        Place("n2", T, T + HOUR, "acc", (80, 4)),
        Place("n3", T, T + 2700, "unclassified", (16, 2)),
    ] == found(ACC, events=events).places


def test_a_class_known_by_its_partition() -> None:
    """Its nodes are the partition's that no other class names; their part of it is what each has."""
    bare = NodeClass("lab", "bare", partitions=("gpp",))
    gpp = PartitionLimit("lab", "gpp", 60, "n[2-4]", "cpu=48,mem=99,node=3")

    assert [
        Place("n3", T, T + HOUR, "bare", (16, 0)),
        Place("n4", T, T + HOUR, "bare", (16, 0)),
    ] == found(ACC, bare, partitions=[gpp]).places[2:]


def test_a_class_of_which_no_node_is_known_is_said() -> None:
    """It has no line, and whoever asks hears why."""
    told = found(NodeClass("lab", "bare", partitions=("gpp",)))

    assert [] == told.places
    assert ["bare"] == [note.split()[2] for note in told.notes]


def test_a_node_in_two_classes_counts_once() -> None:
    """In the first of them; the overlap is said."""
    told = found(ACC, NodeClass("lab", "too", nodes="n[2-3]", cpus=1, gpus=0))

    assert [("n1", "acc"), ("n2", "acc"), ("n3", "too")] == [
        (place.node, place.node_class) for place in told.places
    ]
    assert 1 == len(told.notes)
    assert "n2" in told.notes[0]


def test_counts_that_only_the_whole_cluster_tells() -> None:
    """What is left for a single node is its own; for two, nobody knows, unless nothing is left."""
    registered = event("", T, None, REGISTERED, nodes="n[1-3]", tres=WHOLE)
    more = registered._replace(nodes="n[1-4]")

    one, two = found(ACC, events=[registered]), found(ACC, events=[more])

    assert (40, 0) == one.places[2].counts
    assert [] == one.notes
    assert [(None, 0), (None, 0)] == [place.counts for place in two.places[2:]]
    assert ["how many CPUs nodes n3, n4 have"] == [note.split(" is ")[0] for note in two.notes]


def test_classes_are_dated() -> None:
    """A node counts from the instant on from which its class has it."""
    later = NodeClass("lab", "new", T + 600, T + 1200, nodes="n1", cpus=96, gpus=8)
    before = NodeClass("lab", "old", 0, T + 600, nodes="n1", cpus=80, gpus=4)

    assert [
        Place("n1", T, T + 600, "old", (80, 4)),
        Place("n1", T + 600, T + 1200, "new", (96, 8)),
    ] == found(before, later).places
