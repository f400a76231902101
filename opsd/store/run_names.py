"""What runs are called outside this database.

Invariant: a run's name (cluster, job, submit) is the same in every database; its number here is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from opsd.store import tables
from opsd.store.intern import texts

_AT_ONCE = 500
_run = tables.run


class RunName(NamedTuple):
    """The key of a run."""

    cluster: str
    job_id: int
    submit: int

    @property
    def text(self) -> str:
        """`mn5/12@1795329498`."""
        return f"{self.cluster}/{self.job_id}@{self.submit}"


def of_runs(connection: Connection, numbers: Sequence[int]) -> dict[int, RunName]:
    """The names of runs by their numbers here."""
    words, found = texts(connection), dict[int, RunName]()
    columns = (_run.c.id, _run.c.cluster_id, _run.c.job_id, _run.c.submit)
    for at in range(0, len(numbers), _AT_ONCE):
        wanted = _run.c.id.in_(numbers[at : at + _AT_ONCE])
        for number, cluster, job, submit in connection.execute(select(*columns).where(wanted)):
            found[number] = RunName(words[cluster], job, submit)
    return found
