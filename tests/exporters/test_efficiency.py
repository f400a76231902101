"""How the machine is used, as metrics."""

from __future__ import annotations

import pytest

from exporters import efficiency
from exporters.efficiency import Capacity, Efficiency, Project, Telemetry, XidUsers
from opsd.core.capacity import Lines


def test_projects_in_seconds_and_joules() -> None:
    """Thousandths become units under the project's names; what is not told is absent."""
    told, silent = (
        Project("p", "o", "ES", 1_500, 250, 7_000, 500),
        Project("q", "o", "ES", 1_000, None, None, 0),
    )
    page = efficiency.page(Efficiency(projects=[silent, told]))

    names = ("p", "o", "ES")
    assert {names: 1.5, ("q", "o", "ES"): 1.0} == page.series("opsd_project_held_gpu_seconds")
    assert {names: 0.25} == page.series("opsd_project_idle_gpu_seconds")
    assert {names: 0.5} == page.series("opsd_project_idle_told_gpu_seconds")
    assert {names: 7.0} == page.series("opsd_project_energy_joules")


def test_users_by_gpu_and_xid() -> None:
    """One sample each."""
    met = XidUsers("mn5", "as01", "GPU-1", 31, 2)
    page = efficiency.page(Efficiency(xids=[met]))

    assert {("mn5", "as01", "GPU-1", "31"): 2} == page.series("opsd_gpu_application_xid_users")


def test_telemetry_by_cluster() -> None:
    """What Slurm, the agents and their readings say, in seconds."""
    page = efficiency.page(Efficiency(telemetry=[Telemetry("mn5", 4_000, 3_500, 2_000, 500)]))

    names = ("slurm", "agent", "covered", "unrecorded")
    found = [page.series(f"opsd_telemetry_{name}_gpu_seconds") for name in names]
    assert [{("mn5",): seconds} for seconds in (4.0, 3.5, 2.0, 0.5)] == found


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(Lines(100, 40, 20, 10, 5, 25, 7, 8, 9), 0, id="balances"),
        pytest.param(Lines(), 0, id="nothing"),
        pytest.param(Lines(100, 40, 20, 10, 5, 24), 1, id="parts miss the whole"),
        pytest.param(Lines(100, 40, 20, 10, 5, 27), 2, id="parts are more than the whole"),
        pytest.param(Lines(100, 60, 30, 10, 5, -5), 5, id="more than there is"),
        pytest.param(Lines(100, 60, 30, 10, 5, -8), 11, id="both"),
    ],
)
def test_books_that_do_not_balance(lines: Lines, expected: int) -> None:
    """By how much the parts miss the whole, and how far unallocated is below nothing."""
    page = efficiency.page(Efficiency(capacity=[Capacity("mn5", "acc", "gpu", lines)]))
    where = ("mn5", "acc", "gpu")

    assert {where: expected} == page.series("opsd_capacity_unbalanced_seconds")
    names = ("total", "allocated", "reserved_idle", "planned_down", "down", "unallocated")
    shown = page.series("opsd_capacity_seconds")
    assert {(*where, name): seconds for name, seconds in zip(names, lines, strict=False)} == shown
