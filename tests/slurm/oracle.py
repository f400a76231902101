"""What slurmdbd's roll-up makes of rows, written down a second time, and not from opsd.

It keeps the generator honest: a history in which sreport does not say this holds a kind of row that nobody
here understood. The rule was read from as_mysql_rollup.c of Slurm 22.05.

Invariant: rows in, whole seconds out; neither opsd nor Slurm is asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tests.slurm.history import HOUR, History, Job, Key, Reserved, Tres

Cells = dict[tuple[Key, str], int]
NAMES = {"cpu": "cpu", "mem": "mem", "node": "node", "billing": "billing", "gpu": "gres/gpu"}


def used(history: History, start: int, end: int) -> Cells:
    """TRES-seconds by association in full hours [start, end)."""
    cells: Cells = defaultdict(int)
    suspensions = defaultdict(list)
    for one in history.suspensions:
        suspensions[one.job].append((one.start, one.end))
    for number, job in enumerate(history.jobs, 1):
        for name, seconds in _of_job(job, suspensions[number], start, end).items():
            cells[job.key, name] += seconds
    for one in history.reservations:
        for top in range(start + max(0, one.start - start) // HOUR * HOUR, min(end, one.end), HOUR):
            for key in one.associations:
                cells[key, "cpu"] += _idle(history, one, top) // len(one.associations)
    return {cell: seconds for cell, seconds in cells.items() if seconds}


def _of_job(job: Job, suspended: Iterable[tuple[int, int]], start: int, end: int) -> Mapping[str, int]:
    """A row counts only in hours that end after it became eligible."""
    if not job.eligible or not job.start:
        return {}
    left = max(job.start, start, job.eligible - job.eligible % HOUR)
    right = min(job.end or end, end)
    if right <= left:
        return {}
    found = {NAMES[name]: count * (right - left) for name, count in zip(Tres._fields, job.tres, strict=True)}
    away = sum(max(0, min(over or right, right) - max(since, left)) for since, over in suspended)
    found["cpu"] -= job.tres.cpu * away
    return found


def _idle(history: History, one: Reserved, top: int) -> int:
    """What nobody used of a reservation in an hour. A job in it uses all of it."""
    left, right = max(one.start, top), min(one.end, top + HOUR)
    idle = one.cpus * (right - left)
    for event in history.events:
        if event.node in one.nodes:
            idle -= event.tres.cpu * max(0, min(event.end or right, right) - max(event.start, left))
    for job in history.jobs:
        if job.reservation == one.id:
            idle -= one.cpus * max(0, min(job.end, right) - max(job.start, left))
    return max(0, idle)


def lines(cells: Cells, parents: Mapping[str, str]) -> dict[tuple[str, str, str], int]:
    """As sreport prints them: (account, user, TRES), where an account's line includes what is below it."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for ((account, user, _), tres), seconds in cells.items():
        if user:
            found[account, user, tres] += seconds
        for above in _upwards(account, parents):
            found[above, "", tres] += seconds
    return dict(found)


def _upwards(account: str, parents: Mapping[str, str]) -> Sequence[str]:
    found = [account]
    while parents.get(found[-1]):
        found.append(parents[found[-1]])
    return found
