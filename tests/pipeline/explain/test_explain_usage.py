"""Explaining usage: equal to `opsd usage` in every cell, and adding up by hand from what is shown."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from opsd.core.errors import WrongUsage
from opsd.core.explanation import Explanation, Table
from opsd.core.period import DAY, HOUR, Window
from opsd.core.shape import Inventory
from opsd.pipeline import rebuild, usage
from opsd.pipeline.explain import cells
from opsd.pipeline.explain import usage as explain
from opsd.pipeline.usage import COLUMNS, Row
from opsd.store import imports
from opsd.store.engine import Connection, Store
from opsd.store.write import Writer
from tests.pipeline.small_world import BASE, MADRID, consortium, records
from tests.pipeline.test_usage import KEY_SETS, SEEN, no_hosts, stored

WHOLE = Window(BASE - 3 * DAY, BASE + 10 * DAY)
WINDOWS = (WHOLE, Window(BASE + DAY, BASE + 3 * DAY + 5 * HOUR + 7), Window(BASE, BASE + HOUR))


def made(url: str, seed: int) -> Store:
    """A small world, some of whose day facts are stale."""
    chance = random.Random(seed)
    rows = records(chance, 120)
    found = stored(url, rows[:80], consortium(chance), SEEN)
    rebuild.run(found)
    with found.write() as connection:
        number = imports.open_import(connection, "late", SEEN, SEEN)
        Writer(connection, Inventory((), no_hosts), number, SEEN).batch(connection, rows[80:])
    return found


@pytest.fixture(scope="module", params=[3, 4])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One that tests only read."""
    found = made(f"sqlite:///{tmp_path_factory.mktemp('world')}/opsd.db", request.param)
    yield found
    found.close()


@pytest.fixture
def own_store(sqlite_url: str) -> Iterator[Store]:
    """One that a test may change."""
    found = made(sqlite_url, 3)
    yield found
    found.close()


def table(found: Explanation, name: str) -> Table:
    """One of its tables."""
    return next(table for table in found.tables if table.name == name)


def lines(found: Explanation, name: str) -> list[dict[str, object]]:
    """The rows of one of its tables."""
    shown = table(found, name)
    return [dict(zip((column.name for column in shown.columns), row, strict=True)) for row in shown.rows]


def explained(
    connection: Connection, window: Window, row: Row, keys: tuple[str, ...], **how: object
) -> Explanation:
    """A row of usage explained."""
    cell = tuple(zip(keys, row.key, strict=True))
    return explain.run(connection, window, cell, tz=MADRID, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("keys", KEY_SETS, ids=lambda keys: "-".join(keys) or "total")
@pytest.mark.parametrize("window", WINDOWS, ids=("whole", "odd", "hour"))
def test_every_cell_is_what_usage_shows(store: Store, keys: tuple[str, ...], window: Window) -> None:
    """Some cells of every table of usage, any column: the figure, and the runs that add up to it."""
    chance = random.Random(len(keys))
    with store.read() as connection:
        rows = usage.run(connection, window, keys, tz=MADRID).rows
        for row in chance.sample(rows, min(3, len(rows))):
            for place, column in chance.sample(list(enumerate(COLUMNS)), 2):
                limit = chance.choice((0, 1, 3, 500))
                found = explained(connection, window, row, keys, column=column, limit=limit)

                assert row.measures[place] == found.figure[column]
                assert row.measures.runs == found.figure["runs"]
                assert row.measures[place] == table(found, "runs").sum
                assert () == found.eyes


def test_each_line_can_be_worked_out_by_hand(store: Store) -> None:
    """Seconds times what is held is the line's figure; the run's own times say how many seconds."""
    with store.read() as connection:
        for row in usage.run(connection, WHOLE, ("account",), tz=MADRID).rows:
            for column in ("cpu_seconds", "gpu_seconds"):
                found = explained(connection, WHOLE, row, ("account",), column=column, limit=500)
                for line in lines(found, "runs"):
                    ran, off = int(str(line["run_seconds"])), int(str(line["suspended_seconds"]))
                    held = ran if column == "cpu_seconds" else ran + off
                    assert line[column] == held * int(str(line["held"]))
                    assert ran + off == int(str(line["to"])) - int(str(line["from"]))


def test_the_largest_come_first_and_the_rest_is_one_line(store: Store) -> None:
    """Whatever the limit, the lines shown are the head of the whole list."""
    with store.read() as connection:
        whole = lines(explain.run(connection, WHOLE, limit=500), "runs")
        some = lines(explain.run(connection, WHOLE, limit=7), "runs")

    values = [int(str(line["gpu_seconds"])) for line in whole]
    assert sorted(values, reverse=True) == values
    assert values[:7] == [line["gpu_seconds"] for line in some[:7]]
    assert sum(values[7:]) == some[7]["gpu_seconds"]
    assert f"{len(whole) - 7} other runs" == some[7]["job"]


def test_attribution_adds_up(store: Store) -> None:
    """Accounts and awards of a cell add up to its figure, with the bindings that were in force."""
    with store.read() as connection:
        for row in usage.run(connection, WHOLE, ("country",), tz=MADRID).rows:
            found = explained(connection, WHOLE, row, ("country",), column="mem_mb_seconds")

            assert row.measures.mem_mb_seconds == table(found, "attribution").total
            named = {(line["cluster"], line["account"]) for line in lines(found, "attribution")}
            assert {(line["cluster"], line["account"]) for line in lines(found, "bindings")} <= named


def test_time_can_be_cut(store: Store) -> None:
    """`as_of` cuts as it does in usage."""
    at = BASE + 3 * DAY + 77
    with store.read() as connection:
        (row,) = usage.run(connection, WHOLE, (), as_of=at).rows
        found = explain.run(connection, WHOLE, as_of=at)

    assert row.measures.gpu_seconds == found.figure["gpu_seconds"]
    assert "2026-10-" in str(found.asked["to"])


def test_stale_facts_are_said(own_store: Store) -> None:
    """Days whose facts await a rebuild are counted, and say so."""
    with own_store.read() as connection:
        found = explain.run(connection, WHOLE)
    rebuild.run(own_store)
    with own_store.read() as connection:
        later = explain.run(connection, WHOLE)

    assert found.facts["day facts"].endswith("were taken from the runs")
    assert "up to date" == later.facts["day facts"]
    assert found.figure == later.figure


def test_facts_that_lie_are_found_out(own_store: Store) -> None:
    """A figure that its runs do not add up to needs eyes."""
    rebuild.run(own_store)
    with own_store.write() as connection:
        connection.exec_driver_sql("UPDATE day_fact SET gpu_seconds = gpu_seconds + 1 WHERE gpu_seconds > 0")
    with own_store.read() as connection:
        (row,) = usage.run(connection, WHOLE).rows
        found = explain.run(connection, WHOLE)

    assert row.measures.gpu_seconds == found.figure["gpu_seconds"]
    assert table(found, "runs").total != found.figure["gpu_seconds"]
    assert found.eyes[0].endswith("opsd db rebuild makes the day facts anew")


def test_an_empty_cell_is_no_error(store: Store) -> None:
    """What is known and was not used is 0, with no runs, and says so."""
    with store.read() as connection:
        found = explain.run(connection, Window(BASE - 90 * DAY, BASE - 80 * DAY), (("account", "es-a"),))

    assert (0, 0, ()) == (found.figure["gpu_seconds"], found.figure["runs"], table(found, "runs").rows)
    assert found.facts["empty"].startswith("nothing was used")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("acount=es-a", "did you mean 'account'?"),
        ("es-a", "write key=value"),
        ("account=es-a,account=es-b", "twice"),
        ("account=es-aa", "did you mean 'es-a'?"),
        ("award=A9", "there are: A1 A2 A3 unattributed"),
        ("gpu_class=h101", "did you mean 'h100'?"),
        ("month=2031-01", "no such month here"),
        ("cluster=mn", "did you mean 'mn5'?"),
        ("uses=DE", "no such uses here"),
    ],
)
def test_a_wrong_cell_is_refused(store: Store, text: str, said: str) -> None:
    """Unknown keys and values are named, with the nearest there is."""
    with store.read() as connection, pytest.raises(WrongUsage, match="--cell") as caught:
        explain.run(connection, WHOLE, cells.parse([text], explain.KEYS))

    assert said in str(caught.value)


def test_a_wrong_column_is_refused(store: Store) -> None:
    """So is a column."""
    with store.read() as connection, pytest.raises(WrongUsage, match="did you mean 'gpu_seconds'"):
        explain.run(connection, WHOLE, column="gpu_second")


def test_a_value_may_hold_a_comma() -> None:
    """What follows a comma and is no key belongs to the value before it."""
    assert (("mode", "large, scale"), ("account", "a")) == cells.parse(
        ["mode=large, scale", "account=a"], explain.KEYS
    )
    assert (("account", "a"), ("month", "2026-10")) == cells.parse(["account=a,month=2026-10"], explain.KEYS)
