"""Core-hours: Slurm's CPUs divided by threads per core, which only the node class knows.

Counting Slurm CPUs as cores doubles the bill where two threads share a core. Suspended CPUs are
never counted, as Slurm does not count them.
"""

from __future__ import annotations

from fractions import Fraction

from opsd.core.amounts import CORE_HOURS
from opsd.core.parties import NodeClass
from opsd.core.shape import Shape
from opsd.core.terms import Params, Rates, Unpriced

UNIT = CORE_HOURS
MODES: tuple[str, ...] = ()
PARAMS: tuple[str, ...] = ("weights", "reservation_idle", "draft_credits")


def rate(shape: Shape, node_class: NodeClass | None, params: Params) -> Rates | Unpriced:
    """Physical cores times weight of the node class."""
    cpus = shape.tres.get("cpu")
    if not cpus:
        return Rates(Fraction(0), Fraction(0))
    threads = node_class.threads_per_core if node_class else None
    if threads is None:
        return Unpriced("cores of nodes whose threads per core are unknown")
    weight = params.weight(shape.node_class)
    if weight is None:
        return Unpriced("nodes of unknown class under a policy that weighs classes")
    return Rates(cpus / threads * weight, Fraction(0))
