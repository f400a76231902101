"""From simulated jobs to a webhook: the demonstration, a real Prometheus and a real Alertmanager."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dashboards import uids
from dashboards.build import boards
from dashboards.quiet import ALLOWED_EMPTY
from tests.stack.programs import require
from tests.stack.receiver import Alert, receiver

PACE = 100  # every waiting time of the rules is divided by this: 5 minutes become 3 seconds
DEADLINE_SECONDS = 120  # of what takes seconds on a machine that does nothing else
PROGRAM = Path(__file__).with_name("run.py")
# Panels that show nothing yet: sums by five minutes.
YOUNG = {(uids.FACTORY, 41), (uids.WASTE, 15)}
# What is true of the demonstration: how its projects stand, and what some of their jobs do with GPUs.
ALLOCATIONS = {
    "OpsdAwardOverQuota", "OpsdAwardThresholdReached", "OpsdUnattributedUsage", "OpsdAwardExhaustionNear",
    "OpsdAwardBurnAhead", "OpsdAwardEndsUnspent", "OpsdGpuHeldUnused", "OpsdGpuHeldIdle",
}  # fmt: skip
REPAIRS = {"OpsdNodeUnavailable"}  # some of its nodes are drained, with a ticket


@dataclass
class Stack:
    """A running `make stack`."""

    process: subprocess.Popen[str]
    prometheus: str
    alertmanager: str
    folder: Path  # of the demonstration
    told: list[tuple[str, Alert]] = field(default_factory=list)

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of Prometheus' API."""
        url = f"{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The program behind `make stack`, with a webhook of the test's own; stopped as by Ctrl-C."""
    for program in ("prometheus", "prometheus-alertmanager"):
        require(program)
    folder = tmp_path_factory.mktemp("stack")
    told: list[tuple[str, Alert]] = []
    with receiver(lambda name, alert: told.append((name, alert))) as hook:
        command = [sys.executable, str(PROGRAM), "--dir", str(folder / "demo"), "--receiver", hook]
        command += ["--port", "0", "--prometheus-port", "0", "--alertmanager-port", "0", "--pace", str(PACE)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # Whatever happens, nothing waits for ever for it to come up. It stays up as long as the tests take,
        # with those of other files in between.
        watch = threading.Timer(DEADLINE_SECONDS, process.terminate)
        watch.start()
        try:
            said = _until(process, "Ctrl-C stops all.\n")
            watch.cancel()
            prometheus, alertmanager = re.findall(r"(?:prometheus|alertmanager) +(http://[\d.:]+)/", said)
            yield Stack(process, prometheus, alertmanager, folder / "demo", told)
        finally:
            watch.cancel()
            process.terminate()
            process.communicate(timeout=60)


def _until(process: subprocess.Popen[str], ending: str) -> str:
    """What a program prints up to a line."""
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if line.endswith(ending):
            return said
    raise AssertionError(f"it ended:\n{said}")


def wait_for(what: str, found: Any, enough: Any) -> Any:
    """Ask again until it is enough."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not enough(last := found()):
        assert time.monotonic() < deadline, f"{what}: {last}"
        time.sleep(0.2)
    return last


@pytest.mark.prometheus
@pytest.mark.slow
def test_the_over_quota_project_arrives_at_the_webhook(stack: Stack) -> None:
    """With everything that routing and a person need, and with Alertmanager's own API in agreement."""

    def over() -> dict[str, Alert]:
        name = "OpsdAwardOverQuota"
        told = [alert for _, alert in stack.told if alert["labels"]["alertname"] == name]
        return {alert["labels"]["award"]: alert for alert in told}

    expected = over_quota(stack)
    told = wait_for("alerts at the webhook", over, lambda it: set(it) >= expected.keys())

    assert expected
    assert expected.keys() == told.keys()
    award, balance = next(iter(expected.items()))
    labels, words = told[award]["labels"], told[award]["annotations"]
    hours = re.search(r"is charged (\d+) (\S+) more than was granted", words["description"])
    assert hours
    assert float(balance["left"]) / -3600 == pytest.approx(int(hours[1]), abs=2)
    assert balance["unit"].removesuffix("-seconds") == hours[2].removesuffix("-hours")
    assert ("warning", "allocations") == (labels["severity"], labels["audience"])
    assert "firing" == told[award]["status"]
    assert f"{labels['project']} is over quota ({award})" == words["summary"]
    assert "docs/runbook.md#opsdawardoverquota" == words["runbook_url"]
    assert f"var-project={labels['project']}" in words["dashboard_url"]
    of_offices = [
        (name, it["labels"]) for name, it in stack.told if it["labels"]["audience"] == "allocations"
    ]
    assert {"allocations"} == {name for name, it in of_offices if it.get("country") != "PT"}
    assert all(labels[it] for it in ("country", "organisation", "pool"))
    with urllib.request.urlopen(f"{stack.alertmanager}/api/v2/alerts", timeout=10) as answer:
        held = [it["labels"] for it in json.load(answer)]
    assert {it["award"] for it in held if it["alertname"] == "OpsdAwardOverQuota"} == expected.keys()


def over_quota(stack: Stack) -> dict[str, dict[str, str]]:
    """What the command line says of the same database: awards over quota, with their balance."""
    command = [sys.executable, "-m", "opsd", "--db", f"sqlite:///{stack.folder / 'opsd.db'}"]
    command += ["balance", "--by", "award", "--format", "csv"]
    text = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    return {it["award"]: it for it in csv.DictReader(text.splitlines()) if it["state"].startswith("over")}


@pytest.mark.prometheus
@pytest.mark.slow
def test_all_targets_are_scraped(stack: Stack) -> None:
    """The daemon and four nodes, which carry the names that Slurm gives them."""

    def targets() -> list[dict[str, Any]]:
        return list(stack.ask("query", query="up")["result"])

    found = wait_for("targets", targets, lambda it: [t["value"][1] for t in it] == ["1"] * 5)

    jobs = [it["metric"]["job"] for it in found]
    assert (1, 4) == (jobs.count("opsd"), jobs.count("opsd-node"))
    nodes = [it["metric"] for it in found if it["metric"]["job"] == "opsd-node"]
    assert 4 == len({it["node"] for it in nodes})
    assert {"demo"} == {it["cluster"] for it in nodes}


@pytest.mark.prometheus
@pytest.mark.slow
def test_every_panel_has_an_answer(stack: Stack) -> None:
    """Prometheus takes each query of the dashboards, joins and all, and finds series where they must be."""
    (job, *_) = wait_for("jobs", lambda: stack.ask("query", query="opsd_gpu_job_info")["result"], bool)
    chosen = {"jobid": job["metric"]["jobid"], "__rate_interval": "1m", "__range": "1h", "__interval": "15s"}
    queries = [
        (uid, panel["id"], _filled(target["expr"], chosen))
        for uid, board in boards().items()
        for panel in board["panels"]
        for target in panel.get("targets", ())
        if panel["id"] not in ALLOWED_EMPTY.get(uid, {})
    ]

    def silent() -> set[tuple[str, int]]:
        """Those that have had no answer so far: a scrape may fail at any moment."""
        for uid, panel, text in queries:
            if (uid, panel) in left and stack.ask("query", query=text)["result"]:
                left.discard((uid, panel))
        return left

    left = {(uid, panel) for uid, panel, _ in queries} - YOUNG
    assert len(queries) > 150
    assert set() == wait_for("panels without data", silent, lambda it: not it)


def _filled(expression: str, chosen: dict[str, str]) -> str:
    """With everything chosen, and one job."""
    return re.sub(r"\$\{?(\w+)\}?", lambda found: chosen.get(found[1], ".*"), expression)


@pytest.mark.prometheus
@pytest.mark.slow
def test_a_sound_machine_wakes_nobody(stack: Stack) -> None:
    """Every rule is evaluated without an error; only allocations and repairs have something to say."""

    def rules() -> list[dict[str, Any]]:
        return [rule for group in stack.ask("rules")["groups"] for rule in group["rules"]]

    evaluated = wait_for("rules", rules, lambda it: all(rule["health"] != "unknown" for rule in it))

    assert [] == [rule["name"] for rule in evaluated if rule["health"] != "ok"]
    firing = {rule["name"] for rule in evaluated if rule.get("state") == "firing"}
    assert firing <= ALLOCATIONS | REPAIRS
    assert {alert["labels"]["alertname"] for _, alert in stack.told} <= ALLOCATIONS | REPAIRS
    assert "critical" not in {alert["labels"]["severity"] for _, alert in stack.told}


@pytest.mark.prometheus
@pytest.mark.slow
def test_it_ends_as_a_whole(stack: Stack) -> None:
    """On Ctrl-C nothing is left that listens; so this test is the last."""
    stack.process.send_signal(signal.SIGINT)
    said, _ = stack.process.communicate(timeout=60)

    assert 0 == stack.process.returncode, said
    assert "stopping ...\nstopped\n" == said[-22:]
    for url in (stack.prometheus, stack.alertmanager):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url, timeout=5)
