"""What dashboards ask for is read from themselves."""

from __future__ import annotations

import pytest

from dashboards.build import boards
from dashboards.recording import Recorded
from tests.stack.asked import asked, names, queries, reach
from tests.stack.past_rules import levels, pieces

RULES = (
    Recorded("opsd:a:sum", (), "sum(opsd_gpu_up)", ""),
    Recorded("opsd:b:sum", (), "sum(opsd:a:sum) + opsd_gpu_hung", ""),
    Recorded("opsd:c:sum", (), "sum(opsd_gpu_lost)", ""),
)


@pytest.mark.parametrize(("text", "expected"), [("now-24h", 86_400), ("30m", 1_800), ("now-30d", 2_592_000)])
def test_how_long_a_range_is(text: str, expected: int) -> None:
    """With and without `now-`."""
    assert expected == reach(text)


def test_what_is_no_range() -> None:
    """It is not guessed at."""
    with pytest.raises(ValueError, match="'now/d' is no time"):
        reach("now/d")


def test_names_by_way_of_rules() -> None:
    """A rule needs what it is made of, at any depth."""
    expected = {"opsd:b:sum", "opsd:a:sum", "opsd_gpu_up", "opsd_gpu_hung"}
    assert expected == names(["max(opsd:b:sum)"], RULES)


def test_what_is_drawn_needs_a_long_past() -> None:
    """Of all that dashboards and alerts ask for, what only tables and alerts do is wanted for a day."""
    board = {
        "uid": "u", "time": {"from": "now-6h"}, "panels": [
            {"id": 1, "targets": [{"expr": "opsd_gpu_up", "range": True, "instant": False, "refId": "A"}]},
            {"id": 2, "panels": [
                {"id": 3, "targets": [{"expr": "opsd_gpu_lost + opsd_gpu_up", "instant": True}]},
            ]},
        ],
    }  # fmt: skip
    found = asked([board], ["opsd_gpu_hung > 0"])

    assert ({"opsd_gpu_up"}, {"opsd_gpu_lost", "opsd_gpu_hung"}) == (set(found.long), set(found.short))
    assert [("u", 1, True, 21_600), ("u", 3, False, 21_600)] == [
        (it.uid, it.panel, it.is_range, it.seconds) for it in queries([board])
    ]


def test_every_dashboard_asks_for_something() -> None:
    """None is missed."""
    assert boards().keys() == {it.uid for it in queries(boards().values())}


def test_rules_in_the_order_of_their_needs() -> None:
    """What needs another one comes after it."""
    assert [["opsd:a:sum", "opsd:c:sum"], ["opsd:b:sum"]] == [
        [it.name for it in some] for some in levels(RULES)
    ]


def test_spans_are_cut_where_blocks_end() -> None:
    """No moment is lost or asked for twice, and none of a piece's lies beyond its block."""
    found = list(pieces((582_010, 584_090, 30)))

    expected = [582_300, 582_600, 582_900, 583_200, 583_500, 583_800]
    assert expected == [at for first, last in found for at in range(first, last, 300) if at < 584_090][:6]
    assert [583_200] == [first for first, _ in found[1:]]
    assert 584_090 == found[-1][1]
