"""When steps run: APScheduler, with a thread per run.

Invariant: a step never overlaps itself; runs missed while the machine slept or was busy become one. The
scheduler keeps no state of its own: everything it knows comes from the table of steps at each start.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobSubmissionEvent
from apscheduler.executors.base import BaseExecutor, run_job
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from opsd.config import Settings
from opsd.daemon.log import event
from opsd.daemon.steps import Daily, Step, Weekly

_BEAT = "heartbeat"


class Schedule:
    """A scheduler of steps, and of a heartbeat that shows that it schedules."""

    def __init__(
        self,
        steps: Sequence[Step],
        settings: Settings,
        run: Callable[[Step], object],
        beat: Callable[[], None],
        beat_seconds: float,
    ) -> None:
        self._threads = _Threads()
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": self._threads},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it tells each run, and what is told here
        self._scheduler.add_listener(_skipped, EVENT_JOB_MAX_INSTANCES)
        self._scheduler.add_job(beat, IntervalTrigger(seconds=beat_seconds, timezone=UTC), id=_BEAT)
        for step in steps:
            self._scheduler.add_job(run, _trigger(step, settings), args=[step], id=step.name)

    def start(self, at_once: Sequence[str]) -> None:
        """Begin.

        Args:
            at_once: the steps that need not wait for their time.
        """
        self._scheduler.start()
        for name in at_once:
            self.put(name, 0)

    def put(self, name: str, seconds: float) -> None:
        """Let a step run so many seconds from now, and from then on by its trigger again."""
        with suppress(JobLookupError):  # it was stopped meanwhile
            at = datetime.now(UTC) + timedelta(seconds=seconds)  # noqa: TID251 (APScheduler's own clock)
            self._scheduler.modify_job(name, next_run_time=at)

    def next_at(self, name: str) -> int | None:
        """When a step runs next, epoch seconds."""
        job = self._scheduler.get_job(name) if self._scheduler.running else None
        return int(job.next_run_time.timestamp()) if job and job.next_run_time else None

    def stop(self, seconds: float) -> bool:
        """Begin nothing more, and wait a while for what is under way.

        Returns:
            Whether everything has ended.
        """
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        return self._threads.join(seconds)


def _trigger(step: Step, settings: Settings) -> IntervalTrigger | CronTrigger:
    at = step.trigger
    if isinstance(at, Daily):
        return CronTrigger(hour=at.hour, minute=at.minute, timezone=UTC)
    if isinstance(at, Weekly):
        return CronTrigger(day_of_week=at.weekday, hour=at.hour, minute=at.minute, timezone=UTC)
    return IntervalTrigger(seconds=step.interval(settings.daemon), timezone=UTC)


def _skipped(skipped: JobSubmissionEvent) -> None:
    level = logging.WARNING if skipped.job_id == _BEAT else logging.INFO
    event("step_skipped", level=level, step=skipped.job_id, reason="still_running")


class _Threads(BaseExecutor):  # type: ignore[misc]  # APScheduler carries no types
    """A thread per run. None keeps the process from ending, as a pool's would."""

    def __init__(self) -> None:
        super().__init__()
        self._running: set[threading.Thread] = set()

    def _do_submit_job(self, job: Job, run_times: list[datetime]) -> None:
        thread = threading.Thread(target=self._work, args=(job, run_times), name=job.id, daemon=True)
        self._running.add(thread)
        thread.start()

    def _work(self, job: Job, run_times: list[datetime]) -> None:
        try:
            events = run_job(job, job._jobstore_alias, run_times, self._logger.name)  # noqa: SLF001 (as its own pools do)
        except BaseException:  # noqa: BLE001 (so do they: the executor must learn of every end)
            self._run_job_error(job.id, *sys.exc_info()[1:])
        else:
            self._run_job_success(job.id, events)
        finally:
            self._running.discard(threading.current_thread())

    def join(self, seconds: float) -> bool:
        """Wait for the runs under way."""
        until = time.monotonic() + seconds
        for thread in list(self._running):
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in list(self._running))
