"""What a credit rests on: the runs it gives back, each with what it was charged.

Invariant: equal runs and charges are equal evidence, so that a draft is renewed only where something changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC
from typing import Any, NamedTuple

from opsd.core import canonical
from opsd.core.amounts import exact_text, unit_hours
from opsd.core.errors import BadText
from opsd.core.period import isoformat, parse_time

NODE_FAIL = "NODE_FAIL"  # what Slurm calls a run that ended with its node; it may have been queued again
_REMEDY = "write CLUSTER/JOB@SUBMIT, such as mn5/1234@2026-10-01T08:00:00Z or mn5/1234@1790841600"


class Mark(NamedTuple):
    """Which run: its key in Slurm's accounting."""

    cluster: str
    job: int
    submit: int

    @classmethod
    def parse(cls, text: str) -> Mark:
        """`CLUSTER/JOB@SUBMIT`, the time as ISO 8601 (UTC where it has no offset) or in epoch seconds."""
        cluster, slash, rest = text.partition("/")
        job, at, submit = rest.partition("@")
        if not (cluster and slash and at and job.isascii() and job.isdigit() and len(job) <= 18):
            raise BadText("not a run", text, _REMEDY)
        try:
            return cls(cluster, int(job), parse_time(submit, UTC))
        except BadText as err:
            raise BadText("not a run", text, _REMEDY) from err

    @property
    def text(self) -> str:
        """The one way to write it."""
        return f"{self.cluster}/{self.job}@{self.submit}"


class Run(NamedTuple):
    """A run that ended, as it is stored."""

    mark: Mark
    state: str
    start: int
    end: int
    nodes: str


class Charge(NamedTuple):
    """What a run was charged to one award inside the award's life."""

    award: str
    unit: str
    seconds: int  # it ran, or was suspended
    amount: int  # micro-unit-seconds
    policies: tuple[str, ...]  # the versions that charged it, such as `gpu from 2026-01-01T00:00:00Z`


def version(policy: str, valid_from: int) -> str:
    """A version of a policy, named."""
    return f"{policy} from {isoformat(valid_from)}"


def evidence(charged: Iterable[tuple[Run, Charge]]) -> str:
    """Canonical JSON of runs and what each was charged."""
    runs = [
        {
            "run": run.mark.text, "cluster": run.mark.cluster, "job": run.mark.job,
            "submit": run.mark.submit, "state": run.state, "start": run.start, "end": run.end,
            "nodes": run.nodes, "seconds": charge.seconds, "charge": exact_text(unit_hours(charge.amount)),
            "unit": charge.unit, "policy": list(charge.policies),
        }
        for run, charge in charged
    ]  # fmt: skip
    return canonical.dumped({"runs": runs})


def marks(text: str) -> tuple[str, ...]:
    """The runs that an entry's evidence names; none where it is about something else."""
    try:
        held: Any = json.loads(text) if text else {}
    except ValueError:  # a person's own words
        return ()
    runs = held.get("runs", ()) if isinstance(held, dict) else ()
    return tuple(str(run["run"]) for run in runs if isinstance(run, dict) and "run" in run)
