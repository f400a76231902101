"""What Slurm allocated beside what the node agents saw: line by line, and what does not fit.

Invariant: in every line, allocated GPU-seconds = measured (without runs for which Slurm counts no GPU) +
gaps + difference + those of runs without a record by reason, exactly. Each comes from its own evidence but
`difference`: what Slurm and the agents say differently of runs that both know.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opsd.core.gpu_use import MS, Use
from opsd.core.measured import SLACK_SECONDS
from opsd.core.period import Window
from opsd.core.usage import spread

RUNNING, NOT_FETCHED, AGENT_FAILED, NO_RECORD = "running", "not_fetched", "agent_failed", "no_record"
REASONS = (RUNNING, NOT_FETCHED, AGENT_FAILED, NO_RECORD)
MEANINGS: Mapping[str, str] = {
    RUNNING: "goes on: a record comes when the GPU is given back",
    NOT_FETCHED: "a node of it was not asked since a minute after its end",
    AGENT_FAILED: "a node of it does not answer",
    NO_RECORD: "its nodes were asked and told nothing of it",
}
DRIFT_PERCENT, DRIFT_SLACK_MS = (
    2,
    60_000,
)  # what prolog, epilog and clocks may be apart: of a run, and besides
MOST_PERCENT = 2  # of what has records: as much may not fit before somebody should look


class Asked(NamedTuple):
    """How it stands with the spool of a node."""

    at: int | None  # when it last answered
    failure: str  # why it did not, since


def reason(nodes: Iterable[str], finish: int, asked: Mapping[str, Asked], *, is_open: bool) -> str:
    """Why a run has no record, by its nodes."""
    if is_open:
        return RUNNING
    never, due = Asked(None, ""), finish + SLACK_SECONDS
    late = [one for one in (asked.get(node, never) for node in nodes) if one.at is None or one.at < due]
    if any(one.failure for one in late):
        return AGENT_FAILED
    return NOT_FETCHED if late else NO_RECORD


class Line(NamedTuple):
    """One key's GPUs."""

    key: tuple[str, ...]
    gpu_seconds: int  # as Slurm counts
    use: Use
    silent: tuple[int, ...] = (0,) * len(REASONS)  # GPU-seconds of runs without a record, by reason

    @property
    def matched_ms(self) -> int:
        """Slurm's GPU-time of runs that have a record."""
        return MS * (self.gpu_seconds - sum(self.silent))

    @property
    def gaps_ms(self) -> int:
        """Allocated by the agents' own account, and not seen: too far between two samples."""
        return self.use.counted - self.use.counted_covered

    @property
    def difference_ms(self) -> int:
        """What Slurm allocated more than the agents, of runs that both know."""
        return self.matched_ms - self.use.counted

    @property
    def is_balanced(self) -> bool:
        """Whether the parts add up to the whole."""
        parts = self.use.counted_covered + self.gaps_ms + self.difference_ms + MS * sum(self.silent)
        return parts == MS * self.gpu_seconds


class Drift(NamedTuple):
    """A run that Slurm and the agents give clearly different GPU-time."""

    cluster: str
    job_id: int
    submit: int
    begin: int
    finish: int
    gpus: int  # by Slurm
    devices: int  # with a record
    nodes: str
    slurm_ms: int
    agents_ms: int

    def off_ms(self, window: Window) -> int:
        """The difference's part of a window."""
        off = abs(self.agents_ms - self.slurm_ms)
        return spread(off, self.begin, self.finish, window.start, window.end)


class Stray(NamedTuple):
    """Records of a node that belong to no run."""

    cluster: str
    node: str
    records: int
    jobs: tuple[int, ...]  # a few of them
    allocated_ms: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A window's GPUs by some keys, and what does not fit."""

    window: Window
    keys: tuple[str, ...]
    lines: tuple[Line, ...]
    drifts: tuple[Drift, ...] = ()
    strays: tuple[Stray, ...] = ()
    early: int = 0  # records that are younger than what was read of Slurm: their runs are yet to come

    @property
    def total(self) -> Line:
        """All lines in one."""
        return added((), self.lines)

    @property
    def drift_ms(self) -> int:
        """GPU-time in the window about which Slurm and the agents clearly differ."""
        return sum(one.off_ms(self.window) for one in self.drifts)

    @property
    def stray_ms(self) -> int:
        """GPU-time of records without a run."""
        return sum(one.allocated_ms for one in self.strays)

    @property
    def needs_eyes(self) -> bool:
        """Whether more drifts, or is without a run, than may be."""
        most = MOST_PERCENT * self.total.matched_ms
        return 100 * self.drift_ms > most or 100 * self.stray_ms > most


def added(key: tuple[str, ...], lines: Sequence[Line]) -> Line:
    """The sum of some lines."""
    total = Line(key, 0, Use())
    for line in lines:
        silent = tuple(a + b for a, b in zip(total.silent, line.silent, strict=True))
        total = Line(key, total.gpu_seconds + line.gpu_seconds, total.use.plus(line.use), silent)
    return total
