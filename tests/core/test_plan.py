"""Segments, whole days and loose ends of a plan cover its window exactly once."""

from __future__ import annotations

from datetime import UTC, tzinfo
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core import plan
from opsd.core.period import CALENDARS, DAY, HOUR, Window, zone
from opsd.core.plan import Plan, Segment, joined, make

BASE = 20_751 * DAY  # 2026-10-25, when clocks go back in Europe
MADRID = zone("Europe/Madrid")

grains = st.sampled_from([1, HOUR, DAY])


@st.composite
def instants(draw: st.DrawFn) -> int:
    """Any second, a whole hour or a midnight within some days."""
    grain = draw(grains)
    return BASE + draw(st.integers(-6 * DAY, 6 * DAY)) // grain * grain


@st.composite
def plans(draw: st.DrawFn) -> tuple[Window, Plan]:
    """A window with its plan, by any calendars of any zone and any further edges."""
    start, end = sorted((draw(instants()), draw(instants())))
    window = Window(start, end)
    calendars = draw(st.lists(st.sampled_from(sorted(CALENDARS)), unique=True, max_size=3))
    tz = zone(draw(st.sampled_from(["UTC", "Europe/Madrid", "Asia/Kathmandu", "America/St_Johns"])))
    return window, make(window, calendars, tz, draw(st.lists(instants(), max_size=5)))


@given(plans())
def test_segments_cover_the_window_once(made: tuple[Window, Plan]) -> None:
    """Each segment begins where the one before ended, from the window's start to its end."""
    window, found = made
    edges = [segment.start for segment in found.segments] + [window.end]

    assert (window.start if window.seconds else window.end) == edges[0]
    assert edges[1:] == [segment.end for segment in found.segments]
    assert all(segment.start < segment.end for segment in found.segments)


@given(plans())
def test_whole_days_and_raw_regions_cover_the_window_once(made: tuple[Window, Plan]) -> None:
    """What facts answer and what runs answer lie side by side, without gap or overlap."""
    window, found = made
    days = [(first * DAY, last * DAY) for _, first, last in found.day_spans]
    spans = sorted([*days, *found.raw_regions])

    assert window.seconds == sum(end - start for start, end in spans)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert not spans or (window.start, window.end) == (spans[0][0], spans[-1][1])


@given(plans())
def test_whole_days_lie_inside_their_segment(made: tuple[Window, Plan]) -> None:
    """A fact is only used where one label holds for its whole day, and wherever one does."""
    _, found = made
    for number, first, last in found.day_spans:
        segment = found.segments[number]
        assert segment.start <= first * DAY < last * DAY <= segment.end
        assert first * DAY - segment.start < DAY > segment.end - last * DAY


@given(plans(), instants(), instants())
def test_pieces_are_the_overlap_cut_at_segments(made: tuple[Window, Plan], start: int, end: int) -> None:
    """The part of a span inside the window, each piece within the segment that it names."""
    window, found = made
    pieces = list(found.pieces(start, end))
    inside = max(0, min(end, window.end) - max(start, window.start))

    assert inside == sum(b - a for _, a, b in pieces)
    assert all(before[2] == after[1] for before, after in pairwise(pieces))
    for number, a, b in pieces:
        assert found.segments[number].start <= a < b <= found.segments[number].end


@given(plans())
def test_an_instant_is_found_in_its_segment(made: tuple[Window, Plan]) -> None:
    """The first and the last second of a segment are in it."""
    _, found = made
    for number, segment in enumerate(found.segments):
        assert (number, number) == (found.at(segment.start), found.at(segment.end - 1))


@given(plans(), st.sampled_from(sorted(CALENDARS)), st.sampled_from([UTC, MADRID]))
def test_segments_carry_the_labels_of_their_periods(
    made: tuple[Window, Plan], calendar: str, tz: tzinfo
) -> None:
    """Inside a segment every asked period is the one that the calendar itself gives."""
    window, given_plan = made
    asked = list(dict.fromkeys(("month", calendar)))
    found = make(window, asked, tz, given_plan.starts)
    for place, name in enumerate(asked):
        for label, part in CALENDARS[name](window, tz):
            inside = [s for s in found.segments if part.start <= s.start < part.end]
            assert [label] * len(inside) == [segment.periods[place] for segment in inside]
            assert part.seconds == sum(segment.end - segment.start for segment in inside)


def test_a_plan_by_hand() -> None:
    """A window over two Madrid days, cut once more inside the second: two loose ends at each midnight."""
    window = Window(BASE - 6 * HOUR, BASE + DAY + 2 * HOUR)
    found = make(window, ["day"], MADRID, [BASE + 5 * HOUR, BASE - DAY, BASE + 3 * DAY])

    assert (
        Segment(BASE - 6 * HOUR, BASE - 2 * HOUR, ("2026-10-24",)),
        Segment(BASE - 2 * HOUR, BASE + 5 * HOUR, ("2026-10-25",)),
        Segment(BASE + 5 * HOUR, BASE + 23 * HOUR, ("2026-10-25",)),
        Segment(BASE + 23 * HOUR, BASE + DAY + 2 * HOUR, ("2026-10-26",)),
    ) == found.segments
    assert [(window.start, window.end)] == found.raw_regions
    assert [] == found.day_spans


def test_whole_days_between_loose_ends() -> None:
    """An unlabelled window of three days and two ends: facts for the days, runs for the ends."""
    found = make(Window(BASE - 5, BASE + 3 * DAY + 7), (), UTC)

    assert [(0, BASE // DAY, BASE // DAY + 3)] == found.day_spans
    assert [(BASE - 5, BASE), (BASE + 3 * DAY, BASE + 3 * DAY + 7)] == found.raw_regions


def test_an_empty_window_has_no_segments() -> None:
    """Nothing is asked, nothing is read, and no piece is found."""
    found = make(Window(BASE, BASE), ["day", "month"], UTC, [BASE])

    assert ((), [], [], []) == (
        found.segments, found.day_spans, found.raw_regions, list(found.pieces(0, BASE * 2)),
    )  # fmt: skip


def test_edges_at_the_borders_cut_nothing() -> None:
    """An edge on the window's start or end, or outside, makes no empty segment."""
    window = Window(BASE, BASE + DAY)

    assert make(window, (), UTC) == make(window, (), UTC, [BASE - 1, BASE, BASE + DAY, BASE + DAY + 1])


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], []),
        ([(3, 3)], []),
        ([(5, 7), (1, 3)], [(1, 3), (5, 7)]),
        ([(1, 3), (3, 5)], [(1, 5)]),
        ([(1, 9), (2, 3), (8, 10)], [(1, 10)]),
        ([(1, 2), (2, 2), (4, 4), (3, 4)], [(1, 2), (3, 4)]),
    ],
)
def test_spans_that_touch_are_joined(spans: list[tuple[int, int]], expected: list[tuple[int, int]]) -> None:
    """Sorted, without the empty ones, neighbours made one."""
    assert expected == joined(spans)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8))
def test_joined_spans_hold_the_same_seconds(spans: list[tuple[int, int]]) -> None:
    """Joining loses no second and invents none."""
    expected = {second for start, end in spans for second in range(start, end)}
    found = joined(spans)

    assert sorted(expected) == [second for start, end in found for second in range(start, end)]
    assert all(before[1] < after[0] for before, after in pairwise(found))


def test_calendars_are_asked_by_name() -> None:
    """The keys of the calendars are what a plan may be asked for, and nothing else."""
    assert ("day", "hour", "month") == tuple(sorted(plan.CALENDARS))
    with pytest.raises(KeyError):
        make(Window(0, 1), ["week"], UTC)
