"""What each step of the daemon did last, how old its data are, and what needs eyes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opsd.core.period import isoformat
from opsd.store import gpu_use, hold, steps, sweeps
from opsd.store.engine import Store
from opsd.store.gpu_use import Fetched
from opsd.store.hold import Holder
from opsd.store.steps import FAILED, RUNNING, Last
from opsd.store.sweeps import Sweep

_SHOWN_JOBS = 10
NEVER, LATE, DIED = "never", "late", "died"
SUSPECTED = (
    "open here, unknown to slurmctld, so suspected runaway: see `sacctmgr show runaway`; counted until "
    "Slurm's record changes"
)
GONE = "open here, unknown to Slurm's accounting, so suspected purged: counted to when it was last seen"
COLUMNS = (
    "step", "result", "started_at", "finished_at", "succeeded_at", "duration_ms", "next_at", "age_seconds",
    "stale_after_seconds", "stale", "failures", "message",
)  # fmt: skip


class Expected(NamedTuple):
    """What a step should do."""

    name: str
    deadline: int
    stale_after: int


@dataclass(frozen=True, slots=True)
class Line:
    """One step."""

    name: str
    result: str  # ok, failed, running, stopped; late, died or never
    age: int | None  # seconds since the last success
    stale_after: int
    last: Last | None

    @property
    def stale(self) -> bool:
        """Whether its data are older than they should be."""
        return self.age is None or self.age > self.stale_after

    @property
    def failing(self) -> bool:
        """Whether it has failed since its last success, hangs, or died."""
        return self.result in (FAILED, LATE, DIED) or bool(self.last and self.last.failures)

    @property
    def values(self) -> tuple[object, ...]:
        """In the order of COLUMNS."""
        last = self.last or Last(self.name, 0)
        started = last.started_at if self.last else None
        return (
            self.name, self.result, _shown(started), _shown(last.finished_at), _shown(last.succeeded_at),
            last.duration_ms, _shown(last.next_at), self.age,
            self.stale_after, self.stale, last.failures, last.message,
        )  # fmt: skip


def _shown(at: int | None) -> str | None:
    return None if at is None else isoformat(at)


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a daemon and its database."""

    holder: Holder | None
    lines: tuple[Line, ...]
    sweeps: tuple[Sweep, ...]
    agents: tuple[Fetched, ...] = ()

    @property
    def needs_eyes(self) -> bool:
        """Whether something is stale or failing."""
        return any(line.stale or line.failing for line in self.lines)


def run(store: Store, expected: Iterable[Expected], *, now: int) -> Status:
    """Ask a database."""
    holder = hold.holder(store)
    with store.read() as connection:
        found, read = steps.last(connection), tuple(sweeps.every(connection))
        agents = tuple(gpu_use.fetched(connection))
    lines = tuple(_line(step, found.get(step.name), held=holder is not None, now=now) for step in expected)
    return Status(holder, lines, read, agents)


def _line(step: Expected, last: Last | None, *, held: bool, now: int) -> Line:
    if last is None:
        return Line(step.name, NEVER, None, step.stale_after, None)
    result = last.result
    if result == RUNNING and now - last.started_at > step.deadline:
        result = LATE if held else DIED
    age = None if last.succeeded_at is None else max(0, now - last.succeeded_at)
    return Line(step.name, result, age, step.stale_after, last)


def jobs_shown(jobs: Sequence[int]) -> str:
    """`job 7`, `jobs 7, 9`; the first of many."""
    more = f" and {len(jobs) - _SHOWN_JOBS:,} more" if len(jobs) > _SHOWN_JOBS else ""
    return f"job{'s' * (len(jobs) > 1)} {', '.join(map(str, jobs[:_SHOWN_JOBS]))}{more}"
