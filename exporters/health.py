"""The daemon's own health as metrics: what each step did last, and when it runs next.

Invariant: it is made from values in memory alone, so that it shows a database that does not answer.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from typing import NamedTuple

from exporters.page import Page
from opsd import __version__


class StepHealth(NamedTuple):
    """One step; None: not known, because it has not happened."""

    step: str
    stale_after: int
    late: bool  # a run has been going on past its deadline
    failures: int = 0
    success: bool | None = None
    last_start: int | None = None
    last_success: int | None = None
    next: int | None = None
    duration_seconds: float | None = None


def page(steps: Iterable[StepHealth], now: float) -> Page:
    """The health of a daemon."""
    made = Page()
    made.add("opsd_page_timestamp_seconds", now)
    made.add("opsd_build_info", 1, version=__version__, python=platform.python_version())
    for health in steps:
        _add(made, health)
    return made


def _add(made: Page, health: StepHealth) -> None:
    values = {
        "opsd_step_success": health.success,
        "opsd_step_last_start_timestamp_seconds": health.last_start,
        "opsd_step_last_success_timestamp_seconds": health.last_success,
        "opsd_step_next_timestamp_seconds": health.next,
        "opsd_step_duration_seconds": health.duration_seconds,
        "opsd_step_late": health.late,
        "opsd_step_consecutive_failures": health.failures,
        "opsd_step_stale_after_seconds": health.stale_after,
    }
    for name, value in values.items():
        if value is not None:
            made.add(name, float(value), step=health.step)
