"""The parameters of charge policies, and what a rule answers.

Invariant: `Params.text` and `Params.from_text` are inverse, and the text is the same for equal values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction

from opsd.core import fields
from opsd.core.amounts import exact, exact_text
from opsd.core.errors import BadText
from opsd.core.fields import BadField
from opsd.core.tres import UNCLASSIFIED

ONE = Fraction(1)
DEFAULTS: dict[str, object] = {
    "mode": "",
    "weights": {},
    "suspended": True,
    "reservation_idle": False,
    "draft_credits": False,
}


@dataclass(frozen=True, slots=True)
class Rates:
    """Charge per second running and per second suspended, in unit-seconds."""

    run: Fraction
    suspended: Fraction


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Why a charge cannot be known."""

    reason: str


@dataclass(frozen=True, slots=True)
class Params:
    """Everything a policy may set; a rule names the fields it understands in its PARAMS."""

    mode: str = ""
    weights: tuple[tuple[str, Fraction], ...] = ()  # by GPU or node class; a class not named weighs 1
    suspended: bool = True  # suspended GPUs, memory and nodes are held, so charged
    reservation_idle: bool = False  # idle time of a reservation is charged to its owner
    draft_credits: bool = False  # propose credits for runs that a node failure ended

    def __post_init__(self) -> None:
        classes = [name for name, _ in self.weights]
        if classes != sorted(set(classes)):
            raise BadField("weights", "weights must be sorted and distinct", ", ".join(classes))
        for _, weight in self.weights:
            fields.number("weights", weight)

    def weight(self, name: str) -> Fraction | None:
        """The weight of a class; None where the class is unknown and weights make a difference."""
        for known, weight in self.weights:
            if known == name:
                return weight
        if name in ("", UNCLASSIFIED) and any(weight != 1 for _, weight in self.weights):
            return None
        return ONE

    @property
    def text(self) -> str:
        """Canonical JSON, with defaults left out."""
        values: dict[str, object] = {
            "mode": self.mode,
            "weights": {name: exact_text(weight) for name, weight in self.weights},
            "suspended": self.suspended,
            "reservation_idle": self.reservation_idle,
            "draft_credits": self.draft_credits,
        }
        kept = {key: value for key, value in values.items() if value != DEFAULTS[key]}
        return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Params:
        """The inverse of `text`; for stored values."""
        try:
            values = json.loads(text)
            weights = values.pop("weights", {})
            return cls(weights=tuple(sorted((name, exact(w)) for name, w in weights.items())), **values)
        except (ValueError, TypeError, AttributeError) as err:
            raise BadText("not the parameters of a policy", text, "apply the consortium file again") from err
