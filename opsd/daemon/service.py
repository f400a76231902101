"""The daemon as one object: hold, schedule, steps, page.

Invariant: a scrape gets bytes made from memory; of a step that fails or hangs the samples are absent, and
the age of its last success shows. One daemon runs on a database.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from collectors import command
from exporters import health, web_config
from exporters.page import joined
from exporters.serve import Holder, PageServer, parse_address
from opsd.config import Settings
from opsd.core.errors import Refused
from opsd.daemon.log import event
from opsd.daemon.runner import Clock, Runner, World, is_late
from opsd.daemon.schedule import Schedule
from opsd.daemon.steps import STEPS, Every, Step
from opsd.pipeline.sources import ClusterSources
from opsd.store import hold
from opsd.store.engine import Store
from opsd.store.steps import FAILED, Last

DISTRIBUTION = "opsd-hpc"
BEAT_SECONDS = 5.0
STOP_SECONDS = 5.0
_UNWELL_AFTER_BEATS = 6


class Daemon:
    """Runs the steps of one database from `start` to `stop`."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clusters: Sequence[ClusterSources],
        clock: Clock = time.time,
        *,
        wall: Clock = time.time,
        steps: Sequence[Step] = STEPS,
        beat_seconds: float = BEAT_SECONDS,
        on_beat: Callable[[], object] = lambda: None,
        on_end: Callable[[str], object] = lambda _why: None,
    ) -> None:
        """Nothing runs yet.

        Args:
            clock: the present of the accounting, which a demonstration may choose.
            wall: the machine's clock, by which runs are dated.
            on_beat: called as long as the scheduler schedules.
            on_end: called when the daemon can no longer be one, with the reason.
        """
        self._store = store
        self._settings = settings
        self._wall = wall
        self._steps = steps
        self._on_beat = on_beat
        self._on_end = on_end
        self._world = World(store, clusters, settings, clock, wall)
        self._runner = Runner(self._world, before=self._keep_hold, plan=self._plan, changed=self._render)
        self._schedule = Schedule(steps, settings, self._runner.run, self._beat, beat_seconds)
        self._unwell_after = beat_seconds * _UNWELL_AFTER_BEATS
        self._beaten = time.monotonic()
        self._told_late: set[tuple[str, int]] = set()
        self._page = Holder()
        self._rendering = threading.Lock()
        self._holding = threading.Lock()
        self._hold: hold.Hold | None = None
        self._server: PageServer | None = None

    @property
    def url(self) -> str:
        """Where its page is."""
        if self._server is None:
            raise RuntimeError("the daemon has not been started")
        return self._server.url

    def start(self) -> None:
        """Take the database, answer, begin.

        Raises:
            Refused: another daemon runs on the database.
            BadInput: the address cannot be had.
            StoreError: the database cannot be used.
        """
        me = hold.Holder(os.getpid(), socket.gethostname(), int(self._wall()))
        self._hold = hold.take(self._store, me)
        try:
            self._runner.load()
            self._server = self._listen()
        except BaseException:
            self._hold.release()
            self._hold = None
            raise
        self._render()
        self._server.start()
        self._beaten = time.monotonic()
        self._schedule.start([step.name for step in self._steps if self._due(step)])
        event("daemon_started", pid=me.pid, page=self.url, database=self._store.shown)

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """End: nothing new begins, and a short transaction under way may be finished.

        Returns:
            Whether every run has ended; if not, the hold is kept until the process ends.
        """
        self._runner.stop()
        ended = False
        for _ in range(2):  # a run between two commands may begin its next one after the first time
            command.end_all()
            ended = ended or self._schedule.stop(seconds / 2)
        if self._server is not None:
            self._server.stop()
        if self._hold is not None and ended:
            self._hold.release()
            self._hold = None
        event(
            "daemon_stopped", level=logging.INFO if ended else logging.WARNING, all_ended=str(ended).lower()
        )
        return ended

    def _listen(self) -> PageServer:
        asked = self._settings.daemon
        address = parse_address(asked.listen_address, "daemon.listen_address")
        return PageServer(
            address,
            self._page,
            title="opsd daemon",
            version=version(DISTRIBUTION),
            healthy=self._healthy,
            web=web_config.read(Path(asked.web_config)) if asked.web_config else None,
            say=lambda text: event("web_config", level=logging.WARNING, text=text),
        )

    def _healthy(self) -> bool:
        return time.monotonic() - self._beaten < self._unwell_after

    # -- runs ------------------------------------------------------------------------------------------

    def _due(self, step: Step) -> bool:
        """Whether a step runs at once: what fills the page does, a daily one if its day has passed."""
        if isinstance(step.trigger, Every):
            return True
        last = self._runner.last(step.name)
        known = last.succeeded_at if last and not last.failures else None
        return known is None or self._wall() - known >= step.interval(self._settings.daemon)

    def _keep_hold(self) -> None:
        assert self._hold is not None
        with self._holding:
            try:
                self._hold.keep()
            except Refused as err:
                self._on_end(str(err))
                raise

    def _plan(self, step: Step, last: Last, served: bool) -> int | None:  # noqa: FBT001 (see Plan)
        """After a failure of all later, after any success those that follow at once; when it runs next."""
        if last.result == FAILED and not served:
            self._schedule.put(step.name, step.wait(self._settings.daemon, last.failures))
        elif served:
            for follower in self._steps:
                if follower.follows == step.name and not self._failing(follower):
                    self._schedule.put(follower.name, 0)
        return self._schedule.next_at(step.name)

    def _failing(self, step: Step) -> bool:
        last = self._runner.last(step.name)
        return bool(last and last.failures)

    # -- the page --------------------------------------------------------------------------------------

    def _beat(self) -> None:
        self._render()
        self._beaten = time.monotonic()
        self._on_beat()

    def _render(self) -> None:
        """From memory; one at a time, so that an older page never follows a newer one."""
        with self._rendering:
            now = self._wall()
            oldest = {step.name: now - step.stale_seconds(self._settings.daemon) for step in self._steps}
            runs, pages = self._runner.seen(oldest)
            page = health.page([self._health(step, runs.get(step.name), now) for step in self._steps], now)
            self._page.put(joined([page.render(), *pages]))

    def _health(self, step: Step, last: Last | None, now: float) -> health.StepHealth:
        following = self._schedule.next_at(step.name)
        stale = step.stale_seconds(self._settings.daemon)
        if last is None:
            return health.StepHealth(step.name, stale, late=False, next=following)
        late = is_late(step, last, now)
        if late and (step.name, last.started_at) not in self._told_late:
            self._told_late.add((step.name, last.started_at))
            event("step_late", level=logging.WARNING, step=step.name, deadline=step.deadline)
        ended = last.duration_ms is not None or last.failures > 0
        return health.StepHealth(
            step.name, stale, late, last.failures, last.failures == 0 if ended else None, last.started_at,
            last.succeeded_at, following, None if last.duration_ms is None else last.duration_ms / 1000,
        )  # fmt: skip
