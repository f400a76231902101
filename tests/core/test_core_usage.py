"""From a run to seconds: its interval, its components, its cuts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from opsd.core.flags import Flag
from opsd.core.period import DAY
from opsd.core.records import ENDED_STATES, OPEN_STATES, RunRecord
from opsd.core.usage import (
    Seconds,
    Suspension,
    by_day,
    cut,
    interval,
    spans,
    spans_text,
    suspension,
)

MIDNIGHT = 20_000 * DAY


def record(**columns: Any) -> RunRecord:
    """A plain ended run of 100 seconds, but for the columns named."""
    plain: dict[str, Any] = {
        "cluster": "mn5", "job_id": 1, "submit": 1_000, "start": 1_010, "end": 1_110, "state": "COMPLETED",
        "account": "es-a", "tres": "cpu=4,node=1", **columns,
    }  # fmt: skip
    return RunRecord(**plain)


# ------------------------------------------------------------------------------------------- the interval


def test_a_plain_run() -> None:
    """From Start to End, with nothing odd about it."""
    assert (1_010, 1_110, 0) == interval(record())


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"end": None, "state": "RUNNING"}, (1_010, None, 0)),
        ({"start": None}, (None, None, 0)),
        ({"start": None, "end": None, "state": "PENDING"}, (None, None, 0)),
        ({"end": None, "state": "PENDING"}, (None, None, 0)),
        ({"start": 900}, (1_000, 1_110, Flag.START_BEFORE_SUBMIT)),
        ({"start": 900, "end": 950}, (1_000, 1_000, Flag.START_BEFORE_SUBMIT)),
        ({"start": 1_000}, (1_000, 1_110, 0)),
        ({"end": 1_010}, (1_010, 1_010, 0)),
        ({"end": 1_005}, (1_010, 1_010, 0)),
        ({"tres": ""}, (None, None, Flag.NO_ALLOCATION)),
        ({"tres": "", "state": "ODD"}, (None, None, Flag.NO_ALLOCATION | Flag.UNKNOWN_STATE)),
        ({"state": "ODD"}, (1_010, 1_110, Flag.UNKNOWN_STATE)),
        ({"state": "ODD", "end": None}, (1_010, None, Flag.UNKNOWN_STATE)),
        ({"state": "FAILED", "end": None}, (1_010, None, Flag.ENDED_WITHOUT_END)),
        ({"suspended": 30}, (1_010, 1_110, Flag.SUSPENDED_UNPLACED)),
        ({"suspended": 100}, (1_010, 1_110, Flag.SUSPENDED_UNPLACED)),
        ({"suspended": 101}, (1_010, 1_110, Flag.SUSPENDED_UNPLACED | Flag.SUSPENDED_CAPPED)),
        ({"suspended": 101, "end": None, "state": "SUSPENDED"}, (1_010, None, Flag.SUSPENDED_UNPLACED)),
        ({"suspended": 95, "start": 900}, (1_000, 1_110, Flag.START_BEFORE_SUBMIT | Flag.SUSPENDED_UNPLACED)),
    ],
)
def test_intervals(columns: dict[str, Any], expected: tuple[int | None, int | None, int]) -> None:
    """From max(Start, Submit) to End, never backwards, and every oddity flagged."""
    assert expected == interval(record(**columns))


def test_the_shrunk_job_is_not_counted_twice() -> None:
    """The row after a shrink carries the original Start; it counts from the resize, its Submit."""
    before = interval(record(submit=1_000, start=1_010, end=1_500, state="RESIZING"))
    after = interval(record(submit=1_500, start=1_010, end=2_000))

    assert ((1_010, 1_500), (1_500, 2_000)) == (before[:2], after[:2])


@pytest.mark.parametrize("state", sorted(ENDED_STATES | OPEN_STATES - {"PENDING"}))
def test_every_known_state_with_start_and_allocation_counts(state: str) -> None:
    """Requeued, preempted, resized, node-failed, still running: all hold what they hold, unflagged."""
    assert (1_010, 1_110, 0) == interval(record(state=state))


@given(
    st.sampled_from(sorted(ENDED_STATES | OPEN_STATES | {"ODD"})),
    st.none() | st.integers(0, 300),
    st.none() | st.integers(0, 300),
    st.none() | st.integers(0, 400),
)
def test_an_interval_never_runs_backwards(
    state: str, start: int | None, end: int | None, off: int | None
) -> None:
    """Whatever Slurm wrote: begin at or after submit, finish at or after begin, open only without End."""
    begin, finish, flags = interval(record(state=state, start=start, end=end, submit=150, suspended=off))

    assert (start is None or state == "PENDING") == (begin is None)
    if begin is None:
        assert (None, 0) == (finish, flags)
        return
    assert begin == max(150, start or 0)
    assert (end is None) == (finish is None)
    if finish is not None:
        assert max(begin, end or 0) == finish
    assert bool(flags & Flag.SUSPENDED_UNPLACED) == bool(off)


# ------------------------------------------------------------------------------------------------- cuts

lengths = st.integers(0, 3 * DAY)
begins = st.integers(MIDNIGHT - 2 * DAY, MIDNIGHT + 2 * DAY)


@given(begins, lengths, st.integers(0, 4 * DAY), st.lists(st.integers(-5 * DAY, 5 * DAY), max_size=8))
def test_any_cut_adds_up(begin: int, length: int, suspended: int, cuts: list[int]) -> None:
    """However an interval is cut, the pieces' seconds are the interval's, in both components."""
    finish = begin + length
    edges = sorted([MIDNIGHT - 9 * DAY, *(MIDNIGHT + at for at in cuts), MIDNIGHT + 9 * DAY])
    pieces = [cut(begin, finish, suspended, a, b) for a, b in pairwise(edges)]
    off = min(suspended, length)

    assert (length - off, off) == (sum(p.run for p in pieces), sum(p.suspended for p in pieces))
    assert all(piece.run >= 0 and piece.suspended >= 0 for piece in pieces)


@given(begins, lengths, st.integers(0, 4 * DAY), begins, lengths)
def test_a_piece_is_never_longer_than_what_it_overlaps(
    begin: int, length: int, suspended: int, a: int, width: int
) -> None:
    """Run and suspended seconds of a window add up to the overlap of the two, exactly."""
    piece = cut(begin, begin + length, suspended, a, a + width)
    overlap = max(0, min(begin + length, a + width) - max(begin, a))

    assert overlap == piece.run + piece.suspended


@given(begins, st.integers(1, 3 * DAY), st.integers(1, 3 * DAY), st.integers(0, 3 * DAY))
def test_suspended_seconds_are_spread_evenly(begin: int, length: int, suspended: int, at: int) -> None:
    """Up to any instant the suspended part is the even share, rounded down to a whole second."""
    assume(suspended <= length)
    at = min(at, length)
    share = cut(begin, begin + length, suspended, begin, begin + at).suspended

    assert share * length <= suspended * at < (share + 1) * length


@pytest.mark.parametrize(
    ("suspended", "window", "expected"),
    [
        (0, (0, 100), Seconds(100, 0)),
        (30, (0, 100), Seconds(70, 30)),
        (30, (0, 50), Seconds(35, 15)),
        (1, (0, 50), Seconds(50, 0)),
        (1, (50, 100), Seconds(49, 1)),
        (100, (0, 100), Seconds(0, 100)),
        (250, (0, 100), Seconds(0, 100)),
        (250, (0, 10), Seconds(0, 10)),
        (30, (-50, 0), Seconds(0, 0)),
        (30, (100, 150), Seconds(0, 0)),
        (30, (-50, 150), Seconds(70, 30)),
        (30, (60, 60), Seconds(0, 0)),
        (30, (70, 60), Seconds(0, 0)),
    ],
)
def test_cuts_by_hand(suspended: int, window: tuple[int, int], expected: Seconds) -> None:
    """A hundred seconds, some of them suspended, through several windows; more than all counts as all."""
    assert expected == cut(1_000, 1_100, suspended, 1_000 + window[0], 1_000 + window[1])


def test_a_run_of_no_length_has_no_seconds() -> None:
    """Nothing is divided by nothing."""
    assert Seconds(0, 0) == cut(1_000, 1_000, 7, 0, 2_000)


# -------------------------------------------------------------------------------------------------- days


@given(begins, lengths, st.integers(0, 4 * DAY))
@example(MIDNIGHT, 0, 0)
@example(MIDNIGHT, DAY, 0)
@example(MIDNIGHT - 1, 1, 1)
@example(MIDNIGHT - 1, 2, 0)
def test_days_add_up_to_the_run(begin: int, length: int, suspended: int) -> None:
    """Every second stands under its own UTC day, and the run starts on exactly one."""
    days = list(by_day(begin, begin + length, suspended))
    off = min(suspended, length)

    assert (length - off, off, 1) == tuple(sum(day[place] for day in days) for place in (1, 2, 3))
    assert list(range(begin // DAY, begin // DAY + len(days))) == [day for day, *_ in days]
    for day, run, suspended_part, starts in days:
        inside = min(begin + length, (day + 1) * DAY) - max(begin, day * DAY)
        assert (inside, int(day == begin // DAY)) == (run + suspended_part, starts)


def test_days_by_hand() -> None:
    """A run that ends at midnight is not in the day that begins there; an empty one is where it starts."""
    assert [(20_000, DAY, 0, 1)] == list(by_day(MIDNIGHT, MIDNIGHT + DAY, 0))
    assert [(19_999, 1, 0, 1), (20_000, 1, 0, 0)] == list(by_day(MIDNIGHT - 1, MIDNIGHT + 1, 0))
    assert [(20_000, 0, 0, 1)] == list(by_day(MIDNIGHT, MIDNIGHT, 9))


# ------------------------------------------------------------------------------- suspensions that are placed

edges = st.integers(-20, 140)
rows = st.lists(st.tuples(st.integers(1, 120), st.none() | st.integers(0, 130)), max_size=6)


@given(rows)
def test_suspensions_survive_as_text(found: list[tuple[int, int | None]]) -> None:
    """What lasted, in time order; each row once, and an open one without its end."""
    lasting = {(start, end) for start, end in found if end is None or end > start}

    assert lasting == set(spans(spans_text(found)))
    assert spans_text(found) == spans_text(reversed(found)) == spans_text(found * 2)
    assert [start for start, _ in spans(spans_text(found))] == sorted(start for start, _ in lasting)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], ""),
        ([(30, None), (10, 20)], "10-20,30-"),
        ([(10, 10), (9, 5), (0, 7)], ""),
        ([(10, None), (10, 20)], "10-20,10-"),
    ],
)
def test_suspension_texts_by_hand(found: list[tuple[int, int | None]], expected: str) -> None:
    """Rows of no length, of a broken clock, and without a start say nothing."""
    assert expected == spans_text(found)


@given(rows, st.integers(1, 100), st.integers(0, 60), st.booleans(), st.lists(edges, min_size=2, max_size=6))
def test_placed_cuts_are_the_seconds_themselves(
    found: list[tuple[int, int | None]], begin: int, length: int, ended: bool, cuts: list[int]
) -> None:
    """In any window as many seconds are suspended as lie in a row, counted one by one, and cuts add up."""
    finish = begin + length
    # Of an ended run's open row the total tells the end; none can be told here.
    total = None if ended else 7
    off = {
        at
        for start, end in found
        for at in range(start, finish if end is None else end)
        if begin <= at < finish and start > 0
    }

    suspended = suspension(total, spans_text(found), begin, finish, ended=ended)

    if not spans_text(found):
        assert suspended == (total or 0)
        return
    pieces = [(a, b, cut(begin, finish, suspended, a, b)) for a, b in pairwise(sorted(cuts))]
    for a, b, piece in pieces:
        inside = range(max(a, begin), min(b, finish))
        assert (sum(at not in off for at in inside), sum(at in off for at in inside)) == piece
    whole = cut(begin, finish, suspended, min(cuts), max(cuts))
    assert whole == (sum(p.run for *_, p in pieces), sum(p.suspended for *_, p in pieces))


@given(begins, lengths, rows)
def test_days_of_a_placed_run_add_up(begin: int, length: int, found: list[tuple[int, int | None]]) -> None:
    """By day as in one piece."""
    shifted = [(begin + a * 997, None if b is None else begin + b * 997) for a, b in found]
    suspended = suspension(None, spans_text(shifted), begin, begin + length, ended=True)
    parts = list(by_day(begin, begin + length, suspended))

    whole = cut(begin, begin + length, suspended, begin, begin + length)
    assert whole == (sum(run for _, run, _, _ in parts), sum(off for _, _, off, _ in parts))


@pytest.mark.parametrize(
    ("total", "text", "ended", "expected"),
    [
        (None, None, True, 0),
        (30, None, True, 30),
        (30, "", True, 30),
        (0, "1020-1050", True, 0),
        (30, "1020-1050", True, ((1_020, 1_050),)),
        (None, "1020-1050", True, ((1_020, 1_050),)),
        (30, "900-1020,1090-1200", True, ((1_010, 1_020), (1_090, 1_110))),
        (30, "1020-1040,1030-1050", True, ((1_020, 1_050),)),
        (30, "1020-1030,1030-1050", True, ((1_020, 1_050),)),
        (30, "900-1000,1110-1200", True, ()),
        (30, "1020-", False, ((1_020, 1_110),)),
        (30, "1020-1040,1050-", True, ((1_020, 1_040), (1_050, 1_060))),
        (10, "1020-1040,1050-", True, ((1_020, 1_040),)),
        (1_795_329_505, "1020-1040,1050-", True, ((1_020, 1_040), (1_050, 1_110))),
        (None, "1050-", True, ((1_050, 1_110),)),
    ],
)
def test_suspensions_by_hand(total: int | None, text: str | None, ended: bool, expected: Suspension) -> None:
    """Clipped to the run and joined; without times the total; a total of 0 means never.

    A row without end, told before the run ended, lasts until the total is used up.
    """
    assert expected == suspension(total, text, 1_010, 1_110, ended=ended)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"suspended": 30, "suspensions": "1020-1050"}, 0),
        ({"suspended": 30, "suspensions": ""}, Flag.SUSPENDED_UNPLACED),
        ({"suspended": 0, "suspensions": "1020-1050"}, 0),
        ({"suspensions": "1020-1050"}, 0),
        ({"suspensions": ""}, 0),
        ({"suspended": 500, "suspensions": "1020-1050"}, 0),
        ({"suspended": 30, "suspensions": "900-1200"}, Flag.SUSPENDED_CAPPED),
        ({"suspended": 30, "suspensions": "1020-"}, 0),
        ({"suspended": 30, "suspensions": "1020-", "end": None, "state": "SUSPENDED"}, 0),
    ],
)
def test_flags_of_placed_suspensions(columns: dict[str, Any], expected: int) -> None:
    """A suspension whose times are known is placed; one longer than its run is still remarked on."""
    assert expected == interval(record(**columns))[2]
