"""What the daemon's page would have shown in the past: allocations as they grew, steps as they ran.

Invariant: figures are the daemon's own, of the living demonstration's database as of past days; between two
days amounts move evenly, and what is no amount stays what it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import exporters.efficiency
from collectors.simulated.text import CLUSTER
from exporters import balances, health, spools
from exporters.catalogue import BY_NAME
from exporters.health import StepHealth
from exporters.page import Page
from opsd import config
from opsd.cli import live_demo
from opsd.daemon.steps import STEPS, Daily, Every, Step, Weekly
from opsd.pipeline import efficiency, figures
from opsd.store.engine import Store

DAY, HOUR = 86_400, 3_600
LONG_AGO = 4 * DAY + 5 * HOUR  # before the end: an hour in which the accounting could not be read
SILENT_SECONDS = 3_000
SETTINGS = config.Daemon(
    ingest_seconds=live_demo.INGEST_SECONDS,
    balances_seconds=live_demo.BALANCES_SECONDS,
    fetch_seconds=live_demo.FETCH_SECONDS,
)
_DURATIONS = {"ingest": 0.4, "rebuild": 0.1, "balances": 0.3, "fetch": 0.05, "slurm": 0.06, "reread": 5.0}
_PAUSE_SECONDS = 1_800
_DAYS_AGO = (26, 22, 18, 14, 11, 8, 6, 4, 2, 1)
_AMOUNTS = (
    "granted_seconds", "settled_seconds", "accrued_seconds", "committed_seconds", "left_seconds",
    "free_seconds", "burn_seconds", "elapsed_ratio", "outside_seconds", "unattributed_seconds",
    "gpu_seconds", "joules",
)  # fmt: skip
# Made for each moment from the factory, or here.
_MADE = (
    "opsd_page_timestamp_seconds", "opsd_step_", "opsd_slurm_", "opsd_build_info", "opsd_balances_as_of_",
    "opsd_ingest_covered_", "opsd_spool_", "opsd_measured_unmatched_",
)  # fmt: skip


def moments(begin: int, end: int) -> list[int]:
    """When the figures are asked for, which takes seconds each time: the nearer, the more often."""
    return [begin, *(at for days in _DAYS_AGO if begin < (at := end - days * DAY)), end]


class PastFigures:
    """The daemon's figures; asked moment after moment, made anew every half hour, which is often enough."""

    def __init__(self, store: Store, begin: int, end: int) -> None:
        """Asks the database for the figures of some past days."""
        self._end = end
        self._at = moments(begin, end)
        self._pages = [_figures(store, at) for at in self._at]
        self._place = 0
        self._next = begin
        self._page = Page()

    def page(self, at: int, names: Collection[str]) -> Page:
        """These figures at a moment, which must not lie before the last one."""
        if at >= self._next:
            while self._place + 2 < len(self._at) and self._at[self._place + 1] <= at:
                self._place += 1
            here = slice(self._place, self._place + 2)
            self._page = between(self._pages[here], self._at[here], at, names)
            self._next = at + (300 if at >= self._end - DAY else _PAUSE_SECONDS)
        return self._page


class PastSteps:
    """What the daemon tells of itself; asked at any moment."""

    def __init__(self, end: int) -> None:
        """Four days before the end the accounting could not be read for a while."""
        self._silent = end - LONG_AGO
        self._heard = self._silent + SILENT_SECONDS

    def page(self, at: int, _names: Collection[str]) -> Page:
        """It at a moment."""
        made = health.page(steps(at, self._silent, self._heard), at)
        made.update(spools.page({CLUSTER: live_demo.NODES}, {}, {CLUSTER: 0}, {CLUSTER: at - at % 30}))
        made.add("opsd_balances_as_of_timestamp_seconds", at - at % live_demo.BALANCES_SECONDS)
        covered = self._silent if self._silent <= at < self._heard else at
        made.add("opsd_ingest_covered_timestamp_seconds", covered - covered % 30, cluster=CLUSTER)
        return made


def _figures(store: Store, at: int) -> Page:
    made = balances.page(figures.run(store, now=at))
    made.update(exporters.efficiency.page(efficiency.run(store, now=at)))
    return made


def between(pages: Sequence[Page], ends: Sequence[int], at: int, names: Iterable[str] = BY_NAME) -> Page:
    """The figures at a moment between two."""
    made, (first, last), (begin, end) = Page(), pages, ends
    part = min(1.0, max(0.0, (at - begin) / (end - begin)))
    for name in names:
        if name.startswith(_MADE):
            continue
        metric, after = BY_NAME[name], last.series(name)
        for key, value in first.series(name).items():
            moves = name.endswith(_AMOUNTS) and key in after
            moved = value + (after[key] - value) * part if moves else value
            made.add(name, moved, **dict(zip(metric.labels, key, strict=True)))
    return made


def steps(at: int, silent: int, heard: int) -> Iterator[StepHealth]:
    """How each step stands; the accounting cannot be read in [silent, heard)."""
    for step in STEPS:
        last, following = _ran(step, at)
        failing = step.name == "ingest" and silent <= at < heard
        yield StepHealth(
            step.name, step.stale_seconds(SETTINGS), late=False,
            failures=1 + (at - silent) // 300 if failing else 0, success=not failing, last_start=last,
            last_success=silent if failing else last, next=following,
            duration_seconds=round(_DURATIONS.get(step.name, 1.0) * (0.8 + at // 300 % 7 / 15), 3),
        )  # fmt: skip


def _ran(step: Step, at: int) -> tuple[int, int]:
    """When it ran last, and when it runs next."""
    if isinstance(step.trigger, Every):
        seconds = int(step.interval(SETTINGS))
        return at - at % seconds, at - at % seconds + seconds
    interval = int(step.interval(SETTINGS))
    first = _first(step.trigger)
    last = first + (at - first) // interval * interval
    return last, last + interval


def _first(trigger: Daily | Weekly) -> int:
    """Its first moment after 1970-01-01, which was a Thursday."""
    seconds = trigger.hour * HOUR + trigger.minute * 60
    return seconds + ((trigger.weekday - 3) % 7) * DAY if isinstance(trigger, Weekly) else seconds
