"""Records of what runs really did, as JSON and back."""

from __future__ import annotations

import json

import pytest

from opsd.core.errors import BadText
from opsd.core.measured import Measured, Span, doubt, from_json, run_of

LEAST = {"job_id": 7, "uuid": "GPU-a", "started": 100, "ended": 200}
FULL = Measured(
    7, "MIG-a", 100, 200, "GPU-a", "es-bio", "ana", "sAB1", 100_000, 90_000, 80_000, 10_000, 85_000, 40_000,
    20_000, 5_000_000, True, 2**40, ((31, 2), (79, 1)), False,
)  # fmt: skip


def test_a_record_comes_back() -> None:
    """What an agent writes is what the daemon reads, whatever is in it."""
    for record in (FULL, Measured(7, "GPU-a", 100, 100)):
        assert record == from_json(json.loads(json.dumps(record.as_json())))


def test_of_another_version() -> None:
    """What is missing is not told; keys that are not known are left out."""
    assert Measured(7, "GPU-a", 100, 200) == from_json({**LEAST, "colour": "red"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"job_id": 0}, "no job"),
        ({"uuid": ""}, "no device"),
        ({"ended": 99}, "an end before its start"),
        ({"job_id": "7"}, "job_id is not int"),
        ({"covered_ms": -1}, "covered_ms is not int"),
        ({"covered_ms": None}, "covered_ms is not int"),
        ({"covered_ms": True}, "covered_ms is not int"),
        ({"energy_mj": 0.5}, "energy_mj is not int"),
        ({"energy_mj": 2**62}, "energy_mj is not int"),
        ({"is_end_seen": 1}, "is_end_seen is not bool"),
        ({"account": "es\0"}, "account has characters"),
        ({"user": "\ud800"}, "user has characters"),
        ({"xids": [[79]]}, "xids are not pairs"),
        ({"xids": {"79": 1}}, "xids are not pairs"),
    ],
)
def test_what_is_no_record(change: dict[str, object], words: str) -> None:
    """It is refused with the name of the key."""
    with pytest.raises(BadText, match=words):
        from_json({**LEAST, **change})


@pytest.mark.parametrize("name", LEAST)
def test_a_record_without_what_it_needs(name: str) -> None:
    """Who, on what and when must be told."""
    with pytest.raises(BadText, match=f"needs {name}"):
        from_json({key: value for key, value in LEAST.items() if key != name})


def test_what_is_no_object() -> None:
    """Nor is a list a record."""
    with pytest.raises(BadText, match="not an object"):
        from_json([LEAST])


# ---------------------------------------------------------------------------------------- of which run

RUNS = (Span(1, 1_000, 2_000), Span(2, 2_500, 9_000), Span(3, 9_000, None))


@pytest.mark.parametrize(
    ("started", "ended", "expected"),
    [
        (1_002, 2_030, 1),
        (2_503, 9_004, 2),
        (8_000, 9_900, 2),  # a resized job is one for its node: the run it shares most with
        (8_900, 12_000, 3),
        (2_010, 2_020, 1),  # so short that its end was before its prolog
        (2_100, 2_300, None),
        (100, 900, None),
    ],
)
def test_the_run_of_a_record(started: int, ended: int, expected: int | None) -> None:
    """It is the one that shares most of its time, or that it follows within a minute."""
    assert expected == run_of(started, ended, RUNS)
    assert expected == run_of(started, ended, reversed(RUNS))
    assert run_of(started, ended, ()) is None


def test_what_no_job_does_is_refused() -> None:
    """A figure beyond all measure would spoil every sum that it stands in."""
    told = Measured(1, "GPU-1", 1, 2).as_json()
    with pytest.raises(BadText, match="energy_mj"):
        from_json(told | {"energy_mj": 2**60})


# ------------------------------------------------------------------------------------------ what can be

HOUR = Measured(
    7, "GPU-a", 1_700_000_000, 1_700_003_600, allocated_ms=3_600_400, covered_ms=3_600_000,
    process_ms=3_600_000, idle_ms=0, gpm_ms=3_500_000, sm_active_ms=3_500_000, tensor_active_ms=0,
    energy_mj=2_500_000_000, memory_peak_bytes=2**36,
)  # fmt: skip
LATER = HOUR.ended + 300


def test_what_can_be() -> None:
    """An hour at full load, one of which nothing was seen, and one by a clock that is set an hour late."""
    assert ["", "", ""] == [
        doubt(one, LATER)
        for one in (HOUR, Measured(7, "GPU-a", HOUR.started, HOUR.ended), HOUR._replace(ended=LATER + 3_600))
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ended": LATER + 2 * 86_400}, "that cannot be"),
        ({"started": 12}, "that cannot be"),
        ({"allocated_ms": 10**9}, "allocated_ms 1000000000: 90000000 at most"),
        ({"covered_ms": 3_600_401}, "covered_ms"),
        ({"process_ms": 3_600_001}, "process_ms"),
        ({"gpm_ms": 3_600_001}, "gpm_ms"),
        ({"sm_active_ms": 3_500_001}, "sm_active_ms"),
        ({"energy_mj": 2 * 10**12}, "energy_mj"),
        ({"memory_peak_bytes": 2**46}, "memory_peak_bytes"),
    ],
)
def test_what_cannot_be(change: dict[str, int], words: str) -> None:
    """It is named with the most that it could be."""
    assert words in doubt(HOUR._replace(**change), LATER)  # type: ignore[arg-type]
