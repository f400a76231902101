"""What Slurm would have told of the demonstration's past: its queue, nodes, scheduler, shares.

Invariant: the jobs are those of the accounting, and what is told goes through the text and the readers that
the living demonstration's goes through.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection
from itertools import count

from collectors.simulated import nodes_text, queue_text, scheduler_text, shares_text
from collectors.simulated.live import AHEAD, LiveFactory, Moment
from collectors.simulated.scheduler import Run, Scheduler, breakdowns
from collectors.simulated.text import CLUSTER
from collectors.simulated.workload import requests
from collectors.slurm import present as reader
from exporters import slurm
from exporters.page import Page
from exporters.slurm import Look
from opsd.core import present_counts
from opsd.core.period import Window
from opsd.core.present import SOURCES
from opsd.core.present_counts import Gpus, Waits

DAY, HOUR = 86_400, 3_600
_SHARES_SECONDS = 12 * HOUR  # shares move slowly, and adding them up takes long
_ANSWERED = "opsd_slurm_source_last_success_timestamp_seconds"

Started = Callable[[Window], dict[str, Waits]]


class PastSlurm:
    """Slurm's part of the daemon's page; asked moment after moment."""

    def __init__(self, factory: LiveFactory, start: int, seed: int, begin: int, started: Started) -> None:
        """Lets the factory's past happen again, up to `begin`.

        Args:
            factory: as it is at its start.
            started: how long runs waited that started in a time.
        """
        self._end = start
        self._drained = factory.moment(start).drained
        self._scheduler = Scheduler(start + AHEAD, seed)
        self._scheduler.announce(requests(start + AHEAD, seed), breakdowns(start + AHEAD, seed))
        self._started = started
        self._seconds: Gpus = Counter()
        self._seen: Gpus = Counter()
        self._looked = begin
        self._next = begin
        self._page = Page()
        self._shares = ""
        self._shared = 0
        self._known: dict[str, Waits] = {}
        self._waited = 0

    def page(self, at: int, names: Collection[str]) -> Page:
        """Its page at a moment, which must not lie before the last one: far back a look now and then."""
        if not any(name.startswith("opsd_slurm_") for name in names):
            return self._page
        if at >= self._next:
            self._page = self._look(at)
            self._next = at + self._pause(at)
        for source in SOURCES:
            self._page.add(_ANSWERED, at, cluster=CLUSTER, source=source)
        return self._page

    def _pause(self, at: int) -> int:
        ago = self._end - at
        return HOUR if ago > 7 * DAY else HOUR // 2 if ago > DAY else 300

    def _look(self, at: int) -> Page:
        self._scheduler.advance(at)
        now = self._moment(at, _recent(self._scheduler, at))
        if at - self._shared >= _SHARES_SECONDS:
            self._shares, self._shared = shares_text.shares(self._moment(at, self._scheduler.rows())), at
        seen = reader.read(_Told(now, self._shares), _stopwatch())
        for key, gpus in self._seen.items():
            self._seconds[key] += gpus * (at - self._looked)
        self._seen, self._looked = present_counts.gpus(seen.nodes or ()), at
        answered = dict.fromkeys(SOURCES, at)
        return slurm.page([Look(CLUSTER, at, seen, answered, self._waits(at), dict(self._seconds))])

    def _waits(self, at: int) -> dict[str, Waits]:
        if at - self._waited >= HOUR:
            self._known, self._waited = self._started(Window(at - DAY, at + 1)), at
        return self._known

    def _moment(self, at: int, runs: list[Run]) -> Moment:
        now = self._scheduler
        drained = {place: since for place, since in self._drained.items() if since <= at}
        return Moment(
            at, self._end, now.running(), now.waiting(), now.held(), now.broken(), drained, runs
        )  # fmt: skip


class _Told:
    """Answers about one moment, in Slurm's words."""

    def __init__(self, now: Moment, shares: str) -> None:
        self._now = now
        self._shares = shares

    def queue(self) -> str:
        return queue_text.queue(self._now)

    def nodes(self) -> str:
        return nodes_text.nodes(self._now)

    def scheduler(self) -> str:
        return scheduler_text.statistics(self._now)

    def shares(self) -> str:
        return self._shares

    def reservations(self) -> str:
        return nodes_text.reservations(self._now)

    def licenses(self) -> str:
        return queue_text.licenses(self._now)


def _recent(scheduler: Scheduler, at: int) -> list[Run]:
    """What is open, and what ended since a day ago: runs are kept in the order of their ends."""
    ended = scheduler.runs
    first = bisect_left(ended, at - DAY, key=lambda run: run.end or 0)
    return [*ended[first:], *scheduler.rows()[len(ended) :]]


def _stopwatch() -> Callable[[], float]:
    """Each answer takes as long."""
    ticks = count()
    return lambda: next(ticks) * 0.021
