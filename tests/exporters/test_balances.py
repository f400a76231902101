"""Balances as metrics."""

from __future__ import annotations

from exporters import balances
from exporters.balances import Account, Award, Figures, Unattributed

MICRO = 1_000_000
AWARD = Award(
    "A", "p", "o", "ES", "pool", "gpu-hours", 100 * MICRO, 70 * MICRO, 20 * MICRO, 5, 10 * MICRO, 0, 80, 7200
)
LABELS = AWARD[:6]


def values(figures: Figures, *names: str) -> list[float | None]:
    """The one sample of each metric; None where there is none."""
    page = balances.page(figures)
    return [next(iter(page.series(name).values()), None) for name in names]


def test_amounts_in_seconds_with_all_names() -> None:
    """Whole micro-units become seconds, under the award's names."""
    page = balances.page(Figures(0, awards=[AWARD]))

    assert {LABELS: 100.0} == page.series("opsd_award_granted_seconds")
    assert {LABELS: 70.0} == page.series("opsd_award_settled_seconds")
    assert {LABELS: 20.0} == page.series("opsd_award_accrued_seconds")
    assert {LABELS: 0.000005} == page.series("opsd_award_committed_seconds")
    assert {LABELS: 10.0} == page.series("opsd_award_left_seconds")
    assert {LABELS: 0.0} == page.series("opsd_award_outside_seconds")
    assert {LABELS: 0.8} == page.series("opsd_award_threshold_reached_ratio")


def test_an_award_without_an_end_has_no_sample_of_it() -> None:
    """The end is a moment, or absent: never a moment that means none."""
    name = "opsd_award_end_timestamp_seconds"

    assert {LABELS: 7200} == balances.page(Figures(0, awards=[AWARD])).series(name)
    assert [None] == values(Figures(0, awards=[AWARD._replace(end=None)]), name)


def test_an_unknown_commitment_is_absent() -> None:
    """Where a limit is not known there is no number, not a zero."""
    assert [None] == values(
        Figures(0, awards=[AWARD._replace(committed=None)]), "opsd_award_committed_seconds"
    )


def test_over_quota_begins_below_nothing_left() -> None:
    """All used up is not over; one micro-second more is."""
    names = ("opsd_award_over_quota", "opsd_award_left_seconds")

    assert [0, 0] == values(Figures(0, awards=[AWARD._replace(left=0)]), *names)
    assert [1, -0.000001] == values(Figures(0, awards=[AWARD._replace(left=-1)]), *names)


def test_the_state_of_the_accounting() -> None:
    """Accounts, coverage, open runs, quarantine, and as of when."""
    account = Account("mn5", "es-a", "A", "p", "o", "ES", "pool")
    found = Figures(7, accounts=[account], covered={"mn5": 5}, open_runs={"mn5": 0}, quarantined=3)
    page = balances.page(found)

    assert {tuple(account): 1} == page.series("opsd_account_info")
    assert {("mn5",): 5} == page.series("opsd_ingest_covered_timestamp_seconds")
    assert {("mn5",): 0} == page.series("opsd_open_runs")
    assert [3, 7] == values(found, "opsd_quarantine_records", "opsd_balances_as_of_timestamp_seconds")


def test_unattributed_use_by_resource() -> None:
    """A sample per resource that was used."""
    page = balances.page(Figures(0, unattributed=[Unattributed("mn5", "x", gpu=0, cpu=4, node=1)]))

    assert {("mn5", "x", "cpu"): 4, ("mn5", "x", "node"): 1} == page.series("opsd_unattributed_seconds")


def test_past_the_ceiling_the_least_use_is_left_out() -> None:
    """The largest use stays, and the page says how many series it lacks."""
    found = [Unattributed("mn5", str(gpu), gpu=gpu, cpu=0, node=0) for gpu in range(1, 2_011)]
    page = balances.page(Figures(0, unattributed=found))

    kept = page.series("opsd_unattributed_seconds")
    assert (2_000, 11) == (len(kept), min(kept.values()))
    assert b'opsd_series_dropped{family="opsd_unattributed_seconds"} 10.0' in page.render().plain
