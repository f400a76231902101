"""Prometheus rules from the tables of alerts and of recorded series.

Invariant: what routes an alert (severity, audience) are labels; what a person reads are annotations.
"""

from __future__ import annotations

from typing import Any

import yaml

from dashboards.alerts import TOPICS, Alert
from dashboards.recording import INTERVAL, RECORDED

_SLOW = {"jobs"}  # made of recorded series: asking more often than these change would be for nothing


def rules(grafana: str, runbook: str) -> str:
    """The rule file.

    Args:
        grafana: root of Grafana's addresses; empty: links begin with `/d/`.
        runbook: where docs/runbook.md can be read.
    """
    groups = [
        {
            "name": f"opsd-{topic}",
            **({"interval": INTERVAL} if topic in _SLOW else {}),
            "rules": [rule(it, grafana, runbook) for it in alerts],
        }
        for topic, alerts in TOPICS.items()
    ]
    return _text(groups)


def recording_rules() -> str:
    """The rule file of what Prometheus keeps computed: one group, so that each row finds those above it."""
    kept = [{"record": it.name, "expr": it.expr} for it in RECORDED]
    return _text([{"name": "opsd-recorded", "interval": INTERVAL, "rules": kept}])


def _text(groups: list[dict[str, Any]]) -> str:
    return str(yaml.safe_dump({"groups": groups}, sort_keys=False, allow_unicode=True, width=10_000))


def rule(alert: Alert, grafana: str = "", runbook: str = "docs/runbook.md") -> dict[str, Any]:
    """One rule."""
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.hold,
        "labels": {"severity": alert.severity, "audience": alert.audience},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbook}#{alert.name.lower()}",
            "dashboard_url": f"{grafana}/d/{alert.panel.uid}?viewPanel={alert.panel.id}{_chosen(alert)}",
        },
    }


def _chosen(alert: Alert) -> str:
    return "".join(f"&var-{name}={{{{ $labels.{name} | urlquery }}}}" for name in alert.variables)
