"""Slices of a year, and what is kept from one to the next."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from opsd.core.agreements import Agreement, Share
from opsd.core.dossier import Dossier, Entitled, Span
from opsd.core.period import DAY, months, parse_period, zone
from opsd.core.tranches import Tranche, standings
from tests.fakes.agreements import PERIOD, PLACE, START, ZONE, award, capacity, dossier, line

YEAR = parse_period("2026", zone(ZONE))
EARLIER = [label for label, _ in months(YEAR, zone(ZONE))][:9]
RATE = 2  # resource-seconds a second


def month(label: str, seconds: int, used: int = 0) -> Entitled:
    """A closed month of the one pool."""
    return Entitled(label, "a", "es", "gpu", seconds, used)


def factory(used: int = 0, entitled: tuple[Entitled, ...] = (), **terms: Any) -> Dossier:
    """One agreement that gives all of the nodes to Spain, since January."""
    plain = {"valid_from": YEAR.start, "node_classes": (PLACE,), **terms}
    return dossier(
        Agreement("a", **plain), Share("a", "es", Fraction(1)), award("one", "es"),
        capacity=(capacity(RATE * PERIOD),), lines=(line("one", used),), entitled=entitled,
    )  # fmt: skip


def standing(found: Dossier) -> Tranche:
    """The one there is."""
    (one,) = standings(found)
    return one


def all_closed(seconds: int = 1_000, used: int = 0) -> tuple[Entitled, ...]:
    """January to September."""
    return tuple(month(label, seconds, used) for label in EARLIER)


def test_what_is_open_is_known_months_and_the_rest_of_the_slice_at_this_pace() -> None:
    """By month up to October, by quarter with November and December expected, as is the year."""
    rest = RATE * (YEAR.end - START - PERIOD)
    known = 9 * 1_000 + RATE * PERIOD
    by_tranche = {
        tranche: standing(factory(300, all_closed(used=7), tranche=tranche))
        for tranche in ("month", "quarter", "year", "")
    }
    assert {"month": known, "quarter": known + rest, "year": known + rest, "": known + rest} == {
        name: one.open for name, one in by_tranche.items()
    }
    assert {known + rest} == {one.year for one in by_tranche.values()}
    assert {9 * 7 + 300} == {one.used for one in by_tranche.values()}
    assert {"month": "2026-10", "quarter": "2026-Q4", "year": "2026", "": "2026"} == {
        name: one.label for name, one in by_tranche.items()
    }


def test_a_slice_is_known_though_the_year_is_not() -> None:
    """October needs October alone, its quarter what is expected; a year needs every month."""
    own = {
        tranche: (one.own, one.own_used)
        for tranche in ("month", "quarter", "year")
        for one in [standing(factory(300, tranche=tranche))]
    }
    quarter = RATE * (YEAR.end - START)
    assert {"month": (RATE * PERIOD, 300), "quarter": (quarter, 300), "year": (None, None)} == own


def test_a_year_with_missing_months_is_unknown_and_they_are_named() -> None:
    """Unknown, and never 0."""
    found = standing(factory(0, all_closed()[2:]))
    expected = (None, None, None, ("2026-01", "2026-02"))
    assert expected == (found.year, found.open, found.used, found.missing)


def test_an_agreement_of_this_month_misses_nothing() -> None:
    """What was before it began is not needed."""
    found = standing(factory(5, valid_from=START, tranche="month", under_use="carry-over"))
    assert (RATE * PERIOD, 5, 0, ()) == (found.open, found.used, found.carried, found.missing)


def test_what_lapses_is_known_when_the_slice_ends() -> None:
    """In a slice that goes on, nothing lapsed yet."""
    ended = standing(factory(10, tranche="month"))
    assert (0, 0, RATE * PERIOD - 10) == (ended.carried, ended.kept, ended.lapsed)
    going_on = standing(factory(10, all_closed(), tranche="quarter"))
    assert (0, None, None) == (going_on.carried, going_on.kept, going_on.lapsed)


def test_the_agreed_part_of_what_was_not_used_is_carried_over() -> None:
    """A tenth of a month's 1000 at most; 950 used of them leaves 50."""
    carry = {"tranche": "month", "under_use": "carry-over", "carry_most": Fraction(1, 10), "carry_periods": 1}
    many = (*all_closed()[:-1], month(EARLIER[-1], 1_000))
    assert 100 == standing(factory(0, many, **carry)).carried
    few = (*all_closed(used=1_000)[:-1], month(EARLIER[-1], 1_000, 950))
    assert 50 == standing(factory(0, few, **carry)).carried


def test_kept_hours_are_used_first_and_lapse_after_the_agreed_slices() -> None:
    """August keeps 100; September uses 30 of them and all its own but 40; two slices keep both."""
    history = (
        *all_closed(used=1_000)[:7], month("2026-08", 1_000, 900), month("2026-09", 1_000, 30 + 960),
    )  # fmt: skip
    carry = {"tranche": "month", "under_use": "carry-over"}
    # All of September's use beyond the 100 kept is of its own hours: 890 of 1000, so 110 are kept.
    assert 110 == standing(factory(0, history, carry_periods=1, **carry)).carried
    idle = (*all_closed(used=1_000)[:7], month("2026-08", 1_000, 900), month("2026-09", 1_000, 1_000))
    assert 100 == standing(factory(0, idle, carry_periods=2, **carry)).carried
    unused = (*all_closed(used=1_000)[:7], month("2026-08", 1_000, 900), month("2026-09", 1_000, 0))
    assert 1_100 == standing(factory(0, unused, carry_periods=2, **carry)).carried
    assert 1_000 == standing(factory(0, unused, carry_periods=1, **carry)).carried


def test_kept_and_lapsed_at_the_end_of_a_slice_are_all_that_was_left() -> None:
    """What came in and the slice's own, less use, is kept or lapses."""
    carry = {"tranche": "month", "under_use": "carry-over", "carry_most": Fraction(1, 2), "carry_periods": 1}
    found = standing(factory(100, all_closed(), **carry))
    own = RATE * PERIOD
    assert 500 == found.carried
    assert own // 2 == found.kept  # 400 kept hours lapse, too
    assert own + 500 - 100 - own // 2 == found.lapsed


def test_nothing_is_kept_beyond_the_end_of_the_agreement() -> None:
    """It ends with the period."""
    carry = {"tranche": "month", "under_use": "carry-over", "valid_until": START + PERIOD}
    found = standing(factory(0, all_closed(used=1_000), **carry))
    assert (0, RATE * PERIOD) == (found.kept, found.lapsed)


def test_what_is_carried_is_unknown_where_a_month_is_missing_or_there_is_no_beginning() -> None:
    """One month is enough."""
    carry = {"tranche": "month", "under_use": "carry-over"}
    assert None is standing(factory(0, all_closed()[1:], **carry)).carried
    assert None is standing(factory(0, all_closed(), valid_from=0, **carry)).carried


def test_a_new_version_begins_with_nothing_kept() -> None:
    """What was kept under the one before ended with it."""
    carry = {"tranche": "month", "under_use": "carry-over", "node_classes": (PLACE,)}
    change = parse_period("2026-09", zone(ZONE)).start
    found = dossier(
        Agreement("a", YEAR.start, change, **carry), Agreement("a", change, **carry),
        Share("a", "es", Fraction(1)), capacity=(capacity(RATE * PERIOD),), entitled=all_closed(used=400),
    )  # fmt: skip
    assert 600 == standing(found).carried


def test_a_period_of_several_slices_tells_no_slice_apart() -> None:
    """Of a quarter with slices of a month nobody knows what was October's."""
    carry = {"tranche": "month", "under_use": "carry-over"}
    found = factory(0, all_closed(), **carry)
    end = parse_period("2026-12", zone(ZONE)).end
    quarter = replace(found, span=Span("2026-Q4", START, end, ZONE), as_of=end)
    one = standing(quarter)
    assert ("2026-12", None, None, None) == (one.label, one.carried, one.kept, one.lapsed)
    assert 9 * 1_000 + RATE * PERIOD == one.open


def test_months_of_another_zone_are_not_the_closed_ones() -> None:
    """October of Istanbul has another first hour than that of the books, and so had every month before."""
    found = factory(0, all_closed(), tranche="month")
    elsewhere = replace(found, span=found.span._replace(zone="Europe/Istanbul"))
    assert (None, "2026-01") == (standing(elsewhere).open, standing(elsewhere).missing[0])


def test_a_period_that_begins_inside_a_month_does_not_count_that_month_twice() -> None:
    """Its closed edition tells of all of the month, so what was before the period is missing."""
    found = factory(0, (*all_closed(), month("2026-10", 5_000)), tranche="month")
    late = replace(found, span=Span("x", START + DAY, START + PERIOD, ZONE))
    assert ("2026-10",) == standing(late).missing
