"""The table of steps."""

from __future__ import annotations

import pytest

from opsd import config
from opsd.core.errors import WrongUsage
from opsd.daemon import STEPS, named
from opsd.daemon.steps import Daily, Every, Weekly
from tests.fakes.daemons import nothing, step

SETTINGS = config.Daemon(ingest_seconds=300, balances_seconds=60, slurm_seconds=45)


def test_intervals_come_from_the_settings() -> None:
    """Ingest and day facts have one, balances another, and so on; or there is a time of day or week."""
    assert {
        "ingest": 300, "reread": 86_400, "review": 604_800, "rebuild": 300, "balances": 60,
        "credits": 3_600, "notify": 300, "reconcile": 86_400, "slurm": 45, "machine": 900, "fetch": 300,
        "efficiency": 900, "housekeeping": 86_400,
    } == {row.name: row.interval(SETTINGS) for row in STEPS}  # fmt: skip


def test_ages_from_which_data_are_stale() -> None:
    """Three missed runs, but not less than five minutes; two without a daily or weekly one."""
    assert {
        "ingest": 900, "reread": 172_800, "review": 1_209_600, "rebuild": 900, "balances": 300,
        "credits": 10_800, "notify": 900, "reconcile": 172_800, "slurm": 300, "machine": 2_700, "fetch": 900,
        "efficiency": 2_700, "housekeeping": 172_800,
    } == {row.name: row.stale_seconds(SETTINGS) for row in STEPS}  # fmt: skip


def test_who_follows_comes_later_in_the_table() -> None:
    """So that --once runs what a step brings after it."""
    names = [row.name for row in STEPS]

    assert [] == [row for row in STEPS if row.follows and row.follows not in names[: names.index(row.name)]]


def test_daily_steps_have_a_time_in_utc() -> None:
    """No local time, which comes twice in autumn; and none at midnight, when others begin."""
    assert [Daily(1, 41), Weekly(6, 4, 23), Daily(2, 27), Daily(3, 17)] == [
        row.trigger for row in STEPS if not isinstance(row.trigger, Every)
    ]


@pytest.mark.parametrize(
    ("seconds", "waits"),
    [
        (60, [60, 120, 240, 480, 600, 600]),
        (300, [300, 600, 600]),
        (1_800, [1_800, 1_800]),
        (86_400, [3_600, 3_600]),
    ],
)
def test_waits_after_failures(seconds: int, waits: list[int]) -> None:
    """Twice as long each time up to ten minutes; never sooner than usual, but a daily step each hour."""
    row = step("it", nothing, seconds=seconds)

    assert waits == [row.wait(SETTINGS, failures) for failures in range(1, len(waits) + 1)]


def test_so_many_failures_that_numbers_end() -> None:
    """A step that has failed for a year still has a next time."""
    assert 600 == step("it", nothing, seconds=60).wait(SETTINGS, 500_000)


def test_named_steps_keep_the_order_of_the_table() -> None:
    """Whatever the order on the command line; all when none is named."""
    assert ["ingest", "balances"] == [row.name for row in named(["balances", "ingest"])]
    assert list(STEPS) == named([])


def test_a_misspelt_step() -> None:
    """The nearest name is offered."""
    with pytest.raises(WrongUsage, match=r"'balance': no such step; did you mean 'balances'\? steps: ingest"):
        named(["balance"])
