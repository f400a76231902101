"""The example for Alertmanager: it is valid, everybody hears their own, and consequences are muted."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.alerts import ALERTS, Alert
from dashboards.configuration import Site, alertmanager
from tests.stack.programs import require

BY_NAME = {alert.name: alert for alert in ALERTS}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The example, built."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager(Site()))
    return path


def routed(alert: Alert) -> tuple[str, ...]:
    """The labels by which it is routed."""
    return f"alertname={alert.name}", f"audience={alert.audience}", f"severity={alert.severity}"


@pytest.mark.prometheus
def test_alertmanager_takes_it(config: Path) -> None:
    """As its own checker says."""
    checked = subprocess.run(
        [require("amtool"), "check-config", str(config)], check=False, capture_output=True, text=True
    )

    assert (0, "") == (checked.returncode, checked.stderr)
    assert " - 10 inhibit rules\n - 6 receivers\n" in checked.stdout


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("alert", "more", "receiver"),
    [
        ("OpsdGpuXid", ("cluster=mn5", "node=acc01"), "on-call"),
        ("OpsdDaemonDown", (), "on-call"),
        ("OpsdNodeUnavailable", ("cluster=mn5", "node=acc01"), "operations"),
        ("OpsdGpuRepairPending", ("cluster=mn5", "node=acc01"), "record"),
        ("OpsdAwardOverQuota", ("country=ES", "organisation=upc"), "allocations"),
        ("OpsdAwardOverQuota", ("country=PT", "organisation=porto"), "allocations-pt"),
        (
            "OpsdAwardOverQuota",
            ("country=PT", "organisation=example-university"),
            "allocations-example-university",
        ),
        ("OpsdAwardGraceOver", ("country=ES", "organisation=upc"), "allocations"),
        ("OpsdGpuHeldIdle", ("country=PT", "organisation=porto", "jobid=4711"), "allocations-pt"),
        ("OpsdJobStraggler", ("cluster=mn5", "node=acc01"), "operations"),
    ],
)
def test_everybody_hears_their_own(alert: str, more: tuple[str, ...], receiver: str, config: Path) -> None:
    """By Alertmanager's own routing: audience, then country and organisation, then severity."""
    command = [require("amtool"), "config", "routes", "test", "--config.file", str(config)]
    ran = subprocess.run(
        [*command, *routed(BY_NAME[alert]), *more], check=False, capture_output=True, text=True
    )

    assert (0, receiver) == (ran.returncode, ran.stdout.strip()), ran.stderr


def muted(config: Path) -> dict[str, set[str]]:
    """What each alert mutes, by name."""
    found: dict[str, set[str]] = {}
    for inhibition in yaml.safe_load(config.read_text())["inhibit_rules"]:
        for source in named(inhibition["source_matchers"]):
            found.setdefault(source, set()).update(named(inhibition["target_matchers"]))
    return found


def named(matchers: list[str]) -> set[str]:
    """The alerts that a matcher of names takes; Alertmanager anchors its expressions."""
    (matcher,) = matchers
    found = re.fullmatch(r'alertname=~?"(.+)"', matcher)
    assert found
    return {name for name in BY_NAME if re.fullmatch(found[1], name)}


@pytest.mark.parametrize(
    ("cause", "consequence"),
    [
        ("OpsdDaemonDown", "OpsdStepStale"),
        ("OpsdNodeUnavailable", "OpsdGpuHung"),
        ("OpsdNodeUnavailable", "OpsdAgentDown"),
        ("OpsdAgentDown", "OpsdGpuMissing"),
        ("OpsdGpuLost", "OpsdGpuHung"),
        ("OpsdGpuLost", "OpsdGpuMissing"),
        ("OpsdAwardGraceOver", "OpsdAwardOverQuota"),
        ("OpsdAwardOverQuota", "OpsdAwardThresholdReached"),
    ],
)
def test_consequences_are_muted(cause: str, consequence: str, config: Path) -> None:
    """One alert tells of one trouble; nothing mutes its own cause."""
    assert consequence in muted(config)[cause]
    assert cause not in muted(config).get(consequence, set())


def test_only_alerts_that_exist_are_muted(config: Path) -> None:
    """Each expression of names takes at least one alert, and what it asks to be equal they carry."""
    inhibitions: list[dict[str, Any]] = yaml.safe_load(config.read_text())["inhibit_rules"]

    assert all(named(it["source_matchers"]) and named(it["target_matchers"]) for it in inhibitions)
    assert all(it.get("equal") for it in inhibitions if "OpsdDaemonDown" not in it["source_matchers"][0])
