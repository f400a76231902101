"""One run of a step, and what is remembered of it: in memory for the page, in the database for the rest.

Invariant: whatever a step does ends here, told in the log, the page and the table of steps; a database
that does not take the note changes nothing about what was done.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from exporters.page import Rendered
from opsd.config import Settings
from opsd.core.errors import OpsdError, StoreError
from opsd.daemon.log import event
from opsd.daemon.steps import Outcome, Step, Stopped, Work
from opsd.pipeline.sources import ClusterSources
from opsd.store import steps as table
from opsd.store.engine import Store
from opsd.store.steps import DONE, FAILED, RUNNING, STOPPED, Last

Clock = Callable[[], float]
Plan = Callable[[Step, Last, bool], int | None]  # when a step that ended so, but served some, runs next
_DIED = "its process ended while it ran"


@dataclass(frozen=True, slots=True)
class World:
    """Everything a run may need."""

    store: Store
    clusters: Sequence[ClusterSources]
    settings: Settings
    clock: Clock  # the present of the accounting, which a demonstration may choose
    wall: Clock  # the machine's clock, by which runs are dated


def is_late(step: Step, last: Last, now: float) -> bool:
    """Whether a run is going on past its deadline."""
    return last.result == RUNNING and now - last.started_at > step.deadline


def _unplanned(_step: Step, last: Last, _served: bool) -> int | None:  # noqa: FBT001 (as a Plan is called)
    return last.next_at


class Runner:
    """Runs steps and remembers their last runs and pages."""

    def __init__(
        self,
        world: World,
        *,
        before: Callable[[], None] = lambda: None,
        plan: Plan = _unplanned,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing runs yet.

        Args:
            before: raises when nothing may run now.
            plan: told of each end.
            changed: called whenever what is remembered has changed.
        """
        self.world = world
        self._before = before
        self._plan = plan
        self._changed = changed
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._last: dict[str, Last] = {}
        self._pages: dict[str, tuple[Rendered, float]] = {}

    # -- what is remembered ---------------------------------------------------------------------------

    def load(self, *, alone: bool = True) -> None:
        """Take over what is known of earlier runs.

        Args:
            alone: nobody else runs steps, so that a run that has not ended has died.
        """
        with self.world.store.read() as connection:
            found = table.last(connection)
        for name, last in found.items():
            if alone and last.result == RUNNING:
                event("step_died", level=logging.WARNING, step=name, started=last.started_at)
                found[name] = replace(last, result=FAILED, message=_DIED, failures=last.failures + 1)
        with self._lock:
            self._last = found

    def last(self, name: str) -> Last | None:
        """The last run of a step, the one under way included."""
        with self._lock:
            return self._last.get(name)

    def seen(self, not_before: Mapping[str, float]) -> tuple[dict[str, Last], list[Rendered]]:
        """Every step's last run and its samples, of one moment.

        Args:
            not_before: the oldest samples that may be shown, by step.
        """
        with self._lock:
            pages = [page for name, (page, at) in self._pages.items() if at >= not_before.get(name, at)]
            return dict(self._last), pages

    def stop(self) -> None:
        """Runs under way end at their next pause; none begins."""
        self._stopping.set()

    # -- a run -------------------------------------------------------------------------------------------

    def run(self, step: Step) -> Last:
        """Run a step to its end, whatever that is."""
        started = time.monotonic()
        self._note(self._keep(self._begun(step)))
        result, message, outcome = self._outcome(step)
        seconds = time.monotonic() - started
        ended = self._ended(step, result, message, seconds)
        served = result == DONE or (bool(outcome.failed) and outcome.served)
        ended = self._keep(replace(ended, next_at=self._plan(step, ended, served)), outcome.page)
        _tell(ended, outcome, seconds)
        self._note(ended)
        return ended

    def _begun(self, step: Step) -> Last:
        known = self.last(step.name) or Last(step.name, 0)
        message = f"process {os.getpid()} on {socket.gethostname()}"
        at = int(self.world.wall())
        return replace(known, started_at=at, finished_at=None, result=RUNNING, message=message)

    def _outcome(self, step: Step) -> tuple[str, str, Outcome]:
        world = self.world
        asked = world.settings
        work = Work(
            world.store, world.clusters, int(world.clock()), self._go_on, asked.nodes, asked.daemon,
            asked.mail,
        )  # fmt: skip
        try:
            self._go_on()
            self._before()
            outcome = step.run(work)
        except Stopped:
            return STOPPED, "the daemon ended", Outcome()
        except OpsdError as err:
            return (STOPPED if self._stopping.is_set() else FAILED), str(err), Outcome()
        except Exception as err:  # noqa: BLE001 (a bug in one step must not end the others; its trace is logged)
            event("step_bug", level=logging.ERROR, trace=True, step=step.name)
            return FAILED, f"{type(err).__name__}: {err}", Outcome()
        return (FAILED if outcome.failed else DONE), outcome.failed or outcome.lacking, outcome

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Stopped

    def _ended(self, step: Step, result: str, message: str, seconds: float) -> Last:
        begun = self.last(step.name)
        assert begun is not None
        at = int(self.world.wall())
        failures = {DONE: 0, FAILED: begun.failures + 1}.get(result, begun.failures)
        succeeded = at if result == DONE else begun.succeeded_at
        return replace(
            begun, finished_at=at, succeeded_at=succeeded, duration_ms=round(seconds * 1000), result=result,
            message=message, failures=failures,
        )  # fmt: skip

    def _keep(self, last: Last, page: Rendered | None = None) -> Last:
        """In memory, at once with the page: what could not be collected is absent, not old."""
        with self._lock:
            self._last[last.name] = last
            if page is not None:
                self._pages[last.name] = (page, self.world.wall())
            elif last.result == FAILED:
                self._pages.pop(last.name, None)
        self._changed()
        return last

    def _note(self, last: Last) -> None:
        try:
            table.note(self.world.store, last)
        except StoreError as err:  # the next note is whole again
            event("step_not_noted", level=logging.WARNING, step=last.name, error=err)


def _tell(last: Last, outcome: Outcome, seconds: float) -> None:
    spent = f"{seconds:.1f}"
    if last.result == DONE:
        event("step_done", outcome.counts, step=last.name, seconds=spent)
    elif last.result == STOPPED:
        event("step_stopped", step=last.name, seconds=spent)
    else:
        event(
            "step_failed", outcome.counts, level=logging.ERROR, step=last.name, seconds=spent,
            failures=last.failures, error=last.message,
        )  # fmt: skip
