"""A thread that does one thing when asked, and may get stuck doing it.

Invariant: a call into a driver cannot be cancelled, so it is never waited for without end, and a stuck
thread is neither asked again nor replaced: there is at most one per worker, for ever.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker(Generic[T]):
    """Runs `task` in a daemon thread of its own, once per `ask`."""

    def __init__(self, name: str, task: Callable[[], T]) -> None:
        self.name = name
        self._task = task
        self._lock = threading.Lock()  # of what follows, which changes together
        self._asked = threading.Semaphore(0)
        self._done = threading.Event()
        self._busy = False
        self._is_late = False
        self._closed = False
        self._answers: list[T] = []
        self._broke = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def ask(self) -> None:
        """Ask for a run; one that is still stuck in an earlier run is left alone."""
        with self._lock:
            self._is_late = self._busy
            if self._is_late:
                return
            self._busy = True
            self._answers = []
            self._broke = ""
            self._done.clear()
            self._asked.release()

    def answer(self, until: float) -> T | None:
        """What the run just asked for gave; None if it broke, or has not ended by `until` (monotonic).

        A run that outlasted an earlier question is not waited for, nor used when it comes back: part
        of what it read may be as old as the question.
        """
        if self._is_late or not self._done.wait(max(0.0, until - time.monotonic())):
            return None
        return self._answers[0] if self._answers else None

    @property
    def broke(self) -> str:
        """How the last run ended, in words, if it was in a way that nobody foresaw; else empty."""
        return self._broke

    @property
    def is_stuck(self) -> bool:
        """Whether a run has been asked for that has not ended."""
        return self._busy

    def close(self, patience: float) -> bool:
        """End the thread; whether it did within so many seconds."""
        self._closed = True
        self._asked.release()
        self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            self._asked.acquire()
            if self._closed:
                return
            answers: list[T] = []
            broke = ""
            try:
                answers = [self._task()]
            except Exception as err:  # noqa: BLE001 (a name that is no text costs a run, not a GPU)
                broke = in_words(err)
            with self._lock:
                self._answers, self._broke = answers, broke
                self._busy = False
                self._done.set()


def in_words(err: Exception) -> str:
    """An error that nobody foresaw, with the place where it happened."""
    places = traceback.extract_tb(err.__traceback__)
    where = f" ({places[-1].filename.rpartition('/')[2]}:{places[-1].lineno})" if places else ""
    return f"unexpected {type(err).__name__}: {err}{where}"
