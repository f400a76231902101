"""Burn, forecast and since when awards are over quota: by hand, and against balances of other instants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from opsd.core import plan
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.errors import WrongUsage
from opsd.core.forecast import ALREADY, EXPECTED, NONE, Forecast
from opsd.core.journal import Entry
from opsd.core.parties import Cluster, Organisation
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.pipeline import balance, burn, outlook, rebuild
from opsd.pipeline.balance import KEYS, Ledger
from opsd.pipeline.outlook import Outlook, Outlooks, Reading
from opsd.pipeline.seconds import Cell, collect, collect_of
from opsd.store.engine import Store, sqlite_address
from tests.pipeline.priced_world import BASE, T, grants, stored, world

PER_HOUR = 3_600_000_000
GPU = "cpu=20,gres/gpu:h100=1,mem=64000,node=1"
START = T - 400 * DAY

FOUND: list[Item] = [
    Cluster("mn5"), Organisation("uni", "Uni", "ES"), Organisation("firm", "Firm", "PT"),
    Funder("spain", "Spain", "state", country="ES"), Pool("pool", "spain"), Project("p1", "One", "uni"),
    Project("p2", "Two", "firm"), Policy("gpu", "gpu_hours"),
]  # fmt: skip


def award(name: str, hours: int, start: int = START, end: int | None = None, **changes: Any) -> list[Item]:
    """An award of so many GPU-hours, and the account of its name that draws on it."""
    values = {"project": "p1", "pool": "pool", "unit": "gpu-hours", "policy": "gpu"} | changes
    made = Award(id=name, amount=Fraction(hours), start=start, end=end, **values)
    return [made, Binding("mn5", name, name, START)]


def run(account: str, start: int, end: int | None, **columns: Any) -> RunRecord:
    """A run on one GPU between two instants."""
    state = "RUNNING" if end is None else "COMPLETED"
    plain = {"submit": start, "start": start, "state": state, "tres": GPU, "limit": DAY, **columns}
    return RunRecord(cluster="mn5", job_id=0, end=end, account=account, **plain)


Books = Callable[..., Store]


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    """Makes databases as they were told at an instant."""
    numbers, made = count(), []

    def make(
        items: Sequence[Item], rows: Sequence[RunRecord], seen: int, more: Sequence[Entry] = ()
    ) -> Store:
        known = Consortium.of([*FOUND, *items])
        url = sqlite_address(tmp_path / f"{next(numbers)}.db")
        made.append(stored(url, rows, known, [*grants(known), *more], seen))
        return made[-1]

    yield make
    for store in made:
        store.close()


def told(store: Store, as_of: int, by: str = "award") -> Outlooks:
    """What opsd says."""
    with store.read() as connection:
        return outlook.run(connection, as_of=as_of, by=by)


def since(store: Store, as_of: int) -> dict[str, int]:
    """Since when which awards are over quota."""
    with store.read() as connection:
        return Reading(connection, as_of).over_since


def outlooks(store: Store, as_of: int, by: str = "award") -> dict[str, Outlook]:
    """By key, where no key has two units."""
    return {key: found for (key, _), found in told(store, as_of, by).by_line.items()}


def used(store: Store, as_of: int) -> dict[str, int]:
    """What is charged to each award at an instant."""
    with store.read() as connection:
        return {line.key: line.used for line in balance.run(connection, as_of=as_of).lines}


# --------------------------------------------------------------------- against balances of other instants


@pytest.mark.parametrize("seed", range(2))
def test_burn_is_the_difference_of_two_balances(store_url: str, seed: int) -> None:
    """Used now less used then, facts stale or built, whatever changes between; both are rounded once."""
    made = world(seed)
    store = stored(store_url, made.rows, made.known, made.entries, made.seen)
    instants = (BASE + 6 * DAY + 4321, made.seen + 9 * DAY + 1)
    expected = {at: used(store, at) for now in instants for at in (now, *(now - n * DAY for n in burn.DAYS))}
    for reach in (lambda: None, lambda: rebuild.run(store)):
        reach()
        for now in instants:
            found = outlooks(store, now)
            for place, days in enumerate(burn.DAYS):
                then = expected[now - days * DAY]
                off = {key: found[key].burn[place] - (expected[now][key] - then[key]) for key in found}
                assert {} == {key: value for key, value in off.items() if abs(value) > 1}
            assert any(one.burn[-1] for one in found.values())
    store.close()


@pytest.mark.parametrize("seed", range(2))
def test_over_quota_since_the_first_second(store_url: str, seed: int) -> None:
    """At that instant the balance is beyond today's grant, a second before it is not."""
    made = world(seed)
    granted = {"A1": 3_000_000_000 * (1 + seed), "A2": 7_000_000_000, "A3": 1}
    entries = [replace(entry, amount=granted[entry.award]) for entry in made.entries[:3]]
    store = stored(store_url, made.rows, made.known, entries, made.seen)
    for reach in (lambda: None, lambda: rebuild.run(store)):
        reach()
        over = {key for key, value in used(store, made.seen).items() if value > granted[key]}
        found = since(store, made.seen)
        assert over == found.keys() != set()
        for key, at in found.items():
            assert used(store, at - 1)[key] <= granted[key] < used(store, at)[key]
    store.close()


@pytest.mark.parametrize("seed", range(2))
def test_seconds_of_some_accounts_are_those_of_all(store_url: str, seed: int) -> None:
    """Day by day, facts stale or built, in every cell of an account what a look at everything finds."""
    made = world(20 + seed)
    store = stored(store_url, made.rows, made.known, made.entries, made.seen)
    days = plan.make(Window(BASE - 2 * DAY - 7, made.seen - 99), ["day"], UTC)
    for reach in (lambda: None, lambda: rebuild.run(store)):
        reach()
        with store.read() as connection:
            ledger = Ledger(connection, made.known, made.seen)
            how = (connection, days, ledger.labeller, ledger.names.counts)
            everything = collect(*how)
            found: dict[Cell, list[int]] = {}
            for account in ledger.names.accounts:
                for cell, (_, *seconds) in collect_of(*how, frozenset({account})).items():
                    before = found.get(cell, [0, 0])
                    found[cell] = [a + b for a, b in zip(before, seconds, strict=True)]
        assert {cell: seconds for cell, (_, *seconds) in everything.items() if any(seconds)} == found
    store.close()


def test_balances_are_those_of_balance(sqlite_url: str) -> None:
    """With an outlook or without, the lines are the same under every key; each line has its outlook."""
    made = world(7)
    store = stored(sqlite_url, made.rows, made.known, made.entries, made.seen)
    for by in KEYS:
        with store.read() as connection:
            expected = balance.run(connection, as_of=BASE + 6 * DAY + 99, by=by)
        found = told(store, BASE + 6 * DAY + 99, by)
        assert expected == found.balances
        assert [(line.key, line.unit) for line in expected.lines] == sorted(found.by_line)
    store.close()


def test_burn_adds_up_under_every_key(sqlite_url: str) -> None:
    """Per unit, what is burned under all keys together is what all awards burn."""
    made = world(8)
    store = stored(sqlite_url, made.rows, made.known, made.entries, made.seen)

    def burned(key: str) -> dict[tuple[str, int], int]:
        sums: dict[tuple[str, int], int] = {}
        for (_, unit), found in told(store, BASE + 6 * DAY, key).by_line.items():
            for days, value in zip(burn.DAYS, found.burn, strict=True):
                sums[unit, days] = sums.get((unit, days), 0) + value
        return sums

    expected = burned("award")
    assert any(expected.values())
    assert dict.fromkeys(KEYS, expected) == {key: burned(key) for key in KEYS}
    store.close()


# ------------------------------------------------------------------------------------------------ by hand


def test_ended_open_suspended_and_requeued_runs_burn(books: Books) -> None:
    """What falls into the window, to the second: of runs that go on, were suspended, or requeued."""
    free_of_it = Policy("gpu", "gpu_hours", params='{"suspended":false}')
    rows = [
        run("A", T - 40 * DAY, T - 29 * DAY),
        run("A", T - 8 * DAY, T - 6 * DAY, suspended=DAY),
        run("A", T - 2 * DAY, T - DAY - HOUR, state="REQUEUED"),
        run("A", T - 2 * HOUR, T - HOUR),
        run("A", T - 30 * 60, None),
    ]

    found = outlooks(books([*award("A", 10_000), free_of_it], rows, T), T)["A"]

    day, week = 90 * 60, 90 * 60 + 23 * HOUR + 12 * HOUR
    assert (day, week, week + 12 * HOUR + DAY) == tuple(value // 1_000_000 for value in found.burn)


def test_what_is_outside_an_award_is_not_burned(books: Books) -> None:
    """Neither before its start nor after its end."""
    rows = [run("A", T - 9 * HOUR, T), run("B", T - 9 * HOUR, T)]
    items = [*award("A", 100, start=T - HOUR), *award("B", 100, end=T - 7 * HOUR)]

    found = outlooks(books(items, rows, T), T)

    assert [(PER_HOUR,) * 3, (2 * PER_HOUR,) * 3] == [found[key].burn for key in "AB"]


def test_forecasts_of_awards_and_their_groups(books: Books) -> None:
    """An hour a day of 70 that are left, one that is used up, one nobody uses, and what they come to."""
    items = [
        *award("A", 100, end=T + 300 * DAY), *award("B", 10, end=T + 300 * DAY),
        *award("C", 50, end=T + 50 * DAY, project="p2"),
    ]  # fmt: skip
    rows = [run("A", T - 9 * DAY, T - 9 * DAY + 23 * HOUR), run("B", T - 50 * DAY, T - 49 * DAY)]
    rows += [run("A", T - day * DAY, T - day * DAY + HOUR) for day in range(1, 8)]
    store = books(items, rows, T)

    found = outlooks(store, T)
    expected = [Forecast(EXPECTED, T + 70 * DAY), Forecast(ALREADY), Forecast(NONE)]
    assert expected == [found[key].forecast for key in "ABC"]
    assert [Fraction(4, 7), Fraction(4, 7), Fraction(8, 9)] == [found[key].elapsed for key in "ABC"]
    found = outlooks(store, T, "project")
    assert [Forecast(EXPECTED, T + 56 * DAY), Forecast(NONE)] == [found[key].forecast for key in ("p1", "p2")]
    assert Forecast(EXPECTED, T + 106 * DAY) == outlooks(store, T, "pool")["pool"].forecast


def test_over_quota_long_ago_and_just_now(books: Books) -> None:
    """One went over 399 days ago, one within the last hour, one by a run that goes on; each to its second."""
    items = [*award("A", 30), *award("B", 1), *award("C", 2), *award("D", 99)]
    rows = [
        run("A", START, START + DAY), run("A", START + DAY + 5, START + 9 * DAY), run("B", T - HOUR - 9, T),
        run("C", T - 3 * HOUR, None), run("D", START, START + DAY),
    ]  # fmt: skip

    expected = {"A": START + 30 * HOUR + 6, "B": T - 8, "C": T - HOUR + 1}
    assert expected == since(books(items, rows, T), T)


def test_over_quota_by_a_smaller_grant(books: Books) -> None:
    """It is said as of what is granted now: one that was cut is over since before it was cut."""
    less = [
        Entry(T - DAY, T - DAY, "adjustment", "A", "gpu-hours", -5 * PER_HOUR, "", "test"),
        Entry(T - DAY, T - DAY, "adjustment", "B", "gpu-hours", -20 * PER_HOUR, "", "test"),
    ]
    rows = [run("A", T - 9 * DAY, T - 9 * DAY + 8 * HOUR), run("B", T - 9 * DAY, T - 8 * DAY)]

    found = since(books([*award("A", 10), *award("B", 10)], rows, T, less), T)

    assert {"A": T - 9 * DAY + 5 * HOUR + 1, "B": START} == found


def test_what_was_over_long_ago_is_not_looked_for(books: Books) -> None:
    """Until thirty days after its end and its grace."""
    items = [*award("A", 1, end=T, grace_days=5), *award("B", 1, end=T)]
    rows = [run("A", T - DAY, T), run("B", T - DAY, T)]
    store = books(items, rows, T)

    assert [["A", "B"], ["A"], []] == [list(since(store, T + days * DAY)) for days in (29, 34, 35)]


def test_a_key_that_does_not_exist_is_refused(books: Books) -> None:
    """As of balances."""
    with pytest.raises(WrongUsage, match="did you mean 'country'"):
        told(books(award("A", 1), [], T), T, by="contry")
