"""Expressions that several panels share: what the reader chose, whose a GPU is, what an award has used.

Invariant: what several daemons publish about the same thing is counted once.
"""

from __future__ import annotations

from dashboards.promql import bridged, series
from dashboards.recording import RECORDED_BY_NAME, recorded
from exporters.catalogue import BY_NAME

GPU = "cluster, node, gpu, uuid"  # what makes a GPU
AWARD = "award, project, organisation, country, pool, unit"


def gpu(name: str, *matchers: str) -> str:
    """A metric of the chosen nodes."""
    return series(name, 'cluster=~"$cluster"', 'node=~"$node"', *matchers)


def once(name: str, *matchers: str) -> str:
    """A metric of the daemon's page, once, however many daemons publish it."""
    return f"max by ({', '.join(BY_NAME[name].labels)}) ({series(name, *matchers)})"


def unnamed(name: str, *matchers: str) -> str:
    """A recorded series without its own name, so that a table puts it beside others of the same labels."""
    return f"max by ({', '.join(RECORDED_BY_NAME[name].labels)}) ({recorded(name, *matchers)})"


def listed(*troubles: tuple[str, str]) -> str:
    """Series of several expressions with a label `what`, for a table with a line for each trouble."""
    return " or ".join(f'label_replace({expr}, "what", "{what}", "", "")' for expr, what in troubles)


def award(name: str) -> str:
    """A metric of the chosen awards, once, however many daemons publish it."""
    chosen = series(name, 'country=~"$country"', 'project=~"$project"')
    return f"max by ({AWARD}) ({chosen})"


def ended() -> str:
    """Awards whose end has passed, by the accounting's clock: nobody need look after them."""
    end = bridged("max", "opsd_award_end_timestamp_seconds")
    as_of = bridged("max", "opsd_balances_as_of_timestamp_seconds")
    return f"max by ({AWARD}) ({end} <= on (job, instance) group_left () {as_of})"


def heat() -> str:
    """Core temperatures."""
    return gpu("opsd_gpu_temperature_celsius", 'sensor="gpu"')


def used() -> str:
    """Charged, for ended and open runs: granted less left, because both are always there."""
    return f"({award('opsd_award_granted_seconds')} - {award('opsd_award_left_seconds')})"


def shares() -> str:
    """Each GPU's jobs by their shares of it, together one GPU at most.

    Jobs on MIG devices share their GPU by how many of them each holds, as if no other were there.
    Where Prometheus has no mark of a series' end (a backfill, an agent that fell silent), a job stays for
    five minutes beside the one that follows it on the same GPU.
    """
    gpus, devices = gpu("opsd_gpu_job_info", 'parent=""'), gpu("opsd_gpu_job_info", 'parent!=""')
    job = "jobid, account"
    whole = f"max by (cluster, node, uuid, {job}) ({gpus})"
    parts = f"sum by (cluster, node, parent, {job}) (max by (cluster, node, uuid, parent, {job}) ({devices}))"
    moved = f'label_join({parts}, "uuid", "", "parent")'
    jobs = f"({whole} or sum by (cluster, node, uuid, {job}) ({moved}))"
    held_of_it = f"clamp_min(sum by (cluster, node, uuid) ({jobs}), 1)"
    return f"{jobs} / on (cluster, node, uuid) group_left () {held_of_it}"


def held() -> str:
    """Each GPU's jobs by their shares, and whose they are: also of an account that no award pays for."""
    jobs = f"({shares()})"
    # Bindings of one partition or QOS give an account several awards: one is shown.
    known = f"max by (cluster, account, project, country) ({series('opsd_account_info')})"
    one = f"topk by (cluster, account) (1, {known})"
    unknown = f"{jobs} unless on (cluster, account) {known}"
    nobodys = f'label_replace({unknown}, "country", "unattributed", "", "")'
    return f"({jobs} * on (cluster, account) group_left (project, country) {one}) or {nobodys}"
