"""The simulated machine: partitions, node names, and which nodes have room.

Invariant: a node's free slots never go below zero. A slot is one GPU with its share of CPUs and
memory, or a sixteenth of a CPU node, so one number per node is enough to place a job.
"""

from __future__ import annotations

from typing import NamedTuple


class Partition(NamedTuple):
    """Equal nodes; `billing` is Slurm's billing weight of one whole node."""

    name: str
    nodes: int
    slots: int
    cores: int
    cpus: int
    mem_mb: int
    gpus: int
    gpu_type: str
    billing: int


ACC, GPP, UPG = 0, 1, 2
PARTITIONS = (
    Partition("acc", 48, 4, 80, 160, 500_000, 4, "h100", 160),
    Partition("gpp", 40, 16, 112, 224, 224_000, 0, "", 224),
    Partition("upg", 8, 8, 112, 224, 2_000_000, 8, "b200", 640),
)
DIGITS = 2


def node_name(partition: Partition, node: int) -> str:
    """What Slurm calls a node: `acc07`."""
    return f"{partition.name}{node + 1:0{DIGITS}d}"


def host_list(partition: Partition, nodes: tuple[int, ...]) -> str:
    """Node names as Slurm compresses them: `acc07`, `acc[01-04,09]`."""
    numbers = sorted(node + 1 for node in nodes)
    if len(numbers) == 1:
        return node_name(partition, numbers[0] - 1)
    return f"{partition.name}[{','.join(_ranges(numbers))}]"


def _ranges(numbers: list[int]) -> list[str]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return [f"{a:0{DIGITS}d}" if a == b else f"{a:0{DIGITS}d}-{b:0{DIGITS}d}" for a, b in found]


class Room:
    """Free slots of one partition: per number of free slots, the nodes that have it, as one bit mask."""

    def __init__(self, partition: Partition) -> None:
        self._slots = partition.slots
        self._free = [partition.slots] * partition.nodes
        self._masks = [0] * (partition.slots + 1)
        self._masks[partition.slots] = (1 << partition.nodes) - 1
        self._drained: set[int] = set()  # in no mask, so that nobody is given any of it

    def take(self, nodes: int, slots: int) -> tuple[int, ...] | None:
        """Take `slots` on each of `nodes` nodes, fullest nodes first; None if there is no room."""
        masks = self._masks[slots:]
        if sum(mask.bit_count() for mask in masks) < nodes:
            return None
        found: list[int] = []
        for mask in masks:
            while mask and len(found) < nodes:
                lowest = mask & -mask
                found.append(lowest.bit_length() - 1)
                mask ^= lowest  # noqa: PLW2901 (eats the mask bit by bit)
        for node in found:
            self._move(node, self._free[node] - slots)
        return tuple(found)

    def give(self, nodes: tuple[int, ...], slots: int) -> None:
        """Give back what `take` took."""
        for node in nodes:
            self._move(node, self._free[node] + slots)

    def close(self, node: int) -> None:
        """A node that is down has no room; its jobs must have been given back first."""
        self._move(node, 0)

    def open(self, node: int) -> None:
        """A repaired node comes back empty."""
        self._move(node, self._slots)

    def drain(self, node: int) -> None:
        """What is on a node may end, and nothing new comes."""
        self._masks[self._free[node]] &= ~(1 << node)
        self._drained.add(node)

    def _move(self, node: int, free: int) -> None:
        if node not in self._drained:
            self._masks[self._free[node]] ^= 1 << node
            self._masks[free] |= 1 << node
        self._free[node] = free
