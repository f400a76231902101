"""A thread that may get stuck: asked once, waited for with an end, never replaced."""

from __future__ import annotations

import threading
import time

from collectors.nvml.worker import Worker


def later(seconds: float) -> float:
    """A moment from now."""
    return time.monotonic() + seconds


def test_it_answers_each_question() -> None:
    """Every run is a fresh one."""
    given = iter(range(9))
    worker = Worker("w", lambda: next(given))
    answers = []
    for _ in range(3):
        worker.ask()
        answers.append(worker.answer(later(30)))

    assert [0, 1, 2] == answers
    assert worker.close(30)


def test_a_stuck_run_is_left_alone() -> None:
    """While stuck it is not asked again, and whoever waits for it waits no longer than he said."""
    release = threading.Event()
    runs: list[int] = []

    def task() -> int:
        runs.append(1)
        release.wait(30)
        return len(runs)

    worker = Worker("w", task)
    for _ in range(3):
        worker.ask()
        assert worker.answer(later(0.01)) is None
    assert worker.is_stuck
    assert [1] == runs
    assert not worker.close(0.01)

    release.set()


def test_it_works_again_once_released() -> None:
    """The same thread goes on when the call returns."""
    gate = threading.Semaphore(0)
    worker = Worker("w", lambda: (gate.acquire(), threading.get_ident())[1])
    worker.ask()
    assert worker.answer(later(0.01)) is None
    gate.release()
    gate.release()
    until = later(30)
    while worker.is_stuck and time.monotonic() < until:
        time.sleep(0.001)
    worker.ask()

    assert worker.answer(later(30)) is not None
    assert worker.close(30)
