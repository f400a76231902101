"""Every dashboard: queries that can answer, panels that say what they show, a layout that holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from dashboards.build import boards
from dashboards.panels import Step, thresholds
from opsd.core.attribution import UNATTRIBUTED
from opsd.web import figure
from tests.dashboards.queries import foreign

CSS = Path(figure.__file__).with_name("static") / "opsd.css"
BOARDS = boards()
# What Grafana puts in before it asks Prometheus.
VARIABLES = {r"\$__rate_interval": "5m", r"\$__range": "1h", r"\$(\w+)": r"\1"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All but the rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and PromQL of each query."""
    for panel in panels(board):
        for target in panel["targets"]:
            expression = target["expr"]
            for pattern, value in VARIABLES.items():
                expression = re.sub(pattern, value, expression)
            yield panel["title"], expression


@pytest.fixture(params=sorted(BOARDS))
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each dashboard."""
    return BOARDS[str(request.param)]


def test_there_are_queries(board: dict[str, Any]) -> None:
    """The checks below look at something."""
    assert len(list(expressions(board))) >= len(panels(board)) > 20


def test_every_query_names_only_what_pages_have(board: dict[str, Any]) -> None:
    """Each parses, and its metrics and labels are in the catalogue."""
    assert [] == [(title, found) for title, text in expressions(board) if (found := foreign(text))]


def test_every_variable_names_only_what_pages_have(board: dict[str, Any]) -> None:
    """So do the queries behind the choices at the top, and the label they list."""
    asked = [it["query"]["query"] for it in board["templating"]["list"] if it["type"] == "query"]
    parts = [re.fullmatch(r"label_values\((.+), (\w+)\)", text) for text in asked]

    assert ["cluster", "node", "country", "project"] == [it[2] for it in parts if it]
    for it in parts:
        assert it
        assert [] == foreign(f"count by ({it[2]}) ({it[1].replace('$', '')})")


def test_every_variable_used_is_offered(board: dict[str, Any]) -> None:
    """A `$name` that nobody sets would be asked as it stands."""
    offered = {it["name"] for it in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - {"__all"}

    assert offered == used


def test_ids_are_unique_and_stay(board: dict[str, Any]) -> None:
    """Links point at them."""
    ids = [panel["id"] for panel in board["panels"]]

    assert sorted(set(ids)) == sorted(ids)
    assert all(ids)
    assert 42 == board["schemaVersion"]


def test_no_panels_overlap_or_stick_out(board: dict[str, Any]) -> None:
    """Within 24 columns, each cell of the grid belongs to one panel at most."""
    places = [panel["gridPos"] for panel in board["panels"]]

    assert [] == [place for place in places if place["x"] < 0 or place["x"] + place["w"] > 24]
    assert [] == [pair for pair in combinations(places, 2) if overlap(*pair)]


def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    """Whether two places share a cell."""
    aside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
    above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    return not (aside or above)


def test_no_gap_between_panels(board: dict[str, Any]) -> None:
    """Grafana moves panels up into a gap, and the page would look other than written."""
    places = [panel["gridPos"] for panel in board["panels"]]
    bottoms = {(x, place["y"] + place["h"]) for place in places for x in range(24) if covers(place, x)}

    assert [] == [it for it in places if it["y"] and not any((x, it["y"]) in bottoms for x in range(24))]
    assert sum(it["w"] * it["h"] for it in places) == 24 * max(it["y"] + it["h"] for it in places)


def covers(place: dict[str, int], column: int) -> bool:
    """Whether a place spans a column."""
    return place["x"] <= column < place["x"] + place["w"]


def test_every_panel_explains_itself(board: dict[str, Any]) -> None:
    """A title, a description of its own, a unit, thresholds open below, and the chosen data source."""
    shown = panels(board)
    descriptions = [panel["description"] for panel in shown]

    assert len(shown) == len(set(descriptions))
    assert [] == [panel["title"] for panel in shown if len(panel["description"]) < 20 or not panel["title"]]
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in shown}
    for panel in shown:
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]


def test_every_override_meets_a_column(board: dict[str, Any]) -> None:
    """A table's widths and units are for columns that it shows."""
    tables = [panel for panel in panels(board) if panel["type"] == "table"]
    assert tables
    for panel in tables:
        shown = {
            heading
            for it in panel.get("transformations", ())
            if it["id"] == "organize"
            for heading in it["options"]["renameByName"].values()
        }
        overridden = {it["matcher"]["options"] for it in panel["fieldConfig"]["overrides"]}
        sorted_by = {it["displayName"] for it in panel["options"].get("sortBy", ())}

        assert set() == (overridden | sorted_by) - shown, panel["title"]


def test_a_country_has_the_portals_colour(board: dict[str, Any]) -> None:
    """In lines and in tables; so a country is known again from one to the other."""
    css = CSS.read_text(encoding="utf-8")
    colors = dict(re.findall(r"--(h\d): (#\w+);", css.partition("@media")[0]))
    countries = ("ES", "PT", "TR", "RO", UNATTRIBUTED)
    expected = {country: colors[f"h{figure.hue(country)}"] for country in countries}
    (held,) = [panel for panel in panels(board) if panel["title"] == "GPUs held, by country"]
    texts = [
        it["value"][0]["options"]
        for panel in panels(board)
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == "Country"
        for it in override["properties"]
        if it["id"] == "mappings"
    ]

    assert expected == {
        it["matcher"]["options"]: it["properties"][0]["value"]["fixedColor"]
        for it in held["fieldConfig"]["overrides"]
    }
    assert len(texts) == 3
    for text in texts:
        assert expected == {country: text[country]["color"] for country in text}


def test_thresholds_must_be_open_below() -> None:
    """Grafana paints nothing below a first threshold that has a value."""
    with pytest.raises(ValueError, match="must be None"):
        thresholds([Step(0, "green")])
