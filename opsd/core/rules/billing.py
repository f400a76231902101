"""Billing-hours: Slurm's own billing TRES, as the site's TRESBillingWeights set it when the run began."""

from __future__ import annotations

from fractions import Fraction

from opsd.core.amounts import BILLING_HOURS
from opsd.core.parties import NodeClass
from opsd.core.shape import Shape
from opsd.core.terms import Params, Rates, Unpriced

UNIT = BILLING_HOURS
MODES: tuple[str, ...] = ()
PARAMS: tuple[str, ...] = ("suspended", "reservation_idle", "draft_credits")


def rate(shape: Shape, _node_class: NodeClass | None, params: Params) -> Rates | Unpriced:
    """The billing entry of AllocTRES; never computed here when Slurm did not write it."""
    entries = dict(shape.tres.entries)
    if "billing" not in entries:
        return Unpriced("no billing entry in AllocTRES") if entries else Rates(Fraction(0), Fraction(0))
    billing = Fraction(entries["billing"])
    return Rates(billing, billing if params.suspended else Fraction(0))
