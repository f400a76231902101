"""Which readings are possible."""

from __future__ import annotations

import pytest

from opsd.core.telemetry import QUANTITIES, Reading, is_possible


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
