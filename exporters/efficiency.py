"""What jobs did with the machine, and whether the books of a day balance, as metrics.

Invariant: values are whole numbers until they become samples here; what is not known is not published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exporters.page import Page
from opsd.core.capacity import LINES, Lines
from opsd.core.gpu_use import MS


class Project(NamedTuple):
    """What agents saw of a project's GPUs, in GPU-milliseconds and millijoules; None: not told."""

    project: str
    organisation: str
    country: str
    held: int
    idle: int | None
    energy: int | None
    idle_told: int  # of `held`: of which `idle` could be told


class XidUsers(NamedTuple):
    """How many users met an XID on a GPU."""

    cluster: str
    node: str
    uuid: str
    xid: int
    users: int


class Telemetry(NamedTuple):
    """A cluster's GPU-milliseconds as Slurm and as its agents count them."""

    cluster: str
    slurm: int  # of runs with a record
    agents: int  # of the same
    covered: int
    unrecorded: int  # of the other runs, by Slurm


class Capacity(NamedTuple):
    """What became of a class' CPUs or GPUs."""

    cluster: str
    node_class: str
    resource: str
    lines: Lines

    @property
    def unbalanced(self) -> int:
        """By how much the parts miss the whole, or claim more than there is; whoever counted them."""
        whole, *parts = self.lines[: len(LINES)]
        return abs(whole - sum(parts)) + max(0, -self.lines.unallocated)


@dataclass(frozen=True, slots=True)
class Efficiency:
    """All of it."""

    projects: Sequence[Project] = ()
    xids: Sequence[XidUsers] = ()
    telemetry: Sequence[Telemetry] = ()
    capacity: Sequence[Capacity] = ()


def page(found: Efficiency) -> Page:
    """The figures as samples; of projects the largest first, so that a ceiling drops what matters least."""
    made = Page()
    for project in sorted(found.projects, key=lambda project: -project.held):
        _add_project(made, project)
    for met in sorted(found.xids, key=lambda met: -met.users):
        where = {"cluster": met.cluster, "node": met.node, "uuid": met.uuid, "xid": str(met.xid)}
        made.add("opsd_gpu_application_xid_users", met.users, **where)
    for told in found.telemetry:
        _add_telemetry(made, told)
    for capacity in found.capacity:
        _add_capacity(made, capacity)
    return made


def _add_project(made: Page, project: Project) -> None:
    labels = dict(zip(Project._fields[:3], project[:3], strict=True))
    made.add("opsd_project_held_gpu_seconds", project.held / MS, **labels)
    if project.idle_told:
        made.add("opsd_project_idle_told_gpu_seconds", project.idle_told / MS, **labels)
    if project.idle is not None:
        made.add("opsd_project_idle_gpu_seconds", project.idle / MS, **labels)
    if project.energy is not None:
        made.add("opsd_project_energy_joules", project.energy / MS, **labels)


def _add_telemetry(made: Page, told: Telemetry) -> None:
    sums = {
        "slurm": told.slurm, "agent": told.agents, "covered": told.covered, "unrecorded": told.unrecorded,
    }  # fmt: skip
    for name, ms in sums.items():
        made.add(f"opsd_telemetry_{name}_gpu_seconds", ms / MS, cluster=told.cluster)


def _add_capacity(made: Page, capacity: Capacity) -> None:
    labels = dict(zip(Capacity._fields[:3], capacity[:3], strict=True))
    for name, seconds in zip(LINES, capacity.lines, strict=False):
        made.add("opsd_capacity_seconds", seconds, **labels, line=name)
    made.add("opsd_capacity_unbalanced_seconds", capacity.unbalanced, **labels)
