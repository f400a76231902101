"""Slurm's texts: every documented form is read, everything else is refused."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm import grammar
from opsd.core.errors import BadText
from opsd.core.records import ENDED_STATES, OPEN_STATES, PARTITION_LIMIT, UNLIMITED
from opsd.core.tres import Tres

MADRID = ZoneInfo("Europe/Madrid")
TRES_NAMES = st.sampled_from(
    [
        "cpu",
        "mem",
        "node",
        "billing",
        "energy",
        "gres/gpu",
        "gres/gpu:a100_3g.20gb",
        "license/matlab@db",
        "bb/nvme",
    ]
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("00:00", 0),
        ("03:07", 187),
        ("90:00", 5400),
        ("00:03:00", 180),
        ("123:00:00", 442_800),
        ("1-02:03:04", 93_784),
        ("00:07.000", 7),
    ],
)
def test_durations(text: str, seconds: int) -> None:
    """Each form sacct prints comes to whole seconds."""
    assert seconds == grammar.duration(text)


@pytest.mark.parametrize(
    "text",
    ["", "7", "1-7", "1-07:07", "INVALID", "-00:00:01", "00:60", "00:60:00", "1-24:00:00", "00:00:01.5",
     " 00:01", "00:01\n", "\u0660\u0660:\u0660\u0661", "1_0:00", "9" * 30 + ":00", "Unknown"],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    """Nothing else is read as a duration, least of all as 0."""
    with pytest.raises(BadText):
        grammar.duration(text)


@given(st.integers(0, 10**9))
def test_durations_come_back(seconds: int) -> None:
    """What is printed as sacct prints it is read back."""
    assert seconds == grammar.duration(grammar.format_duration(seconds))


def test_cpu_time_keeps_its_fraction() -> None:
    """CPU columns carry parts of a second; the others never do."""
    assert 3_004_500 == grammar.cpu_time("00:03.0045")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("UNLIMITED", UNLIMITED),
        ("Partition_Limit", PARTITION_LIMIT),
        ("90", 5400),
        ("02:00:00", 7200),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("3-00:00:00", 259_200),
    ],
)
def test_time_limits(text: str, seconds: int | None) -> None:
    """A limit has its names and the forms that sbatch takes."""
    assert seconds == grammar.time_limit(text)


@pytest.mark.parametrize("text", ["1-24", "1-00:60", "-5", "1.5", "unlimited ", "Partition_limit"])
def test_what_is_no_time_limit(text: str) -> None:
    """Half a form is no form."""
    with pytest.raises(BadText):
        grammar.time_limit(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("120", 7200),
        ("UNLIMITED", UNLIMITED),
        ("Partition_Limit", PARTITION_LIMIT),
        ("4294967295", UNLIMITED),
        ("4294967294", PARTITION_LIMIT),
    ],
)
def test_raw_time_limits_are_minutes(text: str, seconds: int | None) -> None:
    """TimelimitRaw is in minutes, and its two magic numbers are names."""
    assert seconds == grammar.time_limit_raw(text)


@pytest.mark.parametrize(
    ("text", "mb"),
    [("16000M", 16000), ("2048K", 2), ("2G", 2048), ("1.5T", 1_572_864), ("500", 500), ("0", 0),
     ("1P", 1024**3), ("1E", 1024**4), ("15.62G", Fraction("15.62") * 1024)],
)  # fmt: skip
def test_sizes(text: str, mb: Fraction) -> None:
    """Sizes come to MB exactly."""
    assert mb == grammar.size_mb(text)


def test_requested_memory_says_per_what() -> None:
    """Until 21.08 ReqMem ended in n or c."""
    assert (4096, "node") == grammar.requested_memory("4Gn")
    assert (2048, "cpu") == grammar.requested_memory("2Gc")
    assert (1000, "") == grammar.requested_memory("1000M")


def test_tres_text() -> None:
    """Types, MIG names with dots and licences are names like any other; memory is in MB."""
    text = (
        "cpu=8,gres/gpu:a100_3g.20gb=2,gres/gpu=2,license/ansys@db=1,bb/nvme=2G,mem=8G,node=1,x/y=7,energy=12"
    )
    expected = {
        "bb/nvme": 2048, "cpu": 8, "energy": 12, "gres/gpu": 2, "gres/gpu:a100_3g.20gb": 2,
        "license/ansys@db": 1, "mem": 8192, "node": 1, "x/y": 7,
    }  # fmt: skip
    assert Tres.of(expected) == grammar.tres(text)
    assert Tres() == grammar.tres("")


@pytest.mark.parametrize("count", ["18446744073709551614", "18446744073709551615"])
def test_a_tres_that_is_not_set_is_not_there(count: str) -> None:
    """Slurm's 64-bit "not set" is no count of 18 quintillion."""
    assert "cpu=4" == grammar.tres(f"cpu=4,energy={count}").text


@pytest.mark.parametrize(
    "text",
    ["cpu", "cpu=", "=4", "cpu=-1", "cpu=+1", "cpu=1.5", "cpu=4K", "cpu=1,cpu=1", "cpu=1,,mem=2M",
     "mem=1.0001M", "mem=-5M", "mem=5X", "c pu=1", "cpu=1 ", "cpu=1;mem=2M", "cpu=9223372036854775808",
     "energy=18446744073709551613", "cpu=\u0664", "mem=1_0M", "\x00=1"],
)  # fmt: skip
def test_what_is_no_tres(text: str) -> None:
    """Duplicates, signs, fractions and halves are refused."""
    with pytest.raises(BadText):
        grammar.tres(text)


def test_rounded_memory_says_what_to_do() -> None:
    """15.62G is some number of MB between 15,989 and 16,000: which, nobody knows."""
    with pytest.raises(BadText, match="--noconvert"):
        grammar.tres("cpu=4,mem=15.62G")


@given(st.dictionaries(TRES_NAMES, st.integers(0, 2**62)))
def test_tres_come_back(counts: dict[str, int]) -> None:
    """The canonical text is read back as it was."""
    tres = Tres.of(counts)
    assert tres == grammar.tres(tres.text)


@given(st.permutations(["cpu=4", "gres/gpu=1", "mem=5M", "node=1"]))
def test_the_order_of_tres_does_not_matter(entries: list[str]) -> None:
    """Slurm sorts by id, other tools by name."""
    assert "cpu=4,gres/gpu=1,mem=5,node=1" == grammar.tres(",".join(entries)).text


@pytest.mark.parametrize("name", sorted(ENDED_STATES | OPEN_STATES))
def test_every_state_is_known_in_each_dress(name: str) -> None:
    """By UID, cut with a plus, or plain: the same base state."""
    for text in (name, f"{name}+", f"{name} by 1000"):
        assert grammar.State(name, known=True) == grammar.state(text)


@pytest.mark.parametrize("code", sorted(grammar.STATE_CODES))
def test_compact_codes(code: str) -> None:
    """CA is CANCELLED."""
    assert grammar.State(grammar.STATE_CODES[code], known=True) == grammar.state(code)


def test_a_cut_state_is_completed_if_only_one_is_meant() -> None:
    """OUT_OF_ME+ can only be OUT_OF_MEMORY; REQUEUE+ may be three states."""
    assert "OUT_OF_MEMORY" == grammar.state("OUT_OF_ME+").base
    with pytest.raises(BadText, match="-P"):
        grammar.state("REQUEUE_+")


def test_an_unknown_state_is_kept_and_said() -> None:
    """A newer Slurm has newer states; their runs used the machine all the same."""
    assert grammar.State("TELEPORTED", known=False) == grammar.state("TELEPORTED by 7")


@pytest.mark.parametrize(
    "text", ["", "completed", "COMPLETED ", "7", "A" * 60, "COMPLETED by ", "CANCELLED by -1", "DONE\n"]
)
def test_what_is_no_state(text: str) -> None:
    """A state is capitals."""
    with pytest.raises(BadText):
        grammar.state(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("123", grammar.JobId(123)),
        ("123_4", grammar.JobId(123, task=4)),
        ("123_[1-10%2]", grammar.JobId(123, tasks="[1-10%2]")),
        ("123_[1,3,5-9:2,...]", grammar.JobId(123, tasks="[1,3,5-9:2,...]")),
        ("123_[0x1F]", grammar.JobId(123, tasks="[0x1F]")),
        ("123+1", grammar.JobId(123, het=1)),
        ("123.batch", grammar.JobId(123, step="batch")),
        ("123.extern", grammar.JobId(123, step="extern")),
        ("123.interactive", grammar.JobId(123, step="interactive")),
        ("123.0", grammar.JobId(123, step="0")),
        ("123.0+1", grammar.JobId(123, step="0+1")),
        ("123.TBD", grammar.JobId(123, step="TBD")),
        ("123_4.0x1f", grammar.JobId(123, task=4, step="0x1f")),
        ("123+1.batch", grammar.JobId(123, het=1, step="batch")),
    ],
)
def test_job_ids(text: str, expected: grammar.JobId) -> None:
    """Every form of an id is taken apart, and put together again."""
    assert expected == grammar.job_id(text)
    assert text == expected.text


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1 ", "1.", "1.x", "1_", "1_[]", "4294967294", "99999999999", "\uff11", "1\n", "1+", "a"],
)
def test_what_is_no_job_id(text: str) -> None:
    """Not even Slurm's own "not set"."""
    with pytest.raises(BadText):
        grammar.job_id(text)


@pytest.mark.parametrize("text", ["", "0", "None", "Unknown"])
def test_times_that_are_not_set(text: str) -> None:
    """Slurm has four ways to say that a time is not set."""
    assert grammar.time(text, None) is None


@pytest.mark.parametrize(
    ("text", "zone", "epoch"),
    [
        ("1795329498", None, 1_795_329_498),
        ("2026-11-22T06:53:18", timezone(timedelta(minutes=15)), 1_795_329_498),
        ("2026-11-22T06:38:18Z", None, 1_795_329_498),
        ("2026-11-22 07:38:18+01:00", None, 1_795_329_498),
        ("2026-11-22T07:38:18+0100", MADRID, 1_795_329_498),
        ("2026-11-22T07:38:18", MADRID, 1_795_329_498),
        ("2026-07-01T12:00:00.000", MADRID, 1_782_900_000),
    ],
)
def test_times(text: str, zone: ZoneInfo | None, epoch: int) -> None:
    """Epochs, and ISO times that say their zone or are told it."""
    assert epoch == grammar.time(text, zone)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11-22T06:53:18", "--timezone"),
        ("631151999", "before 1990"),
        ("1", "before 1990"),
        ("1795329498000", "milliseconds"),
        ("4294967294", "after 2105"),
        ("1989-12-31T23:59:59Z", "before 1990"),
        ("2026-02-30T00:00:00Z", "calendar"),
        ("2026-11-22T25:00:00Z", "calendar"),
        ("2026-11-22T06:53:18+99:00", "offset"),
        ("Today 12:30", "not a time"),
        ("22/11/2026", "not a time"),
        ("-5", "not a time"),
        ("1_795_329_498", "not a time"),
        ("unknown", "not a time"),
        ("0000-01-01T00:00:00Z", "calendar"),
    ],
)
def test_what_is_no_time(text: str, why: str) -> None:
    """The reason says what is wrong and what to do."""
    with pytest.raises(BadText, match=why):
        grammar.time(text, None)


def test_the_autumn_hour_has_two_meanings_and_the_spring_hour_none() -> None:
    """Local times are ambiguous or impossible twice a year; neither is guessed."""
    assert (1_792_887_600, 1_792_891_200) == grammar.time_candidates("2026-10-25T02:20:00", MADRID)
    with pytest.raises(BadText, match="twice"):
        grammar.time("2026-10-25T02:20:00", MADRID)
    with pytest.raises(BadText, match="skipped"):
        grammar.time("2026-03-29T02:20:00", MADRID)


@given(st.integers(631_152_000, 4_102_444_800))
def test_times_come_back(epoch: int) -> None:
    """Whatever the zone, a printed moment is among the meanings of its text."""
    assert epoch == grammar.time(str(epoch), None)
    assert epoch == grammar.time(datetime.fromtimestamp(epoch, UTC).isoformat(), None)
    local = datetime.fromtimestamp(epoch, MADRID).strftime("%Y-%m-%dT%H:%M:%S")
    assert epoch in grammar.time_candidates(local, MADRID)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text ends in anything but a value or BadText."""
    readers = (
        grammar.duration, grammar.cpu_time, grammar.time_limit, grammar.time_limit_raw, grammar.size_mb,
        grammar.requested_memory, grammar.tres, grammar.state, grammar.job_id,
        lambda value: grammar.time(value, MADRID), lambda value: grammar.whole(value, "count"),
    )  # fmt: skip
    for reader in readers:
        with contextlib.suppress(BadText):
            reader(text)
