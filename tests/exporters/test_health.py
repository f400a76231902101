"""The daemon's own health as metrics."""

from __future__ import annotations

from exporters import health
from exporters.health import StepHealth


def test_a_step_that_never_ran() -> None:
    """What has not happened is absent."""
    page = health.page([StepHealth("ingest", 900, late=False, next=50)], 42.5)

    assert {("ingest",): 900} == page.series("opsd_step_stale_after_seconds")
    assert {("ingest",): 50} == page.series("opsd_step_next_timestamp_seconds")
    assert {(): 42.5} == page.series("opsd_page_timestamp_seconds")
    for name in (
        "success",
        "last_start_timestamp_seconds",
        "last_success_timestamp_seconds",
        "duration_seconds",
    ):
        assert {} == page.series(f"opsd_step_{name}")


def test_a_step_that_fails() -> None:
    """The failure, how many on end, and the age of what is known from before."""
    failing = StepHealth("balances", 300, True, 4, False, 90, 10, 99, 1.5)
    page = health.page([failing], 100)

    expected = {
        "success": 0, "last_start_timestamp_seconds": 90, "last_success_timestamp_seconds": 10,
        "next_timestamp_seconds": 99, "duration_seconds": 1.5, "late": 1, "consecutive_failures": 4,
    }  # fmt: skip
    assert expected == {name: page.series(f"opsd_step_{name}")["balances",] for name in expected}
