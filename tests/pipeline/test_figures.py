"""What the daemon's page shows of the database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporters.balances import Account, Amounts, Figures, Unattributed
from opsd.core.awards import Binding
from opsd.core.consortium import Item
from opsd.core.period import DAY, HOUR
from opsd.pipeline import figures, rebuild
from opsd.store import parties, sweeps
from opsd.store.engine import Store, open_engine
from tests.fakes import books
from tests.fakes.consortia import CLUSTER, award, binding, consortium

GPU_HOUR = 3_600_000_000  # micro-GPU-seconds


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """The small database."""
    store = open_engine(sqlite_url)
    books.fill(store)
    yield store
    store.close()


def hours(amounts: Amounts) -> tuple[int, ...]:
    """All that are known, in whole hours."""
    return tuple(amount // GPU_HOUR for amount in amounts if amount is not None)


def accounts_of(store: Store, *items: Item) -> list[tuple[str, str]]:
    """(account, award) of the accounts bound by these awards and bindings."""
    with store.write() as connection:
        parties.save(connection, books.KNOWN, consortium(*items))
    bound = {item.account for item in items if isinstance(item, Binding)}
    lines = figures.run(store, now=books.NOW).accounts
    return [(line.account, line.award) for line in lines if line.account in bound]


def test_balances_of_every_award(store: Store) -> None:
    """Granted, settled, accrued, committed, left and the threshold reached, by hand."""
    large, small = figures.run(store, now=books.NOW).awards

    assert ("large", "health", "uv", "ES", "ct", "gpu-hours") == large[:6]
    assert (100, 8, 4, 2, 88, 86) == hours(large.amounts)
    assert (0, 0, "ok", "running", None) == (*large[7:8], *large[9:12], large.over_since)
    assert ("small", "climate", "fct", "PT", "pt", "gpu-hours") == small[:6]
    assert (10, 12, 0, 0, -2, -2) == hours(small.amounts)
    assert (0, 100, "over", "running") == (*small[7:8], *small[9:12])
    assert (books.T + 2 * HOUR + 1800 + 1,) * 2 == (small.over_since, small.grace_end)


def test_dates_of_awards(store: Store) -> None:
    """Start, end, grace and report, past or to come; how much of the time is over, and its phase."""
    hour = books.NOW // HOUR
    past = award("A", start=hour - 3, end=hour - 1, grace_days=2, report_due=books.NOW + 5)
    coming = award("C", start=hour + 1, end=hour + 5)
    with store.write() as connection:
        parties.save(connection, books.KNOWN, consortium(past, award("B"), coming))

    found = {line.award: line for line in figures.run(store, now=books.NOW).awards}
    dates = {
        key: (line.start, line.end, line.grace_end, line.report_due, line.elapsed, line.phase)
        for key, line in found.items()
    }
    end = (hour - 1) * HOUR
    assert ((hour - 3) * HOUR, end, end + 2 * DAY, books.NOW + 5, 1, "grace") == dates["A"]
    assert (0, None, None, None, None, "running") == dates["B"]
    assert ((hour + 1) * HOUR, (hour + 5) * HOUR, None, None, 0, "upcoming") == dates["C"]


def test_facts_change_nothing(store: Store) -> None:
    """The same figures whether day facts are stale or built."""
    before = figures.run(store, now=books.NOW)
    rebuild.run(store)

    assert before == figures.run(store, now=books.NOW)


def test_unattributed_use_of_thirty_days(store: Store) -> None:
    """What no award pays for, until it is thirty days past."""
    expected = Unattributed(CLUSTER, "nobody", gpu=HOUR, cpu=20 * HOUR, node=HOUR)

    assert (expected,) == figures.run(store, now=books.NOW).unattributed
    assert () == figures.run(store, now=books.T + 31 * DAY).unattributed


def test_state_of_the_accounting(store: Store) -> None:
    """Open runs, what is covered, and what waits in quarantine."""
    with store.write() as connection:
        sweeps.cover(connection, CLUSTER, books.NOW - 60, books.NOW)
    found = figures.run(store, now=books.NOW)

    assert ({CLUSTER: 1}, {CLUSTER: books.NOW - 60}, 0) == (found.open_runs, found.covered, found.quarantined)


def test_an_empty_database(sqlite_url: str) -> None:
    """Without accounts or awards there is nothing to show, and nothing fails."""
    store = open_engine(sqlite_url)
    books.migrate.upgrade(store)

    assert Figures(books.NOW) == figures.run(store, now=books.NOW)
    store.close()


def test_accounts_and_their_awards(store: Store) -> None:
    """Who leads and who pays stand beside each account that is bound now."""
    first, second = figures.run(store, now=books.NOW).accounts

    assert Account(CLUSTER, "es-large", "large", "health", "uv", "ES", "ct") == first
    assert ("pt-small", "small") == (second.account, second.award)


def test_an_account_has_one_line(store: Store) -> None:
    """The account's own binding stands for it; of parts alone, what their awards have in common."""
    whole = [binding("a", "A"), binding("a", "B", partition="acc")]
    part = [binding("b", "B", partition="acc"), binding("b", "B", qos="high")]
    parts = [binding("c", "A", partition="acc"), binding("c", "B", partition="gpp")]

    found = accounts_of(store, award("A"), award("B"), *whole, *part, *parts)

    assert [("a", "A"), ("b", "B"), ("c", "several")] == found
    (several,) = (line for line in figures.run(store, now=books.NOW).accounts if line.account == "c")
    (one,) = (line for line in figures.run(store, now=books.NOW).accounts if line.account == "b")
    assert one[3:] == several[3:]  # both awards are of one project


def test_an_account_of_an_award_that_has_ended(store: Store) -> None:
    """As in its usage it keeps who leads and who pays, and says that this is after the end, or too early."""
    hour = books.NOW // HOUR
    over, coming = award("over", end=hour), award("coming", start=hour + 1)
    lapsed = binding("c", "A", end=hour)

    found = accounts_of(store, award("A"), over, coming, binding("a", "over"), binding("b", "coming"), lapsed)

    assert [("a", "after-end:over"), ("b", "before-start:coming")] == found
