"""When runs were suspended, from slurmdbd's tables: whatever comes first, and however often."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from sqlalchemy import delete, select

from collectors.slurm.content import content_hash
from opsd.core.errors import Unavailable
from opsd.core.flags import Flag
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.core.usage import spans
from opsd.pipeline import placement, rebuild, usage
from opsd.pipeline.placement import Result
from opsd.store import imports, migrate, read, tables
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.write import Tally, Writer

BASE = 20_700 * DAY
CPUS = 4


class Tables:
    """slurmdbd's suspend_table, as one may have told it; `asked` remembers each question."""

    def __init__(self, told: Mapping[int, str]) -> None:
        self.told = dict(told)
        self.asked: list[list[int]] = []
        self.fails_at: int | None = None

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """Only of those that ever were suspended."""
        self.asked.append(list(db_indexes))
        if self.fails_at == len(self.asked):
            raise Unavailable("slurmdbd's database is away")
        return {number: self.told[number] for number in db_indexes if self.told.get(number)}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One database of each kind for all tests here: making one takes longer than most of them."""
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            url = sqlite_address(tmp_path_factory.mktemp("placement") / "opsd.db")
        else:
            url = stack.enter_context(request.getfixturevalue("postgres_server").fresh_database())
        opened = open_engine(url)
        migrate.upgrade(opened)
        yield opened
        opened.close()


TABLES = (tables.run, tables.run_version, tables.day_fact, tables.dirty_cell, tables.import_log)


@pytest.fixture
def store(database: Store) -> Store:
    """An empty database."""
    clear(database)
    return database


def clear(store: Store) -> None:
    """Forget all runs."""
    with store.write() as connection:
        for table in TABLES:
            connection.execute(delete(table))


def row(job_id: int = 1, **columns: Any) -> RunRecord:
    """A run of four hours, two of them suspended, unless told otherwise; its DBIndex is 100 + job id."""
    values: dict[str, Any] = {
        "cluster": "mn5", "job_id": job_id, "submit": BASE, "start": BASE, "end": BASE + 4 * HOUR,
        "state": "COMPLETED", "account": "es-a", "tres": f"cpu={CPUS},node=1", "suspended": 2 * HOUR,
        "elapsed": 2 * HOUR, "db_index": 100 + job_id, **columns,
    }  # fmt: skip
    record = RunRecord(**values)
    return record._replace(hash=content_hash(record))


OPEN = {"end": None, "state": "SUSPENDED"}


def span(*hours: float) -> str:
    """Spans in hours after the start, as `RunRecord.suspensions`."""
    ends = [str(BASE + int(hour * HOUR)) for hour in hours] + [""] * (len(hours) % 2)
    return ",".join(f"{ends[at]}-{ends[at + 1]}" for at in range(0, len(ends), 2))


def write(store: Store, at_hour: float, *records: RunRecord) -> Tally:
    """Store what text said at an hour."""
    observed_at = BASE + int(at_hour * HOUR)
    with store.write() as connection:
        number = imports.open_import(connection, "text", observed_at, observed_at)
        return Writer(connection, Inventory((), lambda text: [text]), number, observed_at).batch(
            connection, records
        )


def place(store: Store, told: Tables | Mapping[int, str], at_hour: float = 100) -> Result:
    """Place what waits."""
    asked = told if isinstance(told, Tables) else Tables(told)
    return placement.run(store, asked, cluster="mn5", now=BASE + int(at_hour * HOUR))


def cpu_hours(store: Store, first: float, last: float) -> float:
    """CPU-hours of one CPU in a window of hours after BASE."""
    window = Window(BASE + int(first * HOUR), BASE + int(last * HOUR))
    with store.read() as connection:
        rows = usage.run(connection, window, ("cluster",)).rows
    return sum(line.measures.cpu_seconds for line in rows) / CPUS / HOUR


def kept(store: Store, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of the stored runs, by job."""
    with store.read() as connection:
        query = select(*(tables.run.c[name] for name in columns)).order_by(tables.run.c.job_id)
        return [tuple(line) for line in connection.execute(query)]


def everything(store: Store) -> list[list[Any]]:
    """All that is stored of runs, their versions and readings."""
    with store.read() as connection:
        found = (tables.run, tables.run_version, tables.import_log, tables.dirty_cell)
        return [[tuple(line) for line in connection.execute(select(table))] for table in found]


def stale(store: Store) -> int:
    """How many day facts wait to be rebuilt."""
    with store.read() as connection:
        return len(read.dirty_cells(connection, 0, 2**31 - 1))


# ------------------------------------------------------------------------------------------------ placing


def test_a_placed_run_is_cut_where_it_was_suspended(store: Store) -> None:
    """Not spread over the run any more: the window of its suspension has no cpu, the rest has all."""
    write(store, 5, row())
    assert (1.0, 2.0) == (cpu_hours(store, 0, 2), cpu_hours(store, 0, 4))
    assert [(int(Flag.SUSPENDED_UNPLACED),)] == kept(store, "flags")

    assert Result(1, 1) == place(store, {101: span(0.5, 2, 3, 3.5)})

    assert (0.5, 1.5, 2.0) == (cpu_hours(store, 0, 2), cpu_hours(store, 2, 4), cpu_hours(store, 0, 4))
    assert [(0,)] == kept(store, "flags")


def test_facts_follow_a_placement(store: Store) -> None:
    """Over midnight too: the days of a placed run are stale, and say afterwards what the run says."""
    write(store, 60, row(end=BASE + 2 * DAY, suspended=10 * HOUR), row(2, suspended=0))
    rebuild.run(store)

    place(store, {101: span(20, 30)})

    assert 2 == stale(store)
    before = [cpu_hours(store, 24 * day, 24 * day + 24) for day in (0, 1, 2)]
    rebuild.run(store)
    assert [20 + 4, 18, 0] == before == [cpu_hours(store, 24 * day, 24 * day + 24) for day in (0, 1, 2)]


def test_a_second_placement_changes_nothing(store: Store) -> None:
    """What has ended is asked for once, with an answer or without one."""
    write(store, 5, row(), row(2), row(3, suspended=0), row(4, cluster="aiup"), row(5, db_index=None))
    assert Result(2, 1) == place(store, {101: span(1, 3)})
    before = everything(store)

    told = Tables({101: span(1, 3), 102: span(1, 3)})
    assert Result(0, 0) == place(store, told)

    assert ([], before) == (told.asked, everything(store))
    assert [(span(1, 3),), ("",), (None,), (None,), (None,)] == kept(store, "suspensions")


def test_without_an_answer_a_run_stays_unplaced(store: Store) -> None:
    """Slurm may have purged when it was suspended: its total is spread evenly, and that is said."""
    write(store, 5, row())
    place(store, {})

    assert 1.0 == cpu_hours(store, 0, 2)
    assert [(int(Flag.SUSPENDED_UNPLACED),)] == kept(store, "flags")


def test_text_read_again_is_unchanged_and_takes_nothing_away(store: Store) -> None:
    """Nothing becomes stale, nothing is weighed one by one, and the run stays placed."""
    write(store, 5, row())
    place(store, {101: span(1, 3)})
    rebuild.run(store)
    with store.write() as connection:
        writer = Writer(connection, Inventory((), lambda text: [text]), 1, BASE + 6 * HOUR)
        assert [] == writer._new_or_different(connection, [row()])

    for hour in (6, 7, 3):
        tally = write(store, hour, row())
        assert (0, 0, 1) == (tally.new, tally.changed, tally.unchanged)

    assert (0, 1.0) == (stale(store), cpu_hours(store, 0, 2))
    assert [(span(1, 3), BASE + 7 * HOUR, 2)] == kept(store, "suspensions", "observed_at", "versions")
    assert Result(0, 0) == place(store, {101: span(1, 3)})


def test_a_changed_text_keeps_the_times_until_they_are_asked_for_again(store: Store) -> None:
    """Another account: the same times. Another end: they are kept, and asked for anew."""
    write(store, 5, row())
    place(store, {101: span(1, 3)})

    write(store, 6, row(account="pt-b"))
    assert (Result(0, 0), [(span(1, 3),)]) == (place(store, {}), kept(store, "suspensions"))

    write(store, 7, row(account="pt-b", end=BASE + 5 * HOUR, suspended=3 * HOUR))
    assert [(span(1, 3),)] == kept(store, "suspensions")
    assert (Result(1, 1), 1.0) == (place(store, {101: span(1, 4)}), cpu_hours(store, 0, 3))


def test_a_longer_suspension_of_an_ended_run_is_asked_for_again(store: Store) -> None:
    """Same start, same end, but what was told was told for another total."""
    write(store, 5, row())
    place(store, {101: span(1, 3)})
    write(store, 6, row(suspended=3 * HOUR, elapsed=HOUR))

    assert (Result(1, 1), 1.0) == (place(store, {101: span(0.5, 3.5)}), cpu_hours(store, 0, 4))
    assert Result(0, 0) == place(store, {101: span(0.5, 3.5)})


def test_the_total_that_was_placed_stands_before_no_text(store: Store) -> None:
    """Text that comes late and is younger than the text the total was from says the total, in any order."""
    bare, first, later = row(suspended=None), row(suspended=HOUR), row(suspended=2 * HOUR)
    write(store, 5, first)
    write(store, 7, bare)
    place(store, {101: span(1, 2)})
    write(store, 6, later)

    assert [(2 * HOUR,)] == kept(store, "suspended")
    assert (Result(1, 1), 2.0) == (place(store, {101: span(1, 3)}), cpu_hours(store, 0, 4))


def test_an_edit_undone_is_placed_as_it_was(store: Store) -> None:
    """The first text seen once more has its own times again."""
    write(store, 5, row())
    place(store, {101: span(1, 3)})
    write(store, 6, row(end=BASE + 5 * HOUR, suspended=3 * HOUR))
    place(store, {101: span(1, 4)})
    write(store, 7, row())

    assert Result(1, 1) == place(store, {101: span(1, 3)})
    assert [(span(1, 3),)] == kept(store, "suspensions")
    assert Result(0, 0) == place(store, {101: span(1, 3)})


def test_an_open_run_is_asked_for_until_it_ends(store: Store) -> None:
    """Its suspension grows; an answer that says nothing new stores nothing."""
    told = Tables({101: span(1)})
    write(store, 2, row(**OPEN, suspended=HOUR))
    assert (Result(1, 1), 1.0) == (place(store, told), cpu_hours(store, 0, 9))
    before = everything(store)
    assert (Result(1, 0), before) == (place(store, told), everything(store))

    write(store, 3, row(**OPEN, suspended=2 * HOUR))
    assert (Result(1, 0), 1.0) == (place(store, told), cpu_hours(store, 0, 9))

    told.told[101] = span(1, 3.5, 3.75)
    write(store, 4, row(**OPEN, suspended=HOUR // 4))
    assert (Result(1, 1), 1.25) == (place(store, told), cpu_hours(store, 0, 9))

    write(store, 9, row(end=BASE + 8 * HOUR, suspended=4 * HOUR))
    assert 4.0 == cpu_hours(store, 0, 9)  # what was not over lasts until the total is used up
    told.told[101] = span(1, 3.5, 3.75, 5.25)
    assert (Result(1, 1), 4.0) == (place(store, told), cpu_hours(store, 0, 9))
    assert Result(0, 0) == place(store, told)


def test_more_than_the_run_lasted_is_capped_and_flagged(store: Store) -> None:
    """Rows that contradict their run: no more than all of it, and someone is told."""
    write(store, 5, row())
    place(store, {101: span(-1, 9)})

    assert (0.0, [(int(Flag.SUSPENDED_CAPPED),)]) == (cpu_hours(store, 0, 9), kept(store, "flags"))


def test_a_suspended_total_of_nothing_means_never(store: Store) -> None:
    """As for Slurm, which looks at no row then; such a run is not even asked for."""
    write(store, 5, row())
    place(store, {101: span(1, 3)})
    write(store, 6, row(suspended=0, elapsed=4 * HOUR))

    assert (4.0, Result(0, 0)) == (cpu_hours(store, 0, 9), place(store, {101: span(1, 3)}))


# ------------------------------------------------------------------------------- cut off, raced, out of order


def test_what_was_told_before_a_failure_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next placement asks for the rest alone."""
    monkeypatch.setattr(placement, "AT_ONCE", 2)
    numbers = range(1, 6)
    write(store, 5, *(row(number) for number in numbers))
    told = Tables({100 + number: span(1, 3) for number in numbers})
    told.fails_at = 2
    with pytest.raises(Unavailable):
        place(store, told)
    assert [(span(1, 3),)] * 2 + [(None,)] * 3 == kept(store, "suspensions")

    told.asked.clear()
    told.fails_at = None
    assert Result(3, 3) == place(store, told)
    assert [[103, 104], [105]] == told.asked
    assert [(span(1, 3),)] * 5 == kept(store, "suspensions")


def test_an_answer_about_a_run_that_was_is_left(store: Store) -> None:
    """A run that ends while slurmdbd is asked is asked for again."""

    class Racing(Tables):
        def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
            write(store, 5, row())
            return super().suspensions(db_indexes)

    write(store, 2, row(**OPEN, suspended=HOUR))

    assert Result(1, 0) == place(store, Racing({101: span(1)}))
    assert (Result(1, 1), 1.0) == (place(store, {101: span(1, 3)}), cpu_hours(store, 0, 2))


class Living(Tables):
    """What slurmdbd knows of a run while it is open is less than what it knows of an ended one."""

    def __init__(self, store: Store, told: Mapping[int, str]) -> None:
        super().__init__(told)
        self.store = store

    def suspensions(self, db_indexes: Sequence[int]) -> Mapping[int, str]:
        """Of open runs, as if the last suspension went on."""
        going_on = {number for number, end in kept(self.store, "db_index", "end") if end is None}
        found = super().suspensions(db_indexes)
        return {
            number: text.rpartition("-")[0] + "-" if number in going_on else text
            for number, text in found.items()
        }


@pytest.mark.parametrize("seed", range(3))
def test_order_and_interruptions_make_no_difference(store: Store, seed: int) -> None:
    """Text of many runs and placements in any order: once all is read and placed, one truth."""
    chance = random.Random(seed)
    texts: list[tuple[int, RunRecord]] = []
    truth = {}
    for job in range(1, 9):
        end, off = chance.randrange(5, 60), chance.randrange(1, 4)
        truth[100 + job] = span(off, off + 1, off + 2, off + 2.5)
        texts += [
            (2, row(job, **OPEN, suspended=HOUR)),
            (70, row(job, end=BASE + end * HOUR, suspended=3 * HOUR // 2)),
            (80, row(job, end=BASE + (end + job % 2) * HOUR, suspended=3 * HOUR // 2, qos="high")),
        ]
    outcomes = []
    for _ in range(3):
        clear(store)
        chance.shuffle(texts)
        for hour, record in texts:
            write(store, hour, record)
            if chance.random() < 0.4:
                place(store, Living(store, truth))
            if chance.random() < 0.2:
                rebuild.run(store)
        place(store, Living(store, truth))
        outcomes.append((kept(store, "job_id", "begin", "finish", "suspended", "suspensions"), days(store)))
        rebuild.everything(store)
        assert outcomes[-1][1] == days(store)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert [*truth.values()] == [line[-1] for line in outcomes[0][0]]


def days(store: Store) -> list[float]:
    """CPU-hours by half days."""
    return [cpu_hours(store, hour, hour + 12) for hour in range(0, 96, 12)]


def test_spans_of_hours() -> None:
    """The tests' own shorthand says what it should."""
    assert [(BASE + HOUR, BASE + 2 * HOUR), (BASE + 3 * HOUR, None)] == spans(span(1, 2, 3))
