"""Shortened waiting is still the built configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dashboards.build import build
from tests.stack.pace import FILES, WAITING, divided, looking_back, quicken, quickened


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("5m", "5000ms"), ("30s", "500ms"), ("1h30m", "90000ms"), ("1s", "100ms"), ("0s", "0s")],
)
def test_a_duration_is_divided(duration: str, expected: str) -> None:
    """By sixty; not to less than what Prometheus takes, and nothing stays nothing."""
    assert expected == divided(duration, 60)


def test_what_is_no_duration() -> None:
    """It is not guessed at."""
    with pytest.raises(ValueError, match="'soon' is no duration"):
        divided("soon", 2)


def test_only_waiting_is_changed(tmp_path: Path) -> None:
    """All three files say what they said, but for the times."""
    build(tmp_path)
    before = {name: yaml.safe_load((tmp_path / name).read_text()) for name in FILES}
    quicken(tmp_path, 60)
    after = {name: yaml.safe_load((tmp_path / name).read_text()) for name in FILES}

    assert before != after
    assert without_waiting(before) == without_waiting(after)
    assert "500ms" == after["alertmanager.yml"]["route"]["group_wait"]
    assert "250ms" == after["prometheus.yml"]["global"]["scrape_interval"]


def without_waiting(tree: object) -> object:
    """The same without times of waiting."""
    if isinstance(tree, list):
        return [without_waiting(it) for it in tree]
    if isinstance(tree, dict):
        return {key: without_waiting(value) for key, value in tree.items() if key not in WAITING}
    return tree


def test_expressions_are_left_alone() -> None:
    """What a site runs is what is tried here."""
    rule = {"alert": "A", "expr": "changes(x[10m]) == 0", "for": "5m"}

    assert rule | {"for": "150000ms"} == quickened(rule, 2)


def test_how_far_one_looks_back() -> None:
    """Ranges and offsets are divided where one asks for it, and nothing else of an expression."""
    expr = 'max_over_time(x{a="[6h]"}[15m]) > 600 and y[1h30m:1m] offset 30m unless offset_30m'
    expected = (
        'max_over_time(x{a="[6h]"}[450000ms]) > 600 and y[2700000ms:1m] offset 900000ms unless offset_30m'
    )

    assert {"expr": expected, "for": "5m"} == looking_back({"expr": expr, "for": "5m"}, 2)
