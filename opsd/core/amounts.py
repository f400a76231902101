"""Exact quantities: granted units, and the whole number they are booked in.

Invariant: an amount is a `Fraction` of the granted unit or a whole number of micro-unit-seconds
(one GPU-hour = 3 600 000 000 micro-GPU-seconds), and neither is ever rounded here.
"""

from __future__ import annotations

import re
from fractions import Fraction

from opsd.core.errors import BadText
from opsd.core.period import HOUR

GPU_HOURS = "gpu-hours"
NODE_HOURS = "node-hours"
CORE_HOURS = "core-hours"
BILLING_HOURS = "billing-hours"
UNITS = (GPU_HOURS, NODE_HOURS, CORE_HOURS, BILLING_HOURS)

MICRO = 1_000_000
MICRO_PER_HOUR = HOUR * MICRO
LARGEST = 2**63 - 1  # what a 64-bit column holds: 2.5 thousand million unit-hours

_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30}|/[0-9]{1,30})?\Z", re.ASCII)


def exact(text: str) -> Fraction:
    """The number written as `1752`, `0.08` or `1/3`; nothing else, so that no rounding slips in."""
    remedy = "write a whole number, a decimal such as 0.08, or a ratio such as 1/3"
    if not _NUMBER.match(text):
        raise BadText("not an exact number", text, remedy)
    try:
        return Fraction(text)
    except ZeroDivisionError as err:
        raise BadText("not an exact number", text, remedy) from err


def exact_text(value: Fraction) -> str:
    """The shortest text `exact` reads back: a decimal where one exists, else a ratio."""
    rest = value.denominator
    digits = 0
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest //= prime
            power += 1
        digits = max(digits, power)
    if rest != 1 or digits > 30:
        return f"{value.numerator}/{value.denominator}"
    if digits == 0:
        return str(value.numerator)
    scaled = str(abs(value.numerator) * 10**digits // value.denominator).rjust(digits + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{scaled[:-digits]}.{scaled[-digits:]}"


def micro_unit_seconds(amount: Fraction, what: str = "amount") -> int:
    """Unit-hours as whole micro-unit-seconds; refused if that is not exact or too large to store."""
    scaled = amount * MICRO_PER_HOUR
    if scaled.denominator != 1:
        raise BadText(
            f"{what} is not a whole number of micro-unit-seconds",
            exact_text(amount),
            "write a decimal with at most 8 digits after the point",
        )
    if abs(scaled.numerator) > LARGEST:
        raise BadText(f"{what} is too large to book", exact_text(amount), "split it into several awards")
    return scaled.numerator


def unit_hours(micro: int) -> Fraction:
    """The inverse of `micro_unit_seconds`."""
    return Fraction(micro, MICRO_PER_HOUR)
