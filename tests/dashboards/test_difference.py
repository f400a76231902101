"""What somebody changed in a dashboard: each change a person reads, and nothing that Grafana did itself."""

from __future__ import annotations

from typing import Any

import pytest

from dashboards.build import boards
from dashboards.difference import MOST_LINES, lines

PANEL: dict[str, Any] = {
    "id": 1, "title": "Power", "type": "timeseries", "gridPos": {"h": 8, "w": 12, "x": 0, "y": 0},
    "targets": [{"refId": "A", "expr": "sum(a)\n+ sum(b)"}, {"refId": "B", "expr": "c"}],
    "fieldConfig": {"defaults": {"unit": "watt", "thresholds": {"steps": [{"value": None}]}}},
}  # fmt: skip
ROW: dict[str, Any] = {
    "id": 2,
    "title": "More",
    "type": "row",
    "collapsed": True,
    "panels": [PANEL | {"id": 3}],
}
VARIABLE: dict[str, Any] = {"name": "cluster", "query": "label_values(cluster)"}
BOARD: dict[str, Any] = {
    "uid": "u", "title": "T", "schemaVersion": 42, "tags": ["opsd"], "annotations": {},
    "panels": [PANEL, ROW],
    "templating": {"list": [VARIABLE, {"name": "node", "query": "label_values(node)"}]},
}  # fmt: skip


def board(**changes: Any) -> dict[str, Any]:
    """The dashboard with other values at its top."""
    return BOARD | changes


def with_panel(**changes: Any) -> dict[str, Any]:
    """The dashboard with its first panel changed."""
    return board(panels=[PANEL | changes, ROW])


@pytest.mark.parametrize("built", boards().values(), ids=list(boards()))
def test_what_is_built_is_no_difference_to_itself(built: dict[str, Any]) -> None:
    """Nor with what Grafana adds when it keeps it."""
    assert () == lines(built, built)
    assert () == lines(built | {"id": 7, "version": 3, "weekStart": "", "liveNow": False}, built)


@pytest.mark.parametrize(
    "held",
    [
        board(id=4, version=9, iteration=1),
        board(annotations={"list": [{"builtIn": 1, "name": "Annotations & Alerts"}]}),
        board(schemaVersion=43),
        board(weekStart="", liveNow=False, preload=None, links=[], fiscalYearStartMonth=0),
        with_panel(pluginVersion="13.2.1"),
        with_panel(transparent=False, options={"legend": {}}),
    ],
)
def test_what_grafana_adds_is_no_difference(held: dict[str, Any]) -> None:
    """Its own bookkeeping, and defaults where nothing was said."""
    assert () == lines(held, BOARD)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (board(title="Mine"), ["title:", "  - Mine", "  + T"]),
        (board(schemaVersion=40), ["schemaVersion:", "  - 40", "  + 42"]),
        (board(tags=["opsd", "mine"]), ["tags[1]:", "  - mine", "  + (nothing)"]),
        (board(tags=[]), ["tags[0]:", "  - (nothing)", "  + opsd"]),
        (
            board(annotations={"list": [{"name": "Deployments"}]}),
            ["annotations.list:", '  - [{"name": "Deployments"}]', "  + (nothing)"],
        ),
        (
            board(templating={"list": [VARIABLE | {"query": "x"}, BOARD["templating"]["list"][1]]}),
            ["templating.list[cluster].query:", "  - x", "  + label_values(cluster)"],
        ),
        (with_panel(title="Watts"), ["panel 1 'Power':", "  title:", "    - Watts", "    + Power"]),
        (
            with_panel(targets=[PANEL["targets"][1], {"refId": "A", "expr": "z"}]),
            ["panel 1 'Power':", "  targets[A].expr:", "    - z", "    + sum(a)", "    + + sum(b)"],
        ),
        (
            with_panel(targets=[*PANEL["targets"], {"refId": "C", "expr": "z"}]),
            ["panel 1 'Power':", "  targets[C]:", '    - {"expr": "z", "refId": "C"}', "    + (nothing)"],
        ),
        (
            with_panel(fieldConfig={"defaults": PANEL["fieldConfig"]["defaults"] | {"unit": "kwatt"}}),
            ["panel 1 'Power':", "  fieldConfig.defaults.unit:", "    - kwatt", "    + watt"],
        ),
        (board(panels=[ROW]), ["panel 1 'Power': was taken away in Grafana, comes back"]),
        (
            board(panels=[*BOARD["panels"], {"id": 9, "type": "text"}]),
            ["panel 9 'without a title': is in Grafana alone, goes away"],
        ),
        (
            board(panels=[PANEL, ROW | {"panels": [PANEL | {"id": 3, "title": "Watts"}]}]),
            ["panel 3 'Power':", "  title:", "    - Watts", "    + Power"],
        ),
    ],
)  # fmt: skip
def test_what_somebody_changed(held: dict[str, Any], expected: list[str]) -> None:
    """Where it is, what goes and what comes; also inside a folded row."""
    assert expected == list(lines(held, BOARD))


def test_the_newer_form() -> None:
    """Without panels there is nothing to compare."""
    assert ("kept by Grafana in its newer form: replaced as a whole",) == lines({"elements": {}}, BOARD)


def test_too_much_to_read() -> None:
    """The first lines, and how many more there are; a long one is cut."""
    more = [{"id": 100 + number, "title": "x"} for number in range(MOST_LINES + 5)]

    found = lines(board(title="y" * 1_000, panels=[PANEL, ROW, *more]), BOARD)
    assert (MOST_LINES + 1, "… and 8 more lines") == (len(found), found[-1])
    assert 164 == len(found[1])
