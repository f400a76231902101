"""When awards will be used up, by hand and by what must always hold."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.forecast import (
    ALREADY,
    EXPECTED,
    HORIZON,
    NONE,
    WEEK,
    Forecast,
    Standing,
    elapsed,
    of_award,
    of_group,
)
from opsd.core.period import DAY

NOW = 20_000 * DAY
START, END = NOW - 100 * DAY, NOW + 300 * DAY


def standing(granted: int, used: int, burned: int, start: int = START, end: int | None = END) -> Standing:
    """An award of which a week's use is known."""
    return Standing(granted, used, burned, start, end)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(standing(1000, 300, 70), Forecast(EXPECTED, NOW + 70 * DAY), id="ten a day for 700"),
        pytest.param(standing(1000, 300, 70, end=None), Forecast(EXPECTED, NOW + 70 * DAY), id="no end"),
        pytest.param(
            standing(10, 3, 3), Forecast(EXPECTED, NOW + -(-7 * WEEK // 3)), id="a second begun is whole"
        ),
        pytest.param(standing(1000, 300, 0), Forecast(NONE), id="nothing burns"),
        pytest.param(standing(1000, 1000, 0), Forecast(ALREADY), id="all is used"),
        pytest.param(standing(1000, 1001, 70), Forecast(ALREADY), id="over quota"),
        pytest.param(standing(0, 1, 1), Forecast(ALREADY), id="nothing was granted"),
        pytest.param(standing(0, 0, 0), Forecast(NONE), id="nothing of nothing"),
        pytest.param(
            standing(1000, 300, 70, end=NOW + 70 * DAY), Forecast(EXPECTED, NOW + 70 * DAY), id="just in time"
        ),
        pytest.param(standing(1000, 300, 70, end=NOW + 70 * DAY - 1), Forecast(NONE), id="ends before"),
        pytest.param(standing(371, 6, 7, end=None), Forecast(EXPECTED, NOW + HORIZON), id="in a year"),
        pytest.param(standing(372, 6, 7, end=None), Forecast(NONE), id="in more than a year"),
        pytest.param(
            standing(90, 20, 20, NOW - 2 * DAY), Forecast(EXPECTED, NOW + 7 * DAY), id="two days old"
        ),
        pytest.param(standing(90, 20, 20, NOW - DAY), Forecast(EXPECTED, NOW + 84 * 3600), id="a day old"),
        pytest.param(standing(90, 20, 20, NOW - DAY + 1), Forecast(NONE), id="younger than a day"),
        pytest.param(standing(90, 95, 95, NOW - DAY + 1), Forecast(ALREADY), id="young and over quota"),
        pytest.param(standing(90, 0, 0, NOW + DAY), Forecast(NONE), id="not begun"),
        pytest.param(standing(90, 20, 20, end=NOW), Forecast(NONE), id="over with something left"),
        pytest.param(standing(90, 95, 0, end=NOW), Forecast(ALREADY), id="over with nothing left"),
    ],
)  # fmt: skip
def test_an_award(found: Standing, expected: Forecast) -> None:
    """Left over the burn of a week, inside the horizon; `already` whatever burns; else `none`."""
    assert expected == of_award(found, NOW)


def test_a_group_adds_up_what_runs() -> None:
    """Left and burn of running awards; the latest end; ended and coming ones and their use do not count."""
    a, b = standing(500, 100, 35, end=NOW + 10 * DAY), standing(400, 100, 35, end=NOW + 80 * DAY)
    ended, coming = standing(10, 99, 9, end=NOW), standing(999, 0, 0, start=NOW + 1)

    assert Forecast(EXPECTED, NOW + 70 * DAY) == of_group([a, b, ended, coming], NOW)
    assert Forecast(NONE) == of_group([a, b._replace(end=NOW + 69 * DAY)], NOW)
    assert Forecast(EXPECTED, NOW + 70 * DAY) == of_group(
        [a._replace(end=None), b._replace(end=NOW + 1)], NOW
    )
    assert Forecast(ALREADY) == of_group([a._replace(used=900), b], NOW)
    assert Forecast(NONE) == of_group([ended, coming], NOW)
    assert Forecast(NONE) == of_group([], NOW)


def test_a_young_award_of_a_group_is_left_and_does_not_burn_yet() -> None:
    """What an award of an hour burned says nothing of a week."""
    young = standing(300, 50, 50, start=NOW - 3600)

    assert Forecast(EXPECTED, NOW + 95 * DAY) == of_group([standing(1000, 300, 70), young], NOW)


def test_how_much_of_the_time_is_over() -> None:
    """A quarter of an award; of several, weighted by their grants; unknown where one with a grant is open."""
    a = standing(300, 0, 0)
    ended, young = standing(100, 0, 0, end=NOW - DAY), standing(0, 0, 0, start=NOW, end=NOW + 1)
    opened = standing(1, 0, 0, end=None)

    assert Fraction(1, 4) == elapsed([a], NOW) == elapsed([a, opened._replace(granted=0)], NOW)
    assert [0, 1, 0] == [elapsed([one], NOW) for one in (young, ended, standing(1, 0, 0, NOW + 5, NOW + 9))]
    assert Fraction(175, 400) == elapsed([a, ended, young], NOW)
    assert [None, None, None] == [elapsed(some, NOW) for some in ([opened], [a, opened], [young, opened, a])]


AMOUNTS = st.integers(0, 10**6) | st.integers(0, 10**21)
STANDINGS = st.builds(
    lambda granted, used, part, age, end: Standing(
        granted, used, used * part // 7, NOW - age, None if end is None else NOW - age + end
    ),
    AMOUNTS, AMOUNTS, st.integers(0, 7), st.integers(-DAY, 500 * DAY), st.none() | st.integers(1, 900 * DAY),
)  # fmt: skip


@given(STANDINGS)
def test_a_time_lies_inside_the_horizon(found: Standing) -> None:
    """Later than now, not after the end, not in more than a year; only `expected` has a time."""
    state, at = of_award(found, NOW)

    assert (state == EXPECTED) is (at is not None)
    if at is not None:
        assert NOW < at <= min(NOW + HORIZON, found.end or NOW + HORIZON)
        assert found.left > 0
        assert found.start <= NOW


@given(STANDINGS, AMOUNTS)
def test_more_left_is_never_earlier(found: Standing, more: int) -> None:
    """A larger grant puts the time off, or beyond the horizon, and never makes an award used up."""

    def instant(one: Standing) -> int:
        state, at = of_award(one, NOW)
        return NOW if state == ALREADY else NOW + 2 * HORIZON if at is None else at

    assert instant(found) <= instant(found._replace(granted=found.granted + more))


@given(STANDINGS)
def test_a_group_of_one_says_what_its_award_says(found: Standing) -> None:
    """While that runs."""
    if found.is_running(NOW):
        assert of_award(found, NOW) == of_group([found], NOW)


@given(st.lists(STANDINGS, max_size=4))
def test_at_that_burn_all_is_used_then_and_not_a_second_before(found: list[Standing]) -> None:
    """Burning on as expected, a group has nothing left at that time, and something a second earlier."""
    _, at = of_group(found, NOW)
    running = [one for one in found if one.is_running(NOW)]
    left = sum(one.left for one in running)
    a_second = sum((one.weekly(NOW) for one in running), start=Fraction(0)) / WEEK

    assert at is None or left - a_second * (at - NOW) <= 0 < left - a_second * (at - 1 - NOW)
