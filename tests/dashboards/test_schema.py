"""Every dashboard by Grafana's own types, as JSON Schema: `make_schema.mjs` says how that file is made."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for

from dashboards.build import boards

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "data" / "grafana" / "dashboard.schema.json").read_text(encoding="utf-8")
)
BOARDS = boards()
# What Grafana reads or ignores, but its types for files do not name.
OF_VARIABLES = ("auto", "auto_count", "auto_min", "definition")
OF_OLDER_TABLES = ("footer",)  # where Grafana up to 12.1 looks for pages
Change = Callable[[dict[str, Any]], None]


def faults(board: dict[str, Any]) -> Iterator[str]:
    """What Grafana's types object to, with the place."""
    known = copy.deepcopy(board)
    for variable in known["templating"]["list"]:
        for name in OF_VARIABLES:
            variable.pop(name, None)
    yield from _objections(SCHEMA["dashboard"], known, "dashboard")
    for panel in known["panels"]:
        if panel["type"] == "row":
            continue
        place, of = f"panel {panel['id']}", SCHEMA["panels"][panel["type"]]
        for name in OF_OLDER_TABLES if panel["type"] == "table" else ():
            panel["options"].pop(name, None)
        yield from _objections(of["options"], panel["options"], f"{place} options")
        if "custom" in of:
            yield from _objections(
                of["custom"], panel["fieldConfig"]["defaults"]["custom"], f"{place} custom"
            )


def _objections(schema: dict[str, Any], value: object, place: str) -> Iterator[str]:
    for fault in validator_for(schema)(schema).iter_errors(value):
        yield f"{place} {'/'.join(map(str, fault.absolute_path))}: {fault.message[:200]}"


@pytest.mark.parametrize("uid", sorted(BOARDS))
def test_grafana_knows_every_key_and_type(uid: str) -> None:
    """Of the dashboard, its variables and links, each panel, its options and its fields."""
    assert [] == list(faults(BOARDS[uid]))


def test_the_schema_is_of_the_grafana_that_is_documented() -> None:
    """A newer one is taken over by running the script again."""
    assert "@grafana/schema 13.2.3" == SCHEMA["source"]


def _panel(board: dict[str, Any], kind: str) -> Any:
    return next(it for it in board["panels"] if it["type"] == kind)


CHANGES: dict[str, Change] = {
    "a misspelt key of the dashboard": lambda it: it.update(titel="x"),
    "a misspelt key of a panel": lambda it: _panel(it, "table").update(gridpos={}),
    "a misspelt option": lambda it: _panel(it, "table")["options"].update(showheader=True),
    "a misspelt key of a field": lambda it: _panel(it, "table")["fieldConfig"]["defaults"].update(noval="x"),
    "text for a width": lambda it: _panel(it, "stat")["gridPos"].update(w="6"),
    "thresholds that are no list": lambda it: _panel(it, "stat")["fieldConfig"]["defaults"].update(
        thresholds={"mode": "absolute", "steps": {"value": None, "color": "green"}}
    ),
    "a word no option has": lambda it: _panel(it, "stat")["options"].update(colorMode="rainbow"),
    "text for a line's width": lambda it: _panel(it, "timeseries")["fieldConfig"]["defaults"][
        "custom"
    ].update(lineWidth="thick"),
}


@pytest.mark.parametrize("what", sorted(CHANGES))
def test_a_mistake_is_found(what: str) -> None:
    """Once, in a dashboard that is right otherwise."""
    board = copy.deepcopy(BOARDS["opsd-allocations"])
    CHANGES[what](board)

    assert 1 == len(list(faults(board)))
