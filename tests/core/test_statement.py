"""The usage tree and the table of balances: whatever is shown adds up."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.attribution import UNATTRIBUTED
from opsd.core.errors import WrongUsage
from opsd.core.statement import (
    LEVELS,
    NOWHERE,
    SHOWN_SECONDS,
    Amounts,
    BalanceRow,
    Place,
    Scope,
    UsageRow,
    balance_table,
    usage_tree,
)
from tests.fakes.statements import balance

SECONDS = st.integers(0, 10**7)
NAMES = st.sampled_from(["a", "b", "c"])
PLACES = st.one_of(
    st.just(NOWHERE),
    st.builds(Place, NAMES, NAMES, NAMES, NAMES, st.sampled_from(["", "after-end", "before-start"])),
)
LEAVES = st.dictionaries(PLACES, st.builds(Amounts, SECONDS, SECONDS, SECONDS), max_size=25)


def above(row: UsageRow) -> Place:
    """The place of the line that sums this one; the total's is empty."""
    if row.level == UNATTRIBUTED:
        return Place()
    return Place(*row.place[: LEVELS.index(row.level)])


@given(LEAVES)
def test_every_line_is_the_sum_of_the_lines_below_it(leaves: dict[Place, Amounts]) -> None:
    """In exact seconds and in the hours shown, level by level, resource by resource."""
    rows = usage_tree(leaves)
    seconds: dict[Place, Amounts] = defaultdict(Amounts)
    hours: dict[Place, Amounts] = defaultdict(Amounts)
    for row in rows[:-1]:
        seconds[above(row)] = seconds[above(row)].plus(row.seconds)
        hours[above(row)] = hours[above(row)].plus(row.hours)

    sums = [row for row in rows if not row.lowest]
    assert "total" == rows[-1].level
    assert [seconds[row.place] for row in sums] == [row.seconds for row in sums]
    assert [hours[row.place] for row in sums] == [row.hours for row in sums]
    assert leaves == {row.place: row.seconds for row in rows if row.lowest}


@given(LEAVES)
def test_no_line_is_a_hundredth_of_an_hour_off(leaves: dict[Place, Amounts]) -> None:
    """Rounding moves no number, at any level, by a whole grain; the total's goes to the nearest."""
    rows = usage_tree(leaves)

    off = [abs(h * SHOWN_SECONDS - s) for row in rows for h, s in zip(row.hours, row.seconds, strict=True)]
    assert max(off) < SHOWN_SECONDS
    assert max(off[-3:]) <= SHOWN_SECONDS // 2


def test_what_is_nobodys_comes_last_and_is_one_line() -> None:
    """After every pool, without levels of the same word below it."""
    rows = usage_tree({NOWHERE: Amounts(1, 1, 1), Place("zz", "ES", "o", "p"): Amounts(2, 2, 2)})

    assert ["pool", "country", "organisation", "project", UNATTRIBUTED, "total"] == [
        row.level for row in rows
    ]


def test_use_outside_an_awards_life_is_a_line_of_its_own() -> None:
    """Beside the same project's other use."""
    rows = usage_tree(
        {Place("a", "ES", "o", "p"): Amounts(1), Place("a", "ES", "o", "p", "after-end"): Amounts(2)}
    )

    assert [("", 1), ("after-end", 2)] == [
        (row.place.outside, row.seconds.gpu) for row in rows if row.level == "project"
    ]


MICRO = st.integers(0, 10**9 * MICRO_PER_HOUR // 10**6)


@given(
    st.lists(st.tuples(MICRO, MICRO, MICRO, MICRO, st.sampled_from(["gpu-hours", "node-hours"])), max_size=9)
)
def test_balances_foot_down_and_across(amounts: list[tuple[int, int, int, int, str]]) -> None:
    """Each unit's columns add up to its total, and left is what the line's own numbers say."""
    rows: list[BalanceRow] = []
    for number, (granted, charged, settled, accrued, unit) in enumerate(amounts):
        plain = balance(f"a{number}", "p", granted=0, charged=0, settled=0, accrued=0, unit=unit)
        values = {"granted": granted, "charged": charged, "settled": settled, "accrued": accrued}
        rows.append(BalanceRow(**{name: values.get(name, getattr(plain, name)) for name in plain.__slots__}))

    tables = balance_table(rows)

    assert len(rows) == sum(len(table.rows) for table in tables)
    for table in tables:
        shown = [row.shown for row in table.rows if row.shown is not None]
        assert table.shown == tuple(map(sum, zip(*shown, strict=True)))
        assert table.shown.left == sum(line.left for line in shown)
        assert {table.unit} == {row.unit for row in table.rows}


@pytest.mark.parametrize("text", ["country:ES", "organisation:bsc", "project:a:b", "pays:JU", "funder:x"])
def test_a_scope_is_read_as_written(text: str) -> None:
    """A key, a colon, and everything behind it."""
    assert text == Scope.parse(text).text


@pytest.mark.parametrize("text", ["", "ES", "country:", "user:ana", "contry:ES"])
def test_a_scope_that_says_nothing_is_refused(text: str) -> None:
    """The message says what to write."""
    with pytest.raises(WrongUsage, match="write one of country:X organisation:X"):
        Scope.parse(text)
