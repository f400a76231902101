"""The quick way gives what the careful way gives, or leaves the row to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.fast import FastPath
from collectors.slurm.layout import Layout
from collectors.slurm.records import parse_fields
from opsd.core.errors import BadText
from opsd.core.records import RunRecord
from tests.collectors.slurm.exports import ORDINARY, PLAIN, T, fields

MADRID = ZoneInfo("Europe/Madrid")
AUTUMN = 1_792_800_000
EPOCHS = st.integers(AUTUMN, AUTUMN + 200_000)
UNSET = st.sampled_from(["", "0", "None", "Unknown"])
ODD_NUMBERS = st.sampled_from(
    ["", "0", "-1", "+1", "007", " 7", "7 ", "1_0", "1.0", "٣", "²", "9" * 19, "9" * 25, "9" * 5000, "x"]
)
NUMBERS = st.one_of(st.integers(0, 10**6).map(str), ODD_NUMBERS)
ODD_TEXT = st.text(alphabet="ab\x00\x1b\udcff é\u2028,+=[]()-12\r", max_size=6)


def iso(epoch: int) -> str:
    """As sacct prints it in Madrid."""
    return datetime.fromtimestamp(epoch, MADRID).strftime("%Y-%m-%dT%H:%M:%S")


TIMES = st.one_of(
    EPOCHS.map(str),
    EPOCHS.map(str),
    EPOCHS.map(iso),
    UNSET,
    ODD_NUMBERS,
    st.sampled_from(
        [
            "2026-10-25T02:30:00",
            "2026-03-29T02:30:00",
            "2026-10-25T02:30:61",
            "2026-10-26 01:00:00",
            "2026-10-26T01:00:00Z",
        ]
    ),
)
VALUES: dict[str, st.SearchStrategy[str]] = {
    "JobIDRaw": st.one_of(
        st.integers(1, 2**32).map(str), ODD_NUMBERS, st.sampled_from(["5.batch", "5_4", "5+1"])
    ),
    "JobID": st.sampled_from(["101", "99_4", "99_[1-3]", "99+1", "5.batch", "", "x"]),
    "Cluster": st.one_of(st.sampled_from(["mn5", ""]), ODD_TEXT),
    "State": st.sampled_from(
        ["COMPLETED", "CANCELLED by 7", "CANCELLED+", "CA", "NEW_ONE", "", "?", "failed"]
    ),
    "Submit": TIMES,
    "Eligible": TIMES,
    "Start": TIMES,
    "End": TIMES,
    "ElapsedRaw": NUMBERS,
    "Suspended": st.sampled_from(["00:00:00", "00:23:34", "1-00:00:00", "", "INVALID", "x"]),
    "TimelimitRaw": st.one_of(NUMBERS, st.sampled_from(["UNLIMITED", "Partition_Limit"])),
    "AllocTRES": st.sampled_from(
        ["cpu=4,mem=5M", "mem=5M,cpu=4", "", "gres/gpu=1", "mem=1.3G", "cpu=4,cpu=4", "x", "mem=2G"]
    ),
    "NodeList": st.sampled_from(["n1", "n[1-3]", "None assigned", "", "n["]),
    "ReservationId": NUMBERS,
    "AssocID": NUMBERS,
    "DBIndex": NUMBERS,
} | {
    name: st.one_of(st.sampled_from(["a", "b", ""]), ODD_TEXT)
    for name in ("Account", "User", "Partition", "QOS", "SLUID", "Flags")
}
CHANGES = st.lists(st.sampled_from(sorted(VALUES)), max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: VALUES[name] for name in names})
)
LAYOUTS = st.builds(
    lambda dropped, options: Layout(tuple(name for name in PLAIN if name not in dropped), "|", **options),
    st.sets(
        st.sampled_from(
            ["JobID", "Eligible", "Suspended", "User", "SLUID", "ReservationId", "Cluster", "NodeList"]
        )
    ),
    st.fixed_dictionaries(
        {
            "cluster": st.just("lab"),
            "zone": st.sampled_from([None, "Europe/Madrid"]),
            "trailing": st.booleans(),
        }
    ),
)


def carefully(row: list[str], layout: Layout) -> RunRecord | None:
    """What the careful way says; None for a step and for what it refuses."""
    if len(row) != layout.fields or (layout.trailing and row[-1]):
        return None
    try:
        return parse_fields(row, layout)
    except BadText:
        return None


def same(quick: Any, careful: Any) -> bool:
    """Equal, and of equal types: True == 1 would hide a mistake."""
    return bool(quick == careful) and [type(value) for value in quick] == [type(value) for value in careful]


@given(LAYOUTS, st.lists(st.tuples(CHANGES, st.sampled_from([0, 0, 0, 0, 1, -1])), max_size=12))
def test_the_quick_way_is_the_careful_way(layout: Layout, rows: list[tuple[dict[str, str], int]]) -> None:
    """For every row it takes; the rows it leaves are named."""
    split = [fields(layout.columns, **changes) + [""] * (layout.trailing + extra) for changes, extra in rows]
    split = [
        row[:-1] if extra < 0 and not layout.trailing else row
        for row, (_, extra) in zip(split, rows, strict=True)
    ]
    found, unusual = FastPath(layout).parse(["|".join(row) for row in split])
    assert [at for at, run in enumerate(found) if run is None] == unusual
    for row, quick in zip(split, found, strict=True):
        if quick is not None:
            assert same(quick, carefully(row, layout))


@pytest.mark.parametrize("zone", [None, "Europe/Madrid"])
def test_ordinary_rows_take_the_quick_way(zone: str | None) -> None:
    """Otherwise the test above would prove nothing."""
    layout = Layout(PLAIN, "|", zone=zone)
    epochs = {name: str(AUTUMN + 400_000) for name in ("Submit", "Eligible", "Start", "End")}
    times = {name: iso(int(text)) for name, text in epochs.items()} if zone else epochs
    rows = [
        fields(PLAIN, **times, JobID=label, Account=account)
        for label in ("101", "99_4")
        for account in ("a", "b", "")
    ]
    found, unusual = FastPath(layout).parse(["|".join(row) for row in rows])
    assert [] == unusual
    assert [carefully(row, layout) for row in rows] == found


def test_runs_that_wait_or_run_take_the_quick_way_too() -> None:
    """A look at a live Slurm is full of them."""
    layout = Layout(PLAIN, "|")
    unset = [
        {"End": "Unknown"},
        {"Start": "None"},
        {"Eligible": "0"},
        {"Start": "", "End": "", "Eligible": ""},
        {},
    ]
    rows = [fields(PLAIN, **changes) for changes in unset]
    found, unusual = FastPath(layout).parse(["|".join(row) for row in rows])
    assert [] == unusual
    assert [carefully(row, layout) for row in rows] == found


def test_one_unusual_row_costs_only_itself() -> None:
    """Its neighbours go the quick way."""
    odd = [
        {"Submit": "Unknown"},
        {"JobIDRaw": "5.batch"},
        {"User": "\x00"},
        {"End": str(T)},
        {"JobID": "x"},
    ]
    lines = ["|".join(fields(PLAIN, **changes)) for change in odd for changes in (change, {})]
    lines += ["short", "", "|".join([*ORDINARY, "long"])]
    _, unusual = FastPath(Layout(PLAIN, "|")).parse(lines)
    assert [0, 2, 4, 6, 8, 10, 11, 12] == unusual


@pytest.mark.parametrize("delimiter", ["||", ";|;", "\n|"[1:], "aa"])
def test_a_delimiter_that_may_overlap_itself(delimiter: str) -> None:
    """A field that ends like the delimiter starts is cut where a plain split would cut it."""
    layout = Layout(PLAIN, delimiter)
    for flags in ("", delimiter[:1], "x" + delimiter[:1], delimiter[:2]):
        for first in ({"Flags": flags}, {"JobIDRaw": flags + "7", "Flags": flags}):
            text = delimiter.join(fields(PLAIN, **first))
            found, _ = FastPath(layout).parse([text, text])
            careful = carefully(text.split(delimiter), layout)
            assert all(run is None or same(run, careful) for run in found)


def test_memories_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million different accounts take no more room than a few."""
    monkeypatch.setattr("collectors.slurm.readers._REMEMBERED", 10)
    fast = FastPath(Layout(PLAIN, "|"))
    found, _ = fast.parse(["|".join(fields(PLAIN, Account=f"a{number}")) for number in range(1000)])
    assert [f"a{number}" for number in range(1000)] == [run.account for run in found if run]
    readers = {name: read for name, _, read in fast._readers}
    assert len(readers["Account"].values) <= 10  # type: ignore[attr-defined]
