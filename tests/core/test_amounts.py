"""Exact quantities stay exact, in both directions, or are refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.amounts import LARGEST, MICRO_PER_HOUR, exact, exact_text, micro_unit_seconds, unit_hours
from opsd.core.errors import BadText


@pytest.mark.parametrize(
    ("text", "number"),
    [("1752", Fraction(1752)), ("0.08", Fraction(2, 25)), ("1/3", Fraction(1, 3)), ("-0.5", Fraction(-1, 2))],
)
def test_reads_what_is_exact(text: str, number: Fraction) -> None:
    """Whole numbers, decimals and ratios are read without rounding."""
    assert exact(text) == number


@pytest.mark.parametrize(
    "text", ["", "1e6", "nan", "inf", "0x10", "1_000", " 1", "1/0", "٣", "1,5", "9" * 31]
)
def test_refuses_the_rest(text: str) -> None:
    """Nothing that another program might read differently is taken."""
    with pytest.raises(BadText, match="not an exact number"):
        exact(text)


@given(st.fractions() | st.decimals(-(10**9), 10**9, places=6).map(Fraction))
def test_text_comes_back(number: Fraction) -> None:
    """The text of a number reads back as the number, for every number short enough to write."""
    text = exact_text(number)
    assert Fraction(text) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(Fraction(2, 25), "0.08"), (Fraction(-1, 8), "-0.125"), (Fraction(7), "7"), (Fraction(1, 3), "1/3")],
)
def test_text_is_the_shortest(number: Fraction, text: str) -> None:
    """A decimal where one exists, without zeros at its end."""
    assert text == exact_text(number)


def test_a_gpu_hour_is_booked_exactly() -> None:
    """One GPU-hour is 3.6 thousand million micro-GPU-seconds, there and back."""
    assert micro_unit_seconds(Fraction(1)) == MICRO_PER_HOUR == 3_600_000_000
    assert unit_hours(micro_unit_seconds(Fraction("0.08"))) == Fraction("0.08")


def test_refuses_what_cannot_be_booked() -> None:
    """Fractions of a micro-unit-second and numbers past 64 bits are refused, never rounded."""
    with pytest.raises(BadText, match="whole number of micro-unit-seconds"):
        micro_unit_seconds(Fraction(1, 7 * MICRO_PER_HOUR))
    with pytest.raises(BadText, match="too large"):
        micro_unit_seconds(Fraction(LARGEST, MICRO_PER_HOUR) + 1)
