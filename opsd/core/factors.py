"""Dated factors from a cluster's energy to a site's energy and carbon.

Invariant: a factor is an exact number with its unit fixed by its kind, and says its source.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from opsd.core import fields
from opsd.core.fields import ALWAYS

PUE = "pue"  # facility kWh per IT kWh
LOCATION = "location-based"  # kg CO2e per kWh of the grid
MARKET = "market-based"  # kg CO2e per kWh of the contract
GPU_WATTS = "gpu-watts"  # of one allocated GPU, for the hours in which its energy was not measured
NODE_WATTS = "node-watts"  # of one allocated node but for its GPUs, which no agent measures
FACTOR_KINDS = (PUE, LOCATION, MARKET, GPU_WATTS, NODE_WATTS)


@dataclass(frozen=True, slots=True)
class Factor:
    """One version of a factor of a cluster."""

    cluster: str
    kind: str
    value: Fraction
    node_class: str = ""  # empty: of every class of the cluster that has none of its own
    valid_from: int = ALWAYS
    valid_until: int | None = None
    source: str = ""

    def __post_init__(self) -> None:
        fields.name("cluster", self.cluster)
        fields.words("node_class", self.node_class)
        fields.choice("kind", self.kind, FACTOR_KINDS)
        fields.number("value", self.value)
        fields.validity(self.valid_from, self.valid_until)
        fields.words("source", self.source)
