"""Round numbers for a chart's axis.

Invariant: the first tick is at or below the least value and 0, the last at or above the largest.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

_MOST = 6  # steps
_STEPS = (Fraction(1), Fraction(2), Fraction(5, 2), Fraction(5), Fraction(10))


def ticks(values: Iterable[Fraction | int]) -> list[Fraction]:
    """From 0 or below to the largest or above, in equal round steps."""
    found = [Fraction(value) for value in values]
    low, high = min([Fraction(), *found]), max([Fraction(), *found])
    step = _step(high - low or Fraction(1))
    first, last = low // step, -(-(high or Fraction(1) if low == 0 else high) // step)
    return [at * step for at in range(first, last + 1)]


def _step(span: Fraction) -> Fraction:
    """The least round step that needs no more than so many."""
    power = Fraction(1)
    while power * 10 < span / _MOST:
        power *= 10
    while power > span / _MOST:
        power /= 10
    return next(step * power for step in _STEPS if step * power * _MOST >= span)
