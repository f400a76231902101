"""What was closed is verified: a flipped byte anywhere is found and named, on both engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

import pytest
from sqlalchemy import Connection, text

from opsd.core.errors import StoreError, WrongUsage
from opsd.pipeline import close, editions, verify
from opsd.pipeline.verify import Means, Verified
from opsd.store import editions as kept
from opsd.store import parties
from opsd.store.editions import File
from opsd.store.engine import Store, open_engine
from tests.pipeline import closing_world
from tests.pipeline.closing_world import MEANS

FROZEN = ("journal", "edition", "edition_record", "edition_runs", "edition_file")
SAME, OTHER = Means(MEANS.render, MEANS.program), Means(MEANS.render, "e" * 64)


class Flip(NamedTuple):
    """One change of what is frozen, and what must be said of it."""

    table: str
    column: str
    where: str
    said: str


FIRST_LINE = "SELECT MIN(number) FROM edition_record WHERE kind = 'lines' AND edition_id = 1"
# A bit of the last character or byte but two of a column is turned.
FLIPS = (
    Flip("edition_record", "text", f"number = ({FIRST_LINE}) AND edition_id = 1",
         "edition 2026-08/1: line aiup/"),
    Flip("edition_record", "text", "kind = 'header' AND edition_id = 2",
         "edition 2026-09/1: record 1 (header)"),
    Flip("edition_record", "sha256", "kind = 'balances' AND edition_id = 2", "(balances) of A1: changed"),
    Flip("edition_runs", "content", "edition_id = 1", "edition 2026-08/1: runs of 2026-08: changed"),
    Flip("edition_runs", "sha256", "edition_id = 2 AND period = '2026-08'", "runs of 2026-08: changed"),
    Flip("edition_file", "content", "edition_id = 1",
         "edition 2026-08/1: file opsd-2026-08.txt: 1 byte differs at "),
    Flip("edition_file", "sha256", "edition_id = 1", "file opsd-2026-08.txt: its digest is changed"),
    Flip("edition_file", "name", "edition_id = 1", "file opsd-2026-08.txt: missing"),
    Flip("edition", "digest", "id = 1", "edition 2026-08/1: its digest is not the one in journal entry "),
    Flip("edition", "digests", "id = 1", "edition 2026-08/1: digests changed: "),
    Flip("journal", "reason", "kind = 'close' AND subject = '2026-08/1'", "journal: entry "),
    Flip("journal", "digest", "kind = 'correction'", "does not vouch for its correction of 2026-08"),
)  # fmt: skip


@pytest.fixture(scope="module")
def flipped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Two closed months with a correction; no trigger guards them any more."""
    store = _closed(f"sqlite:///{tmp_path_factory.mktemp('verify') / 'a.db'}")
    yield store
    store.close()


def _closed(url: str) -> Store:
    held = closing_world.world(5, 40)
    store = closing_world.stored(url, held)
    assert closing_world.closed(store, "2026-08").edition
    closing_world.longer(store, held, "2026-08")
    assert closing_world.closed(store, "2026-09").edition
    with store.write() as connection:
        for table in FROZEN:
            _unguard(connection, table)
    return store


def _unguard(connection: Connection, table: str) -> None:
    if connection.dialect.name == "sqlite":
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
    else:
        connection.execute(text(f"DROP TRIGGER {table}_append_only ON {table}"))


def verified(store: Store, means: Means = SAME, period: str | None = None) -> Verified:
    """What is said."""
    with store.read() as connection:
        return verify.run(connection, period, means)


def _turned(value: str | bytes) -> str | bytes:
    if isinstance(value, bytes):
        return value[:-3] + bytes([value[-3] ^ 1]) + value[-2:]
    return value[:-3] + chr(ord(value[-3]) ^ 1) + value[-2:]


def _flip(store: Store, flip: Flip) -> Callable[[], None]:
    """Turn a bit; returns what turns it back."""
    with store.write() as connection:
        was = (
            connection.execute(text(f"SELECT {flip.column} FROM {flip.table} WHERE {flip.where}"))
            .scalars()
            .first()
        )
    assert was
    set_to = text(f"UPDATE {flip.table} SET {flip.column} = :now WHERE {flip.column} = :was AND {flip.where}")

    def turn(old: str | bytes, new: str | bytes) -> None:
        with store.write() as connection:
            assert 1 == connection.execute(set_to, {"was": old, "now": new}).rowcount

    turn(was, _turned(was))
    return lambda: turn(_turned(was), was)


@pytest.mark.parametrize(
    "flip", FLIPS, ids=[f"{flip.table}-{flip.column}-{place}" for place, flip in enumerate(FLIPS)]
)
def test_a_flipped_bit_is_named(flipped: Store, flip: Flip) -> None:
    """By the edition and the line, run list, file or entry that it is in; without it all is well."""
    back = _flip(flipped, flip)
    faults = verified(flipped).faults
    back()

    assert [fault for fault in faults if flip.said in fault], faults
    assert [] == verified(flipped).faults


def _read_all(store: Store) -> None:
    """Whatever a report, a correction or an auditor's copy is made of."""
    with store.read() as connection:
        for edition in kept.every(connection):
            editions.reported(connection, edition.period, edition.number)
            editions.closing(connection, edition)
            editions.runs(connection, edition)
            kept.files(connection, edition)
            kept.latest_runs(connection, "2026-08", [edition.id])
        close.pending(connection)


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 5, 6])
def test_no_number_is_made_of_what_was_changed(flipped: Store, place: int) -> None:
    """Reports, corrections and copies of files refuse a flipped bit, and say how to learn more."""
    back = _flip(flipped, FLIPS[place])
    try:
        with pytest.raises(StoreError, match=r"is not as it was frozen: .* opsd period verify says more"):
            _read_all(flipped)
    finally:
        back()
    _read_all(flipped)


@pytest.mark.parametrize("lost", ["edition_record WHERE edition_id = 1", "edition_runs WHERE edition_id = 2"])
def test_no_number_is_made_of_what_is_left(sqlite_url: str, lost: str) -> None:
    """Nor where records or runs are gone."""
    store = _closed(sqlite_url)
    with store.write() as connection:
        connection.execute(text(f"DELETE FROM {lost}"))
    with pytest.raises(StoreError, match="is not as it was frozen"):
        _read_all(store)
    store.close()


@pytest.mark.parametrize("digests", ["[1]", "null", "7"])
def test_digests_that_are_none_are_named(sqlite_url: str, digests: str) -> None:
    """What is JSON, but nothing like digests, is told as changed."""
    store = _closed(sqlite_url)
    with store.write() as connection:
        connection.execute(text("UPDATE edition SET digests = :it WHERE id = 1"), {"it": digests})
    assert [one for one in verified(store).faults if "edition 2026-08/1: digests changed: " in one]
    store.close()


def test_flipped_on_every_engine(store_url: str) -> None:
    """A record, a run list, a file and an entry of the journal, all at once, are all named."""
    store = _closed(store_url)
    assert [] == verified(store).faults
    chosen = [FLIPS[place] for place in (0, 3, 5, 10)]
    for flip in chosen:
        _flip(store, flip)
    faults = verified(store).faults

    # Where a record is changed, files cannot be written from it, and their digests must tell.
    said = [flip.said.replace("1 byte differs at ", "changed") for flip in chosen]
    assert [] == [words for words in said if not any(words in fault for fault in faults)], faults
    store.close()


def test_what_is_verified_is_counted(flipped: Store) -> None:
    """Editions, files written again by the same program; by another one, digests alone."""
    found = verified(flipped)
    assert (2, 2, 2, (), []) == (
        found.editions, found.files, found.written_again, found.other_program, found.faults,
    )  # fmt: skip
    other = verified(flipped, OTHER, "2026-09")
    assert (1, 0, ("2026-09/1",), []) == (
        other.editions, other.written_again, other.other_program, other.faults,
    )  # fmt: skip


def test_a_program_that_writes_otherwise_is_found(flipped: Store) -> None:
    """The same digest of the program, and other bytes: the file and the place are named."""
    means = Means(
        lambda made: tuple(File(f.name, f.content + b"!") for f in MEANS.render(made)), MEANS.program
    )
    faults = verified(flipped, means, "2026-08").faults
    assert 1 == len(faults)
    assert "file opsd-2026-08.txt: " in faults[0]
    assert "the first difference is at " in faults[0]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM edition_file WHERE edition_id = 1", "file opsd-2026-08.txt: missing"),
        ("DELETE FROM edition_record WHERE number = 7", "edition 2026-08/1: record 7: missing"),
        ("DELETE FROM edition_runs WHERE edition_id = 1", "edition 2026-08/1: runs of 2026-08: missing"),
        ("DELETE FROM edition WHERE id = 2", "edition 2026-09/1: missing: journal entry "),
        ("UPDATE edition SET made_at = 1 WHERE id = 1", "edition 2026-08/1: time of closing changed"),
        ("DELETE FROM journal WHERE kind = 'correction'", "is missing: the next is entry "),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(
    tmp_path_factory: pytest.TempPathFactory, flipped: Store, statement: str, said: str
) -> None:
    """In a copy, from which something was taken."""
    path = tmp_path_factory.mktemp("copy") / "b.db"
    with (
        closing(sqlite3.connect(str(flipped.engine.url.database))) as source,
        closing(sqlite3.connect(path)) as copy,
    ):
        source.backup(copy)
        copy.execute(statement)
        copy.commit()
    store = open_engine(f"sqlite:///{path}")
    faults = verified(store).faults
    store.close()
    assert [fault for fault in faults if said in fault], faults


def test_only_what_is_closed_is_verified(flipped: Store) -> None:
    """Another month is refused with what there is."""
    with pytest.raises(WrongUsage, match="'2026-10' is not closed"):
        verified(flipped, period="2026-10")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("journal SET amount = 1.5 WHERE id = 1", "journal entry 1 cannot be read: its amount is 1.5"),
        ("journal SET amount = 'x' WHERE id = 1", "journal entry 1 cannot be read"),
        ("journal SET at = 99999999999999 WHERE id = 1", "its at is 99999999999999: opsd journal verify"),
        ("journal SET reason = x'ff' WHERE id = 1", "journal entry 1 cannot be read"),
        ("journal SET kind = 'zz' WHERE id = 1", "journal entry 1 cannot be read: unknown kind: 'zz'"),
        ("edition SET start = 'abc' WHERE id = 1", "edition 2026-08/1 is not as it was frozen: its start is"),
        ("edition SET made_at = 99999999999999 WHERE id = 1", "its made_at is 99999999999999"),
    ],
)
def test_what_nobody_can_have_written_is_said(sqlite_url: str, change: str, said: str) -> None:
    """Where SQLite holds what its column is not made for, whoever reads it says so."""
    store = _closed(sqlite_url)
    with store.write() as connection:
        connection.execute(text(f"UPDATE {change}"))
    read = parties.journal if change.startswith("journal") else kept.every
    with store.read() as connection, pytest.raises(StoreError) as refused:
        read(connection)
    assert said in str(refused.value)
    store.close()
