"""Civil months, days and hours cut usage exactly, in every zone, on every odd day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opsd.core.period import CALENDARS, DAY, HOUR, Window, months, parse_time, zone
from opsd.core.records import RunRecord
from opsd.pipeline import rebuild, usage
from opsd.pipeline.usage import Measures
from opsd.store.engine import Store
from tests.pipeline.test_usage import stored

FOUNDERS = ("Europe/Madrid", "Europe/Lisbon", "Europe/Istanbul", "Europe/Bucharest")
# Half hours, three quarters, half an hour of summer time, a skipped and a doubled midnight, a day left out.
ODD = ("Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo")
WINDOW = Window(1_767_225_600 - 7, 1_838_160_000 + 13)  # 2026-01-01 to 2028-04-01 UTC, and a little
SPRING, AUTUMN = 1_774_746_000, 1_792_890_000  # 01:00 UTC on 2026-03-29 and 2026-10-25: the EU's changes
TRES = "billing=3,cpu=4,gres/gpu=2,mem=1000,node=1"


def run(job: int, start: int, end: int, suspended: int = 0) -> RunRecord:
    """A run of user u in account a."""
    return RunRecord(
        "mn5", job, start, start, end, "COMPLETED", "a", TRES, user="u", suspended=suspended, hash=job + 1
    )


@cache
def runs() -> list[RunRecord]:
    """Across every month's end of every zone, both changes of the clock, a leap day; long ones."""
    spans = [
        (edge - 5_820, edge + 7_811)
        for name in (*FOUNDERS, *ODD)
        for edge in sorted({window.start for _, window in months(WINDOW, ZoneInfo(name))})
    ]
    spans += [(change - 90 * 60, change + 90 * 60) for change in (SPRING, AUTUMN)]
    spans += [(SPRING - 20 * DAY - 1, AUTUMN + 20 * DAY + 1)]  # across both
    spans += [(AUTUMN - 30 * DAY, AUTUMN + 31 * DAY)]  # 61 days
    spans += [
        (parse_time("2028-02-28T23:59:59", zone("UTC")), parse_time("2028-03-01T00:00:01", zone("UTC")))
    ]
    return [run(job, start, end) for job, (start, end) in enumerate(spans)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """All those runs, with fresh facts."""
    found = stored(f"sqlite:///{tmp_path_factory.mktemp('civil') / 'opsd.db'}", runs())
    rebuild.run(found)
    yield found
    found.close()


def cells(store: Store, window: Window, name: str, *keys: str) -> dict[tuple[str, ...], Measures]:
    """Usage by keys in a zone."""
    with store.read() as connection:
        found = usage.run(connection, window, keys, tz=zone(name))
    return {row.key: row.measures for row in found.rows}


def total(parts: Sequence[Measures]) -> tuple[int, ...]:
    """The sums of all columns but runs, which counts one in each part it overlaps."""
    return tuple(sum(column) for column in zip(*(part[1:] for part in parts), strict=True))


@pytest.mark.parametrize("name", [*FOUNDERS, *ODD])
@pytest.mark.parametrize("calendar", ["month", "day"])
def test_the_parts_are_the_whole(store: Store, name: str, calendar: str) -> None:
    """The months, and the days, of any zone add up to the window's total, to the second."""
    (whole,) = cells(store, WINDOW, "UTC").values()
    assert tuple(whole[1:]) == total([*cells(store, WINDOW, name, calendar).values()])


@pytest.mark.parametrize("name", [*FOUNDERS, *ODD])
def test_each_month_holds_its_own_seconds(store: Store, name: str) -> None:
    """Every month of a zone is what the runs overlap between its midnights on that zone's clock."""
    found = cells(store, WINDOW, name, "month")
    expected: dict[tuple[str, ...], int] = {}
    for year, month in ((2025 + n // 12, n % 12 + 1) for n in range(11, 12 * 3 + 5)):
        first = midnight(year, month, name)
        last = midnight(year + month // 12, month % 12 + 1, name)
        a, b = max(first, WINDOW.start), min(last, WINDOW.end)
        held = sum(max(0, min(b, row.end or 0) - max(a, row.start or 0)) for row in runs())
        if held:
            expected[f"{year}-{month:02}",] = held
    assert expected == {key: measures.node_seconds for key, measures in found.items()}


def midnight(year: int, month: int, name: str) -> int:
    """The first second of a month; no month here begins in a gap."""
    return int(datetime(year, month, 1, tzinfo=ZoneInfo(name)).timestamp())


@pytest.mark.parametrize(
    ("name", "spring", "autumn"),
    [
        ("Europe/Madrid", 23, 25), ("Europe/Lisbon", 23, 25), ("Europe/Bucharest", 23, 25),
        ("Europe/Istanbul", 24, 24), ("UTC", 24, 24), ("Asia/Kolkata", 24, 24),
    ],
)  # fmt: skip
def test_the_days_of_the_change(sqlite_url: str, name: str, spring: int, autumn: int) -> None:
    """A run over months has 23 hours on the last Sunday of March, 25 on that of October, none twice."""
    store = stored(sqlite_url, [run(1, SPRING - 9 * DAY, AUTUMN + 9 * DAY)])
    for state in ("stale", "fresh"):
        for date, following, hours in (
            ("2026-03-29", "2026-03-30", spring),
            ("2026-10-25", "2026-10-26", autumn),
        ):
            day = Window(parse_time(date, zone(name)), parse_time(following, zone(name)))
            assert {(date,): hours * HOUR} == seconds(cells(store, day, name, "day")), state
            by_hour = seconds(cells(store, day, name, "hour"))
            assert [HOUR] * hours == [*by_hour.values()]
        rebuild.run(store)
    store.close()


def seconds(found: dict[tuple[str, ...], Measures]) -> dict[tuple[str, ...], int]:
    """The node-seconds of each line."""
    return {key: measures.node_seconds for key, measures in found.items()}


def test_the_leap_day_is_a_day(store: Store) -> None:
    """The run over 29 February 2028 has all of it, and a second on either side."""
    window = Window(parse_time("2028-02-28", zone("UTC")), parse_time("2028-03-02", zone("UTC")))
    only = stored("sqlite://", [runs()[-1]._replace(job_id=1)])
    found = seconds(cells(only, window, "UTC", "day"))
    only.close()
    assert {("2028-02-28",): 1, ("2028-02-29",): DAY, ("2028-03-01",): 1} == found


def test_suspended_time_is_cut_without_loss(sqlite_url: str) -> None:
    """An uneven total of suspended seconds, cut by the hours of nine zones, is the same total each time."""
    rows = [run(1, SPRING - 40_001, SPRING + 47_003, 9_973), run(2, AUTUMN - 86_399, AUTUMN + 1, 7)]
    store = stored(sqlite_url, rows)
    window = Window(SPRING - DAY, AUTUMN + DAY)
    expected = (4 * (87_004 - 9_973 + 86_400 - 7), 87_004 + 86_400)
    for name in (*FOUNDERS, *ODD):
        for calendar in ("hour", "day", "month"):
            parts = total([*cells(store, window, name, calendar).values()])
            assert expected == parts[:2], (name, calendar)
    store.close()


# ------------------------------------------------------------------------- against a clock read each second

# Instants around which a clock does something: summer time by an hour or by half of one, at midnight, at
# three quarters past; a zone that moves by a day; offsets with seconds in them, of the time before railways.
CHANGES = [
    ("Europe/Madrid", SPRING),
    ("Europe/Madrid", AUTUMN),
    ("Europe/Istanbul", AUTUMN),
    ("Australia/Lord_Howe", 1_775_314_800),
    ("Australia/Lord_Howe", 1_791_041_400),
    ("Asia/Kolkata", SPRING),
    ("Asia/Kathmandu", AUTUMN),
    ("Africa/Cairo", 1_777_582_800 - DAY * 6),
    ("America/St_Johns", 1_772_947_800),
    ("Asia/Beirut", 1_774_735_200),
    ("Pacific/Apia", 1_325_239_200),
    ("Africa/Monrovia", 63_593_070),
    ("Europe/Madrid", -2_177_452_800),
    ("Asia/Kolkata", -1_167_642_000),
]


def obvious(window: Window, name: str, calendar: str) -> dict[str, int]:
    """Seconds by label, from the clock's face at every single second."""
    tz = zone(name)
    found: dict[str, int] = defaultdict(int)
    first: dict[tuple[object, ...], str] = {}
    for at in range(window.start - HOUR, window.end):
        local = datetime.fromtimestamp(at, tz)
        label = f"{local:%Y-%m}" if calendar == "month" else f"{local:%Y-%m-%d}"
        if calendar == "hour":  # named by the first second that showed this hour at this offset
            face = (local.date(), local.hour, local.utcoffset())
            label = first.setdefault(face, local.isoformat())
        if at >= window.start:
            found[label] += 1
    return dict(found)


@settings(max_examples=40)
@given(st.sampled_from(CHANGES), st.integers(-20_000, 20_000), st.integers(1, 15_000))
def test_calendars_are_what_the_clock_shows(change: tuple[str, int], off: int, length: int) -> None:
    """Any window near a change falls into hours, days and months as a clock read every second says."""
    name, at = change
    window = Window(at + off, at + off + length)
    for calendar, cut in CALENDARS.items():
        pieces = [*cut(window, zone(name))]
        assert [window.start, *(piece.end for _, piece in pieces)] == [
            *(piece.start for _, piece in pieces),
            window.end,
        ]
        found: dict[str, int] = defaultdict(int)
        for label, piece in pieces:
            found[label] += piece.seconds
        assert obvious(window, name, calendar) == found, calendar


@settings(max_examples=15)
@given(
    st.sampled_from([change for change in CHANGES if change[1] > 10**9]),
    st.lists(st.tuples(st.integers(-9_000, 9_000), st.integers(0, 9_000)), min_size=1, max_size=4),
    st.integers(-9_000, 9_000),
    st.integers(1, 9_000),
)
def test_usage_is_what_the_clock_shows(
    change: tuple[str, int], spans: list[tuple[int, int]], off: int, length: int
) -> None:
    """Runs near a change, summed by hour, day and month, are what a clock shows while they run."""
    name, at = change
    rows = [run(job, at + start, at + start + held) for job, (start, held) in enumerate(spans)]
    window = Window(at + off, at + off + length)
    store = stored("sqlite://", rows)
    for calendar in CALENDARS:
        expected: dict[str, int] = defaultdict(int)
        for row in rows:
            a, b = max(window.start, row.start or 0), min(window.end, row.end or 0)
            for label, held in obvious(Window(a, max(a, b)), name, calendar).items():
                expected[label] += held
        found = {key[0]: held for key, held in seconds(cells(store, window, name, calendar)).items() if held}
        assert dict(expected) == found, calendar
    store.close()
