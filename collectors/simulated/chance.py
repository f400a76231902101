"""Reproducible chance: a stream of random numbers for every purpose.

Invariant: a stream depends on the seed and its own name only, so that drawing more numbers for one
project never changes another's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


def stream(seed: int, name: str) -> Random:
    """The stream of random numbers called `name`."""
    return Random(f"{seed}/{name}")  # noqa: S311 (a simulation, not a secret)


def spread(dice: Random, median: float, sigma: float) -> float:
    """A log-normal draw: most values near the median, a few several times larger."""
    radius = math.sqrt(-2.0 * math.log(1.0 - dice.random()))
    return median * math.exp(sigma * radius * math.cos(2.0 * math.pi * dice.random()))


def pick(dice: Random, weighted: Sequence[tuple[T, float]]) -> T:
    """One of the values, by weight."""
    at = dice.random() * sum(weight for _, weight in weighted)
    for value, weight in weighted:
        at -= weight
        if at < 0:
            return value
    return weighted[-1][0]
