"""Every alert fires when it should, keeps quiet when it should, and tells what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.alerts import ALERTS, TOPICS, Alert, xids
from dashboards.build import boards
from dashboards.recording import RECORDED
from dashboards.rules import recording_rules, rule, rules
from tests.dashboards.cases import allocations, gpus, itself, jobs, slurm
from tests.dashboards.cases.case import Case
from tests.dashboards.queries import foreign, named
from tests.stack.programs import require

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
BY_NAME = {alert.name: alert for alert in ALERTS}
FIRING: list[Case] = [case for topic in (allocations, gpus, jobs, slurm, itself) for case in topic.FIRING]
QUIET: list[Case] = [case for topic in (allocations, gpus, jobs, slurm, itself) for case in topic.QUIET]


def as_promtool_reads(case: Case) -> dict[str, Any]:
    """A test of `promtool test rules`."""
    alert = BY_NAME[case.alert]
    told = {"severity": alert.severity, "audience": alert.audience} | (case.labels or {})
    expected = [{"exp_labels": told, "exp_annotations": {"summary": case.summary}}] if case.labels else []
    looked = {"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": expected}
    series = [{"series": name, "values": values} for name, values in case.given.items()]
    return {"interval": "1m", "input_series": series, "alert_rule_test": [looked]}


def summarised(alert: Alert) -> dict[str, Any]:
    """A rule with its summary alone: the other annotations are long, and checked elsewhere."""
    made = rule(alert)
    return made | {"annotations": {"summary": made["annotations"]["summary"]}}


def needed(alert: Alert) -> list[dict[str, Any]]:
    """What Prometheus records of that which an alert is made of, as far down as it goes."""
    names = {name for name, _ in named(alert.expr).metrics}
    kept = []
    for row in reversed(RECORDED):  # each is made of rows above it
        if row.name in names:
            kept.append({"record": row.name, "expr": row.expr})
            names |= {name for name, _ in named(row.expr).metrics}
    return [{"name": "recorded", "rules": kept[::-1]}] if kept else []


@pytest.mark.prometheus
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_fires_and_keeps_quiet(alert: Alert, tmp_path: Path) -> None:
    """By Prometheus' own evaluation of each case: with these labels and this summary, or not at all."""
    promtool = require("promtool")
    cases = [as_promtool_reads(case) for case in (*FIRING, *QUIET) if case.alert == alert.name]
    groups = [*needed(alert), {"name": "alert", "rules": [summarised(alert)]}]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": cases}
    tests |= {"group_eval_order": [group["name"] for group in groups]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(tests))

    ran = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, check=False, capture_output=True, text=True
    )

    assert 0 == ran.returncode, ran.stdout + ran.stderr


def test_each_alert_has_a_firing_and_a_quiet_case() -> None:
    """A new alert needs both."""
    assert set(BY_NAME) == {case.alert for case in FIRING} == {case.alert for case in QUIET}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_names_only_what_pages_have(alert: Alert) -> None:
    """Its expression parses, and its metrics and labels are in the catalogue."""
    assert [] == foreign(alert.expr)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_tells_what_it_can_know(alert: Alert) -> None:
    """A label in its words or its links is one that it carries; else the words would have holes."""
    (carried, *_) = [case.labels for case in FIRING if case.alert == alert.name]
    words = " ".join(map(str, rule(alert)["annotations"].values()))

    assert set() == set(re.findall(r"\$labels\.(\w+)", words)) - set(carried or ())


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_has_a_section_in_the_runbook(alert: Alert) -> None:
    """The link leads to a heading of docs/runbook.md with something below it."""
    anchor = rule(alert)["annotations"]["runbook_url"].partition("#")[2]
    section = re.search(rf"^## {alert.name}\n+(.+?)(?=^## |\Z)", RUNBOOK, flags=re.MULTILINE | re.DOTALL)

    assert anchor == alert.name.lower()
    assert section
    assert len(section[1]) > 150


def test_the_runbook_has_no_section_of_no_alert() -> None:
    """A renamed alert takes its section along."""
    assert set(BY_NAME) == set(re.findall(r"^## (Opsd\w+)$", RUNBOOK, flags=re.MULTILINE))


def test_the_runbook_names_panels_that_exist() -> None:
    """A title in italics is one that a dashboard has."""
    titles = {panel["title"] for board in boards().values() for panel in board["panels"]}
    said = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", " ".join(RUNBOOK.split())))

    assert len(said) > 5
    assert set() == said - titles


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_links_a_panel_and_variables_that_exist(alert: Alert) -> None:
    """The dashboard opens on what the alert is about."""
    board = boards()[alert.panel.uid]
    panels = {panel["id"] for panel in board["panels"] if panel["type"] != "row"}
    variables = {variable["name"] for variable in board["templating"]["list"]}

    assert alert.panel.id in panels
    assert set() == set(alert.variables) - variables


def test_each_alert_has_a_name_of_its_own() -> None:
    """Whoever looks one up finds one."""
    assert len(ALERTS) == len(BY_NAME)


def test_an_xid_is_in_one_class() -> None:
    """Each has one answer; 79 wakes somebody, 13 nobody."""
    classes = (xids.PAGING, xids.WORKFLOW, xids.APPLICATION, xids.TREND, xids.BY_ACTION)
    every = [xid for one in classes for xid in one]

    assert len(every) == len(set(every))
    assert tuple(sorted(every)) == xids.KNOWN
    assert (True, True) == (79 in xids.PAGING, 13 in xids.APPLICATION)


def test_the_runbook_has_every_xid() -> None:
    """A number that opsd has a class for is in the table, or the reader would think it unknown."""
    table = RUNBOOK[RUNBOOK.index("## OpsdGpuXid\n") : RUNBOOK.index("## OpsdGpuXidWorkflow")]
    rows = [row.split("|")[1] for row in table.splitlines() if row.startswith("|")]
    told = [
        xid
        for row in rows
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", row)
        for xid in range(int(first), int(last or first) + 1)
    ]

    assert sorted(told) == list(xids.KNOWN)


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say_of_the_rules(tmp_path: Path) -> None:
    """Both files, as they are built."""
    (tmp_path / "opsd.yml").write_text(rules("", "docs/runbook.md"))
    (tmp_path / "opsd-recorded.yml").write_text(recording_rules())
    checked = subprocess.run(
        [require("promtool"), "check", "rules", "opsd.yml", "opsd-recorded.yml"],
        cwd=tmp_path, check=False, capture_output=True, text=True,
    )  # fmt: skip

    assert (0, "") == (checked.returncode, checked.stderr)
    assert f"{len(ALERTS)} rules found" in checked.stdout


def test_a_group_for_each_topic() -> None:
    """In the order of the tables; what is made of recorded series is evaluated as seldom as they are."""
    groups = yaml.safe_load(rules("", ""))["groups"]

    assert [f"opsd-{topic}" for topic in TOPICS] == [group["name"] for group in groups]
    assert {"opsd-jobs": "1m"} == {it["name"]: it["interval"] for it in groups if "interval" in it}


def test_links_begin_where_the_site_says() -> None:
    """Grafana and the runbook stand elsewhere at each site."""
    made = yaml.safe_load(rules("https://grafana.example.org", "https://docs.example.org/runbook"))
    first = made["groups"][0]["rules"][0]["annotations"]

    assert first["dashboard_url"].startswith("https://grafana.example.org/d/opsd-allocations?viewPanel=20&")
    assert "https://docs.example.org/runbook#opsdawardoverquota" == first["runbook_url"]
