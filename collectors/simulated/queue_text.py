"""The simulated queue and licences as `squeue --Format` and `scontrol show license` print them.

Invariant: every job that runs, waits, or ended within the last minutes stands here once; tasks of an array
that wait for the same stand in one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from collectors.simulated.live import Moment
from collectors.simulated.machine import PARTITIONS
from collectors.simulated.scheduler import Run
from collectors.simulated.shapes import tres_text
from collectors.simulated.text import qos
from collectors.simulated.workload import Request

HEADER = "JOBID|PARTITION|ACCOUNT|USER|QOS|STATE|NODES|SUBMIT_TIME|ELIGIBLE_TIME|START_TIME|TRES_ALLOC|REASON"
REMEMBERED_SECONDS = 300  # MinJobAge: how long slurmctld knows a job that has ended
MOST_GPUS = 12  # of an account at a time, by its QOS
_LICENSES = (("comsol", 12, 5), ("matlab", 40, 3))  # name, total, and which part of the jobs uses it


def queue(now: Moment) -> str:
    """A line for each job, below the header."""
    ended = [
        run for run in now.runs if run.end is not None and now.at - REMEMBERED_SECONDS < run.end <= now.at
    ]
    lines = [*_waiting(now), *map(_ran, now.running), *map(_ran, ended)]
    return "".join(f"{line}\n" for line in (HEADER, *lines))


def _ran(run: Run) -> str:
    return _line(run.request, run.request.label, run.state, run.start, "None")


def _line(request: Request, label: str, state: str, start: int | None, reason: str) -> str:
    shape = request.shape
    return "|".join(map(str, (
        label, PARTITIONS[shape.partition].name, request.account, request.user, qos(request), state,
        shape.nodes, request.submit, request.eligible, "N/A" if start is None else start, tres_text(shape),
        reason,
    )))  # fmt: skip


def _waiting(now: Moment) -> Iterator[str]:
    """In the order of the queue. What waits for no room: somebody holds it, or an earlier job must end."""
    held = _held_gpus(now.running)
    for waiting in now.waiting:
        for place, tasks in enumerate(_arrays(waiting)):
            request = tasks[0]
            full = request.shape.gpus and held[request.account] >= MOST_GPUS
            reason = "QOSGrpGRES" if full else "Priority" if place else "Resources"
            yield from _tasks(tasks, reason)
    for request in now.held:
        yield from _tasks([request], "Dependency" if request.job % 2 else "JobHeldUser")


def _held_gpus(running: Iterable[Run]) -> Counter[str]:
    held: Counter[str] = Counter()
    for run in running:
        held[run.request.account] += run.request.shape.gpus * run.request.shape.nodes
    return held


def _arrays(waiting: Iterable[Request]) -> list[list[Request]]:
    """Requests, tasks of one array together; one that was queued again is by itself, as in Slurm."""
    found: dict[tuple[str, int, int], list[Request]] = {}
    for request in waiting:
        head, _, task = request.label.partition("_")
        key = head if task else request.label
        found.setdefault((key, request.submit, request.eligible), []).append(request)
    return [*found.values()]


def _tasks(tasks: list[Request], reason: str) -> Iterator[str]:
    first = tasks[0]
    head, _, _ = first.label.partition("_")
    label = first.label
    if len(tasks) > 1:
        label = f"{head}_[{_ranges(sorted(int(task.label.partition('_')[2]) for task in tasks))}]"
    yield _line(first, label, "PENDING", None, reason)
    for part in first.companions:
        yield _line(part, part.label, "PENDING", None, reason)


def _ranges(numbers: list[int]) -> str:
    """`0-3,5`, as squeue writes the tasks that wait."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def licenses(now: Moment) -> str:
    """Used by some of the jobs that run, as far as there are any."""
    jobs = [run.request.job for run in now.running]
    found = []
    for name, total, every in _LICENSES:
        used = min(total, sum(job % every == 0 for job in jobs))
        found.append(
            f"LicenseName={name} Total={total} Used={used} Free={total - used} Reserved=0 Remote=no\n"
        )
    return "".join(found)
