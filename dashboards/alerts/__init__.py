"""What wakes or tells somebody: one table for each topic, from which the Prometheus rules are made.

Invariant: a name stands for one rule and one section of docs/runbook.md, and never changes.
"""

from __future__ import annotations

from collections.abc import Mapping

from dashboards.alerts.alert import Alert, Audience, Severity
from dashboards.alerts.allocations import ALLOCATIONS
from dashboards.alerts.errors import ERRORS
from dashboards.alerts.gpus import GPUS
from dashboards.alerts.itself import ITSELF
from dashboards.alerts.jobs import JOBS
from dashboards.alerts.slurm import SLURM
from dashboards.alerts.xids import PAGING as PAGING_XIDS

TOPICS: Mapping[str, tuple[Alert, ...]] = {
    "allocations": ALLOCATIONS,
    "gpus": (*GPUS, *ERRORS),
    "jobs": JOBS,
    "slurm": SLURM,
    "itself": ITSELF,
}
ALERTS: tuple[Alert, ...] = tuple(alert for topic in TOPICS.values() for alert in topic)

__all__ = ["ALERTS", "PAGING_XIDS", "TOPICS", "Alert", "Audience", "Severity"]
