"""Housekeeping: what is forgotten, and what never is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from opsd.core.measured import Measured
from opsd.core.period import DAY, HOUR
from opsd.pipeline import housekeeping
from opsd.store import imports, tables
from opsd.store.engine import Store, open_engine
from tests.fakes import books
from tests.fakes.consortia import CLUSTER
from tests.fakes.measured import store_records

LATER = books.NOW + 31 * DAY


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The small database, whose runs trace back to reading 1."""
    store = open_engine(store_url)
    books.fill(store)
    yield store
    store.close()


def reading(store: Store, at: int, *, ended: bool = True, **counts: int) -> int:
    """A reading in the log."""
    with store.write() as connection:
        number = imports.open_import(connection, "sacct", at, at)
        if counts:
            imports.count_import(connection, number, **counts)
        if ended:
            imports.close_import(connection, number, at)
    return number


def readings(store: Store) -> list[int]:
    """What the log holds."""
    with store.read() as connection:
        return list(connection.scalars(select(tables.import_log.c.id).order_by(tables.import_log.c.id)))


def test_idle_readings_are_forgotten_after_thirty_days(store: Store) -> None:
    """Those that found nothing; the young ones stay, and a second time there is nothing to do."""
    reading(store, books.NOW, unchanged=7)
    young = reading(store, LATER - 29 * DAY, unchanged=7)

    assert 1 == housekeeping.run(store, now=LATER).readings_forgotten
    assert [1, young] == readings(store)
    assert 0 == housekeeping.run(store, now=LATER).readings_forgotten


@pytest.mark.parametrize("counts", [{"new": 1}, {"changed": 1}, {"quarantined": 1}])
def test_readings_that_found_something_stay(store: Store, counts: dict[str, int]) -> None:
    """However old."""
    number = reading(store, books.NOW, **counts)

    housekeeping.run(store, now=LATER)
    assert number in readings(store)


def test_a_reading_that_never_ended_stays(store: Store) -> None:
    """It may still be under way, or tell of a night that went wrong."""
    number = reading(store, books.NOW, ended=False)

    housekeeping.run(store, now=LATER)
    assert number in readings(store)


def test_a_reading_that_runs_trace_back_to_stays(store: Store) -> None:
    """Runs seen again without news belong to the reading that saw them last."""
    seen_again, version_of = reading(store, books.NOW, unchanged=1), reading(store, books.NOW, unchanged=1)
    with store.write() as connection:
        run = tables.run
        connection.execute(run.update().where(run.c.job_id == 3).values(import_id=seen_again))
        columns = {
            name: run.c[name] for name in (column.name for column in tables.run_version.c) if name in run.c
        }
        kept = select(*columns.values(), run.c.id.label("run_id"), tables.shape.c.tres).where(
            run.c.job_id == 1, tables.shape.c.id == run.c.shape_id
        )
        row = dict(connection.execute(kept).mappings().one()) | {"import_id": version_of}
        connection.execute(tables.run_version.insert().values(row))

    housekeeping.run(store, now=LATER)
    assert [1, seen_again, version_of] == readings(store)


def test_nothing_else_is_touched(store: Store) -> None:
    """Runs, journal, facts and the rest are as many as before."""

    def sizes() -> dict[str, int]:
        with store.read() as connection:
            return {
                name: connection.scalar(select(func.count()).select_from(table)) or 0
                for name, table in tables.METADATA.tables.items()
            }

    before = sizes()
    housekeeping.run(store, now=LATER)

    assert before == sizes()


def test_the_write_ahead_log_is_emptied(sqlite_url: str) -> None:
    """Unless somebody reads an old state: then it waits for another day, and nobody for it."""
    store = open_engine(sqlite_url)
    books.fill(store)
    with store.read() as reader:
        imports.quarantine_count(reader)
        reading(store, books.NOW)
        assert not housekeeping.run(store, now=books.NOW).log_emptied

    assert housekeeping.run(store, now=books.NOW).log_emptied
    store.close()


def test_records_find_their_runs_late(store: Store) -> None:
    """A record of weeks ago whose run the accounting told otherwise since is looked at once more."""
    did = Measured(1, "GPU-1", books.T + 5, books.T + 2 * HOUR, allocated_ms=7_195_000)
    store_records(store, {(CLUSTER, 1): [did]}, matched=False)

    assert [1, 0] == [housekeeping.run(store, now=books.T + 29 * DAY).matched for _ in range(2)]
