"""Which nodes a cluster consisted of, when, of which class, and how much each has.

Invariant: a node is in one class at a time, or in none (`unclassified`) while Slurm knows it. A count is
only ever taken from evidence: the class, Slurm's events about the node, its partition, or what is left of
the whole cluster's for the last node; what none of them tells is None, and said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opsd.core.parties import NodeClass
from opsd.core.period import Window
from opsd.core.plan import joined
from opsd.core.records import CONTROLLER_AWAY, REGISTERED, NodeEvent, PartitionLimit
from opsd.core.tres import UNCLASSIFIED, Tres

Expand = Callable[[str], Sequence[str]]
Counts = tuple[int | None, int | None]  # Slurm CPUs and GPUs of a node; None: nobody tells
_UNKNOWN: Counts = (None, None)


class Place(NamedTuple):
    """A node, for as long as its class and its counts stay the same."""

    node: str
    start: int
    end: int
    node_class: str
    counts: Counts


@dataclass(frozen=True, slots=True)
class Known:
    """What tells about a cluster's nodes; only values that are about this cluster."""

    node_classes: Sequence[NodeClass] = ()
    events: Sequence[NodeEvent] = ()  # registrations among them
    partitions: Sequence[PartitionLimit] = ()


@dataclass(slots=True)
class Nodes:
    """The nodes of a window, and what is not known of them."""

    places: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def of(known: Known, window: Window, expand: Expand) -> Nodes:
    """Every node of a window."""
    found = Nodes()
    spans = _declared(known, window, expand, found.notes)
    _add_unclassified(spans, known, window, expand)
    counts = _Counts(known, expand, spans)
    for node in sorted(spans):
        for start, end, node_class in sorted(spans[node], key=lambda span: span[0]):
            found.places.append(
                Place(node, start, end, node_class.id if node_class else UNCLASSIFIED,
                      counts.of(node, node_class))
            )  # fmt: skip
    found.notes += _not_counted(found.places)
    return found


Spans = dict[str, list[tuple[int, int, NodeClass | None]]]


def _declared(known: Known, window: Window, expand: Expand, notes: list[str]) -> Spans:
    """Nodes by the class that names them, or their partition; of two classes the first has a node."""
    spans: Spans = defaultdict(list)
    listed = [one for one in known.node_classes if one.nodes]
    for node_class in listed:
        _claim(spans, expand(node_class.nodes), node_class, window, notes)
    taken = set(spans) | {node for one in listed for node in expand(one.nodes)}
    for node_class in known.node_classes:
        if node_class.nodes:
            continue
        mine = [one for one in known.partitions if one.partition in node_class.partitions and one.nodes]
        nodes = {node for one in mine for node in expand(one.nodes)} - taken
        if not nodes:
            notes.append(
                f"node class {node_class.id} has no node: it is known by its partitions only, and their "
                "nodes were not read from Slurm: give it `nodes`, or let the daemon read the cluster"
            )
        _claim(spans, sorted(nodes), node_class, window, notes)
    return spans


def _claim(
    spans: Spans, nodes: Iterable[str], node_class: NodeClass, window: Window, notes: list[str]
) -> None:
    until = window.end if node_class.valid_until is None else min(node_class.valid_until, window.end)
    start = max(node_class.valid_from, window.start)
    twice = []
    for node in nodes if start < until else ():
        free = _without([(start, until)], [(a, b) for a, b, _ in spans.get(node, ())])
        if free != [(start, until)]:
            twice.append(node)
        spans[node] += [(a, b, node_class) for a, b in free]
    if twice:
        notes.append(
            f"node class {node_class.id}: node {twice[0]} is in another class at the same time "
            f"({len(twice)} such): it counts there: opsd consortium check shows the overlap"
        )


def _add_unclassified(spans: Spans, known: Known, window: Window, expand: Expand) -> None:
    """Nodes that Slurm registered, for the time that they are in no class."""
    registered: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for event in known.events:
        if event.kind in (REGISTERED, CONTROLLER_AWAY) and event.nodes:
            start = max(event.start, window.start)
            end = window.end if event.end is None else min(event.end, window.end)
            if start < end:
                for node in expand(event.nodes):
                    registered[node].append((start, end))
    for node, times in registered.items():
        claimed = [(a, b) for a, b, _ in spans.get(node, ())]
        if left := _without(joined(times), claimed):
            spans[node] += [(a, b, None) for a, b in left]


def _without(times: Sequence[tuple[int, int]], taken: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans less others."""
    left = list(times)
    for a, b in joined(taken):
        left = [
            piece for start, end in left for piece in ((start, min(end, a)), (max(start, b), end))
            if piece[0] < piece[1]
        ]  # fmt: skip
    return left


class _Counts:
    """How much each node has, from the best evidence there is."""

    def __init__(self, known: Known, expand: Expand, spans: Spans) -> None:
        self._by_event = {
            one.node: _of_tres(one.tres) for one in sorted(known.events, key=_when) if one.node and one.tres
        }
        self._by_partition: dict[str, Counts] = {}
        for one in sorted(known.partitions, key=lambda one: -len(expand(one.nodes)) if one.nodes else 0):
            nodes = expand(one.nodes) if one.nodes and one.tres else ()
            for node in nodes:
                self._by_partition[node] = _each(one.tres, len(nodes))
        self._by_rest: Mapping[str, Counts] = {}
        self._by_rest = self._of_rest(known, expand, spans)

    def of(self, node: str, node_class: NodeClass | None) -> Counts:
        """CPUs and GPUs of a node."""
        told = (
            (node_class.cpus, node_class.gpus) if node_class else _UNKNOWN,
            self._by_event.get(node, _UNKNOWN),
            self._by_partition.get(node, _UNKNOWN),
            self._by_rest.get(node, _UNKNOWN),
        )
        cpus, gpus = (next((one[at] for one in told if one[at] is not None), None) for at in (0, 1))
        return cpus, gpus

    def _of_rest(self, known: Known, expand: Expand, spans: Spans) -> Mapping[str, Counts]:
        """What is left of the cluster's own count for the one node without, or nothing for all without."""
        registered = [one for one in known.events if one.kind == REGISTERED and one.nodes and one.tres]
        if not registered:
            return {}
        last = max(registered, key=_when)
        whole, nodes = _of_tres(last.tres), expand(last.nodes)
        counts = [self.of(node, next((c for *_, c in spans.get(node, ()) if c), None)) for node in nodes]
        rests: list[dict[str, int]] = []
        for at in (0, 1):
            lacking = [node for node, count in zip(nodes, counts, strict=True) if count[at] is None]
            rest = (whole[at] or 0) - sum(count[at] or 0 for count in counts)
            sure = len(lacking) == 1 or rest == 0
            rests.append(dict.fromkeys(lacking, rest) if sure and rest >= 0 else {})
        return {node: (rests[0].get(node), rests[1].get(node)) for node in nodes}


def _when(event: NodeEvent) -> int:
    return event.start


def _of_tres(text: str) -> Counts:
    tres = Tres.from_canonical(text)
    return tres.get("cpu"), tres.gpus


def _each(text: str, nodes: int) -> Counts:
    """A node's part of its partition's, where all are alike."""
    cpus, gpus = _of_tres(text)
    parts = [None if count is None or count % nodes else count // nodes for count in (cpus, gpus)]
    return parts[0], parts[1]


def _not_counted(places: Sequence[Place]) -> Iterator[str]:
    for at, what in enumerate(("CPUs", "GPUs")):
        nodes = sorted({place.node for place in places if place.counts[at] is None})
        if nodes:
            yield (
                f"how many {what} {_shown(nodes)} {'has' if len(nodes) == 1 else 'have'} is not known, so no "
                "line counts them: give their node class a count, or let the daemon read the partitions"
            )


def _shown(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - 3} more" if len(nodes) > 3 else ""
    return ("node " if len(nodes) == 1 else "nodes ") + ", ".join(nodes[:3]) + more
