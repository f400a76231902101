"""What the database says about its own data: odd runs, and the last reading.

Invariant: nothing here names a user, a job or a file.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, func, or_, select

from opsd.core.flags import Flag
from opsd.store import tables

_run, _log = tables.run, tables.import_log


class Reading(NamedTuple):
    """The reading that says most about today: when Slurm said it, when it was read to its end."""

    observed_at: int
    finished_at: int


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
