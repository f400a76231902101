"""The table of steps, and notes that do not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opsd.core.errors import StoreError
from opsd.store import engine, migrate, steps
from opsd.store.engine import Store, open_engine
from opsd.store.steps import DONE, FAILED, Last

FIRST = Last("ingest", 1, message="process 1 on here")
WHOLE = Last("ingest", 1, 3, 3, 1_500, DONE, "", 0, 301)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database with its tables."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    yield store
    store.close()


def test_a_row_is_replaced_whole(store: Store) -> None:
    """The later note counts, each of its columns; other steps keep theirs."""
    other = Last("balances", 5, 6, None, 10, FAILED, "it broke: naïve 'quotes'", 7)
    for row in (WHOLE, other, FIRST):
        steps.note(store, row)

    with store.read() as connection:
        assert {"ingest": FIRST, "balances": other} == steps.last(connection)


def test_a_note_beside_a_long_write(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite has one writer: the note gives up soon. PostgreSQL takes it beside the other's."""
    monkeypatch.setattr(engine, "_NOTE_WAIT_MS", 10)
    monkeypatch.setattr(engine, "_LOCK_STEP_MS", 10)
    with store.write():
        if store.is_sqlite:
            with pytest.raises(StoreError, match="is locked"):
                steps.note(store, WHOLE)
        else:
            steps.note(store, WHOLE)
    steps.note(store, WHOLE)

    with store.read() as connection:
        assert {"ingest": WHOLE} == steps.last(connection)
