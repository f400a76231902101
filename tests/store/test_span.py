"""From when to when the database knows any use."""

from __future__ import annotations

import random

from opsd.core.shape import Inventory
from opsd.store import imports, migrate
from opsd.store.engine import open_engine
from opsd.store.span import Span, span
from opsd.store.write import Writer
from tests.pipeline.small_world import records


def test_the_span_is_from_the_first_run_to_the_last(store_url: str) -> None:
    """Runs that never held anything have no place in it; without runs there is none."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    rows = records(random.Random(1), 60)
    begins = [max(row.start, row.submit) for row in rows if row.start is not None and row.tres]
    with store.write() as connection:
        before = span(connection)
        number = imports.open_import(connection, "test", 0, 0)
        Writer(connection, Inventory((), lambda text: [text]), number, 0).batch(connection, rows)
        after = span(connection)
    store.close()

    assert before is None
    assert Span(min(begins), max(begins)) == after
