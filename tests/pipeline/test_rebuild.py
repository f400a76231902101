"""Rebuilding facts: only what is stale, all of it, in steps that may be interrupted."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import select, update

from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.pipeline import rebuild, usage
from opsd.pipeline.rebuild import Result
from opsd.store import facts, imports, migrate, read, tables
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer
from tests.pipeline.small_world import BASE, records

WINDOW = Window(BASE - 9 * DAY, BASE + 20 * DAY)
SEEN = BASE + 9 * DAY


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The small world, every fact stale."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    write(store, records(random.Random(1), 150))
    yield store
    store.close()


def write(store: Store, rows: Sequence[RunRecord], observed_at: int = SEEN) -> None:
    """Store runs as one reading."""
    with store.write() as connection:
        number = imports.open_import(connection, "test", observed_at, observed_at)
        Writer(connection, Inventory((), lambda text: [text]), number, observed_at).batch(connection, rows)


def all_facts(store: Store, **having: int) -> list[tuple[int, ...]]:
    """The fact table, or what of it has some values."""
    query = select(tables.day_fact).filter_by(**having)
    with store.read() as connection:
        return sorted(tuple(row) for row in connection.execute(query))


def stale(store: Store) -> int:
    """How many cells await a rebuild."""
    with store.read() as connection:
        return facts.dirty_count(connection)


def used(store: Store) -> usage.Usage:
    """Usage by account, user and state."""
    with store.read() as connection:
        return usage.run(connection, WINDOW, ("account", "user", "state"))


def row(job_id: int, account: str, **columns: object) -> RunRecord:
    """An hour on the first day."""
    plain: dict[str, object] = {
        "cluster": "mn5", "job_id": job_id, "submit": BASE, "start": BASE, "end": BASE + HOUR,
        "state": "COMPLETED", "account": account, "tres": "cpu=4,node=1", "hash": job_id, **columns,
    }  # fmt: skip
    return RunRecord(**plain)  # type: ignore[arg-type]


def test_the_second_time_there_is_nothing_to_do(store: Store) -> None:
    """All stale cells are rebuilt once, usage stays what it was, and a second rebuild is empty."""
    waiting, before = stale(store), used(store)

    first = rebuild.run(store)

    assert (waiting, 0) == (first.cells, stale(store))
    assert Result(0, 0) == rebuild.run(store)
    assert before == used(store)
    assert all_facts(store)


def test_progress_rises_to_the_whole(store: Store) -> None:
    """Each step reports how many of the waiting cells are done, the last one all of them."""
    waiting, told = stale(store), list[tuple[int, int]]()

    rebuild.run(store, lambda done, whole: told.append((done, whole)))

    assert [waiting] * len(told) == [whole for _, whole in told]
    assert sorted(told) == told
    assert (waiting, waiting) == told[-1]


def test_an_interrupted_rebuild_can_go_on(store: Store) -> None:
    """What was built stays, what was not is still stale, and usage is right at every moment."""
    waiting, before = stale(store), used(store)

    with pytest.raises(KeyboardInterrupt):
        rebuild.run(store, interrupt)
    left = stale(store)

    assert 0 < left < waiting
    assert before == used(store)
    assert left == rebuild.run(store).cells
    assert before == used(store)


def interrupt(done: int, whole: int) -> None:
    """Stop after the first step."""
    raise KeyboardInterrupt


def test_any_steps_build_the_same_facts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One day at a time or all at once, some accounts by name or all of them."""
    rebuild.run(store)
    expected = all_facts(store)
    for runs_per_step, named_accounts in ((1, 200), (10**9, 200), (1, 1), (10**9, 1)):
        monkeypatch.setattr(rebuild, "_RUNS_PER_STEP", runs_per_step)
        monkeypatch.setattr(facts, "_NAMED_ACCOUNTS", named_accounts)
        rebuild.everything(store)
        assert expected == all_facts(store), (runs_per_step, named_accounts)


def test_only_stale_cells_are_touched(store: Store) -> None:
    """A rebuild reads and writes the cells that changed; a full one repairs whatever is wrong."""
    rebuild.run(store)
    write(store, [row(9_001, "es-a")])
    with store.write() as connection:
        (account,) = [
            number for number, name in read.names(connection).accounts.items() if name == ("mn5", "es-a")
        ]
        other = tables.day_fact.c.account_id != account
        connection.execute(update(tables.day_fact).where(other).values(starts=77))
        stray = dict.fromkeys((column.name for column in tables.day_fact.c), account) | {
            "day": 1,
            "starts": 77,
        }
        connection.execute(tables.day_fact.insert().values(stray))
    spoiled = all_facts(store, starts=77)

    assert 1 == rebuild.run(store).cells
    assert spoiled == all_facts(store, starts=77)
    assert spoiled

    rebuild.everything(store)
    assert [] == all_facts(store, starts=77)


def test_facts_of_what_is_no_usage_any_more_vanish(store: Store) -> None:
    """A run that turns out to have held nothing leaves no fact behind."""
    rebuild.run(store)
    before = all_facts(store)
    write(store, [row(9_001, "new")])
    rebuild.run(store)
    assert len(before) + 1 == len(all_facts(store))

    write(store, [row(9_001, "new", tres="", hash=5)], SEEN + 1)
    rebuild.run(store)

    assert before == all_facts(store)


def test_a_full_rebuild_of_nothing(sqlite_url: str) -> None:
    """An empty database is rebuilt at once, and its progress is never told."""
    store = open_engine(sqlite_url)
    migrate.upgrade(store)

    assert Result(0, 0) == rebuild.everything(store, interrupt)
    store.close()


@pytest.mark.parametrize(
    ("days", "found", "expected"),
    [
        (1, 0, 4),
        (1, 30_000, 1),
        (1, 10**9, 1),
        (4, 60_000, 2),
        (4, 10, 16),
        (64, 0, 64),
        (16, 1, 64),
        (7, 70_000, 3),
    ],
)
def test_steps_keep_near_the_aim(days: int, found: int, expected: int) -> None:
    """Steps grow at most fourfold, shrink at once, and never exceed 64 days or fall to none."""
    assert expected == rebuild._next_days(days, found)
