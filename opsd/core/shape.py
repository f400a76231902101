"""What a run held: its TRES, the class of its GPUs and of its nodes.

Invariant: `Shape.gpus` adds up to the TRES' GPU count, and a class is only ever named on evidence:
what Slurm printed, or the node inventory in force when the run began.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from opsd.core.fields import in_force
from opsd.core.flags import Flag
from opsd.core.parties import NodeClass
from opsd.core.slices import slice_of
from opsd.core.tres import GPU, GPU_TYPED, UNCLASSIFIED, Tres

Expand = Callable[[str], Sequence[str]]
Found = tuple[NodeClass | None, Flag]

CACHE_LIMIT = 200_000  # entries; a year of distinct host lists must not live in memory
_NOTHING: Found = (None, Flag.NONE)
_MIXED: Found = (None, Flag.MIXED_NODE_CLASS)


@dataclass(frozen=True, slots=True)
class Shape:
    """AllocTRES, GPU counts by class (sorted), node class ("" where unknown)."""

    tres: Tres
    gpus: tuple[tuple[str, int], ...] = ()
    node_class: str = ""

    def __post_init__(self) -> None:
        if list(self.gpus) != sorted(self.gpus) or len(dict(self.gpus)) != len(self.gpus):
            raise ValueError(f"GPU classes must be sorted and distinct: {self.gpus}")
        if sum(count for _, count in self.gpus) != self.tres.gpus:
            raise ValueError(f"GPUs by class {self.gpus} do not add up to {self.tres.gpus}")


def classify(tres: Tres, node_class: NodeClass | None) -> tuple[Shape, Flag]:
    """Name the GPUs of an allocation: what Slurm typed, and the rest by the node class."""
    name = node_class.id if node_class else ""
    total = tres.gpus
    if not total:
        return Shape(tres, (), name), _missing(tres, node_class)
    declared = node_class.gpu_class if node_class else ""
    counts = dict(tres.typed_gpus)
    flags = Flag.NONE
    if declared and any(not _same_make(typed, declared) for typed in counts):
        flags |= Flag.GPU_CLASS_DISAGREES
    if sum(counts.values()) > total:
        flags |= Flag.GPU_CLASS_DISAGREES
        counts = {}
    if rest := total - sum(counts.values()):
        same = (typed for typed in counts if typed.casefold() == declared.casefold())
        home = next(same, declared or UNCLASSIFIED)
        counts[home] = counts.get(home, 0) + rest
        if home == UNCLASSIFIED:
            flags |= Flag.GPU_UNCLASSIFIED
    return Shape(tres, tuple(sorted(counts.items())), name), flags


def _missing(tres: Tres, node_class: NodeClass | None) -> Flag:
    """No GPU: an error only where the nodes have some and Slurm wrote no GPU entry, not even zero."""
    if not tres.entries or node_class is None or not node_class.gpus:
        return Flag.NONE
    written = any(name == GPU or name.startswith(GPU_TYPED) for name, _ in tres)
    return Flag.NONE if written else Flag.NO_GPU_TRES


def _same_make(typed: str, declared: str) -> bool:
    """Whether Slurm's type may be the inventory's class: the same, or a slice of it."""
    low, make = typed.casefold(), declared.casefold()
    if low == make or low.startswith((f"{make}_", f"{make}-", f"{make}.")):
        return True
    found = slice_of(low)
    return found is not None and not found.make


class Inventory:
    """Which class the nodes of a run were in; built once per state of the master data, asked per run."""

    def __init__(self, node_classes: Iterable[NodeClass], expand: Expand) -> None:
        self._expand = expand
        self._by_node: dict[str, dict[str, list[NodeClass]]] = defaultdict(lambda: defaultdict(list))
        self._by_cluster: dict[str, list[NodeClass]] = defaultdict(list)
        instants = set()
        for node_class in node_classes:
            self._by_cluster[node_class.cluster].append(node_class)
            instants |= {node_class.valid_from, node_class.valid_until or node_class.valid_from}
            for node in expand(node_class.nodes) if node_class.nodes else ():
                self._by_node[node_class.cluster][node].append(node_class)
        self._instants = sorted(instants)
        self._cache: dict[tuple[str, str | None, str | None, int], Found] = {}

    def class_of(self, cluster: str, nodes: str | None, partition: str | None, at: int) -> Found:
        """The class of a run's nodes at `at`, or None, and MIXED_NODE_CLASS if they disagree.

        Without a node list the partition decides, if exactly one class declares it; nodes in no
        declared host list are looked up among the classes known by their partitions only.
        """
        key = (cluster, nodes, partition, bisect_right(self._instants, at))
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= CACHE_LIMIT:
                self._cache.clear()
            found = self._cache[key] = self._look_up(cluster, nodes, partition, at)
        return found

    def _look_up(self, cluster: str, nodes: str | None, partition: str | None, at: int) -> Found:
        classes = self._by_cluster.get(cluster)
        if not classes:
            return _NOTHING
        if not nodes:
            return self._by_partition(classes, partition, at)
        by_node = self._by_node[cluster]
        listed = self._expand(nodes) if "[" in nodes or "," in nodes else (nodes,)
        found = {self._node_at(by_node.get(node, ()), at) for node in listed}
        if found == {None}:
            return self._by_partition([c for c in classes if not c.nodes], partition, at)
        return (found.pop(), Flag.NONE) if len(found) == 1 else _MIXED

    @staticmethod
    def _node_at(classes: Iterable[NodeClass], at: int) -> NodeClass | None:
        return next((c for c in classes if in_force(c.valid_from, c.valid_until, at)), None)

    @staticmethod
    def _by_partition(classes: Iterable[NodeClass], partition: str | None, at: int) -> Found:
        present = (c for c in classes if in_force(c.valid_from, c.valid_until, at))
        declaring = [c for c in present if partition in c.partitions]
        return (declaring[0], Flag.NONE) if len(declaring) == 1 else _NOTHING
