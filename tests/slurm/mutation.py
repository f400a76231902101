"""Damage done to opsd's database behind its back, of which the certificate must show exactly as much.

Invariant: a mutation changes one run and marks the days it stands in as stale, so that usage follows; what it
says it changed was computed from the row, not from any answer of opsd's.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from opsd.core.tres import Tres
from tests.slurm.beside import NEEDS_EYES, Cells, Opsd

DAY = 86400


class Victim(NamedTuple):
    """A run inside the month that Slurm and opsd count alike, or one that was suspended."""

    id: int
    account_id: int
    account: str
    user: str
    begin: int
    finish: int
    tres: Tres
    asleep: int

    def held(self, seconds: int) -> Cells:
        """TRES-seconds of its own cell."""
        return {(self.account, self.user, name): count * seconds for name, count in self.tres}


Mutation = Callable[[sqlite3.Connection, tuple[int, int]], Cells]  # -> what is unexplained afterwards

_INSIDE = """
select r.id, r.account_id, a.name, u.text, r.begin, r.finish, s.tres, coalesce(r.suspended, 0)
from run r join account a on a.id = r.account_id join word u on u.id = r.user_id
join shape s on s.id = r.shape_id
where r.begin >= ? and r.finish < ? and r.finish - r.begin > 7200 and s.gpu > 0
and coalesce(r.reservation_id, 0) = 0 and r.begin = r.start and {which}
order by r.id limit 1 offset 3
"""


def _victim(connection: sqlite3.Connection, window: tuple[int, int], which: str) -> Victim:
    row = connection.execute(_INSIDE.format(which=which), window).fetchone()
    assert row, f"no run for a mutation in the month: {which}"
    *head, tres, asleep = row
    return Victim(*head, Tres.from_canonical(tres), asleep)


def _plain(connection: sqlite3.Connection, window: tuple[int, int]) -> Victim:
    return _victim(connection, window, "coalesce(r.suspended, 0) = 0")


def _stale(connection: sqlite3.Connection, victim: Victim, account: int | None = None) -> None:
    days = range(victim.begin // DAY, victim.finish // DAY + 1)
    cells = [(day, victim.account_id if account is None else account) for day in days]
    connection.executemany("insert or ignore into dirty_cell (day, account_id) values (?, ?)", cells)


def _deleted(connection: sqlite3.Connection, window: tuple[int, int]) -> Cells:
    """A run is gone: Slurm has that much more."""
    victim = _plain(connection, window)
    connection.execute("delete from run where id = ?", (victim.id,))
    _stale(connection, victim)
    return victim.held(victim.finish - victim.begin)


def _a_second_longer(connection: sqlite3.Connection, window: tuple[int, int]) -> Cells:
    """An end is a second late: Slurm has that much less."""
    victim = _plain(connection, window)
    connection.execute('update run set "end" = "end" + 1, finish = finish + 1 where id = ?', (victim.id,))
    _stale(connection, victim)
    return victim.held(-1)


def _one_cpu_more(connection: sqlite3.Connection, window: tuple[int, int]) -> Cells:
    """A count is wrong: one TRES differs, the others do not."""
    victim = _plain(connection, window)
    counts = dict(victim.tres)
    connection.execute(
        "insert into shape (tres, gpus, node_class, cpu, node, gpu, mem_mb, billing) "
        "select ?, gpus, node_class, cpu + 1, node, gpu, mem_mb, billing from shape "
        "where id = (select shape_id from run where id = ?)",
        (Tres.of({**counts, "cpu": counts["cpu"] + 1}).text, victim.id),
    )
    connection.execute("update run set shape_id = last_insert_rowid() where id = ?", (victim.id,))
    _stale(connection, victim)
    return {(victim.account, victim.user, "cpu"): victim.begin - victim.finish}


def _in_another_account(connection: sqlite3.Connection, window: tuple[int, int]) -> Cells:
    """A run has moved: missing here, too much there."""
    victim = _plain(connection, window)
    other, name = connection.execute(
        "select id, name from account where name <> ? and name like 'tr-%' limit 1", (victim.account,)
    ).fetchone()
    connection.execute("update run set account_id = ? where id = ?", (other, victim.id))
    _stale(connection, victim)
    _stale(connection, victim, other)
    seconds = victim.finish - victim.begin
    there = victim._replace(account=name).held(-seconds)
    return victim.held(seconds) | there


def _never_suspended(connection: sqlite3.Connection, window: tuple[int, int]) -> Cells:
    """A suspension is forgotten: Slurm has less cpu-seconds."""
    victim = _victim(connection, window, "r.suspended > 0")
    for table, key in (("run", "id"), ("run_version", "run_id")):
        connection.execute(
            f"update {table} set suspended = 0, suspensions = '' where {key} = ? and suspensions is not null",
            (victim.id,),
        )
    _stale(connection, victim)
    return {(victim.account, victim.user, "cpu"): -dict(victim.tres)["cpu"] * victim.asleep}


MUTATIONS: Mapping[str, Mutation] = {
    "a run is deleted": _deleted,
    "an end is a second late": _a_second_longer,
    "one cpu more": _one_cpu_more,
    "a run in another account": _in_another_account,
    "a suspension is forgotten": _never_suspended,
}


def shows(change: Mutation, opsd: Opsd, month: str, zone: str, window: tuple[int, int]) -> None:
    """The certificate shows what was changed, where it was changed, and nothing else."""
    with _copied(opsd.folder / "opsd.db") as connection:
        damage = change(connection, window)
        connection.commit()
        found = opsd.certificate(month, zone)

    left = found.column("unexplained")
    tracked = {tres for _, _, tres in found.column("opsd")}
    assert _with_lines_above({cell: n for cell, n in damage.items() if cell[2] in tracked}) == left
    assert NEEDS_EYES == found.code


def _with_lines_above(damage: Cells) -> Cells:
    """An account's line includes what is below it, up to the root."""
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for (account, user, tres), seconds in damage.items():
        for cell in ((account, user), (account, ""), (_country(account), ""), ("root", "")):
            found[(*cell, tres)] += seconds
    return {cell: seconds for cell, seconds in found.items() if seconds}


def _country(account: str) -> str:
    return (
        "ro" if account == "tr-qcd" else account.partition("-")[0]
    )  # it was moved: history_tables.afterwards


@contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the database; afterwards everything is as it was."""
    kept = path.with_suffix(".kept")
    try:
        with closing(sqlite3.connect(path)) as connection, closing(sqlite3.connect(kept)) as copy:
            connection.backup(copy)
            yield connection
    finally:
        for old in (path, *path.parent.glob(f"{path.name}-*")):
            old.unlink()
        kept.rename(path)
