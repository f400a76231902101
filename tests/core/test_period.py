"""Civil calendars cover a window exactly, on every odd day of every zone; times are read or refused."""

from __future__ import annotations

import operator
from bisect import bisect_right
from datetime import datetime, timedelta, tzinfo
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.errors import BadText
from opsd.core.period import (
    CALENDARS,
    DAY,
    HOUR,
    Window,
    days,
    fold_candidates,
    hours,
    isoformat,
    local_to_epoch,
    month_window,
    months,
    parse_period,
    parse_time,
    zone,
    zone_name,
)

MADRID = zone("Europe/Madrid")
# Every kind of oddity: half and quarter hours, a half-hour summer time, no summer time, midnights that
# are skipped or come twice, both sides of the date line.
ZONES = (
    "UTC",
    "Europe/Madrid",
    "Europe/Lisbon",
    "Europe/Istanbul",
    "Europe/Bucharest",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Pacific/Apia",
    "Pacific/Chatham",
    "+05:30",
    "-03:00",
)
FIRST, LAST = 1_325_376_000, 2_051_222_400  # 2012 to 2035


def utc(text: str) -> int:
    """Epoch seconds of a time in UTC."""
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


def lengths(calendar: str, period: str, tz: tzinfo) -> list[int]:
    """How long the pieces of a period are."""
    return [part.seconds for _, part in CALENDARS[calendar](parse_period(period, tz), tz)]


# ------------------------------------------------------------------------------------------ civil months


@pytest.mark.parametrize(
    ("place", "period", "start", "end"),
    [
        ("Europe/Madrid", "2026-10", "2026-09-30T22:00", "2026-10-31T23:00"),
        ("Europe/Lisbon", "2026-10", "2026-09-30T23:00", "2026-11-01T00:00"),
        ("Europe/Istanbul", "2026-10", "2026-09-30T21:00", "2026-10-31T21:00"),
        ("Europe/Bucharest", "2026-10", "2026-09-30T21:00", "2026-10-31T22:00"),
        ("Europe/Madrid", "2026-03", "2026-02-28T23:00", "2026-03-31T22:00"),
        ("Europe/Lisbon", "2026-03", "2026-03-01T00:00", "2026-03-31T23:00"),
        ("Europe/Istanbul", "2026-03", "2026-02-28T21:00", "2026-03-31T21:00"),
        ("Europe/Bucharest", "2026-03", "2026-02-28T22:00", "2026-03-31T21:00"),
        ("Europe/Madrid", "2028-02", "2028-01-31T23:00", "2028-02-29T23:00"),
        ("Asia/Kathmandu", "2026-10", "2026-09-30T18:15", "2026-10-31T18:15"),
        ("Europe/Madrid", "2026-Q1", "2025-12-31T23:00", "2026-03-31T22:00"),
        ("Europe/Madrid", "2026-q4", "2026-09-30T22:00", "2026-12-31T23:00"),
        ("Europe/Lisbon", "2026", "2026-01-01T00:00", "2027-01-01T00:00"),
        ("Europe/Istanbul", "2026", "2025-12-31T21:00", "2026-12-31T21:00"),
    ],
)
def test_civil_periods_begin_and_end_at_local_midnight(place: str, period: str, start: str, end: str) -> None:
    """A month, quarter or year is that of the zone's own calendar, summer time and all."""
    assert Window(utc(start), utc(end)) == parse_period(period, zone(place))


@pytest.mark.parametrize(
    ("place", "autumn", "spring"),
    [
        ("Europe/Madrid", 745, 743),
        ("Europe/Lisbon", 745, 743),
        ("Europe/Istanbul", 744, 744),
        ("Europe/Bucharest", 745, 743),
    ],
)
def test_months_with_a_change_of_clocks(place: str, autumn: int, spring: int) -> None:
    """October is an hour longer and March an hour shorter, except where the clocks stay."""
    tz = zone(place)

    assert autumn * HOUR == month_window(2026, 10, tz).seconds
    assert spring * HOUR == month_window(2026, 3, tz).seconds


def test_a_year_in_months() -> None:
    """Twelve months with their labels, each where the one before ends."""
    parts = list(months(parse_period("2026", MADRID), MADRID))

    assert [f"2026-{month:02}" for month in range(1, 13)] == [label for label, _ in parts]
    assert [month_window(2026, month, MADRID) for month in range(1, 13)] == [part for _, part in parts]


# ---------------------------------------------------------------------------------- days and hours of DST


def test_the_autumn_day_has_25_hours() -> None:
    """The hour from two to three comes twice, told apart by its offset."""
    window = parse_period("2026-10-25..2026-10-26", MADRID)
    parts = list(hours(window, MADRID))
    labels = [label for label, _ in parts]

    assert 25 * HOUR == window.seconds
    assert [HOUR] * 25 == [part.seconds for _, part in parts]
    assert [
        "2026-10-25T01:00:00+02:00",
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ] == labels[1:5]
    assert [("2026-10-25", window)] == list(days(window, MADRID))


def test_the_spring_day_has_23_hours() -> None:
    """There is no hour from two to three."""
    window = parse_period("2026-03-29..2026-03-30", MADRID)
    labels = [label for label, _ in hours(window, MADRID)]

    assert [HOUR] * 23 == lengths("hour", "2026-03-29..2026-03-30", MADRID)
    assert ["2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"] == labels[1:3]
    assert [23 * HOUR] == lengths("day", "2026-03-29..2026-03-30", MADRID)


@pytest.mark.parametrize(
    ("place", "first", "full"),
    [
        ("Asia/Kolkata", "2026-10-01T05:30:00+05:30", 1800),
        ("Asia/Kathmandu", "2026-10-01T05:00:00+05:45", 900),
    ],
)
def test_hours_of_zones_with_half_and_quarter_offsets(place: str, first: str, full: int) -> None:
    """An hour starts where the local clock shows a full hour, which is not UTC's."""
    tz = zone(place)
    parts = list(hours(Window(utc("2026-10-01T00:00"), utc("2026-10-01T02:00")), tz))

    assert [full, HOUR, HOUR - full] == [part.seconds for _, part in parts]
    assert first[:14] + "00:00" + first[19:] == parts[0][0]


@pytest.mark.parametrize(
    ("day", "labels", "seconds"),
    [
        ("2026-04-05", ["01:00:00+11:00", "01:30:00+10:30", "02:00:00+10:30"], [HOUR, 1800, HOUR]),
        ("2026-10-04", ["01:00:00+10:30", "02:30:00+11:00", "03:00:00+11:00"], [HOUR, 1800, HOUR]),
    ],
)
def test_a_change_of_half_an_hour(day: str, labels: list[str], seconds: list[int]) -> None:
    """On Lord Howe Island half an hour comes twice or not at all: a piece of its own, named by its start."""
    tz = zone("Australia/Lord_Howe")
    start = parse_time(day, tz)
    parts = list(hours(Window(start, start + 6 * HOUR), tz))[1:4]

    assert seconds == [part.seconds for _, part in parts]
    assert [f"{day}T{label}" for label in labels] == [label for label, _ in parts]


def test_days_whose_midnight_is_skipped_or_comes_twice() -> None:
    """Such a day begins after the gap, or at the first of its two midnights."""
    cairo, havana = zone("Africa/Cairo"), zone("America/Havana")
    skipped = list(days(Window(utc("2026-04-23T12:00"), utc("2026-04-24T12:00")), cairo))
    twice = list(days(Window(utc("2026-10-31T12:00"), utc("2026-11-01T12:00")), havana))

    assert utc("2026-04-23T22:00") == skipped[1][1].start
    assert "2026-04-24T01:00:00+03:00" == isoformat(skipped[1][1].start, cairo)
    assert utc("2026-11-01T04:00") == twice[1][1].start
    assert "2026-11-01T00:00:00-04:00" == isoformat(twice[1][1].start, havana)


@pytest.mark.parametrize(
    "start", ["2009-11-01T02:20", "2009-11-01T02:30", "2009-11-01T02:31", "2009-11-01T03:00"]
)
def test_clocks_that_go_back_over_midnight(start: str) -> None:
    """A month or day that lasted a minute before the clock took it back has begun, and stays begun."""
    tz = zone("America/St_Johns")
    window, turn = Window(utc(start), utc("2009-11-01T12:00")), utc("2009-11-01T02:30")
    october = [Window(window.start, turn)] if window.start < turn else []
    expected = [*october, Window(max(turn, window.start), window.end)]

    assert expected == [part for _, part in months(window, tz)]
    assert expected == [part for _, part in days(window, tz)]
    assert ["2009-11", "2009-11-01"] == [list(cut(window, tz))[-1][0] for cut in (months, days)]


def test_a_day_that_never_was() -> None:
    """Samoa had no 30 December in 2011: whatever is made of that day, it holds no second."""
    tz = zone("Pacific/Apia")
    window = parse_period("2011-12-29..2012-01-02", tz)
    parts = dict(days(window, tz))

    assert 3 * DAY == window.seconds == sum(part.seconds for part in parts.values())
    assert {"2011-12-29", "2011-12-31", "2012-01-01"} == {
        label for label, part in parts.items() if part.seconds
    }


# ---------------------------------------------------------------------------------------------- properties

zones = st.sampled_from(ZONES)
instants = st.integers(FIRST, LAST)
MOST_DAYS = {"month": 800, "day": 90, "hour": 9}


@cache
def changes(name: str) -> tuple[int, ...]:
    """When a zone's clocks change; one instant if they never do."""
    tz = zone(name)
    weeks = range(FIRST, LAST, 7 * DAY)
    offsets = [datetime.fromtimestamp(at, tz).utcoffset() for at in weeks]
    found = [at for at, this, after in zip(weeks, offsets, offsets[1:], strict=False) if this != after]
    return tuple(first_with_next_offset(at, at + 7 * DAY, tz) for at in found) or (FIRST,)


def first_with_next_offset(before: int, after: int, tz: tzinfo) -> int:
    """The second at which the offset changes between two instants."""
    old = datetime.fromtimestamp(before, tz).utcoffset()
    return (
        bisect_right(
            range(before, after), 0, key=lambda at: datetime.fromtimestamp(at, tz).utcoffset() != old
        )
        + before
    )


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[str, Window, tzinfo]:
    """(calendar, window, zone): anywhere, or around a change of clocks; never too many pieces."""
    calendar, name = draw(st.sampled_from(sorted(CALENDARS))), draw(zones)
    near = st.builds(operator.add, st.sampled_from(changes(name)), st.integers(-3 * HOUR, 3 * HOUR))
    start = draw(near | instants)
    end = start + draw(st.integers(0, MOST_DAYS[calendar] * DAY) | st.integers(0, 4 * HOUR))
    return calendar, Window(start, end), zone(name)


@given(cuttings())
def test_pieces_cover_a_window_exactly(cutting: tuple[str, Window, tzinfo]) -> None:
    """Each piece begins where the one before ended; the first and the last reach the window's edges."""
    calendar, window, tz = cutting
    parts = [part for _, part in CALENDARS[calendar](window, tz)]
    edges = [part.start for part in parts] + [window.end]

    assert edges[1:] == [part.end for part in parts]
    assert window.start == edges[0]
    assert window.seconds == sum(part.seconds for part in parts)


@given(cuttings())
def test_labels_are_distinct_and_rise_with_time(cutting: tuple[str, Window, tzinfo]) -> None:
    """No two pieces share a label, so no two cells of a table fall together."""
    calendar, window, tz = cutting
    labels = [label for label, _ in CALENDARS[calendar](window, tz)]

    assert len(labels) == len(set(labels))


@given(cuttings())
def test_a_label_is_what_the_local_clock_shows(cutting: tuple[str, Window, tzinfo]) -> None:
    """The first and the last second of a month, day or hour are in it by the zone's own clock."""
    calendar, window, tz = cutting
    form = {"month": "%Y-%m", "day": "%Y-%m-%d", "hour": "%Y-%m-%dT%H"}[calendar]
    shown = [
        (label[: len(form) + 2], datetime.fromtimestamp(second, tz).strftime(form))
        for label, part in CALENDARS[calendar](window, tz)
        for second in (part.start, part.end - 1)
        if part.seconds
    ]

    assert [local for _, local in shown] == [label[: len(local)] for label, local in shown]


@given(cuttings(), st.data())
def test_cutting_a_window_moves_no_edge(cutting: tuple[str, Window, tzinfo], data: st.DataObject) -> None:
    """The pieces of two halves are those of the whole, but for the one that is cut."""
    calendar, window, tz = cutting
    middle = data.draw(st.integers(window.start, window.end))
    cut = CALENDARS[calendar]
    whole = list(cut(window, tz))
    left, right = list(cut(Window(window.start, middle), tz)), list(cut(Window(middle, window.end), tz))
    if left and right and left[-1][0] == right[0][0]:
        label, part = left.pop()
        right[0] = (label, Window(part.start, right[0][1].end))

    assert [piece for piece in whole if piece[1].seconds] == [
        piece for piece in (*left, *right) if piece[1].seconds
    ]


@pytest.mark.parametrize("name", ZONES)
def test_around_every_change_of_clocks(name: str) -> None:
    """An hour's label is its first second as the clock shows it, wherever the window begins."""
    tz = zone(name)
    for change in changes(name):
        whole = dict(hours(Window(change - 3 * HOUR, change + 3 * HOUR), tz))
        for label, part in list(whole.items())[1:]:
            assert isoformat(part.start, tz) == label, change
        for start in range(change - 2 * HOUR, change + 2 * HOUR, 700):
            label, part = next(hours(Window(start, change + 3 * HOUR), tz))
            assert (whole[label].end, start) == (part.end, part.start), (change, start)


@given(zones, instants)
def test_a_time_with_its_offset_is_read_back(name: str, at: int) -> None:
    """What is printed for people is what is read from them, in every zone and on every day."""
    tz = zone(name)

    assert at == parse_time(isoformat(at, tz), MADRID)
    assert at in fold_candidates(datetime.fromtimestamp(at, tz).replace(tzinfo=None, fold=0), tz)


@given(zones)
def test_a_zone_is_read_back_by_its_name(name: str) -> None:
    """A name printed for a zone is a name of the same zone."""
    tz = zone(name)
    offsets = [datetime.fromtimestamp(at, tz).utcoffset() for at in range(FIRST, LAST, 30 * DAY)]

    again = zone(zone_name(tz))

    assert offsets == [datetime.fromtimestamp(at, again).utcoffset() for at in range(FIRST, LAST, 30 * DAY)]


# ------------------------------------------------------------------------------------------ texts of times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-01", "2026-09-30T22:00"),
        ("2026-10-01T08:00", "2026-10-01T06:00"),
        ("2026-10-01 08:00:07", "2026-10-01T06:00:07"),
        ("2026-10-01T08:00:00+02:00", "2026-10-01T06:00"),
        ("2026-10-01T08:00:00-03:30", "2026-10-01T11:30"),
        ("2026-10-01T08:00:00Z", "2026-10-01T08:00"),
        ("2026-10-25T02:30:00+02:00", "2026-10-25T00:30"),
        ("2026-10-25T02:30:00+01:00", "2026-10-25T01:30"),
        ("1777593600", "2026-05-01T00:00"),
        ("@1777593600", "2026-05-01T00:00"),
        ("2026-03-29", "2026-03-28T23:00"),
        ("2026-10-25", "2026-10-24T22:00"),
    ],
)
def test_times_as_people_write_them(text: str, expected: str) -> None:
    """ISO 8601 in the zone or with an offset, or epoch seconds."""
    assert utc(expected) == parse_time(text, MADRID)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a time"),
        ("yesterday", "not a time"),
        ("2026-13-01", "not a time"),
        ("2026-02-29", "not a time"),
        ("2026-10-01T25:00", "not a time"),
        ("2026-10-01T08:00:00+25:00", "not a time"),
        ("-1777593600", "not a time"),
        ("1777593600.5", "not a time"),
        ("١٧٧٧٥٩٣٦٠٠", "not a time"),
        ("2026-10-01T08:00:00.5", "fraction of a second"),
        ("2026-10-25T02:30:00", "happens twice in Europe/Madrid"),
        ("2026-10-25T02:00:00", "happens twice in Europe/Madrid"),
        ("2026-03-29T02:30:00", "does not exist in Europe/Madrid"),
        ("2026-03-29T02:00:00", "does not exist in Europe/Madrid"),
    ],
)
def test_what_is_no_time_is_refused(text: str, why: str) -> None:
    """A time that cannot be read, or may mean two instants or none, is named with the reason."""
    with pytest.raises(BadText, match=why) as caught:
        parse_time(text, MADRID)

    assert text == caught.value.text


@pytest.mark.parametrize("text", ["1777593600000", "@99999999999999999999", "9999-12-31T23:59:59-12:00"])
def test_times_no_calendar_can_show_are_refused(text: str) -> None:
    """Milliseconds taken for seconds are a bad text at once, not an accident later."""
    with pytest.raises(BadText):
        parse_time(text, MADRID)


@pytest.mark.parametrize("place", ["Europe/Madrid", "Asia/Kolkata", "America/Havana"])
@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59"])
def test_the_ends_of_the_calendar_are_refused_or_can_be_cut(text: str, place: str) -> None:
    """Someone who writes them to mean *always* gets an answer or a reason, never an accident."""
    assert month_of(text, zone(place)) in ("refused", text[:7])


def month_of(text: str, tz: tzinfo) -> str:
    """The label of the month that a time lies in."""
    try:
        at = parse_time(text, tz)
    except BadText:
        return "refused"
    return next(months(Window(at, at + 1), tz))[0]


def test_edges_of_the_doubled_and_the_missing_hour() -> None:
    """The last second before and the first after a change are plain times."""
    assert utc("2026-10-24T23:59:59") == parse_time("2026-10-25T01:59:59", MADRID)
    assert utc("2026-10-25T02:00:00") == parse_time("2026-10-25T03:00:00", MADRID)
    assert utc("2026-03-29T00:59:59") == parse_time("2026-03-29T01:59:59", MADRID)
    assert utc("2026-03-29T01:00:00") == parse_time("2026-03-29T03:00:00", MADRID)


def test_both_meanings_of_a_doubled_time() -> None:
    """A doubled local time has two epochs an hour apart, a missing one has none."""
    twice, never = datetime(2026, 10, 25, 2, 30), datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001

    assert [utc("2026-10-25T00:30"), utc("2026-10-25T01:30")] == fold_candidates(twice, MADRID)
    assert [] == fold_candidates(never, MADRID)
    with pytest.raises(BadText, match=r"happens twice.*2026-10-25T02:30:00"):
        local_to_epoch(twice, MADRID)


@pytest.mark.parametrize(
    ("place", "day", "expected"),
    [
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00"),
        ("America/Havana", "2026-11-01", "2026-11-01T04:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),
    ],
)
def test_a_bare_date_is_where_its_day_begins(place: str, day: str, expected: str) -> None:
    """Where midnight is skipped or comes twice, a bare date still names its day's first second."""
    tz = zone(place)
    start = parse_time(day, tz)

    assert utc(expected) == start
    assert [(day, Window(start, start + HOUR))] == list(days(Window(start, start + HOUR), tz))


# ---------------------------------------------------------------------------------- texts of periods, zones


def test_a_period_between_two_times() -> None:
    """`A..B` takes any two times, each in its own form; the same twice is empty."""
    assert Window(utc("2026-09-30T22:00"), utc("2026-10-02T08:30")) == parse_period(
        "2026-10-01..2026-10-02T08:30Z", MADRID
    )
    assert 0 == parse_period("2026-10-01..2026-10-01", MADRID).seconds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a period"),
        ("2026-13", "not a period"),
        ("2026-00", "not a period"),
        ("0000", "not a period"),
        ("2026-Q5", "not a period"),
        ("2026-10-01", "not a period"),
        ("9999-12", "not a period"),
        ("2026-10-02..2026-10-01", "ends before it starts"),
        ("2026-10-01..", "not a time"),
        ("..", "not a time"),
        ("2026-10-01..2026-10-25T02:30", "happens twice"),
    ],
)
def test_what_is_no_period_is_refused(text: str, why: str) -> None:
    """A period that cannot be read is named with the reason."""
    with pytest.raises(BadText, match=why):
        parse_period(text, MADRID)


@pytest.mark.parametrize("name", ["", "Madrid", "Europe", "../passwd", "UTC+5", "+24:00", "+05:60", "Z\0"])
def test_what_is_no_zone_is_refused(name: str) -> None:
    """A zone nobody knows is named, with what may stand there."""
    with pytest.raises(BadText, match=r"time zone") as caught:
        zone(name)

    assert name == caught.value.text


@pytest.mark.parametrize(
    ("name", "hours_east"),
    [("UTC", 0), ("utc", 0), ("Z", 0), ("GMT", 0), ("+05:30", 5.5), ("-0330", -3.5), ("UTC-03:00", -3)],
)
def test_fixed_offsets(name: str, hours_east: float) -> None:
    """UTC by its names, and offsets with or without a colon."""
    assert timedelta(hours=hours_east) == zone(name).utcoffset(None)


def test_a_window_cannot_end_before_it_starts() -> None:
    """Such a window is a bug of the caller, not an empty window."""
    assert 0 == Window(5, 5).seconds
    with pytest.raises(ValueError, match="cannot end before"):
        Window(5, 4)
