"""The dashboards of GPUs, jobs and waste: what their links and narrow windows need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest

from dashboards import quiet, uids
from dashboards.build import boards

BOARDS = boards()
MINE = (uids.FACTORY, uids.FLEET, uids.NODE, uids.JOB, uids.WASTE)
NARROW_PX, MARGIN_PX = 39.7, 17  # of one of 24 columns in a window of 1000, and of a panel's edges
NARROWEST_PX = 80  # of a column without a width


def panels(uid: str) -> Iterator[dict[str, Any]]:
    """All but the rows."""
    return (it for it in BOARDS[uid]["panels"] if it["type"] != "row")


def properties(panel: dict[str, Any], name: str) -> dict[str, Any]:
    """A property of each column that has it, by heading."""
    return {
        override["matcher"]["options"]: it["value"]
        for override in panel["fieldConfig"]["overrides"]
        for it in override["properties"]
        if it["id"] == name
    }


@pytest.mark.parametrize("uid", MINE)
def test_a_table_fits_a_narrow_window(uid: str) -> None:
    """At a thousand pixels nobody has to scroll sideways to the number that matters."""
    tables = [it for it in panels(uid) if it["type"] == "table"]
    too_wide = {}
    for panel in tables:
        (organized,) = (it["options"] for it in panel["transformations"] if it["id"] == "organize")
        widths = properties(panel, "custom.width")
        needed = sum(widths.get(it, NARROWEST_PX) for it in organized["renameByName"].values())
        if needed > (room := panel["gridPos"]["w"] * NARROW_PX - MARGIN_PX):
            too_wide[panel["title"]] = (needed, room)

    assert tables
    assert {} == too_wide


@pytest.mark.parametrize("uid", MINE)
def test_cells_lead_to_dashboards_that_choose_by_them(uid: str) -> None:
    """A node opens GPU node, a job opens Job: with its value chosen, and the time range kept."""
    offered = {uid: {it["name"] for it in board["templating"]["list"]} for uid, board in BOARDS.items()}
    urls = [
        link["url"]
        for panel in panels(uid)
        for links in properties(panel, "links").values()
        for link in links
    ]  # fmt: skip

    assert urls
    for url in urls:
        found = re.match(r"/d/([\w-]+)\?\$\{__url_time_range\}&.*&var-(\w+)=\$\{__value\.raw\}$", url)
        assert found, url
        assert found[2] in offered.get(found[1], {found[2]}), url


def test_every_number_of_the_first_row_leads_on() -> None:
    """Whoever was woken clicks on what is red."""
    first = [it for it in panels(uids.FACTORY) if it["gridPos"]["y"] < 7]

    assert 8 == len(first)
    for panel in first:
        (link,) = panel["links"]
        assert re.match(r"/d/opsd-[\w-]+\?\$\{__url_time_range\}&\$\{__all_variables\}$", link["url"])


def test_columns_of_one_line_come_from_equal_labels() -> None:
    """`+` binds tighter than `and`: for how long a GPU is idle, and what it wasted, are of the same GPU."""
    (panel,) = [it for it in panels(uids.WASTE) if it["id"] == uids.HELD_IDLE.id]
    parsed = [promql.parse(re.sub(r"\$\w+", "x", it["expr"])) for it in panel["targets"]]

    assert 2 == len(parsed)
    for expression in parsed:
        assert isinstance(expression, promql.BinaryExpr)
        assert expression.modifier
        assert "+" == str(expression.op)
        assert ["gpu"] == list(expression.modifier.group_labels or ())


def test_alerts_find_their_panels() -> None:
    """Ids that links point at are there."""
    for name, panel in vars(uids).items():
        if isinstance(panel, uids.Panel) and panel.uid in MINE:
            assert panel.id in {it["id"] for it in panels(panel.uid)}, name


def test_the_job_dashboard_looks_at_its_nodes_alone() -> None:
    """Readings of thousands of other GPUs are never fetched for one job."""
    selectors = []
    for panel in panels(uids.JOB):
        for target in panel["targets"]:
            text = re.sub(r"\$__\w+", "1h", target["expr"])
            selectors += re.findall(r"(opsd[\w:]+)\{([^}]*)\}", text)
            promql.parse(text)
    wide = {name for name, matchers in selectors if "$node" not in matchers and "$jobid" not in matchers}

    assert len(selectors) > 50
    assert set() == wide


def test_panels_that_may_be_empty_exist_and_say_why() -> None:
    """The table of quiet panels is about panels that there are."""
    for uid, reasons in quiet.ALLOWED_EMPTY.items():
        ids = {it["id"] for it in panels(uid)} if uid in BOARDS else set(reasons)

        assert set() == reasons.keys() - ids, uid
        assert all(len(it) > 10 for it in reasons.values())
