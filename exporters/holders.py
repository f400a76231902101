"""Jobs that hold GPUs, and that compute on them, as samples of a metrics page.

Invariant: what a job computes is there only where the driver tells processes; then also a holder without
one, with 0: that is a GPU held idle.
"""

from __future__ import annotations

from exporters.page import Page
from opsd.core.holders import Holders


def add_holders(page: Page, found: Holders, *, are_files_read: bool = True) -> None:
    """Which job holds and computes where; without the job files nothing is said about holding."""
    if are_files_read:
        _add_holdings(page, found)
    for (uuid, job_id), seen in found.computing.items():
        where = {"uuid": uuid, "parent": seen.parent, "jobid": job_id}
        page.add("opsd_gpu_job_processes", seen.processes, **where)
        if seen.memory_bytes is not None:
            page.add("opsd_gpu_job_memory_used_bytes", seen.memory_bytes, **where)
    if found.strangers is not None:
        page.add("opsd_gpu_processes_unknown", found.strangers)


def _add_holdings(page: Page, found: Holders) -> None:
    for holding, share in found.shares.items():
        page.add(
            "opsd_gpu_job_info",
            share,
            uuid=holding.uuid,
            parent=holding.parent,
            jobid=holding.job_id,
            account=holding.account,
            user=holding.user,
        )
    page.add("opsd_gpu_job_unresolved", found.unresolved)
    page.add("opsd_gpu_job_files_stale", len(found.stale))
    if found.strangers is not None:
        page.add("opsd_gpu_job_disagreements", found.disagreeing)
