"""Reads see one instant, writes wait for each other and happen whole, and failures say what to do."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, exc, text

from opsd.core.errors import StoreError
from opsd.store.engine import Store, explained, open_engine, sqlite_address

SECRET = "correct-horse"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A database of either kind with one table and one number in it."""
    store = open_engine(store_url)
    with store.write() as connection:
        connection.execute(text("CREATE TABLE counter (value INTEGER NOT NULL)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))
    yield store
    store.close()


def value(connection: Connection) -> int:
    """The number."""
    return int(connection.execute(text("SELECT value FROM counter")).scalar_one())


def add(connection: Connection, amount: int) -> None:
    """Read, wait a little, write: whoever does not wait for others loses an addition."""
    found = value(connection)
    time.sleep(0.01)
    connection.execute(text("UPDATE counter SET value = :value"), {"value": found + amount})


# ------------------------------------------------------------------------------------------ reads and writes


def test_a_read_sees_one_instant(store: Store) -> None:
    """What another connection commits while a read goes on is not seen by it, but by the next one."""
    with store.read() as reading:
        before = value(reading)
        with store.write() as writing:
            add(writing, 5)
        during = value(reading)
    with store.read() as reading:
        after = value(reading)

    assert (0, 0, 5) == (before, during, after)


def test_a_read_does_not_wait_for_a_writer(store: Store) -> None:
    """What is not committed is not seen, and nobody waits to find that out."""
    with store.write() as writing:
        add(writing, 5)
        with store.read() as reading:
            assert 0 == value(reading)
        assert 5 == value(writing)


def test_a_write_that_raises_leaves_nothing(store: Store) -> None:
    """All of a transaction, tables it made included, or none of it."""
    with pytest.raises(ZeroDivisionError):
        stumble(store)

    with store.read() as connection:
        assert 0 == value(connection)
        assert not store.engine.dialect.has_table(connection, "extra")


def stumble(store: Store) -> None:
    """Change something, make a table, and fail."""
    with store.write() as connection:
        add(connection, 5)
        connection.execute(text("CREATE TABLE extra (value INTEGER)"))
        raise ZeroDivisionError


def test_two_writers_wait_for_each_other(store: Store, store_url: str) -> None:
    """Two processes' worth of writers add to one number: no addition is lost, nobody fails."""
    other = open_engine(store_url)
    threads = [
        threading.Thread(target=add_often, args=(one, amount)) for one, amount in ((store, 1), (other, 100))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()

    with store.read() as connection:
        assert 10 + 1000 == value(connection)


def add_often(store: Store, amount: int) -> None:
    """Ten transactions."""
    for _ in range(10):
        with store.write() as connection:
            add(connection, amount)


def test_a_writer_that_waited_sees_what_the_other_wrote(store: Store) -> None:
    """The wait comes first, the look second: a decision is never made on what was there before."""
    seen: list[int] = []
    with store.write() as connection:
        waiting = threading.Thread(target=look_and_add, args=(store, seen))
        waiting.start()
        time.sleep(0.2)
        add(connection, 7)
        waited = list(seen)
    waiting.join()

    assert ([], [7]) == (waited, seen)


def look_and_add(store: Store, seen: list[int]) -> None:
    """Note what a writer sees."""
    with store.write() as connection:
        seen.append(value(connection))
        add(connection, 1)


def test_a_read_cannot_see_half_a_write(store: Store) -> None:
    """Two numbers that change together are seen together, even when they are read one after the other."""
    with store.write() as connection:
        connection.execute(text("CREATE TABLE twin (name TEXT, value INTEGER)"))
        connection.execute(text("INSERT INTO twin VALUES ('a', 0), ('b', 0)"))
    stop = threading.Event()
    writer = threading.Thread(target=raise_both, args=(store, stop))
    writer.start()
    try:
        pairs = [both(store) for _ in range(60)]
    finally:
        stop.set()
        writer.join()

    assert [first for first, _ in pairs] == [second for _, second in pairs]
    assert len(set(pairs)) > 3, "the writer was too slow to prove anything"


def raise_both(store: Store, stop: threading.Event) -> None:
    """Add one to both numbers, one after the other, until told to stop."""
    change = text("UPDATE twin SET value = value + 1 WHERE name = :name")
    while not stop.is_set():
        with store.write() as connection:
            for name in ("a", "b"):
                connection.execute(change, {"name": name})


def both(store: Store) -> tuple[int, int]:
    """The two numbers, by two statements of one read."""
    find = text("SELECT value FROM twin WHERE name = :name")
    with store.read() as connection:
        first = connection.execute(find, {"name": "a"}).scalar_one()
        time.sleep(0.002)
        return first, connection.execute(find, {"name": "b"}).scalar_one()


# ---------------------------------------------------------------------------------------------- settings


def test_sqlite_is_set_up_for_many_readers(sqlite_url: str) -> None:
    """Write-ahead log, foreign keys, and two minutes of patience on every connection."""
    store = open_engine(sqlite_url)
    with store.read() as connection:
        found = [
            connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    store.close()

    assert ["wal", 1, 120_000] == found


@pytest.mark.parametrize(
    "name", ["plain.db", "with space.db", "50%25 #1.db", "ñandú.db", "a&b=c.db", "what?.db"]
)
def test_any_path_has_an_address(tmp_path: Path, name: str) -> None:
    """A database is made where it was asked for, whatever the path is called."""
    path = tmp_path / name
    store = open_engine(sqlite_address(path))
    with store.write() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    store.close()

    assert path.name in {found.name for found in tmp_path.iterdir()}


def test_which_database_it_is(store: Store, store_url: str) -> None:
    """Embedded or not is told by the dialect."""
    assert store_url.startswith("sqlite") == store.is_sqlite


# ---------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("url", ["", "nonsense", "/var/lib/opsd.db", "http//x", "sqlite//x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    """A path alone is no address; the message shows one that is."""
    with pytest.raises(StoreError, match="write sqlite:////abs/path"):
        open_engine(url)


@pytest.mark.parametrize("scheme", ["mysql", "postgres", "oracle+oracledb", "https"])
def test_other_databases_are_refused_without_telling_the_password(scheme: str) -> None:
    """Only two kinds of database fit; the refusal can be shown to anybody."""
    with pytest.raises(StoreError, match="opsd stores in SQLite or PostgreSQL") as caught:
        open_engine(f"{scheme}://opsd:{SECRET}@db.example/opsd")

    assert SECRET not in str(caught.value)


def test_a_mistyped_url_does_not_tell_the_password() -> None:
    """Even an address that cannot be read is shown without what stands before the @."""
    with pytest.raises(StoreError) as caught:
        open_engine(f"postgresql//opsd:{SECRET}@db.example/opsd")

    assert SECRET not in str(caught.value)


def test_the_shown_address_has_no_password() -> None:
    """What messages and logs call the database keeps its secret."""
    shown = open_engine(f"postgresql://opsd:{SECRET}@db.example/opsd").shown

    assert SECRET not in shown
    assert "opsd:***@db.example/opsd" in shown


def failure(kind: type[exc.DBAPIError], said: str) -> exc.DBAPIError:
    """A driver's failure as SQLAlchemy hands it on."""
    cause: Any = sqlite3.OperationalError(said)
    return kind("SELECT 1", {}, cause)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("database or disk is full", "nothing is counted twice"),
        ("disk I/O error", "check space and health"),
        ("could not extend file: No space left on device", "free some space"),
        ("attempt to write a readonly database", "owner and permissions"),
        ("unable to open database file", "folder exists"),
        ("file is not a database", "check the path"),
        ("database disk image is malformed", "restore a backup"),
        ("database is locked", "try again"),
        ("no such table: run", "opsd db upgrade"),
        ('relation "run" does not exist', "opsd db upgrade"),
        ("permission denied for table run", "grant it"),
    ],
)
@pytest.mark.parametrize("kind", [exc.OperationalError, exc.DatabaseError])
def test_a_failure_says_which_database_and_what_to_do(
    kind: type[exc.DBAPIError], said: str, advice: str
) -> None:
    """The database, the driver's words, and a remedy, for a person and without a traceback."""
    with pytest.raises(StoreError, match=advice) as caught, explained("sqlite:///x.db"):
        raise failure(kind, said)

    assert str(caught.value).startswith(f"database sqlite:///x.db: {said}: ")


def test_a_plain_driver_failure_is_explained_too() -> None:
    """Also what did not pass through SQLAlchemy, and only the first line of what was said."""
    with pytest.raises(StoreError) as caught, explained("db"):
        raise sqlite3.OperationalError("out of luck\nHINT: a long story")

    assert "database db: out of luck" == str(caught.value)


def test_a_bug_is_not_explained_away() -> None:
    """A broken constraint is opsd's own mistake and keeps its traceback; so does everything else."""
    broken = failure(exc.IntegrityError, "UNIQUE constraint failed: run.id")
    with pytest.raises(exc.IntegrityError), explained("db"):
        raise broken
    with pytest.raises(KeyError), explained("db"):
        raise KeyError


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """Opening something else says so, and leaves it as it was."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header of its own\n" * 20)
    before = path.read_bytes()
    store = open_engine(sqlite_address(path))

    with pytest.raises(StoreError, match=r"notes\.txt: file is not a database: .*check the path"):
        look(store)

    store.close()
    assert before == path.read_bytes()


def look(store: Store) -> None:
    """Read anything."""
    with store.read() as connection:
        connection.execute(text("SELECT count(*) FROM sqlite_master"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The path is named, and what to check."""
    store = open_engine(sqlite_address(tmp_path / "missing" / "opsd.db"))

    with pytest.raises(StoreError, match=r"missing/opsd\.db: unable to open database file: .*folder exists"):
        look(store)
    store.close()


@pytest.mark.postgresql
def test_a_postgresql_database_that_is_not_there(postgres_url: str) -> None:
    """The missing database is named; the password is not."""
    password = open_engine(postgres_url).engine.url.password
    store = open_engine(postgres_url + "_missing")

    with pytest.raises(StoreError, match=r"_missing.*does not exist.*create the database") as caught:
        look(store)
    store.close()

    assert isinstance(password, str)
    assert password not in str(caught.value)


def test_a_server_that_does_not_answer() -> None:
    """A refused connection is a message about the database, not a traceback."""
    store = open_engine(f"postgresql://opsd:{SECRET}@127.0.0.1:1/opsd")

    with pytest.raises(
        StoreError, match=r"database postgresql\+psycopg://opsd:\*\*\*@127\.0\.0\.1:1/opsd"
    ) as caught:
        look(store)
    store.close()

    assert SECRET not in str(caught.value)
