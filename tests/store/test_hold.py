"""One daemon per database, on either kind."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from opsd.core.errors import Refused, StoreError
from opsd.store import hold, migrate
from opsd.store.engine import Store, open_engine
from opsd.store.hold import Holder

ME = Holder(4711, "service1", 1_795_000_000)
YOU = Holder(815, "service2", 1_795_000_060)
_PROGRAM = """
import sys, time
from opsd.store import hold
from opsd.store.engine import open_engine
taken = hold.take(open_engine(sys.argv[1]), hold.Holder(4711, "service1", 1_795_000_000))
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database with its tables."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    yield store
    store.close()


@contextmanager
def another_process(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has the hold."""
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_second_is_told_who_is_first(store: Store) -> None:
    """It is refused with process, host and since when; the first one keeps its hold."""
    first = hold.take(store, ME)
    with pytest.raises(Refused, match=r"process 4711 on service1, since 2026-11-18T11:06:40\+00:00"):
        hold.take(store, YOU)

    first.keep()
    assert ME == hold.holder(store)
    first.release()


def test_released_it_is_anyones(store: Store) -> None:
    """Nobody is named any more, and the next one gets it."""
    hold.take(store, ME).release()
    assert hold.holder(store) is None

    second = hold.take(store, YOU)
    assert YOU == hold.holder(store)
    second.release()


def test_it_ends_with_its_process(store: Store, store_url: str) -> None:
    """Killed without a chance to clean up, a process holds nothing."""
    with another_process(store_url) as process:
        assert ME == hold.holder(store)
        with pytest.raises(Refused, match="process 4711"):
            hold.take(store, YOU)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until_free(store)

    hold.take(store, YOU).release()


def until_free(store: Store) -> None:
    """PostgreSQL learns of a dead client when it next looks at its socket: at once, but not in no time."""
    for _ in range(100):
        if hold.holder(store) is None:
            return
        with store.read() as connection:
            if not store.is_sqlite:
                connection.execute(text("SELECT pg_sleep(0.05)"))
    raise AssertionError("still held")


def test_looking_does_not_take(store: Store) -> None:
    """Asking who holds it, again and again, leaves it free."""
    assert [None] * 3 == [hold.holder(store) for _ in range(3)]

    hold.take(store, ME).release()


@pytest.mark.postgresql
def test_a_lost_session_is_taken_again(postgres_url: str) -> None:
    """A server that ends the session takes the hold with it; the next look takes it back, or is refused."""
    store = open_engine(postgres_url)
    taken = hold.take(store, ME)
    end_sessions(store)
    with pytest.raises(StoreError):
        taken.keep()
    taken.keep()
    assert ME == hold.holder(store)

    end_sessions(store)
    with pytest.raises(StoreError):
        taken.keep()
    other = hold.take(store, YOU)
    with pytest.raises(Refused, match="process 815 on service2"):
        taken.keep()
    other.release()
    store.close()


def end_sessions(store: Store) -> None:
    """End everybody else's sessions."""
    with store.engine.connect() as connection:
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(
            text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")
        )


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The message names the file."""
    store = open_engine(f"sqlite:///{tmp_path}/none/opsd.db")

    with pytest.raises(StoreError, match=r"opsd\.db-daemon: No such file"):
        hold.take(store, ME)
    store.close()
