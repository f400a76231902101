"""What Slurm said of runs in a window: it tells a run that changed from one that is joined otherwise.

Invariant: equal marks are equal records as far as the window is concerned; what happened to a run after
its window changes no mark. A mark names nobody.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from opsd.core import canonical
from opsd.core.usage import cut
from opsd.store import read, tables
from opsd.store.read import Held, Names
from opsd.store.run_names import RunName

_AT_ONCE = 500
_run = tables.run


class Told(NamedTuple):
    """Of one run."""

    account: str
    mark: str  # SHA-256


def of_window(connection: Connection, start: int, end: int) -> dict[RunName, Told]:
    """Every run that overlaps [start, end), open ones included, by its name."""
    names = read.names(connection)
    found = {held.id: held for held in read.open_runs(connection) if held.begin < end}
    found.update((held.id, held) for held in read.runs_overlapping(connection, start, end))
    numbers, told = sorted(found), {}
    columns = (_run.c.id, _run.c.cluster_id, _run.c.job_id, _run.c.submit, _run.c.nodes)
    for at in range(0, len(numbers), _AT_ONCE):
        wanted = _run.c.id.in_(numbers[at : at + _AT_ONCE])
        for number, cluster, job, submit, nodes in connection.execute(select(*columns).where(wanted)):
            held = found[number]
            mark = _mark(held, names, nodes or "", start, end)
            told[RunName(names.words[cluster], job, submit)] = Told(names.accounts[held.account][1], mark)
    return told


def _mark(held: Held, names: Names, nodes: str, start: int, end: int) -> str:
    first, last = max(held.begin, start), min(held.finish, end)
    seconds = cut(held.begin, held.finish, held.suspended, start, end)
    whose = (names.words[word] for word in (held.user, held.partition, held.qos))
    account, tres = names.accounts[held.account][1], names.shapes[held.shape].tres.text
    return canonical.digest(canonical.dumped([account, *whose, tres, nodes, first, last, *seconds]))
