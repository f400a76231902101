"""GPU-hours: every GPU held counts, by its class' weight; use without GPUs charges nothing."""

from __future__ import annotations

from fractions import Fraction

from opsd.core.amounts import GPU_HOURS
from opsd.core.parties import NodeClass
from opsd.core.shape import Shape
from opsd.core.terms import Params, Rates, Unpriced

UNIT = GPU_HOURS
MODES: tuple[str, ...] = ()
PARAMS: tuple[str, ...] = ("weights", "suspended", "reservation_idle", "draft_credits")


def rate(shape: Shape, _node_class: NodeClass | None, params: Params) -> Rates | Unpriced:
    """The sum over classes of GPUs times weight."""
    total = Fraction(0)
    for name, count in shape.gpus:
        weight = params.weight(name)
        if weight is None:
            return Unpriced("GPUs of unknown class under a policy that weighs classes")
        total += count * weight
    return Rates(total, total if params.suspended else Fraction(0))
