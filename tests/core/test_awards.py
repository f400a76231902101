"""Where an award stands in its life: coming, running, tolerated, over."""

from __future__ import annotations

from fractions import Fraction

import pytest

from opsd.core.awards import ENDED, GRACE, RUNNING, UPCOMING, Award, grace_end, phase
from opsd.core.period import DAY

START, END = 100 * DAY, 200 * DAY


def award(end: int | None = END, grace_days: int = 10) -> Award:
    """An award of a hundred days."""
    return Award("A", "p", "pool", Fraction(1), "gpu-hours", START, end, "gpu", grace_days=grace_days)


@pytest.mark.parametrize(
    ("found", "as_of", "over_since", "until", "expected"),
    [
        pytest.param(award(), START - 1, None, None, UPCOMING, id="before its start"),
        pytest.param(award(), START, None, None, RUNNING, id="as of its start"),
        pytest.param(award(), END - 1, None, None, RUNNING, id="the last second"),
        pytest.param(award(), END, None, END + 10 * DAY, GRACE, id="as of its end"),
        pytest.param(award(), END + 10 * DAY - 1, None, END + 10 * DAY, GRACE, id="grace, the last second"),
        pytest.param(award(), END + 10 * DAY, None, END + 10 * DAY, ENDED, id="its grace is over"),
        pytest.param(award(grace_days=0), END, None, END, ENDED, id="no grace after the end"),
        pytest.param(award(end=None), END, None, None, RUNNING, id="it has no end"),
        pytest.param(award(), START + 9, START + 5, START + 5 + 10 * DAY, GRACE, id="over quota"),
        pytest.param(
            award(end=None), END, START, START + 10 * DAY, RUNNING, id="over quota, its grace is over"
        ),
        pytest.param(award(), END, START, START + 10 * DAY, ENDED, id="over quota long before its end"),
        pytest.param(award(), END, END - DAY, END + 9 * DAY, GRACE, id="over quota a day before its end"),
        pytest.param(award(grace_days=0), END - 1, END - DAY, END - DAY, RUNNING, id="over quota, no grace"),
    ],
)
def test_grace_and_phase(
    found: Award, as_of: int, over_since: int | None, until: int | None, expected: str
) -> None:
    """Grace counts from when it was exhausted or ended, the first of them; `ended` is after the end alone."""
    assert until == grace_end(found, as_of, over_since)
    assert expected == phase(found, as_of, until)
