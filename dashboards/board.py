"""A dashboard of one house style: what is chosen at the top, links that keep it, rows of panels.

Invariant: every dashboard is made here, so that time range and choices go along from one to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from dashboards import panels
from dashboards.panels import Shaped
from dashboards.promql import series
from dashboards.variables import choice, source

TAG = "opsd"

Variable = Any  # the SDK's builders of variables share no type


class Row(NamedTuple):
    """A heading, at a line of the grid, and the panels below it; ids of rows are below 10."""

    id: int
    y: int
    title: str
    panels: Sequence[Shaped]


def board(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Variable],
    rows: Sequence[Row],
    *,
    time: str = "now-24h",
    refresh: str = "1m",
) -> builders.Dashboard:
    """One dashboard.

    Args:
        variables: what is chosen at the top, beside the Prometheus.
        time: the beginning of the range that is shown first.
    """
    made = builders.Dashboard(title).uid(uid).tags([TAG]).timezone("browser").refresh(refresh)
    made = made.description(description).time(time, "now").tooltip(models.DashboardCursorSync.CROSSHAIR)
    made = made.editable().link(_others())
    for variable in (source(), *variables):
        made = made.with_variable(variable)
    for row in rows:
        made = made.with_row(panels.row(row.id, row.y, row.title))
        for panel in row.panels:
            made = made.with_panel(panel)
    return made


def _others() -> builders.DashboardLink:
    """The other dashboards, in a list, with the time range and the choices of this one."""
    made = builders.DashboardLink("opsd").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
    return made.as_dropdown(True).keep_time(True).include_vars(True).icon("apps")


def cluster() -> Variable:
    """Clusters: those that Slurm or agents tell of."""
    return choice("cluster", "Cluster", series("opsd_slurm_nodes"))


def partition() -> Variable:
    """Partitions of the chosen clusters."""
    return choice("partition", "Partition", series("opsd_slurm_partition_nodes", 'cluster=~"$cluster"'))


def node() -> Variable:
    """Nodes with GPUs of the chosen clusters."""
    return choice("node", "Node", series("opsd_gpu_devices_visible", 'cluster=~"$cluster"'))


def one_node() -> Variable:
    """One node with GPUs."""
    of = series("opsd_gpu_devices_visible", 'cluster=~"$cluster"')
    return choice("node", "Node", of, single=True)


def job() -> Variable:
    """One job that held GPUs within the time shown, the newest first."""
    of = series("opsd_gpu_job_info", 'cluster=~"$cluster"')
    return choice("jobid", "Job", of, single=True, latest=True)


def nodes_of_job() -> Variable:
    """The nodes whose GPUs the job held: with them Prometheus need not look at those of others."""
    of = series("opsd_gpu_job_info", 'cluster=~"$cluster"', 'jobid="$jobid"')
    return choice("node", "Nodes", of, hidden=True)


def country() -> Variable:
    """Countries that lead projects."""
    return choice("country", "Country", series("opsd_award_granted_seconds"))


def project() -> Variable:
    """Projects of the chosen countries."""
    return choice("project", "Project", series("opsd_award_granted_seconds", 'country=~"$country"'))
