"""Node-hours: whole nodes, or the largest share of a node's CPUs, GPUs or memory.

The share is exact because it is taken per shape: nothing else can be on that share of the node.
Suspended CPUs are never counted, as Slurm does not count them; GPUs, memory and whole nodes are.
"""

from __future__ import annotations

from fractions import Fraction

from opsd.core.amounts import NODE_HOURS
from opsd.core.parties import NodeClass
from opsd.core.shape import Shape
from opsd.core.terms import Params, Rates, Unpriced

UNIT = NODE_HOURS
WHOLE = "whole"
LARGEST_SHARE = "largest-share"
MODES: tuple[str, ...] = (WHOLE, LARGEST_SHARE)
PARAMS: tuple[str, ...] = ("mode", "weights", "suspended", "reservation_idle", "draft_credits")


def rate(shape: Shape, node_class: NodeClass | None, params: Params) -> Rates | Unpriced:
    """Nodes, or their largest share, times weight of the node class."""
    held = _shares(shape, node_class) if params.mode == LARGEST_SHARE else _whole(shape)
    if isinstance(held, Unpriced):
        return held
    weight = params.weight(shape.node_class)
    if weight is None:
        return Unpriced("nodes of unknown class under a policy that weighs classes")
    return Rates(held.run * weight, held.suspended * weight if params.suspended else Fraction(0))


def _whole(shape: Shape) -> Rates | Unpriced:
    nodes = Fraction(shape.tres.get("node"))
    if not nodes and shape.tres.entries:
        return Unpriced("no node count in AllocTRES")
    return Rates(nodes, nodes)


def _shares(shape: Shape, node_class: NodeClass | None) -> Rates | Unpriced:
    """The largest share in nodes: with CPUs while running, without while suspended."""
    if node_class is None:
        return Unpriced("largest share of a node of unknown class")
    used = {"CPUs": shape.tres.get("cpu"), "GPUs": shape.tres.gpus, "memory": shape.tres.get("mem")}
    per_node = {"CPUs": node_class.cpus, "GPUs": node_class.gpus, "memory": node_class.mem_mb}
    for what, count in used.items():
        if count and not per_node[what]:
            return Unpriced(f"unknown {what} per node of class {node_class.id}")
    shares = {what: Fraction(count, per_node[what] or 1) for what, count in used.items()}
    largest, held = max(shares.values()), max(shares["GPUs"], shares["memory"])
    nodes = shape.tres.get("node")
    if nodes and largest > nodes:
        return Unpriced(f"more than {nodes} whole nodes by the counts of node class {node_class.id}")
    return Rates(largest, held)
