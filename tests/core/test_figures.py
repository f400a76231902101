"""Figures as people are shown them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core import figures

HOUR = 3600
SECONDS = st.integers(0, 10**9)


@pytest.mark.parametrize(("number", "expected"), [(0, "0"), (1234567, "1,234,567"), (-650, "−650")])  # noqa: RUF001
def test_thousands_are_grouped(number: int, expected: str) -> None:
    """With a minus as wide as a digit."""
    assert expected == figures.grouped(number)


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 100, "0 %"),
        (1, 1000, "<1 %"),
        (1, 3, "33 %"),
        (1995, 2000, "99 %"),
        (2000, 2000, "100 %"),
        (2001, 2000, "101 %"),
        (216, 200, "108 %"),
        (5, 0, "–"),  # noqa: RUF001
    ],
)
def test_a_percentage_never_hides_a_rest_or_an_excess(part: int, whole: int, expected: str) -> None:
    """100 % means all of it, 0 % nothing."""
    assert expected == figures.percent(part, whole)


@given(st.lists(SECONDS, max_size=12))
def test_rounded_parts_add_up_to_the_rounded_whole(parts: list[int]) -> None:
    """And each is the hour below or above."""
    shown = figures.hours(parts)
    assert abs(sum(shown) * HOUR - sum(parts)) * 2 <= HOUR
    assert all(part // HOUR <= one <= -(-part // HOUR) for part, one in zip(parts, shown, strict=True))


@given(st.integers(1, 6).flatmap(lambda n: st.lists(st.lists(SECONDS, min_size=n, max_size=n), max_size=6)))
def test_a_rounded_matrix_foots(rows: list[list[int]]) -> None:
    """Rows add up to row totals that add up to the whole, and nothing appears where nothing was."""
    shown = figures.hours_of_matrix(rows)
    assert figures.hours([sum(row) for row in rows]) == [sum(row) for row in shown]
    for row, line in zip(rows, shown, strict=True):
        for seconds, hours in zip(row, line, strict=True):
            assert seconds // HOUR <= hours <= -(-seconds // HOUR)


@given(st.lists(st.lists(SECONDS, min_size=1, max_size=3), min_size=1, max_size=6), st.booleans())
def test_a_matrix_meets_a_whole_that_is_rounded_already(rows: list[list[int]], up: bool) -> None:
    """Up or down; no line is an hour off."""
    seconds = sum(map(sum, rows))
    whole = -(-seconds // HOUR) if up else seconds // HOUR
    shown = figures.hours_of_matrix(rows, whole)
    assert whole == sum(map(sum, shown))
    for row, line in zip(rows, shown, strict=True):
        assert all(part // HOUR <= one <= -(-part // HOUR) for part, one in zip(row, line, strict=True))
