"""Awards and bindings of the simulated factory, with amounts that fit what was used.

Invariant: the part of each grant that is used at the end is the one the project table asks for, for
every seed: two projects over quota, some close to it, most healthy, one that hardly began.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from collectors.simulated import projects
from collectors.simulated.chance import stream
from collectors.simulated.machine import PARTITIONS, UPG
from collectors.simulated.projects import CORE_HOURS, GPU_HOURS, LARGEST_SHARE, WHOLE_NODES, Project
from collectors.simulated.rhythm import DAY, DAYS, HOUR, LENGTH
from collectors.simulated.scheduler import Run
from collectors.simulated.shapes import MIG

UPGRADE_WEIGHTS = {"b200": 1.5, MIG: 0.75}
POLICY = {
    GPU_HOURS: "gpu-hours",
    WHOLE_NODES: "whole-nodes",
    LARGEST_SHARE: "largest-share",
    CORE_HOURS: "core-hours",
}
UNIT = {
    GPU_HOURS: "gpu-hours",
    WHOLE_NODES: "node-hours",
    LARGEST_SHARE: "node-hours",
    CORE_HOURS: "core-hours",
}
UPGRADE_POLICY = "gpu-hours-upgrade"
DAYS_TO_REPORT = 90


class Grant(NamedTuple):
    """An award with the one binding that feeds it; times are UTC epochs on whole hours."""

    award: str
    project: Project
    start: int
    end: int
    bound_from: int
    bound_until: int | None
    partition: str
    unit: str
    policy: str
    used: float
    amount: int = 0


def grants(runs: Iterable[Run], until: int, seed: int, at: int | None = None) -> list[Grant]:
    """Every award, its amount set so that `used` of it is used at `at`.

    Args:
        until: where the simulated period ends.
        at: the simulated present, when it is earlier.
    """
    at = until if at is None else at
    by_account: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_account[run.request.account].append(run)
    drafts = [grant for project in projects.PROJECTS for grant in _drafts(project, until, seed)]
    return [
        grant._replace(amount=_round(_use(grant, by_account[grant.project.account], at) / grant.used))
        for grant in drafts
    ]


def _drafts(project: Project, until: int, seed: int) -> list[Grant]:
    """Most projects have one award; some two, after one another or in another partition."""
    dice = stream(seed, f"grant/{project.account}")
    begin = until - LENGTH
    start = (begin // DAY - int(45 * dice.random())) * DAY
    end = (until // DAY + 20 + int(200 * dice.random())) * DAY
    used = project.used or 0.25 + 0.45 * dice.random()
    main = Grant(
        award=f"{project.account}-a",
        project=project,
        start=start,
        end=_inside(begin, projects.ENDED[project.account], DAY)
        if project.account in projects.ENDED
        else end,
        bound_from=start,
        bound_until=None,
        partition="",
        unit=UNIT[project.grant],
        policy=POLICY[project.grant],
        used=used,
    )
    return [*_in_turn(main, begin, dice.random()), *_upgraded(main)]


def _inside(begin: int, part: float, step: int) -> int:
    """A moment at `part` of the period, on a whole hour or day."""
    return (begin + int(part * DAYS * DAY)) // step * step


def _in_turn(main: Grant, begin: int, chance: float) -> list[Grant]:
    """A project whose account was bound to a new award at some hour of the period."""
    account = main.project.account
    if account not in projects.REBOUND:
        return [main]
    hour = _inside(begin, projects.REBOUND[account], HOUR)
    second = main._replace(
        award=f"{account}-b", start=hour // DAY * DAY, bound_from=hour, used=0.3 + 0.4 * chance
    )
    return [main._replace(bound_until=hour, end=hour // DAY * DAY + 30 * DAY), second]


def _upgraded(main: Grant) -> list[Grant]:
    """A second award for the new partition: partition beats account when both are bound."""
    account = main.project.account
    if account not in projects.UPGRADE_GRANT:
        return []
    used = projects.UPGRADE_GRANT[account]
    name = PARTITIONS[UPG].name
    return [
        main._replace(
            award=f"{account}-{name}", partition=name, unit="gpu-hours", policy=UPGRADE_POLICY, used=used
        )
    ]


def _use(grant: Grant, runs: list[Run], until: int) -> float:
    """Unit-hours of the grant: what its balance will show as settled and accrued."""
    apart = grant.project.account in projects.UPGRADE_GRANT
    total = 0.0
    for run in runs:
        of_upgrade = run.request.shape.partition == UPG
        if run.start is None or (apart and of_upgrade != bool(grant.partition)):
            continue
        total += _hours(grant, run, until) * _rate(grant, run)
    return total


def _hours(grant: Grant, run: Run, until: int) -> float:
    bounds = (grant.bound_until or until, grant.end, run.end or until)
    begin = max(run.start or 0, run.request.submit, grant.bound_from)
    held = max(0, min(bounds) - begin)
    return max(0, held - (run.suspended if grant.unit == "core-hours" else 0)) / HOUR


def _rate(grant: Grant, run: Run) -> float:
    """Units per hour under the grant's policy."""
    shape = run.request.shape
    partition = PARTITIONS[shape.partition]
    if grant.policy == UPGRADE_POLICY:
        return shape.nodes * shape.gpus * UPGRADE_WEIGHTS.get(shape.gpu_type, 1.0)
    if grant.unit == "gpu-hours":
        return float(shape.nodes * shape.gpus)
    if grant.unit == "core-hours":
        return shape.nodes * shape.cpus * partition.cores / partition.cpus
    if grant.policy == POLICY[WHOLE_NODES]:
        return float(shape.nodes)
    shares = (shape.cpus / partition.cpus, shape.slots / partition.slots, shape.gpus / (partition.gpus or 1))
    return shape.nodes * max(shares)


def _round(amount: float) -> int:
    """Three digits and noughts, as granting bodies write; never nothing."""
    step = 1
    while amount / step >= 1000:
        step *= 10
    return max(10, round(amount / step) * step)
