"""Jobs on a page: what they hold, and what they compute where the driver tells."""

from __future__ import annotations

from exporters.catalogue import BY_NAME
from exporters.holders import add_holders
from exporters.page import Page
from opsd.core.holders import Computing, Holders, Holding

FOUND = Holders(
    shares={Holding("GPU-a", "7", "es", "ana"): 0.5, Holding("MIG-1", "8", "pt", "rui", "GPU-b"): 1},
    computing={
        ("GPU-a", "7"): Computing(0, 0),
        ("MIG-1", "8"): Computing(2, 512, "GPU-b"),
        ("GPU-a", "9"): Computing(1, None),
    },
    unresolved=2,
    stale=("5", "6"),
    strangers=3,
    disagreeing=1,
)
HOLDING = {
    "opsd_gpu_job_info": {("GPU-a", "", "7", "es", "ana"): 0.5, ("MIG-1", "GPU-b", "8", "pt", "rui"): 1},
    "opsd_gpu_job_unresolved": {(): 2},
    "opsd_gpu_job_files_stale": {(): 2},
    "opsd_gpu_job_disagreements": {(): 1},
}
COMPUTING = {
    "opsd_gpu_job_processes": {("GPU-a", "", "7"): 0, ("MIG-1", "GPU-b", "8"): 2, ("GPU-a", "", "9"): 1},
    "opsd_gpu_job_memory_used_bytes": {("GPU-a", "", "7"): 0, ("MIG-1", "GPU-b", "8"): 512},
    "opsd_gpu_processes_unknown": {(): 3},
}


def series(found: Holders, *, are_files_read: bool = True) -> dict[str, dict[tuple[str, ...], float]]:
    """All series of a page of these."""
    page = Page()
    add_holders(page, found, are_files_read=are_files_read)
    return {name: dict(page.series(name)) for name in BY_NAME if page.series(name)}


def test_who_holds_and_who_computes() -> None:
    """A share beside account and user; a holder without a process has 0; memory only where it is known."""
    assert HOLDING | COMPUTING == series(FOUND)


def test_without_processes_nothing_is_idle() -> None:
    """Where the driver tells no processes, neither they nor what contradicts them is on the page."""
    held = Holders(shares={Holding("GPU-a", "7", "es", "ana"): 1})

    assert {
        "opsd_gpu_job_info": {("GPU-a", "", "7", "es", "ana"): 1},
        "opsd_gpu_job_unresolved": {(): 0},
        "opsd_gpu_job_files_stale": {(): 0},
    } == series(held)


def test_without_job_files_nothing_is_held() -> None:
    """What computes is known all the same; whether it may, is not."""
    assert COMPUTING == series(FOUND, are_files_read=False)
