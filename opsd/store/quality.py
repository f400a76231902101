"""What the database says about its own data: odd runs, the last reading, how far Slurm was read.

Invariant: nothing here names a user, a job or a file.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, or_, select

from opsd.core.flags import Flag
from opsd.store import tables

_run, _log, _sweep = tables.run, tables.import_log, tables.sweep


class Reading(NamedTuple):
    """The reading that says most about today: when Slurm said it, when it was read to its end."""

    observed_at: int
    finished_at: int


class Sweep(NamedTuple):
    """Everything a cluster recorded before `covered_until` is in."""

    cluster: str
    covered_until: int
    observed_at: int


def flagged_runs(connection: Connection, start: int, end: int, flag: Flag) -> int:
    """How many runs that overlap [start, end) carry a flag."""
    finish = func.coalesce(_run.c.finish, _run.c.seen_open, _run.c.begin)
    query = select(func.count()).where(
        _run.c.begin < end,
        or_(finish > start, _run.c.begin >= start),
        _run.c.flags.op("&")(int(flag)) != 0,
    )
    return int(connection.scalar(query) or 0)


def last_reading(connection: Connection) -> Reading | None:
    """The finished reading with the latest observation."""
    query = (
        select(_log.c.observed_at, _log.c.finished_at)
        .where(_log.c.finished_at.is_not(None))
        .order_by(_log.c.observed_at.desc(), _log.c.finished_at.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return Reading(*row) if row else None


def sweeps(connection: Connection) -> list[Sweep]:
    """How far each cluster was read, by name."""
    query = select(_sweep.c.cluster, _sweep.c.covered_until, _sweep.c.observed_at).order_by(_sweep.c.cluster)
    return [Sweep(*row) for row in connection.execute(query)]
