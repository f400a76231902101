"""Whether Slurm tells opsd everything, and whether opsd itself is well: one row and one function a check.

Invariant: no check changes anything, in Slurm or in the database; what could not be found out is `unknown`,
never `ok`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from collectors.protocol import AccountingTables, Health, Machine, NodeFacts
from opsd.core.errors import OpsdError
from opsd.core.period import DAY, HOUR
from opsd.pipeline.sources import ClusterSources
from opsd.pipeline.status import Expected
from opsd.store.engine import Store

OK, WARNING, ERROR, UNKNOWN = "ok", "warning", "error", "unknown"
COLUMNS = ("cluster", "group", "check", "result", "value", "meaning", "mend")


class Finding(NamedTuple):
    """What one check found: what was looked at, what it means, the command that mends it."""

    result: str
    value: str
    meaning: str = ""
    mend: str = ""


class Line(NamedTuple):
    """A check with its finding."""

    cluster: str  # "" where it is about opsd itself
    group: str
    check: str
    finding: Finding

    @property
    def values(self) -> tuple[str, ...]:
        """In the order of COLUMNS."""
        return self.cluster, self.group, self.check, *self.finding


class Check(NamedTuple):
    """One row of the table."""

    name: str
    look: Callable[[Patient], Finding]


class Group(NamedTuple):
    """Checks that belong together."""

    name: str
    checks: tuple[Check, ...]


@dataclass(frozen=True)
class Patient:
    """Whom to ask; each question is asked once."""

    sources: ClusterSources
    health: Health
    store: Store | None  # None: there is no database yet
    address: str  # of the database, without its password
    expected: Sequence[Expected]  # what the daemon's steps should do
    now: int
    zone: str | None = None  # slurmdbd's, as the configuration says; None: it does not

    @property
    def cluster(self) -> str:
        """Which cluster it is; asking proves the rights."""
        return self.sources.cluster

    @property
    def machine(self) -> Machine:
        """What it consists of."""
        return self.sources.machine

    @property
    def tables(self) -> AccountingTables | None:
        """slurmdbd's own tables, where they are granted."""
        return self.sources.tables

    @cached_property
    def configuration(self) -> Mapping[str, str]:
        """What slurmctld runs with."""
        return self.health.configuration()

    @cached_property
    def nodes(self) -> Sequence[NodeFacts]:
        """Its nodes."""
        return self.health.nodes()


@dataclass(frozen=True, slots=True)
class Report:
    """Every finding, in the order of the table."""

    lines: tuple[Line, ...]

    def count(self, result: str) -> int:
        """How many checks ended so."""
        return sum(line.finding.result == result for line in self.lines)

    @property
    def needs_eyes(self) -> bool:
        """Whether something is wrong."""
        return self.count(ERROR) > 0

    @property
    def reached(self) -> bool:
        """Whether any Slurm told anything."""
        return any(line.finding.result != UNKNOWN for line in self.lines if line.cluster)


def run(patient: Patient, groups: Iterable[Group], cluster: str) -> Report:
    """Look at everything; a check that cannot be made says why, and the next one is made."""
    lines = [
        Line(cluster, group.name, check.name, _look(check, patient))
        for group in groups
        for check in group.checks
    ]
    return Report(tuple(lines))


def _look(check: Check, patient: Patient) -> Finding:
    try:
        return check.look(patient)
    except OpsdError as err:
        return Finding(UNKNOWN, "not found out", str(err))


def hours(seconds: int) -> str:
    """A span of time in words."""
    for name, size, most in (("s", 1, 120), ("min", 60, 120), ("h", HOUR, 48)):
        if seconds < most * size:
            return f"{max(0, seconds) // size} {name}"
    return f"{seconds // DAY} days"
