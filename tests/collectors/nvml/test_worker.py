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
    """While stuck it is neither asked again nor waited for, and what it says at last is not used."""
    release = threading.Event()
    runs: list[int] = []

    def task() -> int:
        runs.append(1)
        release.wait(30)
        return len(runs)

    worker = Worker("w", task)
    worker.ask()
    assert worker.answer(later(0.01)) is None
    worker.ask()
    assert worker.is_stuck
    assert [1] == runs
    assert not worker.close(0.01)

    release.set()
    until = later(30)
    while worker.is_stuck and time.monotonic() < until:
        time.sleep(0.001)
    assert worker.answer(later(30)) is None


def test_it_works_again_once_released() -> None:
    """The same thread goes on when the call returns, with a run of its own for the next question."""
    gate = threading.Semaphore(0)
    given = iter(range(9))
    worker = Worker("w", lambda: (gate.acquire(), next(given))[1])
    worker.ask()
    assert worker.answer(later(0.01)) is None
    gate.release()
    gate.release()
    until = later(30)
    while worker.is_stuck and time.monotonic() < until:
        time.sleep(0.001)
    worker.ask()

    assert 1 == worker.answer(later(30))
    assert worker.close(30)
