"""Which awards somebody should look at."""

from __future__ import annotations

import pytest

from opsd.core import attention


@pytest.mark.parametrize(
    ("state", "outside", "expected"),
    [
        ("ok", 0, False),
        ("ok", 1, True),
        ("over", 0, True),
        ("threshold-80", 0, True),
        ("ok,unpriced", 0, True),
    ],
)
def test_what_matters(state: str, outside: int, expected: bool) -> None:
    """Anything but a balance that is well and was used inside its dates."""
    assert expected is attention.matters(state, outside)


@pytest.mark.parametrize(
    ("end", "used", "expected"),
    [(None, False, False), (101, False, False), (100, False, True), (99, False, True), (99, True, False)],
)
def test_what_is_past(end: int | None, used: bool, expected: bool) -> None:
    """An award that ended before the period began, at 100, unless it was used in it all the same."""
    assert expected is attention.past(end, 100, used=used)


def test_use_outside_an_awards_dates_is_use_of_it() -> None:
    """A mark before the award's id is none of its id; an id may hold a colon."""
    labels = ["a", "after-end:b", "before-start:c", "d:e"]
    assert {"a", "b", "c", "d:e"} == attention.used_awards(labels)
