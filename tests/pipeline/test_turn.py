"""One reader at a time, and whoever waits is told who reads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from opsd.core.errors import Unavailable
from opsd.pipeline.turn import MOST_POLL_SECONDS, PATIENCE_SECONDS, PAUSE_SECONDS, Turn
from opsd.store import hold, migrate
from opsd.store.engine import Store, open_engine
from opsd.store.hold import READER, Holder

ME = Holder(4711, "service1", 1_795_000_000)
_PROGRAM = """
import sys
from opsd.store import hold
from opsd.store.engine import open_engine
taken = hold.take(open_engine(sys.argv[1]), hold.Holder(815, "service2", 1_795_000_060), hold.READER)
print("taken", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database with its tables."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    yield store
    store.close()


@pytest.fixture
def reader(store_url: str, store: Store) -> Iterator[subprocess.Popen[str]]:
    """Another process that reads until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, store_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "taken\n"
        yield process
        process.kill()


class Waiting:
    """A clock that goes on with each sleep, and what is told meanwhile."""

    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[str] = []
        self.does: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        """Let time pass, and whatever happens in it."""
        self.now += seconds
        self.does()

    def turn(self) -> Turn:
        """A turn by this clock."""
        return Turn(
            lambda: Holder(ME.pid, ME.host, ME.since + int(self.now)),
            lambda: self.now,
            self.sleep,
            self.told.append,
        )


def test_the_second_waits_and_says_for_whom(store: Store, reader: subprocess.Popen[str]) -> None:
    """Process, host and since when, once; it reads when the first has ended."""
    waiting = Waiting()

    def end() -> None:
        if waiting.now > 1.5:
            reader.kill()
            reader.wait()

    waiting.does = end
    with waiting.turn().taken(store, lambda: None):
        reads = hold.holder(store, READER)
        assert reads == Holder(ME.pid, ME.host, ME.since + int(waiting.now))
        assert waiting.now >= 1  # since it reads, not since it waits
    assert hold.holder(store, READER) is None
    assert 1 == len(waiting.told)
    who = "process 815 on service2, since 2026-11-18T11:07:40+00:00"
    assert waiting.told[0].endswith(f": Slurm's accounting is being read into it: {who}: waiting")


def test_nobody_waits_for_ever(store: Store, reader: subprocess.Popen[str]) -> None:
    """After a quarter of an hour it fails, naming who reads."""
    waiting = Waiting()
    waiting.does = lambda: setattr(waiting, "now", waiting.now + PATIENCE_SECONDS / 2)
    late = pytest.raises(Unavailable, match=r"process 815 on service2.*still after 900 s")
    with late, waiting.turn().taken(store, lambda: None):
        raise AssertionError("it must not read")


def test_who_waits_looks_ever_more_rarely(store: Store, reader: subprocess.Popen[str]) -> None:
    """Each look may cost the database a session; the pause between two windows is longer than any wait."""
    waiting = Waiting()
    looks: list[float] = []

    def go_on() -> None:
        looks.append(waiting.now)
        if len(looks) > 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), waiting.turn().taken(store, go_on):
        raise AssertionError("it must not read")
    waits = [round(later - at, 6) for at, later in pairwise(looks)]
    assert [0.2, 0.4, 0.8, 1.6, 3.0, 3.0] == waits
    assert MOST_POLL_SECONDS + 1 < PAUSE_SECONDS


def test_who_waits_can_be_ended(store: Store, reader: subprocess.Popen[str]) -> None:
    """Between two looks."""
    waiting = Waiting()

    def go_on() -> None:
        if waiting.now:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), waiting.turn().taken(store, go_on):
        raise AssertionError("it must not read")


def test_a_daemon_may_run_beside_a_reader(store: Store) -> None:
    """They are two parts: its steps read by turns as anybody."""
    daemon = hold.take(store, ME)
    with Waiting().turn().taken(store, lambda: None):
        assert (ME, ME) == (hold.holder(store), hold.holder(store, READER))
    daemon.release()
