"""Charge policies: one rule per file, one row in `RULES` each.

Invariant: a rule answers with exact rates, or says why it cannot; it never guesses.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from opsd.core.agreements import Policy
from opsd.core.parties import NodeClass
from opsd.core.rules import billing, core_hours, gpu_hours, node_hours
from opsd.core.shape import Shape
from opsd.core.terms import Params, Rates, Unpriced

__all__ = ["RULES", "Params", "Rates", "Rule", "Unpriced", "charge", "params_of"]


class Rule(Protocol):
    """What a rule's module offers."""

    UNIT: str  # of the awards it can charge
    PARAMS: tuple[str, ...]  # fields of `Params` it understands
    MODES: tuple[str, ...]  # the first is the default; empty if it has no modes

    def rate(self, shape: Shape, node_class: NodeClass | None, params: Params, /) -> Rates | Unpriced:
        """Charge per second of use, in unit-seconds."""
        ...


RULES: dict[str, Rule] = {
    "gpu_hours": gpu_hours,
    "node_hours": node_hours,
    "core_hours": core_hours,
    "billing": billing,
}

params_of = lru_cache(maxsize=1024)(Params.from_text)


def charge(policy: Policy, shape: Shape, node_class: NodeClass | None) -> Rates | Unpriced:
    """What one second of `shape` costs under a policy version."""
    return RULES[policy.rule].rate(shape, node_class, params_of(policy.params))
