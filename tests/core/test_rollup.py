"""The roll-up's arithmetic: reservations by hand."""

from __future__ import annotations

import pytest

from opsd.core.period import HOUR
from opsd.core.records import DOWN, MAINT, REGISTERED, NodeEvent, Reservation
from opsd.core.rollup import Hours, Row, idle_shares, parse_suspensions, within
from opsd.core.tres import Tres

T = 1_800_000_000
HOURS = Hours(0)
CPUS = Tres.of({"cpu": 2})
Charged = dict[str, int]


def reserved(
    tres: str = "cpu=16", *, start: int = T, end: int = T + 240, whose: tuple[int, ...] = (13,)
) -> Reservation:
    """A reservation of the node n4."""
    return Reservation("lab", 3, start, end, "res", "n4", "", tres, whose)


def ran(start: int, end: int | None, tres: Tres = CPUS) -> Row:
    """A job in it."""
    return Row(T, "bio", "ana", 7, start, end, start, tres, 3)


def event(kind: str, start: int, end: int | None, node: str = "n4", tres: str = "cpu=16") -> NodeEvent:
    """A time in which a node was away."""
    return NodeEvent("lab", node, start, end, kind, "", "", tres)


HERE = event(REGISTERED, T - HOUR, None, "", "cpu=128")


@pytest.mark.parametrize(
    ("reservation", "rows", "events", "expected"),
    [
        pytest.param(reserved(), [], [], {"cpu": 3_840}, id="nobody ran"),
        pytest.param(reserved(), [ran(T, T + 11)], [], {"cpu": 3_664}, id="a small job uses all of it"),
        pytest.param(reserved(end=T + HOUR + 5), [], [], {"cpu": 57_600}, id="clipped to the hour"),
        pytest.param(reserved(), [ran(T - 50, None)], [], {}, id="an open job used it to its end"),
        pytest.param(reserved(whose=(1, 2, 3)), [], [], {"cpu": 1_280}, id="split"),
        pytest.param(reserved("cpu=1", end=T + 10, whose=(1, 2, 3)), [], [], {"cpu": 3}, id="remainder lost"),
        pytest.param(reserved(), [], [HERE, event(DOWN, T, T + 40)], {"cpu": 3_200}, id="its node was down"),
        pytest.param(reserved(), [], [event(DOWN, T, T + 40)], {"cpu": 3_840}, id="no cluster was there"),
        pytest.param(reserved(), [], [HERE, event(MAINT, T, T + 40)], {"cpu": 3_840}, id="maintenance"),
        pytest.param(reserved(), [], [HERE, event(DOWN, T, T + 40, "n5")], {"cpu": 3_840}, id="another node"),
        pytest.param(
            reserved("cpu=16,gres/gpu=4"), [ran(T, T + 240)], [], {}, id="no idle cpu: the loop ends"
        ),
        pytest.param(
            reserved("cpu=16,gres/gpu=4"), [ran(T, T + 140)], [], {"cpu": 1_600, "gres/gpu": 960},
            id="a job without GPUs leaves them idle",
        ),
        pytest.param(
            reserved("cpu=1000000", end=T + HOUR), [], [], {"cpu": 3_600_000_000 - (1 << 32)}, id="32 bits"
        ),
        pytest.param(reserved(whose=()), [], [], {}, id="for nobody"),
        pytest.param(reserved(start=T + HOUR, end=T + 2 * HOUR), [], [], {}, id="in the next hour"),
        pytest.param(reserved("cpu=16,node=1"), [], [], {"cpu": 3_840}, id="nodes are left out"),
    ],
)  # fmt: skip
def test_idle_time_of_a_reservation(
    reservation: Reservation, rows: list[Row], events: list[NodeEvent], expected: Charged
) -> None:
    """Each association of a reservation is charged as slurmdbd charges it."""
    found = dict(idle_shares(reservation, T, [(row, ()) for row in rows], events, HOURS, {"n4"}))

    assert expected == found


def test_a_suspended_job_holds_no_cpu_of_a_reservation() -> None:
    """A job that was suspended for all of the hour uses no cpu in it, so the reservation's are idle."""
    found = dict(idle_shares(reserved(), T, [(ran(T, T + 240), ((T, T + 240),))], [], HOURS, {"n4"}))

    assert {"cpu": 3_840} == found


def test_suspensions_read_back() -> None:
    """Intervals in time order, an open one to the end that is given."""
    spans = parse_suspensions(f"{T}-{T + 10},{T + 20}-", T + 50)

    assert ((T, T + 10), (T + 20, T + 50)) == spans
    assert 15 == within(spans, T + 5, T + 30)
