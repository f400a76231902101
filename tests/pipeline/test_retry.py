"""Quarantined records read again: once, whole, and with the time at which they were seen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from collectors.slurm.layout import Layout
from opsd.core.errors import BadInput
from opsd.core.period import DAY, HOUR, Window
from opsd.pipeline import retry, usage
from opsd.store import imports, migrate, tables
from opsd.store.engine import Store, open_engine

T = 20_700 * DAY
SEEN, NOW = T + DAY, T + 9 * DAY
COLUMNS = ("JobIDRaw", "Submit", "Start", "End", "State", "Account", "AllocTRES", "User")
LAYOUT = Layout(COLUMNS, "|", cluster="mn5").to_json()
GOOD = f"7|{T}|{T}|{T + HOUR}|COMPLETED|es-a|cpu=4,node=1|ana\n"
BAD = f"8|{T}|{T}|no time at all|COMPLETED|es-a|cpu=4,node=1|ana\n"
STEP = f"7.batch|{T}|{T}|{T + HOUR}|COMPLETED|es-a|cpu=4,node=1|\n"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind."""
    store = open_engine(store_url)
    migrate.upgrade(store)
    yield store
    store.close()


def set_aside(store: Store, *texts: str, seen: int = SEEN, kept: int | None = None) -> list[int]:
    """Put records in quarantine, as an earlier opsd that could not read them; returns their ids."""
    with store.write() as connection:
        for place, text in enumerate(texts):
            data = text.encode()
            digest = hashlib.sha256(data).hexdigest()
            bad = imports.Bad(
                "old.psv", place * 100, place + 2, digest, len(data), data[:kept], LAYOUT, "odd"
            )
            imports.set_aside(connection, [bad], seen, seen)
        return [entry["id"] for entry in imports.quarantined(connection)]


def again(store: Store, *ids: int) -> tuple[int, list[int]]:
    """Retry: (how many were resolved, ids of those that wait)."""
    found = retry.run(store, ids, now=NOW)
    return found.resolved, [number for number, _ in found.waiting]


def waiting(store: Store) -> int:
    """How many records await someone."""
    with store.read() as connection:
        return imports.quarantine_count(connection)


def stored(store: Store, table: Any, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of a table."""
    with store.read() as connection:
        return [tuple(line) for line in connection.execute(select(*(table.c[name] for name in names)))]


def cpu_seconds(store: Store) -> int:
    """All there is."""
    with store.read() as connection:
        return usage.run(connection, Window(T - DAY, T + 99 * DAY)).total.cpu_seconds


def test_a_record_that_can_be_read_now_is_stored_once(store: Store) -> None:
    """It counts as seen when it was seen, is resolved, and a second retry finds nothing to do."""
    (number,) = set_aside(store, GOOD)

    assert (1, []) == again(store)
    assert ([(7, SEEN)], 4 * HOUR, 0) == (
        stored(store, tables.run, "job_id", "observed_at"), cpu_seconds(store), waiting(store),
    )  # fmt: skip
    assert [(f"quarantine:{number}", SEEN, NOW, NOW, 1)] == stored(
        store, tables.import_log, "source", "observed_at", "started_at", "finished_at", "rows"
    )

    assert (0, []) == again(store)
    assert (0, []) == again(store, number)
    assert 4 * HOUR == cpu_seconds(store)


def test_a_record_that_is_still_bad_waits_on(store: Store) -> None:
    """One bad record costs its neighbours nothing, and says why it waits."""
    first, bad, last = set_aside(store, GOOD, BAD, GOOD.replace("7|", "9|"))

    found = retry.run(store, [], now=NOW)

    assert (2, [bad]) == (found.resolved, [number for number, _ in found.waiting])
    assert "no time at all" in found.waiting[0][1]
    assert ({7, 9}, 1) == ({job for (job,) in stored(store, tables.run, "job_id")}, waiting(store))
    assert (0, [bad]) == again(store, first, bad, last)


def test_only_the_chosen_records_are_tried(store: Store) -> None:
    """Ids given on the command line leave the others where they are."""
    first, _ = set_aside(store, GOOD, GOOD.replace("7|", "9|"))

    assert (1, []) == again(store, first)
    assert ([(7,)], 1) == (stored(store, tables.run, "job_id"), waiting(store))


def test_a_record_kept_in_part_is_never_half_read(store: Store) -> None:
    """Of a huge record only the beginning was kept, which may look like a whole one."""
    huge = GOOD + "and on, and on\n"
    (number,) = set_aside(store, huge, kept=len(GOOD))

    assert (0, [number]) == again(store)
    assert [] == stored(store, tables.run, "job_id")


def test_a_step_is_resolved_without_a_run(store: Store) -> None:
    """What turns out to be no allocation row is seen to, and nothing is counted."""
    set_aside(store, STEP)

    assert (1, []) == again(store)
    assert ([], 0) == (stored(store, tables.run, "job_id"), waiting(store))


def test_an_old_record_does_not_beat_a_newer_truth(store: Store) -> None:
    """Read late, it still counts as seen early: the later observation stands."""
    edited = GOOD.replace(str(T + HOUR), str(T + 2 * HOUR))
    set_aside(store, edited, seen=SEEN + 50)
    again(store)
    set_aside(store, GOOD, seen=SEEN)

    assert (1, []) == again(store)
    assert [(T + 2 * HOUR, 2)] == stored(store, tables.run, "end", "versions")


def test_an_id_that_does_not_exist_is_named(store: Store) -> None:
    """A typo in an id is an error, not silence."""
    with pytest.raises(BadInput, match="quarantine 4711: no such record"):
        again(store, 4711)
