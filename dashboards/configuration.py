"""Prometheus, Alertmanager and Grafana told where things are: configurations to start from.

Invariant: they work as they are on one machine, and hold no secret.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml

from dashboards import uids
from dashboards.promql import DAEMON, NODE


@dataclass(frozen=True, slots=True)
class Site:
    """What differs from place to place."""

    targets: str = "targets"  # folder of daemon.json and nodes.json, beside prometheus.yml or absolute
    prometheus: str = "http://127.0.0.1:9090"
    alertmanager: str = "127.0.0.1:9093"
    receiver: str = "http://127.0.0.1:9095/opsd"  # takes Alertmanager's webhooks
    grafana: str = ""  # root of links to dashboards
    runbook: str = "docs/runbook.md"
    boards: str = "/etc/opsd/monitoring/grafana/dashboards"  # where Grafana finds the dashboards


def prometheus(site: Site) -> str:
    """prometheus.yml."""
    return f"""\
# Scrapes opsd and its agents, and evaluates opsd's rules. Made by `opsd dashboards build`.
global:
  scrape_interval: 15s
  scrape_timeout: 10s
  evaluation_interval: 15s

rule_files:
  - rules/opsd-recorded.yml
  - rules/opsd.yml

alerting:
  alertmanagers:
    - static_configs:
        - targets: ["{site.alertmanager}"]

scrape_configs:
  # The daemon: balances, its own steps. Its series carry the label `cluster` themselves.
  - job_name: {DAEMON}
    honor_labels: true
    file_sd_configs:
      - files: ["{site.targets}/daemon.json"]
        refresh_interval: 1m

  # The agents. Each target must have the labels `cluster` (as Slurm calls it) and `node` (its short name).
  - job_name: {NODE}
    file_sd_configs:
      - files: ["{site.targets}/nodes.json"]
        refresh_interval: 1m
    # Agents that listen on more than the loopback want TLS with client certificates:
    # scheme: https
    # tls_config: {{ca_file: ca.pem, cert_file: prometheus.pem, key_file: prometheus.key}}
"""


def alertmanager(site: Site) -> str:
    """alertmanager.yml: by audience, country, organisation, severity; what follows from another is muted."""
    return f"""\
# An example to start from. Made by `opsd dashboards build`.
#   audience: allocations (who grants hours) or operations (who runs the machine)
#   severity: critical (wake somebody), warning (look today), info (for the record)
# Allocation alerts carry country, organisation, project, pool and award; those of jobs country,
# organisation, project, jobid and user; GPU alerts cluster and node.
global:
  resolve_timeout: 5m
  # smtp_smarthost: mail.example.org:587
  # smtp_from: opsd@example.org

route:
  receiver: operations
  group_by: [alertname, cluster]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 1d
  routes:
    - matchers: [audience="allocations"]
      receiver: allocations
      group_by: [alertname, country, organisation]
      repeat_interval: 7d
      routes:
        # The first that matches takes it: an organisation that wants its own stands before its country.
        - matchers: [country="PT", organisation="example-university"]
          receiver: allocations-example-university
        # One route for each country whose office wants its own:
        - matchers: [country="PT"]
          receiver: allocations-pt
        # Days of grace that are over: said again each day, to everybody's office.
        - matchers: [severity="critical"]
          receiver: allocations
          group_wait: 10s
          repeat_interval: 1d
    - matchers: [severity="critical"]
      receiver: on-call
      group_wait: 10s
      repeat_interval: 4h
    - matchers: [severity="info"]
      receiver: record
      group_interval: 1h
      repeat_interval: 7d

# What follows from another alert is muted while that one lasts.
inhibit_rules:
  # Without the daemon everything it shows is old: one alert is enough.
  - source_matchers: [alertname="OpsdDaemonDown"]
    target_matchers:
      - alertname=~"Opsd(Step.*|AccountingBehind|CertificateOld|SpoolNotFetched|SlurmSourceFailing)"
  # A run that hangs makes its step stale.
  - source_matchers: [alertname="OpsdStepLate"]
    target_matchers: [alertname="OpsdStepStale"]
    equal: [step]
  # Nobody is woken for GPUs of a node that takes no jobs, or is not there.
  - source_matchers: [alertname=~"OpsdNodeUnavailable|OpsdNodeNotResponding"]
    target_matchers: [alertname=~"OpsdGpu.*|OpsdAgent.*|OpsdCollectorFailing|OpsdJobFiles.*|OpsdSpool.*"]
    equal: [cluster, node]
  - source_matchers: [alertname=~"OpsdAgentDown|OpsdAgentReleased"]
    target_matchers: [alertname=~"OpsdGpu.*|OpsdCollectorFailing|OpsdJobFiles.*|OpsdSpoolWriteFailing"]
    equal: [cluster, node]
  # A lost GPU is a hung GPU and a missing GPU, too; another one may hang by itself.
  - source_matchers: [alertname="OpsdGpuLost"]
    target_matchers: [alertname="OpsdGpuHung"]
    equal: [cluster, node, uuid]
  - source_matchers: [alertname="OpsdGpuLost"]
    target_matchers: [alertname="OpsdGpuMissing"]
    equal: [cluster, node]
  - source_matchers: [alertname="OpsdGpuXidRepeated"]
    target_matchers: [alertname="OpsdGpuXidWorkflow"]
    equal: [cluster, node, uuid, xid]
  # The graver of two says it.
  - source_matchers: [alertname="OpsdGpuHeldIdleLong"]
    target_matchers: [alertname=~"OpsdGpuHeldIdle|OpsdGpuHeldUnused"]
    equal: [cluster, jobid]
  - source_matchers: [alertname="OpsdAwardGraceOver"]
    target_matchers: [alertname="OpsdAwardOverQuota"]
    equal: [award]
  - source_matchers: [alertname="OpsdAwardOverQuota"]
    target_matchers: [alertname=~"OpsdAward(ThresholdReached|ExhaustionNear|BurnAhead)"]
    equal: [award]

receivers:
  - name: operations
    webhook_configs:
      - url: {site.receiver}/operations
        send_resolved: true
    # email_configs:
    #   - to: operations@example.org
  - name: on-call
    webhook_configs:
      - url: {site.receiver}/on-call
        send_resolved: true
  - name: record
    webhook_configs:
      - url: {site.receiver}/record
        send_resolved: true
  - name: allocations
    webhook_configs:
      - url: {site.receiver}/allocations
        send_resolved: true
  - name: allocations-pt
    webhook_configs:
      - url: {site.receiver}/allocations-pt
        send_resolved: true
  - name: allocations-example-university
    webhook_configs:
      - url: {site.receiver}/allocations-example-university
        send_resolved: true
"""


def targets() -> dict[str, str]:
    """Examples of the two lists of targets, by file name."""
    daemon = [{"targets": ["127.0.0.1:9750"], "labels": {}}]
    nodes = [
        {"targets": [f"{node}:9751"], "labels": {"cluster": "cluster", "node": node}}
        for node in ("gpu01", "gpu02")
    ]
    return {"daemon.json": _json(daemon), "nodes.json": _json(nodes)}


def data_source(prometheus: str) -> dict[str, Any]:
    """The data source of the dashboards, as Grafana reads it from a file and through its API."""
    return {
        "name": "opsd Prometheus",
        "uid": uids.DATASOURCE,
        "type": "prometheus",
        "access": "proxy",
        "url": prometheus,
        "jsonData": {"timeInterval": "15s", "httpMethod": "POST"},
    }


def grafana(site: Site) -> dict[str, str]:
    """Provisioning files, by path below Grafana's folder `provisioning`."""
    return {
        "datasources/opsd.yml": "# Where Grafana finds Prometheus. Made by `opsd dashboards build`.\n"
        + yaml.safe_dump({"apiVersion": 1, "datasources": [data_source(site.prometheus)]}, sort_keys=False),
        "dashboards/opsd.yml": f"""\
# Dashboards from files, for a Grafana that nobody pushes to. Made by `opsd dashboards build`.
apiVersion: 1
providers:
  - name: opsd
    folder: opsd
    folderUid: opsd
    type: file
    allowUiUpdates: false
    options:
      path: {site.boards}
""",
    }


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
