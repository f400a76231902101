"""Expressions that several panels share: what the reader chose, whose a GPU is, what an award has used.

Invariant: what several daemons publish about the same thing is counted once.
"""

from __future__ import annotations

from dashboards.promql import series

GPU = "cluster, node, gpu, uuid"  # what makes a GPU
AWARD = "award, project, organisation, country, pool, unit"


def gpu(name: str, *matchers: str) -> str:
    """A metric of the chosen nodes."""
    return series(name, 'cluster=~"$cluster"', 'node=~"$node"', *matchers)


def award(name: str) -> str:
    """A metric of the chosen awards, once, however many daemons publish it."""
    chosen = series(name, 'country=~"$country"', 'project=~"$project"')
    return f"max by ({AWARD}) ({chosen})"


def heat() -> str:
    """Core temperatures."""
    return gpu("opsd_gpu_temperature_celsius", 'sensor="gpu"')


def used() -> str:
    """Charged, for ended and open runs: granted less left, because both are always there."""
    return f"({award('opsd_award_granted_seconds')} - {award('opsd_award_left_seconds')})"


def held() -> str:
    """Each GPU's jobs by their shares, and whose they are: also of an account that no award pays for."""
    jobs = f"max by (cluster, node, uuid, jobid, account) ({gpu('opsd_gpu_job_info')})"
    # Bindings of one partition or QOS give an account several awards: one is shown.
    known = f"max by (cluster, account, project, country) ({series('opsd_account_info')})"
    one = f"topk by (cluster, account) (1, {known})"
    unknown = f"{jobs} unless on (cluster, account) {known}"
    nobodys = f'label_replace({unknown}, "country", "unattributed", "", "")'
    return f"({jobs} * on (cluster, account) group_left (project, country) {one}) or {nobodys}"
