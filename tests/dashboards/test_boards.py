"""Every dashboard: queries that can answer, panels that say what they show, a layout that holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from collectors.slurm import present_nodes
from dashboards import palette, promql, uids
from dashboards.build import BuildFailed, boards, check
from dashboards.palette import NODE_STATES
from dashboards.panels import Step, thresholds
from dashboards.quiet import ALLOWED_EMPTY
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.present import GPU_STATES, UNSEEN
from opsd.web import figure
from tests.dashboards.queries import foreign

CSS = Path(figure.__file__).with_name("static") / "opsd.css"
BOARDS = boards()
# What is chosen at the top of each, beside the Prometheus.
CHOICES = {
    uids.FACTORY: ["cluster"],
    uids.FLEET: ["cluster", "node"],
    uids.NODE: ["cluster", "node"],
    uids.JOB: ["cluster", "jobid", "node"],
    uids.SLURM: ["cluster", "partition"],
    uids.ALLOCATIONS: ["country", "project"],
    uids.COUNTRIES: ["country"],
    uids.WASTE: ["cluster", "country", "project"],
    uids.ITSELF: ["cluster"],
}
LINKED = sorted({it for it in vars(uids).values() if isinstance(it, uids.Panel)})
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


def test_there_are_nine() -> None:
    """In the order of a morning's round; each with its uid and a title of its own."""
    assert list(CHOICES) == list(BOARDS)
    assert 9 == len({board["title"] for board in BOARDS.values()})


def test_there_are_queries(board: dict[str, Any]) -> None:
    """The checks below look at something."""
    assert len(list(expressions(board))) >= len(panels(board)) >= 10


def test_every_query_names_only_what_pages_have(board: dict[str, Any]) -> None:
    """Each parses, and its metrics and labels are in the catalogue."""
    assert [] == [(title, found) for title, text in expressions(board) if (found := foreign(text))]


def test_every_variable_names_only_what_pages_have(board: dict[str, Any]) -> None:
    """So do the queries behind the choices at the top, and the label they list."""
    asked = [it["query"]["query"] for it in board["templating"]["list"] if it["type"] == "query"]
    parts = [re.fullmatch(r"label_values\((.+), (\w+)\)", text) for text in asked]

    assert CHOICES[board["uid"]] == [it[2] for it in parts if it]
    for it in parts:
        assert it
        assert [] == foreign(f"count by ({it[2]}) ({it[1].replace('$', '')})")


def test_every_variable_used_is_offered(board: dict[str, Any]) -> None:
    """A `$name` that nobody sets would be asked as it stands."""
    offered = {it["name"] for it in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-zA-Z_]\w*)", json.dumps(board)))

    assert offered == {name for name in used if not name.startswith("__")}


def test_ids_are_unique_and_stay(board: dict[str, Any]) -> None:
    """Links point at them."""
    ids = [panel["id"] for panel in board["panels"]]

    assert sorted(set(ids)) == sorted(ids)
    assert all(ids)
    assert {panel["id"] for panel in panels(board)} == {id_ for id_ in ids if id_ >= 10}
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


def test_it_leads_to_the_others(board: dict[str, Any]) -> None:
    """With the time range and the choices; links of panels and of cells lead to dashboards that exist."""
    (others,) = board["links"]

    assert ("dashboards", ["opsd"], True, True) == (
        others["type"], others["tags"], others["keepTime"], others["includeVars"],
    )  # fmt: skip
    assert ["opsd"] == board["tags"]
    for title, url in links(board):
        uid, _, query = url.removeprefix("/d/").partition("?")
        assert "${__url_time_range}" in query, title
        assert set(re.findall(r"var-(\w+)=", query)) <= {"datasource", *CHOICES[uid]}, title


def links(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Title and address of what panels and cells link to."""
    for panel in panels(board):
        fields = [it for override in panel["fieldConfig"]["overrides"] for it in override["properties"]]
        of_cells = [link for it in fields if it["id"] == "links" for link in it["value"]]
        for link in (*panel.get("links", ()), *of_cells):
            yield panel["title"], link["url"]


def test_there_are_links() -> None:
    """Of cells, to a node, a job, a project, a country."""
    found = {url.partition("?")[0] for board in BOARDS.values() for _, url in links(board)}

    assert {f"/d/{uid}" for uid in (uids.NODE, uids.JOB, uids.ALLOCATIONS, uids.COUNTRIES)} <= found


def test_panels_that_are_named_elsewhere_exist() -> None:
    """Alerts link to some; some may be empty."""
    shown = {(uid, panel["id"]) for uid, board in BOARDS.items() for panel in panels(board)}
    quiet = {(uid, id_) for uid, some in ALLOWED_EMPTY.items() for id_ in some}

    assert len(LINKED) >= 24
    assert [] == [it for it in LINKED if tuple(it) not in shown]
    assert set() == quiet - shown


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("sum(opsd_gpu_upp)", "opsd_gpu_upp"),
        ("opsd:gpus_helt:sum / opsd_gpu_up", "opsd:gpus_helt:sum"),
        ("label_values(opsd_nodes, cluster)", "opsd_nodes"),
    ],
)
def test_a_name_that_nobody_publishes_fails_the_build(expression: str, named: str) -> None:
    """Also one that came into a query past the table of metrics; the message says where."""
    variable = {"name": "cluster", "definition": expression}
    queried = {"title": "B", "panels": [{"title": "P", "targets": [{"expr": expression}]}]}

    with pytest.raises(BuildFailed, match=f"'B', 'P': neither .* has {named}$"):
        check(queried | {"templating": {"list": []}})
    with pytest.raises(BuildFailed, match=f"'B', 'cluster': neither .* has {named}$"):
        check({"title": "B", "panels": [], "templating": {"list": [variable]}})
    with pytest.raises(promql.UnknownName):
        promql.series(named)


COUNTRIES = ("ES", "PT", "TR", "RO", UNATTRIBUTED)


def colors() -> dict[str, str]:
    """Of countries, in the portal."""
    css = CSS.read_text(encoding="utf-8")
    hues = dict(re.findall(r"--(h\d): (#\w+);", css.partition("@media")[0]))
    return {country: hues[f"h{figure.hue(country)}"] for country in COUNTRIES}


@pytest.mark.parametrize("uid", [uids.FACTORY, uids.COUNTRIES])
def test_a_countrys_line_has_the_portals_colour(uid: str) -> None:
    """So a country is known again from one to the other."""
    (held,) = [panel for panel in panels(BOARDS[uid]) if panel["title"] == "GPUs held, by country"]

    assert colors() == {
        it["matcher"]["options"]: it["properties"][0]["value"]["fixedColor"]
        for it in held["fieldConfig"]["overrides"]
    }


def test_a_country_in_a_table_has_the_portals_colour() -> None:
    """Wherever a column has the countries that lead."""
    texts = [
        it["value"][0]["options"]
        for board in BOARDS.values()
        for panel in panels(board)
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["options"] == "Country"
        for it in override["properties"]
        if it["id"] == "mappings"
    ]

    assert len(texts) >= 5
    for text in texts:
        assert colors() == {country: text[country]["color"] for country in COUNTRIES}


@pytest.mark.parametrize(
    "told",
    [
        "ALLOCATED", "MIXED", "IDLE", "IDLE+COMPLETING", "IDLE+PLANNED", "IDLE+BLOCKED", "IDLE+RESERVED",
        "IDLE+MAINTENANCE", "MIXED+REBOOT_ISSUED", "MIXED+DRAIN", "IDLE+DRAIN", "MIXED+FAIL", "IDLE+FAIL",
        "DOWN", "ERROR", "UNKNOWN", "IDLE+INVALID_REG", "IDLE+NOT_RESPONDING", "IDLE+POWERED_DOWN",
        "IDLE+POWERING_UP", "IDLE+PERFCTRS",
    ],
)  # fmt: skip
def test_every_state_of_a_node_has_a_colour(told: str) -> None:
    """Whatever word opsd makes of what Slurm prints, a graph by state draws it under its own."""
    words = [word for words, _ in NODE_STATES.values() for word in words.split("|")]

    assert 1 == words.count(present_nodes.state_of(told).name)


def test_every_state_of_a_gpu_has_a_colour() -> None:
    """Also the time in which nobody looked."""
    assert {*GPU_STATES, UNSEEN} == set(palette.GPU_STATES)


def test_a_coloured_number_is_of_now() -> None:
    """What was hours ago must not stand there in green when nobody knows it any more."""
    filled = [
        panel
        for board in BOARDS.values()
        for panel in panels(board)
        if panel["type"] == "stat" and panel["options"]["colorMode"] == "background_solid"
    ]

    assert len(filled) >= 8
    assert {(True, False)} == {
        (bool(it.get("instant")), bool(it.get("range"))) for panel in filled for it in panel["targets"]
    }


def test_thresholds_must_be_open_below() -> None:
    """Grafana paints nothing below a first threshold that has a value."""
    with pytest.raises(ValueError, match="must be None"):
        thresholds([Step(0, "green")])
