"""Who holds which GPU, and which readings are possible."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.holders import Holding, Job, holdings
from opsd.core.telemetry import QUANTITIES, Identity, Reading, is_possible

NODE = [Identity("GPU-a", 0), Identity("GPU-b", 1), Identity("GPU-c", None)]


def test_a_job_holds_the_gpus_of_its_minor_numbers() -> None:
    """A whole GPU is a share of one; a number that no GPU has is unresolved."""
    found = holdings([Job("7", "es", "ana", minors=(1, 0, 9))], NODE)

    assert {Holding("GPU-b", "7", "es", "ana"): 1, Holding("GPU-a", "7", "es", "ana"): 1} == found.shares
    assert 1 == found.unresolved


def test_uuids_say_more_than_numbers() -> None:
    """Where a job names UUIDs its numbers are not looked at, for they may be another node's order."""
    found = holdings([Job("7", "", "ana", minors=(0,), uuids=("GPU-c", "GPU-x"))], NODE)

    assert [("GPU-c", "7")] == [holding[:2] for holding in found.shares]
    assert 1 == found.unresolved


def test_jobs_that_share_a_gpu_hold_equal_parts() -> None:
    """Two jobs on one GPU hold half of it each; naming it twice gives no more."""
    found = holdings([Job("1", "a", "u", minors=(0, 0)), Job("2", "b", "v", minors=(0, 1))], NODE)

    shares = {(holding.job_id, holding.uuid): share for holding, share in found.shares.items()}
    assert {("1", "GPU-a"): 0.5, ("2", "GPU-a"): 0.5, ("2", "GPU-b"): 1} == shares


@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=6))
def test_the_shares_of_a_held_gpu_add_up_to_one(wanted: list[list[int]]) -> None:
    """Whatever jobs there are, no part of a held GPU is given twice or left over, no entry forgotten."""
    jobs = [Job(str(number), "", "", minors=tuple(minors)) for number, minors in enumerate(wanted)]

    found = holdings(jobs, NODE)

    totals = Counter[str]()
    for holding, share in found.shares.items():
        totals[holding.uuid] += share  # type: ignore[assignment]
    named = {minor for minors in wanted for minor in minors}
    assert {
        uuid: pytest.approx(1) for uuid, minor in (("GPU-a", 0), ("GPU-b", 1)) if minor in named
    } == totals
    assert sum(minor > 1 for minors in wanted for minor in minors) == found.unresolved


@pytest.mark.parametrize(
    ("quantity", "value", "expected"),
    [
        ("utilization_ratio", 1, True),
        ("utilization_ratio", 1.01, False),
        ("temperature_celsius", 2**32 - 1, False),
        ("energy_joules_total", 2**63 / 1000, False),
        ("memory_used_bytes", 288 * 2**30, True),
        ("memory_total_bytes", 0, False),
        ("processes", float("nan"), False),
    ],
)
def test_what_can_be(quantity: str, value: float, expected: bool) -> None:
    """Sentinels of the driver and other nonsense are told from readings."""
    assert expected == is_possible(Reading(quantity), value)


def test_a_reading_names_itself() -> None:
    """Its kinds follow the quantity."""
    assert "ecc_errors_total.corrected.volatile" == str(
        Reading("ecc_errors_total", ("corrected", "volatile"))
    )
    assert ("severity", "lifetime") == QUANTITIES["ecc_errors_total"].labels
