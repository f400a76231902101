"""What an alert is, for the tables of them.

Invariant: an alert says what to do, links its section of docs/runbook.md and its panel, and fires on what
is absent where absence is the trouble. Ages are taken by the page's clock, see `promql.age`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from dashboards.uids import Panel

Severity = Literal["critical", "warning", "info"]  # wake somebody; look today; for the record
Audience = Literal["allocations", "operations"]  # the office that grants hours; who runs the machine


class Alert(NamedTuple):
    """One rule. `panel` and `variables` make the link to the dashboard."""

    name: str
    expr: str
    hold: str  # how long before it fires
    severity: Severity
    audience: Audience
    summary: str
    description: str
    panel: Panel
    variables: tuple[str, ...] = ()


def by(function: str, labels: str, expression: str) -> str:
    """An aggregation that keeps these labels."""
    return f"{function} by ({labels}) ({expression})"
