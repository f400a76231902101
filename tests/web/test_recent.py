"""Answers that were worked out a moment ago."""

from __future__ import annotations

import threading

import pytest

from opsd.web.recent import Recent


class Work:
    """Work that counts itself, and may be held up or fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = False

    def __call__(self, key: str) -> str:
        """The key, and how often it was worked out."""
        self.begun.set()
        assert self.go_on.wait(10)
        if self.fails:
            raise OSError("away")
        self.done.append(key)
        return f"{key}{self.done.count(key)}"


def test_an_answer_is_good_for_a_while() -> None:
    """Then it is worked out again."""
    now, work = [0.0], Work()
    recent = Recent(work, seconds=10, most=5, clock=lambda: now[0])
    first = recent.get("a")
    now[0] = 9.9
    second = recent.get("a")
    now[0] = 10
    third = recent.get("a")

    assert ["a1", "a1", "a2"] == [first, second, third]


def test_who_comes_while_it_is_worked_out_again_gets_the_one_before() -> None:
    """Nobody waits for somebody else's work, on this question or another."""
    now, work = [0.0], Work()
    recent = Recent(work, seconds=10, most=5, clock=lambda: now[0])
    recent.get("a")
    now[0] = 20
    work.begun.clear()
    work.go_on.clear()
    slow = threading.Thread(target=recent.get, args=("a",))
    slow.start()
    assert work.begun.wait(10)
    meanwhile = recent.get("a")
    work.go_on.set()
    slow.join(10)

    assert ["a1", "a2"] == [meanwhile, recent.get("a")]


def test_an_answer_that_is_long_in_coming_does_not_keep_the_old_one_alive() -> None:
    """A worker that hangs would otherwise show the past as the present, for ever."""
    now, work = [0.0], Work()
    recent = Recent(work, seconds=10, most=5, clock=lambda: now[0])
    recent.get("a")
    now[0] = 20
    work.begun.clear()
    work.go_on.clear()
    slow = threading.Thread(target=recent.get, args=("a",))
    slow.start()
    assert work.begun.wait(10)
    now[0] = 80
    found: list[str] = []
    late = threading.Thread(target=lambda: found.append(recent.get("a")))
    late.start()
    work.go_on.set()
    late.join(10)
    slow.join(10)

    assert found[0] in ("a2", "a3")


def test_a_failure_is_not_hidden_behind_an_old_answer() -> None:
    """It is raised each time, and the next success is an answer again."""
    now, work = [0.0], Work()
    recent = Recent(work, seconds=10, most=5, clock=lambda: now[0])
    recent.get("a")
    now[0] = 20
    work.fails = True
    for _ in range(2):
        with pytest.raises(OSError, match="away"):
            recent.get("a")
    work.fails = False

    assert "a2" == recent.get("a")


def test_only_so_many_are_kept() -> None:
    """The oldest goes."""
    now, work = [0.0], Work()
    recent = Recent(work, seconds=100, most=2, clock=lambda: now[0])
    for at, key in enumerate("abcabc"):
        now[0] = at
        recent.get(key)

    assert list("abcabc") == work.done
