"""A statement's usage is `opsd usage`, its balances are `opsd balance`, and a scope only takes away."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from opsd.core.amounts import micro_unit_seconds
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.consortium import Consortium
from opsd.core.errors import Refused, WrongUsage
from opsd.core.journal import Entry
from opsd.core.period import DAY, HOUR, Window
from opsd.core.shape import Inventory
from opsd.core.statement import SCOPES, Amounts, Scope, Statement
from opsd.pipeline import balance, statement, usage
from opsd.store import imports, migrate, parties
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer
from tests.pipeline.small_world import BASE, MADRID, consortium, records

SEEN = BASE + 9 * DAY
NOW = BASE + 30 * DAY
AWKWARD = Window(BASE + 5 * HOUR + 7, BASE + 5 * DAY + 11)
LEAVES = ("pool", "country", "organisation", "project")


@pytest.fixture(scope="module", params=[1, 2])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A random small world with open runs, accounts that move, awards that end; every fact stale."""
    store = open_engine(f"sqlite:///{tmp_path_factory.mktemp('statement') / 'opsd.db'}")
    migrate.upgrade(store)
    chance = random.Random(request.param)
    known = consortium(chance)
    grants = [
        Entry(a.start, BASE, "grant", a.id, a.unit, micro_unit_seconds(a.amount), "", "test")
        for a in known.awards.values()
    ]
    with store.write() as connection:
        parties.save(connection, Consortium(), known)
        parties.post(connection, grants)
        number = imports.open_import(connection, "a/path/to/text", SEEN, SEEN)
        Writer(connection, Inventory((), lambda text: [text]), number, SEEN).batch(
            connection, records(chance, 60)
        )
        imports.close_import(connection, number, SEEN + 5)
    yield store
    store.close()


def told(store: Store, window: Window = AWKWARD, **asked: Any) -> Statement:
    """The statement of a window."""
    period = f"@{window.start}..@{window.end}"
    with store.read() as connection:
        return statement.run(connection, period, **{"now": NOW, **asked})


def used(store: Store, *keys: str, window: Window = AWKWARD) -> dict[tuple[str, ...], Amounts]:
    """What `opsd usage` says of it."""
    with store.read() as connection:
        rows = usage.run(connection, window, keys).rows
    found = {
        row.key: Amounts(row.measures.gpu_seconds, row.measures.node_seconds, row.measures.cpu_seconds)
        for row in rows
    }
    return {key: amounts for key, amounts in found.items() if any(amounts)}


def lowest(found: Statement, *levels: str) -> dict[tuple[str, ...], Amounts]:
    """The lowest lines of a statement, summed by some levels."""
    sums: dict[tuple[str, ...], Amounts] = defaultdict(Amounts)
    for row in found.usage:
        if row.lowest:
            key = tuple(getattr(row.place, level) for level in levels)
            sums[key] = sums[key].plus(row.seconds)
    return dict(sums)


@pytest.mark.parametrize("levels", [(), LEAVES, ("country",), ("pool", "project")])
def test_usage_is_what_usage_says(world: Store, levels: tuple[str, ...]) -> None:
    """To the second, at whatever level it is asked for, what is nobody's included."""
    assert used(world, *levels) == lowest(told(world), *levels)


def test_use_outside_an_awards_life_is_marked(world: Store) -> None:
    """As much as the award key of usage marks, under the project it was for."""
    expected: Counter[str] = Counter()
    for (award,), amounts in used(world, "award").items():
        mark, colon, _ = award.partition(":")
        expected[mark if colon else ""] += amounts.node
    outside = lowest(told(world), "outside")

    assert expected == {mark: amounts.node for (mark,), amounts in outside.items()}


def test_balances_are_what_balance_says(world: Store) -> None:
    """Of every award at the end of the period; what it charged is the difference to its beginning."""
    with world.read() as connection:
        before, after = (balance.run(connection, as_of=at).lines for at in (AWKWARD.start, AWKWARD.end))
    rows = {row.award: row for table in told(world).balances for row in table.rows}

    assert [line.key for line in after] == sorted(rows)
    for old, line in zip(before, after, strict=True):
        row = rows[line.key]
        expected = (
            line.unit,
            line.granted,
            line.settled,
            line.accrued,
            line.left,
            line.after_end,
            line.state,
        )
        assert expected == (
            row.unit, row.granted, row.settled, row.accrued, row.left, row.after_end, row.state
        )  # fmt: skip
        assert line.used - old.used == row.charged


@pytest.mark.parametrize("key", SCOPES)
def test_the_parts_of_a_scope_are_the_whole(world: Store, key: str) -> None:
    """Each line belongs to exactly one part, unchanged; what is nobody's to none."""
    whole = told(world)
    with world.read() as connection:
        names = {row.key[0] for row in usage.run(connection, AWKWARD, (key,)).rows} - {UNATTRIBUTED}
    parts = [told(world, scope=Scope(key, name)) for name in sorted(names)]

    expected = {row.place: row.seconds for row in whole.usage if row.lowest and row.level != UNATTRIBUTED}
    lines = [row for part in parts for row in part.usage if row.lowest]
    assert len(expected) == len(lines)
    assert expected == {row.place: row.seconds for row in lines}
    awards = Counter(row.award for part in parts for table in part.balances for row in table.rows)
    assert {1} == set(awards.values())


def test_a_scope_names_nobody_else(world: Store) -> None:
    """No account, funder, pool or title of others, and none of what is nobody's."""
    part = told(world, scope=Scope("country", "PT"))

    assert not part.unattributed
    assert () == part.quality.unbound
    assert {"ju-pool"} == set(part.pools)
    assert ["ju"] == [funder.id for funder in part.funders]
    assert {("pool", "ju-pool"), ("organisation", "firm"), ("project", "p2")} == set(part.names)


def test_runs_are_counted_once(world: Store) -> None:
    """Each that overlaps the period, however many lines it touches."""
    with world.read() as connection:
        (row,) = usage.run(connection, AWKWARD).rows
    assert row.measures.runs == told(world).quality.runs


def test_what_is_nobodys_is_listed_by_account(world: Store) -> None:
    """And adds up to the line of the tree, in seconds and in what is shown."""
    found = told(world)
    (line,) = (row for row in found.usage if row.level == UNATTRIBUTED)
    expected = {
        key[:2]: amounts
        for key, amounts in used(world, "cluster", "account", "award").items()
        if key[2] == UNATTRIBUTED
    }

    assert expected == {(it.cluster, it.account): it.seconds for it in found.quality.unbound}
    assert line.hours == Amounts(*map(sum, zip(*(it.hours for it in found.quality.unbound), strict=True)))


def test_what_the_data_stand_on_carries_no_path(world: Store) -> None:
    """Only when Slurm said it and when it was read."""
    quality = told(world).quality

    assert (SEEN, SEEN + 5) == (quality.last_observed, quality.last_read)
    assert "a/path" not in repr(told(world))


def test_a_period_that_goes_on_is_cut_at_now(world: Store) -> None:
    """And says that it is provisional."""
    now = BASE + 2 * DAY + 1
    found = told(world, now=now)

    assert found.provisional
    assert now == found.as_of
    assert used(world, window=Window(AWKWARD.start, now))[()] == found.total.seconds


def test_months_are_those_of_the_book_zone_or_of_the_zone_asked_for(world: Store) -> None:
    """The small world names no book zone, so UTC; or Madrid, whose month begins earlier."""
    with world.read() as connection:
        plain = statement.run(connection, "2026-10", now=NOW)
        madrid = statement.run(connection, "2026-10", now=NOW, timezone="Europe/Madrid")

    assert (datetime(2026, 10, 1, tzinfo=MADRID).timestamp(), "Europe/Madrid") == (
        madrid.span.window.start,
        madrid.span.zone,
    )
    assert (2 * HOUR, "UTC") == (plain.span.window.start - madrid.span.window.start, plain.span.zone)


@pytest.mark.parametrize(
    ("period", "error", "words"),
    [
        ("2026-13", WrongUsage, "not a period: '2026-13'"),
        ("2026-10-01..2026-10-01", WrongUsage, "is empty"),
        ("2099", Refused, "still to come"),
    ],
)
def test_a_period_that_says_nothing_is_refused(
    world: Store, period: str, error: type[Exception], words: str
) -> None:
    """With what is wrong with it."""
    with world.read() as connection, pytest.raises(error, match=words):
        statement.run(connection, period, now=NOW)


def test_a_scope_of_nothing_known_is_refused(world: Store) -> None:
    """With what it may have meant, rather than answered by an empty report."""
    with pytest.raises(WrongUsage, match=r"'organisation:firms'.*did you mean 'firm'"):
        told(world, scope=Scope("organisation", "firms"))
