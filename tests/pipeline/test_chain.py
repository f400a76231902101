"""The journal in the database: chained whoever writes, refused to change, checked as it is stored."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic import command
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from opsd.core.amounts import GPU_HOURS
from opsd.core.journal import FIRST, Entry
from opsd.pipeline import journal
from opsd.store import migrate, parties
from opsd.store.engine import Store, open_engine


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """A migrated database with an award and three entries."""
    store = open_engine(url)
    migrate.upgrade(store)
    with store.write() as connection:
        for statement in AN_AWARD:
            connection.execute(text(statement))
        parties.post(connection, [entry(reason) for reason in ("one", "two €", "three")])
    yield store
    store.close()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Such a database, of either kind."""
    with opened(store_url) as store:
        yield store


AN_AWARD = (
    "INSERT INTO organisation (id, name, country, kind, sector, parent) VALUES ('o', 'O', 'ES', '', '', '')",
    (
        "INSERT INTO funder (id, name, kind, country, parent, confirmed, source)"
        " VALUES ('f', 'F', 'state', 'ES', '', false, '')"
    ),
    "INSERT INTO pool (id, funder, name) VALUES ('p', 'f', '')",
    "INSERT INTO project (id, title, organisation, sector) VALUES ('x', 'X', 'o', '')",
    (
        "INSERT INTO award (id, project, pool, amount, unit, start, policy, mode, thresholds, grace_days)"
        " VALUES ('a', 'x', 'p', '100', 'gpu-hours', 0, 'g', '', '', 0)"
    ),
)


def entry(reason: str = "", **changes: object) -> Entry:
    """One that grants a little."""
    values: dict[str, object] = {
        "at": 0, "posted": 7, "kind": "grant", "award": "a", "unit": GPU_HOURS, "amount": 1, "author": "me",
    }  # fmt: skip
    return Entry(reason=reason, **(values | changes))  # type: ignore[arg-type]


def verified(store: Store) -> journal.Verified:
    """What a walk finds now."""
    with store.read() as connection:
        return journal.verify(connection)


def tampered(store: Store, statement: str) -> tuple[str, ...]:
    """What a walk finds after somebody who owns the database took its guards away and changed it."""
    with store.engine.connect() as connection:
        if store.is_sqlite:
            for verb in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER journal_no_{verb}"))
        else:
            connection.execute(text("ALTER TABLE journal DISABLE TRIGGER USER"))
        connection.execute(text(statement))
        found = journal.verify(connection).faults
        connection.rollback()
    return found


def test_what_was_posted_is_whole(store: Store) -> None:
    """Three entries, numbered from 1, whose head is the last one's hash."""
    with store.read() as connection:
        held = parties.journal(connection)
    assert [1, 2, 3] == [one.id for one in held]
    assert (3, held[-1].hash, ()) == verified(store)


def test_two_writers_at_once_give_one_chain(store: Store) -> None:
    """Each waits for the other: no number and no link is given twice, and nothing is lost."""
    together = threading.Barrier(2)

    def write(name: str) -> None:
        together.wait()
        for number in range(5):
            with store.write() as connection:
                parties.post(connection, [entry(f"{name} {number}"), entry(f"{name} {number} too")])

    writers = [threading.Thread(target=write, args=(name,)) for name in ("left", "right")]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    found = verified(store)
    assert (23, ()) == (found.entries, found.faults)


REFUSED = (
    ("UPDATE", "UPDATE journal SET amount = 2 WHERE id = 2"),
    ("UPDATE", "UPDATE journal SET reason = reason"),
    ("DELETE", "DELETE FROM journal WHERE id = 3"),
    ("DELETE", "DELETE FROM journal"),
)


def test_the_database_itself_refuses(store: Store) -> None:
    """Nobody changes or empties the journal by accident: the database says what it refuses, and stays."""
    before = verified(store)
    for verb, statement in REFUSED:
        refused = f"table journal is append-only: {verb} refused"
        with pytest.raises(DBAPIError, match=refused), store.engine.connect() as connection:
            connection.execute(text(statement))
    assert before == verified(store)


TAMPERED = {
    "UPDATE journal SET amount = 2 WHERE id = 2": "entry 2 was changed: it does not match its hash",
    "UPDATE journal SET kind = 'gift' WHERE id = 3": "entry 3 was changed: it does not match its hash",
    "UPDATE journal SET award = NULL WHERE id = 1": "entry 1 was changed: it does not match its hash",
    "UPDATE journal SET reason = 'two e' WHERE id = 2": "entry 2 was changed: it does not match its hash",
    "DELETE FROM journal WHERE id = 1": "entry 1 is missing: the next is entry 2",
}


def test_tampering_is_named(store: Store) -> None:
    """Whoever takes the guards away and changes a row, even into what no entry may be, is found out."""
    assert {statement: (fault,) for statement, fault in TAMPERED.items()} == {
        statement: tampered(store, statement) for statement in TAMPERED
    }


def test_postgresql_refuses_to_truncate(postgres_url: str) -> None:
    """The one statement that empties a table without deleting rows is refused as well; SQLite has none."""
    with opened(postgres_url) as store:
        refused = "table journal is append-only: TRUNCATE refused"
        with pytest.raises(DBAPIError, match=refused), store.engine.connect() as connection:
            connection.execute(text("TRUNCATE journal"))
        assert 3 == verified(store).entries


def test_a_damaged_byte_is_named(sqlite_url: str) -> None:
    """A text that SQLite can no longer read as one is a changed entry, no failure; PostgreSQL keeps none."""
    with opened(sqlite_url) as store:
        damaged = "UPDATE journal SET reason = CAST(X'74776FC3' AS TEXT) WHERE id = 2"
        assert ("entry 2 was changed: it does not match its hash",) == tampered(store, damaged)


def test_an_empty_journal_has_a_head(store_url: str) -> None:
    """Before anything was posted the head is what the first entry will have before it."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    assert (0, FIRST, ()) == verified(store)
    store.close()


def test_an_older_journal_is_chained_by_the_migration(store_url: str) -> None:
    """Entries of before, with gaps between their numbers, are numbered anew in their order, and verify."""
    store = open_engine(store_url)
    with store.write() as connection:
        config = migrate.configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
    with store.write() as connection:
        for statement in AN_AWARD:
            connection.execute(text(statement))
        for number, reason in ((2, "granted"), (3, "más tiempo"), (9, "İstanbul'da ă"), (40, "")):
            connection.execute(
                text(
                    "INSERT INTO journal (id, at, posted, kind, award, unit, amount, reason, author)"
                    " VALUES (:id, 5, 6, 'grant', 'a', 'gpu-hours', :amount, :reason, 'Ça')"
                ),
                {"id": number, "amount": number * 10**15, "reason": reason},
            )
    migrate.upgrade(store)

    with store.write() as connection:
        parties.post(connection, [entry("later")])
        held = parties.journal(connection)
    expected = [("granted", 2), ("más tiempo", 3), ("İstanbul'da ă", 9), ("", 40)]
    assert [(n, why, amount * 10**15) for n, (why, amount) in enumerate(expected, 1)] == [
        (one.id, one.reason, one.amount) for one in held[:4]
    ]
    assert [one.sealed for one in held] == [one.hash for one in held]
    assert (5, held[-1].hash, ()) == verified(store)
    store.close()
