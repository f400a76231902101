"""What people of the simulated factory submit: when, what size, for how long, and how it will end.

Invariant: a request is fixed before the machine is looked at; whether and when it starts is the
scheduler's business (`collectors.simulated.scheduler`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from collectors.simulated import organisations, projects, rhythm
from collectors.simulated.chance import pick, spread, stream
from collectors.simulated.fates import Fate, fate
from collectors.simulated.machine import ACC, GPP, PARTITIONS, UPG
from collectors.simulated.projects import Project
from collectors.simulated.shapes import STYLES, WORK, Shape, Style

RUNS = 50_000
LONGEST = 72 * 3600
LOAD = (0.77, 0.62, 0.66)  # wanted mean load of each partition; growth makes the end fuller
FIRST_JOB = 4_100_000
WRITTEN = ("eporaif03", "ehpc231", "epor12")
RESERVATION = "7"
LIMITS = (10, 30, 60, 120, 240, 480, 720, 1440, 2880, 4320)


@dataclass(frozen=True, slots=True)
class Request:
    """One row of the queue: a job, an array task, or the first part of a heterogeneous job."""

    job: int
    label: str
    account: str
    user: str
    submit: int
    eligible: int
    shape: Shape
    planned: int  # seconds it would need if nothing happened
    fate: Fate
    limit: str  # as TimelimitRaw: minutes, UNLIMITED or Partition_Limit
    reservation: str = ""
    companions: tuple[Request, ...] = ()


class Draft(NamedTuple):
    """A submission before it has a job id: array tasks, a pair of parts, or one whose fate is written."""

    submit: int
    project: Project
    user: str
    shape: Shape
    tasks: tuple[float, ...]  # seconds of each task, before the machine's load is set
    pair: Shape | None = None
    written: Fate | None = None


def requests(until: int, seed: int) -> Iterator[Request]:
    """Every request of the period, in the order of submission, with job ids as Slurm hands them out."""
    drafts = [*_drafts(until, seed), *_written(until)]
    drafts.sort(key=lambda draft: (draft.submit, draft.project.account))
    factors = _factors(drafts)
    job = FIRST_JOB
    dice = stream(seed, "fates")
    for draft in drafts:
        made = list(_made(draft, job, factors[draft.shape.partition], dice))
        job += len(made) + len(made[0].companions)
        yield from made


def _drafts(until: int, seed: int) -> Iterator[Draft]:
    total = sum(project.load for project in projects.EVERYBODY)
    for project in projects.EVERYBODY:
        dice = stream(seed, f"work/{project.account}")
        yield from _of_project(project, round(RUNS * project.load / total), until, seed, dice)


def _written(until: int) -> Iterator[Draft]:
    """Three jobs that every demonstration must show: forty days, served for ever, far too large."""
    start = until - rhythm.LENGTH
    assistant, model, ocean = (projects.BY_ACCOUNT[account] for account in WRITTEN)
    day = rhythm.DAY
    for at, project, shape, days in (
        (start + day // 3, assistant, Shape(ACC, 1, 1, 40, 1, "h100"), 40),
        (until - 16 * day, model, Shape(UPG, 1, 1, 28, 1, "b200"), 365),
        (until - day // 24, ocean, Shape(ACC, 48, 4, 160, 4, "h100"), 1),
    ):
        user = organisations.staff(project.lead)[0]
        yield Draft(at, project, user, shape, (0.0,), written=Fate("COMPLETED", days * day))


def _of_project(project: Project, runs: int, until: int, seed: int, dice: Random) -> Iterator[Draft]:
    """Submissions of one project until it has its share of runs; array tasks count one by one."""
    moments = rhythm.Rhythm(project, until, seed)
    users = _users(project, seed)
    styles = [(STYLES[name], weight / STYLES[name].mean_tasks) for name, weight in WORK[project.work]]
    left = runs
    while left > 0:
        style = pick(dice, styles)
        tasks = min(left, style.tasks(dice))
        left -= tasks
        yield _draft(project, style, moments.draw(dice), pick(dice, users), tasks, dice)


def _users(project: Project, seed: int) -> list[tuple[str, float]]:
    """Who submits: a few of the lead's people do most, partners some, now and then a stranger."""
    dice = stream(seed, f"users/{project.account}")
    found: list[tuple[str, float]] = []
    for place, organisation in enumerate((project.lead, *project.partners)):
        staff = list(organisations.staff(organisation))
        dice.shuffle(staff)
        found += [(user, 1.0 / (1 + rank + place)) for rank, user in enumerate(staff[: 5 - place])]
    if dice.random() < 0.15:
        found.append((pick(dice, [(user, 1.0) for user in organisations.STRANGERS]), 0.12))
    return found


def _draft(project: Project, style: Style, at: int, user: str, tasks: int, dice: Random) -> Draft:
    shape = pick(dice, style.shapes)
    seconds = tuple(spread(dice, style.median, style.sigma) for _ in range(tasks))
    pair = pick(dice, style.pairs) if tasks == 1 and style.pairs and dice.random() < 0.02 else None
    return Draft(at, project, user, shape, seconds, pair)


def _factors(drafts: list[Draft]) -> list[float]:
    """How much longer or shorter runs must be in each partition for the wanted load."""
    wanted = [0.0] * len(PARTITIONS)
    for draft in drafts:
        wanted[draft.shape.partition] += sum(draft.tasks) * draft.shape.nodes * draft.shape.slots
    return [
        LOAD[index] * rhythm.LENGTH * partition.nodes * partition.slots / max(wanted[index], 1.0)
        for index, partition in enumerate(PARTITIONS)
    ]


def _made(draft: Draft, job: int, factor: float, dice: Random) -> Iterator[Request]:
    """The rows of one submission; the last task of an array carries the array's own id, as in Slurm."""
    tasks = len(draft.tasks)
    for number, seconds in enumerate(draft.tasks):
        task_job = job if number == tasks - 1 else job + number + 1
        label = f"{job}_{number}" if tasks > 1 else str(job)
        made = _request(draft, task_job, label, min(seconds * factor, LONGEST), dice)
        yield _pair(made, draft.pair) if draft.pair else made


def _request(draft: Draft, job: int, label: str, seconds: float, dice: Random) -> Request:
    planned = math.ceil(seconds)
    if draft.written:
        return _as_written(draft, draft.written, job)
    ending, limit = _fate_and_limit(planned, dice)
    wait = round(spread(dice, 5400, 1.0)) if dice.random() < 0.01 else 0
    return Request(
        job=job,
        label=label,
        account=draft.project.account,
        user=draft.user,
        submit=draft.submit,
        eligible=draft.submit + wait,
        shape=draft.shape,
        planned=planned,
        fate=ending,
        limit="Partition_Limit" if dice.random() < 0.004 else str(limit),
        reservation=_reservation(draft, dice),
    )


def _as_written(draft: Draft, ending: Fate, job: int) -> Request:
    return Request(
        job=job,
        label=str(job),
        account=draft.project.account,
        user=draft.user,
        submit=draft.submit,
        eligible=draft.submit,
        shape=draft.shape,
        planned=ending.seconds,
        fate=ending,
        limit="UNLIMITED",
    )


def _fate_and_limit(planned: int, dice: Random) -> tuple[Fate, int]:
    """People round their limit up, and many ask for far more than they need; some for too little."""
    ending = fate(dice, planned)
    if ending.state == "TIMEOUT":
        limit = max(1, ending.seconds // 60)
        return ending._replace(seconds=limit * 60 + ending.suspended), limit
    needed = planned / 60 * (1.05 + 2.5 * dice.random())
    return ending, next((minutes for minutes in LIMITS if minutes >= needed), LIMITS[-1])


def _reservation(draft: Draft, dice: Random) -> str:
    course = draft.project.account == projects.RESERVED and draft.shape.partition == GPP
    return RESERVATION if course and dice.random() < 0.3 else ""


def _pair(first: Request, shape: Shape) -> Request:
    """A heterogeneous job: `ID+0` and `ID+1` start together and end together, once."""
    if first.fate.again or first.fate.never_starts:
        return first
    second = replace(first, job=first.job + 1, label=f"{first.job}+1", shape=shape)
    return replace(first, label=f"{first.job}+0", companions=(second,))
