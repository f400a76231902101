"""Every alert fires when it should, keeps quiet when it should, and tells what to do."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from dashboards.alerts import ALERTS, Alert
from dashboards.build import boards
from dashboards.rules import rule, rules
from tests.dashboards.queries import foreign
from tests.stack.programs import require

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
BY_NAME = {alert.name: alert for alert in ALERTS}

DAEMON = {"job": "opsd", "instance": "d:9750"}
NODE = {"job": "opsd-node", "instance": "n:9751", "cluster": "mn5", "node": "acc01"}
AWARD = {
    "award": "a1", "project": "P1", "organisation": "uni", "country": "PT", "pool": "ju", "unit": "gpu-hours",
}  # fmt: skip
GPU = {"cluster": "mn5", "node": "acc01", "gpu": "2", "uuid": "GPU-9"}
ACCOUNT = {"cluster": "mn5", "account": "etur77"}
STEP = {"step": "ingest"}
TICKING = ("opsd_page_timestamp_seconds", "0+60x240")

Given = dict[str, str]  # series with labels -> values, one a minute


class Case(NamedTuple):
    """What Prometheus holds, at which minute one looks, and what is then told (nothing: empty)."""

    alert: str
    given: Given
    minute: int
    labels: dict[str, str] | None = None
    summary: str = ""


def of(name: str, *labels: dict[str, str]) -> str:
    """A series as PromQL writes it."""
    joined = {key: value for part in labels for key, value in part.items()}
    shown = ",".join(f'{key}="{value}"' for key, value in joined.items())
    return f"{name}{{{shown}}}"


def on_daemon(**values: str) -> Given:
    """Series of the daemon's page."""
    return {of(f"opsd_{name}", DAEMON): value for name, value in values.items()}


def awards(left: str, over: str, reached: str, end: str = "") -> Given:
    """An award, and the clock of the accounting, which is not that of the page."""
    named = {"left_seconds": left, "over_quota": over, "threshold_reached_ratio": reached}
    named |= {"end_timestamp_seconds": end} if end else {}
    series = {of(f"opsd_award_{name}", DAEMON, AWARD): value for name, value in named.items()}
    clocks = on_daemon(balances_as_of_timestamp_seconds="0+60x90", page_timestamp_seconds="9000000+60x90")
    return series | clocks


def steps(**values: str) -> Given:
    """A step of the daemon, and the page's clock."""
    page = {of("opsd_page_timestamp_seconds", DAEMON): TICKING[1]}
    return page | {of(f"opsd_step_{name}", DAEMON, STEP): value for name, value in values.items()}


def gpus(**values: str) -> Given:
    """A GPU, and its page's clock."""
    page = {of("opsd_page_timestamp_seconds", NODE): TICKING[1]}
    return page | {of(f"opsd_gpu_{name}", NODE, GPU): value for name, value in values.items()}


def xids(number: str) -> Given:
    """An XID reported in minute 20."""
    page = {of("opsd_page_timestamp_seconds", NODE): TICKING[1]}
    return page | {of("opsd_gpu_xid_last_timestamp_seconds", NODE, GPU, {"xid": number}): "_x19 1200x100"}


UNATTRIBUTED, OF_CPUS = (
    of("opsd_unattributed_seconds", DAEMON, ACCOUNT, {"resource": resource}) for resource in ("gpu", "cpu")
)
SPENT, NEAR = awards("-7200x60", "1x60", "1x60"), awards("7200x60", "0x60", "0.8x60")
IN_TEN_MINUTES, IN_AN_HOUR = "600x60", "3600x60"
GAP = "{0}x20 stale _x8 {0}x30"  # off the page from minute 21 to 29
COVERED = of("opsd_ingest_covered_timestamp_seconds", DAEMON, {"cluster": "mn5"})
COLLECTOR = of("opsd_node_collector_up", NODE, {"collector": "nvml"})
DROPPED = of("opsd_series_dropped", DAEMON, {"family": "opsd_award_left_seconds"})
VISIBLE, UNRESOLVED = of("opsd_gpu_devices_visible", NODE), of("opsd_gpu_job_unresolved", NODE)
EXPECTED = of("opsd_gpu_devices_expected", NODE)
PAGE, UP, NODE_UP = of("opsd_page_timestamp_seconds", DAEMON), of("up", DAEMON), of("up", NODE)


def certificate(cells: int, unknowable: int, seconds: int, reported: int = 1_000_000) -> Given:
    """How a cluster stands beside Slurm's own report."""
    cluster, tres = {"cluster": "mn5"}, {"tres": "cpu"}
    return {
        of("opsd_certificate_unexplained_cells", DAEMON, cluster): f"{cells}x30",
        of("opsd_certificate_unknowable_cells", DAEMON, cluster): f"{unknowable}x30",
        of("opsd_certificate_unexplained_seconds", DAEMON, cluster, tres): f"{seconds}x30",
        of("opsd_certificate_reported_seconds", DAEMON, cluster, tres): f"{reported}x30",
    }


COMPARED = of("opsd_certificate_made_timestamp_seconds", DAEMON, {"cluster": "mn5"})
FETCHED = of("opsd_spool_oldest_fetch_timestamp_seconds", DAEMON, {"cluster": "mn5"})
NOT_ADDED_UP = of("opsd_certificate_hours_not_added_up", DAEMON, {"cluster": "mn5"})
UNEXPLAINED = "Usage of mn5 differs from Slurm's, unexplained"

FIRING = [
    Case("OpsdAwardOverQuota", SPENT, 10, AWARD, "P1 is over quota (a1)"),
    Case("OpsdAwardOverQuota", awards("-7200x60", "1x60", "1x60", IN_AN_HOUR), 40, AWARD,
         "P1 is over quota (a1)"),
    *(  # in the gap, and just after it: it neither ended nor began again
        Case("OpsdAwardOverQuota", awards(GAP.format(-7200), GAP.format(1), GAP.format(1)), minute, AWARD,
             "P1 is over quota (a1)")
        for minute in (22, 28, 30, 40)
    ),
    Case("OpsdAwardOverQuota", awards("-7200x20 7200x60", "1x20 0x60", "1x20 0x60"), 30, AWARD,
         "P1 is over quota (a1)"),  # it might be a gap still
    Case("OpsdAwardThresholdReached", NEAR, 10, AWARD | {"threshold": "0.8"}, "P1 has used 80% of a1"),
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x60", IN_AN_HOUR), 40,
         AWARD | {"threshold": "0.8"}, "P1 has used 80% of a1"),
    *(
        Case("OpsdAwardThresholdReached", awards(GAP.format(7200), GAP.format(0), GAP.format(0.8)), minute,
             AWARD | {"threshold": "0.8"}, "P1 has used 80% of a1")
        for minute in (22, 28, 30, 40)
    ),
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x20 0.95x40"), 27,
         AWARD | {"threshold": "0.95"}, "P1 has used 95% of a1"),  # another alert, at once
    Case("OpsdUnattributedUsage", {UNATTRIBUTED: "36000x90", OF_CPUS: "720000x90"}, 70,
         ACCOUNT | {"resource": "gpu"}, "No award pays for account etur77 on mn5"),
    Case("OpsdUnattributedUsage", {UNATTRIBUTED: "1800x90", OF_CPUS: "36000x90"}, 70,
         ACCOUNT | {"resource": "cpu"}, "No award pays for account etur77 on mn5"),
    Case("OpsdGpuHung", gpus(hung="1x20"), 3, GPU, "GPU 2 of acc01 is hung"),
    Case("OpsdGpuLost", gpus(lost="1x20"), 3, GPU, "GPU 2 of acc01 is lost"),
    Case("OpsdGpuMissing", {VISIBLE: "8x30 7x60"}, 45, NODE, "acc01 has fewer GPUs than it should"),
    Case(
        "OpsdGpuMissing", {VISIBLE: "7x60", EXPECTED: "8x60"}, 45, NODE, "acc01 has fewer GPUs than it should"
    ),
    Case("OpsdGpuXid", xids("79"), 25, GPU | {"xid": "79"}, "XID 79 on GPU 2 of acc01"),
    Case("OpsdDaemonDown", {UP: "1x5 0x20"}, 12, DAEMON, "No opsd daemon is scraped"),
    Case("OpsdDaemonDown", {NODE_UP: "1x20"}, 12, {"job": "opsd"}, "No opsd daemon is scraped"),
    Case("OpsdAgentDown", {NODE_UP: "0x20"}, 12, NODE, "opsd-node does not answer on acc01"),
    Case("OpsdPageStuck", {PAGE: "0+60x5 300x30"}, 25, DAEMON, "opsd at d:9750 shows old numbers"),
    Case(
        "OpsdStepStale", steps(last_success_timestamp_seconds="0x60", stale_after_seconds="900x60"), 30,
        DAEMON | STEP, "Step ingest has not succeeded for 30m 0s",
    ),
    Case("OpsdStepLate", steps(late="1x20"), 10, DAEMON | STEP, "Step ingest is past its deadline"),
    Case("OpsdStepNeverSucceeded", steps(success="0x30"), 15, DAEMON | STEP,
         "Step ingest has never succeeded"),
    Case(
        "OpsdStepNeverSucceeded", steps(next_timestamp_seconds="60x60"), 30, DAEMON | STEP,
        "Step ingest has never succeeded",
    ),
    Case(
        "OpsdAccountingBehind",
        on_daemon(balances_as_of_timestamp_seconds="0+60x120") | {COVERED: "0x120"}, 90,
        DAEMON | {"cluster": "mn5"}, "Accounting of mn5 is 1h 30m 0s behind",
    ),
    Case("OpsdRunawaySuspected", {'opsd_runs_suspected_runaway{job="opsd",cluster="mn5"}': "2x400"}, 380,
         {"job": "opsd", "cluster": "mn5"}, "2 open runs of mn5 are unknown to slurmctld"),
    Case("OpsdQuarantineNotEmpty", on_daemon(quarantine_records="3x30"), 20, {"job": "opsd"},
         "3 accounting records could not be read"),
    Case("OpsdUsageUnexplained", certificate(1, 0, 1), 20, {"job": "opsd", "cluster": "mn5"}, UNEXPLAINED),
    Case("OpsdUsageUnexplained", certificate(3, 3, 1_001), 20, {"job": "opsd", "cluster": "mn5"},
         UNEXPLAINED),  # nobody can know, but it is too much
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "7x30"}, 20, {"job": "opsd", "cluster": "mn5"},
         "slurmdbd has not added up 7 hours of mn5"),
    Case(
        "OpsdCertificateOld",
        on_daemon(balances_as_of_timestamp_seconds="0+3600x90") | {COMPARED: "0x90"}, 70,
        DAEMON | {"cluster": "mn5"}, "Usage of mn5 was last compared with Slurm's 2d 22h 0m 0s ago",
    ),
    Case(
        "OpsdSpoolNotFetched",
        on_daemon(balances_as_of_timestamp_seconds="0+21600x90") | {FETCHED: "0x90"}, 60,
        DAEMON | {"cluster": "mn5"}, "An agent of mn5 was last asked 15d 0h 0m 0s ago",
    ),
    Case("OpsdCollectorFailing", {COLLECTOR: "0x30"}, 15, NODE | {"collector": "nvml"},
         "nvml fails on acc01"),
    Case("OpsdJobFilesUnresolved", {UNRESOLVED: "2x30"}, 20, NODE, "Job files on acc01 name no GPU"),
    Case("OpsdSeriesDropped", {DROPPED: "4x30"}, 15, DAEMON | {"family": "opsd_award_left_seconds"},
         "opsd leaves out series of opsd_award_left_seconds"),
]  # fmt: skip
QUIET = [
    Case("OpsdAwardOverQuota", awards("0x20", "0x20", "1x20"), 10),
    Case("OpsdAwardOverQuota", awards("-7200x60", "1x60", "1x60", IN_TEN_MINUTES), 12),  # it has ended
    Case("OpsdAwardOverQuota", awards(GAP.format(-7200), GAP.format(1), GAP.format(1), GAP.format(600)), 28),
    Case("OpsdAwardOverQuota", awards("-7200x20 7200x60", "1x20 0x60", "1x20 0x60"), 36),
    Case("OpsdAwardThresholdReached", awards("7200x20", "0x20", "0x20"), 10),
    Case("OpsdAwardThresholdReached", SPENT, 10),  # the alert above speaks
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x60", IN_TEN_MINUTES), 12),
    Case("OpsdAwardThresholdReached", awards("7200x60", "0x60", "0.8x20 0x60"), 36),
    Case("OpsdAwardThresholdReached", awards("-7200x20 7200x60", "1x20 0x60", "1x20 0x60"), 36),
    Case("OpsdUnattributedUsage", {UNATTRIBUTED: "1800x90", OF_CPUS: "3000x90"}, 70),
    Case("OpsdGpuHung", gpus(hung="0x20"), 3),
    Case("OpsdGpuHung", gpus(hung="0x5 1x1 0x20"), 8),  # it answered after all
    Case("OpsdGpuLost", gpus(lost="0x20"), 3),
    Case("OpsdGpuMissing", {VISIBLE: "8x90"}, 45),
    Case("OpsdGpuMissing", {VISIBLE: "8x90", EXPECTED: "8x90"}, 45),
    Case("OpsdGpuXid", xids("79"), 60),  # long ago
    Case("OpsdGpuXid", xids("13"), 25),  # the job's own fault
    Case("OpsdDaemonDown", {UP: "1x20"}, 12),
    Case("OpsdAgentDown", {NODE_UP: "1x5 0x2 1x20"}, 12),
    Case("OpsdPageStuck", {PAGE: TICKING[1]}, 25),
    Case("OpsdPageStuck", {PAGE: "300x30"}, 9),  # just started to be scraped
    Case(
        "OpsdStepStale", steps(last_success_timestamp_seconds="0+60x60", stale_after_seconds="900x60"), 30
    ),
    Case("OpsdStepLate", steps(late="0x20"), 10),
    Case("OpsdStepNeverSucceeded", steps(success="0x30", last_success_timestamp_seconds="0x30"), 15),
    Case("OpsdStepNeverSucceeded", steps(next_timestamp_seconds="86400x60"), 30),  # its first time will come
    Case(  # also with a clock of the accounting that is not the machine's
        "OpsdAccountingBehind",
        on_daemon(page_timestamp_seconds="9000000+60x120", balances_as_of_timestamp_seconds="0+60x120")
        | {COVERED: "0+60x120"}, 90,
    ),
    Case("OpsdRunawaySuspected", {'opsd_runs_suspected_runaway{job="opsd",cluster="mn5"}': "2x400"}, 300),
    Case("OpsdQuarantineNotEmpty", on_daemon(quarantine_records="0x30"), 20),
    Case("OpsdUsageUnexplained", certificate(0, 0, 0), 20),
    Case("OpsdUsageUnexplained", certificate(3, 3, 999), 20),  # without slurmdbd's tables nobody can know
    Case("OpsdUsageUnexplained", certificate(0, 0, 0, 0), 20),  # nobody used anything
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "6x30"}, 20),
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "2x30"}, 20),  # the last ones, not added up yet
    Case("OpsdRollUpBehind", {NOT_ADDED_UP: "72x10 0x30"}, 30),  # it has caught up
    Case(
        "OpsdCertificateOld",
        on_daemon(balances_as_of_timestamp_seconds="0+60x90") | {COMPARED: "0x90"}, 80,
    ),
    Case(
        "OpsdSpoolNotFetched", on_daemon(balances_as_of_timestamp_seconds="0+60x90") | {FETCHED: "0x90"}, 80,
    ),
    Case(  # it is back
        "OpsdSpoolNotFetched",
        on_daemon(balances_as_of_timestamp_seconds="0+21600x90") | {FETCHED: "0x50 1080000+21600x40"}, 60,
    ),
    Case("OpsdCollectorFailing", {COLLECTOR: "1x30"}, 15),
    Case("OpsdJobFilesUnresolved", {UNRESOLVED: "0x30"}, 20),
    Case("OpsdSeriesDropped", {DROPPED: "0x30"}, 15),
]  # fmt: skip


def ids(cases: list[Case]) -> Iterator[str]:
    """Names of cases."""
    return (f"{case.alert}-{place}" for place, case in enumerate(cases))


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


@pytest.mark.prometheus
@pytest.mark.parametrize("case", [*FIRING, *QUIET], ids=[*ids(FIRING), *(f"quiet-{it}" for it in ids(QUIET))])
def test_each_alert_fires_and_keeps_quiet(case: Case, tmp_path: Path) -> None:
    """By Prometheus' own evaluation: with these labels and this summary, or not at all."""
    promtool = require("promtool")
    group = {"name": "all", "rules": [summarised(alert) for alert in ALERTS]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [group]}))
    tests = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [as_promtool_reads(case)]}
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


def test_each_alert_links_a_panel_and_variables_that_exist() -> None:
    """The dashboard opens on what the alert is about."""
    (board,) = boards().values()
    panels = {panel["id"] for panel in board["panels"] if panel["type"] != "row"}
    variables = {variable["name"] for variable in board["templating"]["list"]}

    assert [] == [alert.name for alert in ALERTS if alert.panel not in panels]
    assert [] == [alert.name for alert in ALERTS if not variables.issuperset(alert.variables)]


def test_links_begin_where_the_site_says() -> None:
    """Grafana and the runbook stand elsewhere at each site."""
    made = yaml.safe_load(rules("https://grafana.example.org", "https://docs.example.org/runbook"))
    first = made["groups"][0]["rules"][0]["annotations"]

    assert first["dashboard_url"].startswith("https://grafana.example.org/d/opsd-allocations-and-gpus?")
    assert "https://docs.example.org/runbook#opsdawardoverquota" == first["runbook_url"]
