"""Series that Prometheus keeps computed, so that dashboards and alerts stay light: one table.

Invariant: a recorded series is named `opsd:…` and has exactly the labels of its row; it is made of what the
catalogue names, or of rows above it. Several daemons that publish the same thing are counted once in it.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import NamedTuple

from dashboards.promql import UnknownName, checked, series


class Recorded(NamedTuple):
    """One rule. Its expression uses no variable of a dashboard."""

    name: str
    labels: tuple[str, ...]
    expr: str
    help: str


INTERVAL = "1m"  # how often the rules are evaluated

_AWARD = ("award", "project", "organisation", "country", "pool", "unit")
_KEY = ("by", "key", "unit")


def _jobs() -> str:
    """Each GPU's jobs by their shares of it, together one GPU at most.

    Jobs on MIG devices share their GPU by how many of them each holds, as if no other were there.
    """
    gpus, devices = series("opsd_gpu_job_info", 'parent=""'), series("opsd_gpu_job_info", 'parent!=""')
    job = "jobid, account, user"
    whole = f"max by (cluster, node, uuid, {job}) ({gpus})"
    parts = f"sum by (cluster, node, parent, {job}) (max by (cluster, node, uuid, parent, {job}) ({devices}))"
    moved = f'label_join({parts}, "uuid", "", "parent")'
    jobs = f"({whole} or sum by (cluster, node, uuid, {job}) ({moved}))"
    held_of_it = f"clamp_min(sum by (cluster, node, uuid) ({jobs}), 1)"
    return f"{jobs} / on (cluster, node, uuid) group_left () {held_of_it}"


def _of_project(jobs: str) -> str:
    """Whose jobs they are: also of an account that no award pays for."""
    whose = "project, organisation, country, pool"
    # Bindings of one partition or QOS give an account several awards: one is shown.
    known = f"max by (cluster, account, {whose}) ({series('opsd_account_info')})"
    one = f"topk by (cluster, account) (1, {known})"
    unknown = f"{jobs} unless on (cluster, account) {known}"
    for label in whose.split(", "):
        unknown = f'label_replace({unknown}, "{label}", "unattributed", "", "")'
    return f"({jobs} * on (cluster, account) group_left ({whose}) {one}) or {unknown}"


_HELD = ("cluster", "node", "uuid", "jobid", "account", "user", "project", "organisation", "country", "pool")

RECORDED: tuple[Recorded, ...] = (
    Recorded(
        "opsd:gpu_jobs:share", ("cluster", "node", "uuid", "jobid", "account", "user"), _jobs(),
        "The share of a GPU that each of its jobs holds; together one GPU at most.",
    ),
    Recorded(
        "opsd:gpu_held:share", _HELD, _of_project("opsd:gpu_jobs:share"),
        "The same, and whose the job is; an account that no award pays for is `unattributed`.",
    ),
    Recorded(
        "opsd:gpus_held:sum", ("cluster", "project", "organisation", "country", "pool"),
        "sum by (cluster, project, organisation, country, pool) (opsd:gpu_held:share)",
        "GPUs that the jobs of a project hold.",
    ),
    *(
        Recorded(
            f"opsd:award_{it}:seconds", _AWARD,
            f"{which} by ({', '.join(_AWARD)}) ({series(f'opsd_award_{it}_seconds')})",
            f"Of an award, {it}, once.",
        )
        for it, which in (("granted", "max"), ("left", "min"))
    ),
    Recorded(
        "opsd:award_used:seconds", _AWARD, "opsd:award_granted:seconds - opsd:award_left:seconds",
        "Charged for ended and open runs: granted less left, because both are always there.",
    ),
    *(
        Recorded(
            f"opsd:balance_{it}:seconds", _KEY,
            f"{which} by ({', '.join(_KEY)}) ({series(f'opsd_balance_{it}_seconds')})",
            f"Of a project, organisation, country or pool, {it}, once.",
        )
        for it, which in (("granted", "max"), ("left", "min"))
    ),
    Recorded(
        "opsd:balance_used:seconds", _KEY, "opsd:balance_granted:seconds - opsd:balance_left:seconds",
        "Charged to it for ended and open runs.",
    ),
    Recorded(
        "opsd:slurm_jobs:sum", ("cluster", "partition", "state"),
        "sum by (cluster, partition, state) "
        f"(max by (cluster, partition, account, state) ({series('opsd_slurm_jobs')}))",
        "Jobs by partition and state.",
    ),
    *(
        Recorded(
            f"opsd:slurm_{it}_gpus:sum", ("cluster", "partition"),
            "sum by (cluster, partition) "
            f"(max by (cluster, partition, account) ({series(f'opsd_slurm_{it}_gpus')}))",
            f"GPUs of {it} jobs by partition.",
        )
        for it in ("pending", "running")
    ),
)  # fmt: skip

RECORDED_BY_NAME = {it.name: it for it in RECORDED}


def recorded(name: str, *matchers: str) -> str:
    """A recorded series with matchers, such as `country=~"$country"`.

    Raises:
        UnknownName: no rule records it, or it has no such label.
    """
    if name not in RECORDED_BY_NAME:
        close = get_close_matches(name, RECORDED_BY_NAME, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UnknownName(f"dashboards/recording.py records no {name}{hint}")
    return checked(name, RECORDED_BY_NAME[name].labels, matchers)
