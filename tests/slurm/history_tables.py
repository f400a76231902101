"""A made-up history in slurmdbd's own tables, added up by slurmdbd itself.

Invariant: nothing but what a Slurm writes there by itself goes into the tables, and no sum: those are
slurmdbd's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.slurm.cluster import Slurm
from tests.slurm.configuration import CLUSTER
from tests.slurm.history import COMPLETED, LEAVER, NO_TASK, NOTHING, Event, History, Job, Key, Tres, members

NO_ENERGY = 18446744073709551614
GPU_TRES = ((1001, "gpu"), (1002, "gpu:h100"))
JOB_COLUMNS = (
    "job_db_inx", "mod_time", "account", "array_task_str", "array_max_tasks", "array_task_pending",
    "cpus_req", "exit_code", "flags", "job_name", "id_assoc", "id_array_job", "id_array_task", "id_job",
    "id_qos", "id_resv", "id_wckey", "id_user", "id_group", "het_job_id", "het_job_offset",
    "kill_requid", "state_reason_prev", "mem_req", "nodelist", "nodes_alloc", "partition", "priority",
    "state", "timelimit", "time_submit", "time_eligible", "time_start", "time_end", "time_suspended",
    "work_dir", "submit_line", "tres_alloc", "tres_req",
)  # fmt: skip
NAMES = (
    "train",
    "a|b",
    'it\'s, "quoted"',
    "señal ñ ç ğ ț",
    "line1\nline2",
    "tab\tname",
    "日本 🚀",
    "eval %j",
)


def fill(slurm: Slurm, history: History) -> None:
    """Write a history into the accounting of a Slurm that has none."""
    (slurm.folder / "tree").write_text(_tree(members()))
    slurm.run("sacctmgr", "-i", "load", f"file={slurm.folder}/tree")
    for number, name in GPU_TRES:
        slurm.sql(
            f"insert into tres_table (creation_time, id, type, name) values (1, {number}, 'gres', '{name}')"
        )
    slurm.order("stop", "slurmdbd")
    slurm.order("start", "slurmdbd")  # it reads the list of TRES when it starts
    ids = associations(slurm)
    _insert(
        slurm, "suspend", ("job_db_inx", "id_assoc", "time_start", "time_end"),
        ((one.job, ids[history.jobs[one.job - 1].key], one.start, one.end) for one in history.suspensions),
    )  # fmt: skip
    _insert(
        slurm, "resv",
        ("id_resv", "assoclist", "flags", "nodelist", "resv_name", "time_start", "time_end", "tres"),
        (
            (one.id, ",".join(str(ids[key]) for key in one.associations), one.flags, hosts(one.nodes),
             f"resv{one.id}", one.start, one.end, f"1={one.cpus}")
            for one in history.reservations
        ),
    )  # fmt: skip
    _insert(
        slurm, "event",
        ("time_start", "time_end", "node_name", "cluster_nodes", "reason", "state", "tres"),
        map(_event, history.events),
    )  # fmt: skip


def afterwards(slurm: Slurm) -> None:
    """What people do to their accounts when the usage is long there: it stays, the tree is as it is now."""
    slurm.run("sacctmgr", "-i", "modify", "account", "tr-qcd", "set", "parent=ro")
    slurm.run("sacctmgr", "-i", "delete", "user", LEAVER)


def roll_up(slurm: Slurm, history: History, edges: Sequence[int], now: int) -> None:
    """Write the jobs, and have slurmdbd add them up, piece by piece, and then no more: nothing is later.

    All at once it would take three times as long: slurmdbd would look through the jobs still to come.
    """
    ids, rows = associations(slurm), list(enumerate(history.jobs, 1))
    for start, end in itertools.pairwise(edges):
        due = [(number, job) for number, job in rows if _seen_first(job) < end]
        rows = [one for one in rows if _seen_first(one[1]) >= end]
        _insert(slurm, "job", JOB_COLUMNS, (_job(number, job, ids, history.end) for number, job in due))
        slurm.run("sacctmgr", "-i", "rollup", local(slurm.zone, start), local(slurm.zone, end))
    _insert(slurm, "job", JOB_COLUMNS, (_job(number, job, ids, history.end) for number, job in rows))
    mark = now - now % 3600
    slurm.sql("delete from lab_last_ran_table")
    slurm.sql(f"insert into lab_last_ran_table values ({mark}, {mark}, {mark})")


def _seen_first(job: Job) -> int:
    """No hour that ends before sees the row."""
    return job.eligible or job.submit


def local(zone: str, at: int) -> str:
    """An instant as the commands of a Slurm in a zone read it."""
    return datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")


def associations(slurm: Slurm) -> dict[Key, int]:
    """The numbers slurmdbd gave."""
    rows = slurm.sql("select acct, user, `partition`, id_assoc from lab_assoc_table")
    return {(account, user, partition): number for account, user, partition, number in rows}


def _tree(users: Mapping[str, Sequence[Key]]) -> str:
    accounts = sorted({key[0] for keys in users.values() for key in keys})
    countries = sorted({account.partition("-")[0] for account in accounts})
    lines = [f"Cluster - '{CLUSTER}':Fairshare=1:QOS='normal'", "Parent - 'root'"]
    lines += [f"Account - '{country}':Description='{country}':Organization='lab'" for country in countries]
    for country in countries:
        lines.append(f"Parent - '{country}'")
        mine = [account for account in accounts if account.startswith(country)]
        lines += [
            f"Account - '{account}':Description='{account}':Organization='{country}'" for account in mine
        ]
    for account in accounts:
        lines.append(f"Parent - '{account}'")
        for user, keys in users.items():
            for _, _, partition in (key for key in keys if key[0] == account):
                only = f":Partition='{partition}'" if partition else ""
                lines.append(f"User - '{user}':DefaultAccount='{keys[0][0]}'{only}")
    return "\n".join(lines) + "\n"


def _job(number: int, job: Job, ids: Mapping[Key, int], end: int) -> tuple[Any, ...]:
    user = job.key[1]
    array, task = job.array or (0, NO_TASK)
    het, offset = job.het or (0, NO_TASK)
    energy = f"3={NO_ENERGY}" if job.tres != NOTHING or job.state == COMPLETED else ""
    changed = job.end or min(end, max(job.start, job.submit))
    return (
        number, changed, job.key[0], job.pending_tasks or None, 0, 0,
        max(1, job.tres.cpu), 256 * (job.state == 5), 24, NAMES[number % 97 % len(NAMES)], ids[job.key],
        array, task, job.id, 1, job.reservation, 0, 30000 + int(user[1:]), 100, het, offset,
        30000 + int(user[1:]) if job.state == 4 else None, 0, 1000, hosts(job.nodes) or "None assigned",
        job.tres.node, job.partition, 1000, job.state, 4320, job.submit, job.eligible, job.start, job.end,
        job.suspended, f"/home/{user}", "sbatch job.sh", _tres(job.tres, energy),
        "1=1,2=1000,4=1,5=1",
    )  # fmt: skip


def _event(event: Event) -> tuple[Any, ...]:
    others = "3=0,6=0,7=0,8=0" if not event.node else ""
    return (
        event.start, event.end, event.node, hosts(event.nodes), event.reason, event.state,
        _tres(event.tres, others),
    )  # fmt: skip


def _tres(tres: Tres, others: str = "") -> str:
    """As slurmdbd keeps it: numbers of TRES, in their order."""
    counts = {1: tres.cpu, 2: tres.mem, 4: tres.node, 5: tres.billing}
    counts |= {number: tres.gpu for number, _ in GPU_TRES if tres.gpu}
    texts = [f"{number}={count}" for number, count in counts.items() if count]
    return ",".join(
        sorted([*texts, *filter(None, others.split(","))], key=lambda one: int(one.partition("=")[0]))
    )


def hosts(names: Sequence[str]) -> str:
    """A host list: g[001,004]."""
    letters = sorted({name[0] for name in names})
    found = []
    for letter in letters:
        numbers = sorted(name[1:] for name in names if name[0] == letter)
        found.append(letter + (numbers[0] if len(numbers) == 1 else f"[{','.join(numbers)}]"))
    return ",".join(found)


def _insert(slurm: Slurm, table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    names = ",".join(f"`{column}`" for column in columns)
    places = ",".join(["%s"] * len(columns))
    statement = f"insert into lab_{table}_table ({names}) values ({places})"
    with slurm.connection() as connection, connection.cursor() as cursor:
        connection.begin()
        cursor.executemany(statement, list(rows))
        connection.commit()
