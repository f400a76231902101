"""Balances as metrics."""

from __future__ import annotations

from fractions import Fraction

from exporters import balances
from exporters.balances import Account, Amounts, Award, Balance, Figures, Outlook, Unattributed

MICRO = 1_000_000
AWARD = Award(
    "A", "p", "o", "ES", "pool", "gpu-hours",
    Amounts(100 * MICRO, 70 * MICRO, 20 * MICRO, 5, 10 * MICRO, 10 * MICRO - 5), 0,
    Outlook({1: 0, 7: 3 * MICRO, 30: 4 * MICRO}, "expected", 7100), 80, "threshold-80", "running", 3600, 7200,
    Fraction(1, 4), report_due=9000,
)  # fmt: skip
LABELS = AWARD[:6]
SIX = ("granted", "settled", "accrued", "committed", "left", "free")


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
    assert {LABELS: 9.999995} == page.series("opsd_award_free_seconds")
    assert {LABELS: 0.0} == page.series("opsd_award_outside_seconds")
    assert {LABELS: 0.8} == page.series("opsd_award_threshold_reached_ratio")


def test_an_award_without_an_end_has_no_sample_of_it() -> None:
    """The end is a moment, or absent: never a moment that means none."""
    name = "opsd_award_end_timestamp_seconds"

    assert {LABELS: 7200} == balances.page(Figures(0, awards=[AWARD])).series(name)
    assert [None] == values(Figures(0, awards=[AWARD._replace(end=None)]), name)


def test_dates_and_states() -> None:
    """When it begins, when it will be used up, when it reports, what it is; a burn for each span of days."""
    names = ("start", "exhaustion", "report_due", "over_quota_since", "grace_end")
    page = balances.page(Figures(0, awards=[AWARD]))

    assert [3600, 7100, 9000, None, None] == values(
        Figures(0, awards=[AWARD]), *(f"opsd_award_{name}_timestamp_seconds" for name in names)
    )
    assert {(*LABELS, "1"): 0, (*LABELS, "7"): 3, (*LABELS, "30"): 4} == page.series(
        "opsd_award_burn_seconds"
    )
    assert {(*LABELS, "expected"): 1} == page.series("opsd_award_forecast_info")
    assert {(*LABELS, "threshold-80", "running"): 1} == page.series("opsd_award_state_info")
    assert {LABELS: 0.25} == page.series("opsd_award_elapsed_ratio")


def test_an_award_that_is_over() -> None:
    """Since when, and until when that is tolerated; nobody tells when it will be used up."""
    over = AWARD._replace(
        outlook=Outlook({7: 0}, "already"), over_since=4000, grace_end=5000, elapsed=None, report_due=None
    )
    names = ("over_quota_since", "grace_end", "exhaustion", "report_due")

    found = [f"opsd_award_{name}_timestamp_seconds" for name in names]
    assert [4000, 5000, None, None] == values(Figures(0, awards=[over]), *found)
    assert [None] == values(Figures(0, awards=[over]), "opsd_award_elapsed_ratio")


def test_balances_of_others_than_awards() -> None:
    """The same amounts, burn and forecast, under the key and what it is a key of."""
    labels = ("country", "ES", "gpu-hours")
    page = balances.page(Figures(0, balances=[Balance(*labels, AWARD.amounts, AWARD.outlook)]))

    amounts = [page.series(f"opsd_balance_{name}_seconds") for name in SIX]
    assert [{labels: value} for value in (100, 70, 20, 0.000005, 10, 9.999995)] == amounts
    assert {(*labels, "1"): 0, (*labels, "7"): 3, (*labels, "30"): 4} == page.series(
        "opsd_balance_burn_seconds"
    )
    assert {(*labels, "expected"): 1} == page.series("opsd_balance_forecast_info")
    assert {labels: 7100} == page.series("opsd_balance_exhaustion_timestamp_seconds")


def test_an_unknown_commitment_is_absent() -> None:
    """Where a limit is not known there is no number of it nor of what would be free, not a zero."""
    unknown = AWARD._replace(amounts=AWARD.amounts._replace(committed=None, free=None))

    assert [None, None] == values(
        Figures(0, awards=[unknown]), "opsd_award_committed_seconds", "opsd_award_free_seconds"
    )


def test_over_quota_begins_below_nothing_left() -> None:
    """All used up is not over; one micro-second more is."""
    names = ("opsd_award_over_quota", "opsd_award_left_seconds")

    def left(micro: int) -> Figures:
        return Figures(0, awards=[AWARD._replace(amounts=AWARD.amounts._replace(left=micro))])

    assert [0, 0] == values(left(0), *names)
    assert [1, -0.000001] == values(left(-1), *names)


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


def test_past_the_ceiling_awards_that_have_ended_are_left_out() -> None:
    """Though they may stand first by name."""
    ended = AWARD._replace(award="0", phase="ended")
    living = [AWARD._replace(award=str(number)) for number in range(1, 5_001)]
    kept = balances.page(Figures(0, awards=[ended, *living])).series("opsd_award_left_seconds")

    assert 5_000 == len(kept)
    assert {("0", *LABELS[1:])}.isdisjoint(kept)


def test_past_the_ceiling_accounts_of_ended_awards_are_left_out() -> None:
    """What jobs run on now stays."""
    living = [Account("mn5", str(number), *AWARD[:5]) for number in range(5_000)]
    ended = Account("mn5", "", f"after-end:{AWARD.award}", *AWARD[1:5])
    kept = balances.page(Figures(0, accounts=[ended, *living])).series("opsd_account_info")

    assert (5_000, False) == (len(kept), tuple(ended) in kept)


def test_past_the_ceiling_countries_stay() -> None:
    """Of ten thousand projects one is left out instead."""
    country = Balance("country", "ES", "gpu-hours", AWARD.amounts, AWARD.outlook)
    projects = [country._replace(by="project", key=str(number)) for number in range(10_000)]
    kept = balances.page(Figures(0, balances=[*projects, country])).series("opsd_balance_left_seconds")

    assert (10_000, True) == (len(kept), ("country", "ES", "gpu-hours") in kept)
