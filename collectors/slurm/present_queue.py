"""squeue's table, as `commands.QUEUE` asks for it, to jobs.

Invariant: the tasks of all lines are the jobs that `squeue --array` would list, one a line.
"""

from __future__ import annotations

import re

from collectors.slurm import commands, grammar
from collectors.slurm.present_words import columns, each, epoch, given, table, tres_gpus
from opsd.core.errors import BadText
from opsd.core.present import QueueJob

_PENDING = "pending"
# Slurm names the nodes that a job waits for, which change all the time: the reason is what stands before.
_NAMED_NODES = re.compile(r",[ _]?UnavailableNodes:.*\Z", re.DOTALL)
_SPAN = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?\Z", re.ASCII)
_MOST_TASKS = 4_000_001  # Slurm's own limit of MaxArraySize


def read(text: str) -> list[QueueJob]:
    """Every job that slurmctld knows.

    GPUs are those of the TRES gres/gpu, which AccountingStorageTRES has to name, as all of opsd needs.

    Raises:
        Unavailable: a line cannot be read, or the table is not whole.
    """
    return each("squeue", table("squeue", text, commands.QUEUE_FIELDS), _job)


def _job(line: str) -> QueueJob:
    job_id, partition, account, user, qos, state, nodes, submit, eligible, start, tres, reason = columns(
        line, commands.QUEUE_FIELDS
    )
    base = grammar.state(state).base.lower()
    waits = base == _PENDING
    return QueueJob(
        job_id, tasks(grammar.job_id(job_id).tasks), given(partition), given(account), given(user),
        given(qos), base, _NAMED_NODES.sub("", reason) if waits else "", sum(tres_gpus(given(tres)).values()),
        grammar.whole(nodes, "NumNodes"), epoch(submit, "SubmitTime"), epoch(eligible, "EligibleTime"),
        None if waits else epoch(start, "StartTime"),  # of a job that waits it is what backfill expects
    )  # fmt: skip


def tasks(brackets: str) -> int:
    """How many tasks the brackets of a pending array name: `[0-9:3,12%2]` has 5; "" is one job."""
    if not brackets:
        return 1
    inside = brackets.strip("[]").partition("%")[0]
    if inside[:2].lower() == "0x":
        return int(inside, 16).bit_count()
    found = sum(_tasks(span, brackets) for span in inside.split(","))
    if found > _MOST_TASKS:
        raise BadText("an array has more tasks than Slurm allows", brackets)
    return found


def _tasks(span: str, brackets: str) -> int:
    found = _SPAN.match(span)
    if found is None:
        raise BadText("the tasks of an array are cut", brackets, "ask with SLURM_BITSTR_LEN=0")
    first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
    if last < first or not step:
        raise BadText("the tasks of an array run backwards", brackets)
    return (last - first) // step + 1
