"""Editions in the database: they come back as they were added, and cannot be changed."""

from __future__ import annotations

import pytest
from sqlalchemy import exc, text

from opsd.core import canonical
from opsd.core.errors import StoreError
from opsd.core.journal import Entry
from opsd.store import editions, migrate, parties
from opsd.store.editions import Edition, File, RunList
from opsd.store.engine import Connection, Store, open_engine

RECORDS = [("header", '{"a":1}'), *(("lines", f'{{"n":{number}}}') for number in range(2_500))]
RUNS = [RunList("2026-10", 2, "one\ntwo\n"), RunList("2026-09", 1, "ü\n")]
PARTS = ("edition_record", "edition_runs", "edition_file")
FILES = [File("b.csv", b"\x00\xff"), File("a.json", b"{}")]


def frozen(connection: Connection, number: int = 1, runs: list[RunList] = RUNS) -> Edition:
    """An edition of everything above."""
    digest = editions.digest_of(RECORDS, runs, FILES)
    entry = Entry(9, 9, "close", "", "", 0, "x", "Ana", subject=f"2026-10/{number}", digest=digest)
    (posted,) = parties.post(connection, [entry])
    facts = {"facts": canonical.digest(runs[0].text)}
    edition = Edition("2026-10", number, 1, 2, "Europe/Madrid", 9, posted.id, len(RECORDS), digest, facts)
    return editions.add(connection, edition, RECORDS, runs, FILES)


@pytest.fixture
def store(store_url: str) -> Store:
    """An empty database of each engine."""
    found = open_engine(store_url)
    migrate.upgrade(found)
    return found


def test_an_edition_comes_back(store: Store) -> None:
    """Records in their order, by kind or all; files by name; run lists; each with its digest."""
    with store.write() as connection:
        edition = frozen(connection)
    with store.read() as connection:
        assert [edition] == editions.every(connection)
        assert RECORDS == editions.records(connection, edition)
        assert RECORDS[:1] == editions.records(connection, edition, ("header",))
        assert sorted(FILES) == editions.files(connection, edition)
        runs = list(editions.kept_runs(connection, edition))
        whole = editions.whole_digest(
            [record.sha256 for record in editions.kept_records(connection, edition)],
            {kept.kind: kept.sha256 for kept in runs},
            {kept.kind: kept.sha256 for kept in editions.kept_files(connection, edition)},
        )
    assert {"2026-10": b"one\ntwo\n", "2026-09": "ü\n".encode()} == {
        kept.kind: editions.inflated(kept.content) for kept in runs
    }
    assert edition.digest == whole
    store.close()


def test_the_last_run_list_of_chosen_editions(store: Store) -> None:
    """A later edition's list is taken only where that edition is among those asked for."""
    with store.write() as connection:
        first = frozen(connection)
        second = frozen(connection, 2, [RunList("2026-10", 1, "three\n")])
    with store.read() as connection:
        assert "three\n" == editions.latest_runs(connection, "2026-10", [first.id, second.id])
        assert "one\ntwo\n" == editions.latest_runs(connection, "2026-10", [first.id])
        assert "ü\n" == editions.latest_runs(connection, "2026-09", [first.id, second.id])
        with pytest.raises(StoreError, match="2026-08 is not as it was frozen: its runs are gone"):
            editions.latest_runs(connection, "2026-08", [first.id])
        found = [editions.find(connection, "2026-10", number) for number in (None, 1, 2, 3)]
    assert [second, first, second, None] == found
    store.close()


@pytest.mark.parametrize("verb", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}"], ids=["update", "delete"])
def test_the_database_refuses_changes(store: Store, verb: str) -> None:
    """Of any of an edition's tables, whoever asks for them."""
    with store.write() as connection:
        frozen(connection)
    for table, column in (("edition", "id"), *((name, "edition_id") for name in PARTS)):
        with pytest.raises(exc.DBAPIError, match="append-only"), store.engine.begin() as connection:
            connection.execute(text(verb.format(table, column)))
    store.close()
