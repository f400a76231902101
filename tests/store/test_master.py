"""Master data and journal in the database: every value comes back, and only differences are written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from sqlalchemy import BigInteger, Boolean, Integer, Text, create_engine, event

from opsd.core.amounts import GPU_HOURS, LARGEST
from opsd.core.changes import compare, merge
from opsd.core.consortium import KINDS, Consortium
from opsd.core.journal import Entry
from opsd.store import master, parties
from opsd.store.engine import Store, open_engine
from opsd.store.migrate import upgrade
from opsd.store.parties import JOURNAL_COLUMNS
from opsd.store.tables import METADATA
from tests.fakes.consortia import CONSORTIA, award, binding, consortium

_MEMORY = create_engine("sqlite://")
HEAVY = {"alembic", "pydantic", "rich", "sqlmodel"}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A database of either kind, with all tables."""
    opened = open_engine(store_url)
    upgrade(opened)
    yield opened
    opened.close()


def saved(store: Store, held: Consortium) -> Consortium:
    """What the database says after saving."""
    with store.write() as connection:
        parties.save(connection, parties.load(connection), held)
    with store.read() as connection:
        return parties.load(connection)


def test_an_empty_database_is_an_empty_consortium(store: Store) -> None:
    """Before the first apply there is nobody, and the book zone is UTC."""
    with store.read() as connection:
        assert Consortium(book_zone="UTC") == parties.load(connection)
        assert [] == parties.journal(connection)


def test_values_come_back(store: Store) -> None:
    """A consortium is loaded as it was saved, on SQLite and PostgreSQL."""
    held = consortium(award("one"), binding("a", "one", 1, 2, qos="q"))
    assert held == saved(store, held)


@given(CONSORTIA)
def test_any_values_come_back(held: Consortium) -> None:
    """Any value of any kind survives the database, whatever was there before (references unchecked)."""
    METADATA.create_all(_MEMORY)
    with _MEMORY.begin() as connection:
        before = parties.load(connection)
        expected = merge(before, held)
        parties.save(connection, before, expected)
        assert expected == parties.load(connection)


def test_settings_stay_unless_said(store: Store) -> None:
    """Left out they stay as they were; none at all is said by an empty list, and is kept."""
    first = saved(store, Consortium.of([], "Mini", "UTC", ["transfer", "credit"], 7))
    assert (("credit", "transfer"), 7, True) == (
        first.second_person,
        first.smallest_group,
        first.guards("credit"),
    )
    silent = Consortium.of([], "Other")
    assert merge(first, Consortium.of([], "Other", "UTC")) == saved(store, merge(first, silent))
    none = saved(store, merge(first, Consortium.of([], second_person=[])))
    assert ((), 7, False) == (none.second_person, none.smallest_group, none.guards("credit"))
    told = compare(first, none)[0].fields
    assert (("second_person", ("credit", "transfer"), ()),) == told


def test_only_differences_are_written(store: Store) -> None:
    """Saving what is there writes nothing; saving one change writes one row."""
    held = consortium(award("one"), binding("a", "one", 0, 5))
    saved(store, held)
    changed = merge(held, Consortium.of([binding("a", "one", 0, 9)], "Other"))
    written: list[str] = []

    @event.listens_for(store.engine, "before_cursor_execute")
    def _note(_c: object, _k: object, statement: str, *_rest: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            written.append(statement.split(maxsplit=1)[0] + " " + statement.replace("INTO ", "").split()[1])

    assert held == saved(store, held)
    assert [] == written
    assert changed == saved(store, changed)
    assert ["UPDATE consortium_setting", "UPDATE binding"] == written


def test_entries_come_back_in_order(store: Store) -> None:
    """The journal is read oldest first, with amounts of 64 bits, and numbered by the database."""
    saved(store, consortium(award("one")))
    entries = [
        Entry(at, 9, "grant", "one", GPU_HOURS, amount, "why", "me")
        for at, amount in ((5, LARGEST), (3, -LARGEST), (4, 1))
    ]
    with store.write() as connection:
        parties.post(connection, entries[:2])
        parties.post(connection, entries[2:])
        parties.post(connection, [])
    with store.read() as connection:
        found = parties.journal(connection)
    assert [(e.at, e.posted, e.amount) for e in entries] == [(e.at, e.posted, e.amount) for e in found]
    assert sorted({e.id for e in found}) == [e.id for e in found]
    assert all(e.id > 0 for e in found)


def test_columns_are_fields() -> None:
    """Every table declares the fields of its values as columns, keys as keys, with exact types."""
    assert master.JournalRow.__tablename__ in METADATA.tables
    for kind in KINDS:
        table = METADATA.tables[kind.table]
        assert kind.columns == tuple(column.name for column in table.columns)
        assert set(kind.key) == {column.name for column in table.primary_key}
    assert JOURNAL_COLUMNS == tuple(column.name for column in METADATA.tables["journal"].columns)
    for name in [kind.table for kind in KINDS] + ["journal", "consortium_setting"]:
        for column in METADATA.tables[name].columns:
            assert isinstance(column.type, Text | BigInteger | Boolean), (name, column)
            assert not isinstance(column.type, Integer) or isinstance(column.type, BigInteger)


def test_reading_loads_nothing_slow() -> None:
    """Attribution is read without sqlmodel, pydantic, alembic or rich, which would cost the start."""
    script = "import sys, opsd.store.parties, opsd.core.attribution; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert HEAVY.isdisjoint(found.stdout.split())
