"""Explaining balances: every figure of every award is the sum of a table, exactly."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from opsd.core.agreements import Policy
from opsd.core.amounts import MICRO
from opsd.core.consortium import Consortium
from opsd.core.errors import WrongUsage
from opsd.core.explanation import Explanation, Table
from opsd.core.journal import Entry
from opsd.core.period import DAY, HOUR
from opsd.pipeline import balance, rebuild
from opsd.pipeline.balance import micro
from opsd.pipeline.explain import balance as explain
from opsd.store import parties
from opsd.store.engine import Store
from tests.pipeline.small_world import BASE, consortium, records
from tests.pipeline.test_usage import SEEN, stored


def known(chance: random.Random) -> Consortium:
    """A small world whose policy changes its weights in the middle, at an odd hour."""
    found = consortium(chance)
    change = BASE + 3 * DAY + 7 * HOUR
    policies = (
        Policy("gpu", "gpu_hours", valid_until=change, params='{"weights":{"h100":"1/3"}}'),
        Policy("gpu", "gpu_hours", change, params='{"suspended":false,"weights":{"h100":"2"}}'),
    )
    return replace(found, policies=policies)


@pytest.fixture(scope="module", params=[3, 5])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A database that tests only read, with grants."""
    chance = random.Random(request.param)
    rows = [row._replace(limit=chance.choice((7_200, 86_400, 0))) for row in records(chance, 150)]
    found = stored(f"sqlite:///{tmp_path_factory.mktemp('world')}/opsd.db", rows, known(chance), SEEN)
    rebuild.run(found)
    grants = [(0, "grant", 100), (BASE + DAY, "extension", 7), (BASE + 8 * DAY, "adjustment", -9)]
    with found.write() as connection:
        parties.post(
            connection,
            [
                Entry(at, at, kind, "A2", "gpu-hours", amount * HOUR * MICRO, "because", "ana")
                for at, kind, amount in grants
            ],
        )
    yield found
    found.close()


def table(found: Explanation, name: str) -> Table:
    """One of its tables, empty where it is left out."""
    return next(
        (table for table in found.tables if table.name == name), Table(name, "", (), (), "", Fraction(0))
    )


INSTANTS = (BASE + DAY + 77, BASE + 4 * DAY + 13 * HOUR, SEEN, SEEN + 40 * DAY)


@pytest.mark.parametrize("as_of", INSTANTS, ids=["early", "middle", "now", "later"])
def test_every_figure_is_the_sum_of_a_table(store: Store, as_of: int) -> None:
    """Granted, settled and accrued, committed, and what lies outside, for each award."""
    with store.read() as connection:
        for line in balance.run(connection, as_of=as_of).lines:
            found = explain.run(connection, line.key, as_of=as_of, limit=4)

            assert () == tuple(text for text in found.eyes if "add up" in text)
            assert dict(zip(balance.COLUMNS, line.values(), strict=True)) == found.figure
            sums = {
                name: table(found, name).total
                for name in ("journal", "charges", "runs", "accrued", "outside")
            }
            assert line.granted == micro(Fraction(sums["journal"] or 0))
            assert line.used == micro(Fraction(sums["charges"] or 0)) == micro(Fraction(sums["runs"] or 0))
            assert line.accrued == micro(Fraction(sums["accrued"] or 0))
            assert line.after_end == micro(Fraction(sums["outside"] or 0))
            if line.committed is not None:
                assert line.committed == micro(Fraction(table(found, "committed").total or 0))


def test_each_charge_can_be_worked_out_by_hand(store: Store) -> None:
    """Rates times seconds are the charge, row by row, under both versions of the policy."""
    versions = set()
    with store.read() as connection:
        for award in ("A1", "A2", "A3"):
            shown = table(explain.run(connection, award, as_of=SEEN, limit=500), "charges")
            for row in shown.rows:
                line = dict(zip((column.name for column in shown.columns), row, strict=True))
                versions.add(line["policy_from"])
                rate, off_rate = (Fraction(line[name] or 0) for name in ("rate", "suspended_rate"))
                ran, off = (int(line[name] or 0) for name in ("run_seconds", "suspended_seconds"))
                assert line["charge"] == rate * ran + off_rate * off

    assert {0, BASE + 3 * DAY + 7 * HOUR} == versions


def test_an_unknown_award_is_refused(store: Store) -> None:
    """With the nearest there is."""
    with store.read() as connection, pytest.raises(WrongUsage, match="did you mean 'A2'"):
        explain.run(connection, "A22", as_of=SEEN)


def test_the_limit_says_whose_it_is(store: Store) -> None:
    """A run's own limit, or that none is known."""
    with store.read() as connection:
        shown = [
            table(explain.run(connection, award, as_of=INSTANTS[1]), "committed")
            for award in ("A1", "A2", "A3")
        ]
    places = [[column.name for column in one.columns].index("limit_from") for one in shown if one.rows]

    assert {"the job's"} == {
        row[place]
        for one, place in zip([s for s in shown if s.rows], places, strict=True)
        for row in one.rows
    }
