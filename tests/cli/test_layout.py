"""How columns share too little room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opsd.cli.layout import BAR, GAP, NUMBER, TEXT, Need, taken, widths

NEEDS = st.lists(
    st.builds(
        Need,
        st.sampled_from([BAR, TEXT, NUMBER]),
        st.integers(0, 20),
        st.integers(1, 40),
        st.none() | st.integers(4, 12),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


def test_with_room_nothing_is_cut() -> None:
    """Every column is as wide as its widest cell."""
    assert [9, 7, 20] == widths([Need(TEXT, 5, 9), Need(NUMBER, 7, 3), Need(BAR, 0, 20)], 80)


def test_the_order_of_giving_way() -> None:
    """Bars shrink, then go; then long titles of numbers; then texts that may; numbers last."""
    needs = [Need(TEXT, 5, 14, 6), Need(NUMBER, 12, 7), Need(BAR, 0, 16, 5), Need(TEXT, 5, 10)]
    full = 14 + 12 + 16 + 10 + 3 * GAP
    assert [14, 12, 16, 10] == widths(needs, full)
    assert [14, 12, 5, 10] == widths(needs, full - 11)
    assert [14, 12, 0, 10] == widths(needs, full - 12)
    assert [14, 7, 0, 10] == widths(needs, 14 + 7 + 10 + 2 * GAP)
    assert [6, 7, 0, 10] == widths(needs, 6 + 7 + 10 + 2 * GAP)
    assert [4, 7, 0, 4] == widths(needs, 4 + 7 + 4 + 2 * GAP)


def test_what_takes_spare_room_gives_it_back_first() -> None:
    """A remark is cut before a bar is."""
    needs = [Need(TEXT, 0, 40, 10, soft=True), Need(BAR, 0, 16), Need(TEXT, 0, 10, 5)]
    assert [20, 16, 10] == widths(needs, 50)
    assert [10, 10, 10] == widths(needs, 34)


@given(NEEDS, st.integers(1, 200))
def test_nothing_grows_and_all_fit_if_they_can(needs: list[Need], room: int) -> None:
    """Where it is still too wide, every column is as short as columns get."""
    found = widths(needs, room)
    assert all(width <= need.natural for width, need in zip(found, needs, strict=True))
    if taken(found) > room:
        assert all(width <= max(4, min(4, need.natural)) for width, need in zip(found, needs, strict=True))
