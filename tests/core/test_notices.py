"""What is news about an award, for whom, and when it is no longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.notices import FRESH_SECONDS, Kept, Notice, Standing, Turn, due, offices, recipients, turn
from opsd.core.parties import Contact
from opsd.core.period import DAY, HOUR
from tests.fakes.consortia import award, consortium

START, END = 20_000 * DAY, 20_100 * DAY
NOW = START + 50 * DAY
PLAIN = award("A", START // HOUR, END // HOUR)


def standing(used: float = 0, granted: float = 100, of: Any = PLAIN, **changes: Any) -> Standing:
    """An award's figures in hours."""
    return Standing(of, round(granted * MICRO_PER_HOUR), round(used * MICRO_PER_HOUR), **changes)


def told(it: Standing, as_of: int = NOW) -> list[list[str]]:
    """Kinds and marks that are due, by group."""
    return [[f"{one.kind} {one.mark}" for one in group] for group in due(it, as_of)]


# ------------------------------------------------------------------------------------------------ what is due


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (79.999, []),
        (80, ["threshold 80 of 100"]),
        (95, ["threshold 80 of 100", "threshold 95 of 100"]),
        (100, ["threshold 80 of 100", "threshold 95 of 100", "threshold 100 of 100"]),
        (100.001, ["threshold 80 of 100", "threshold 95 of 100", "threshold 100 of 100", "over of 100"]),
    ],
)
def test_thresholds_and_over_quota(used: float, expected: list[str]) -> None:
    """As `opsd balance` says both: reached with the last second, over with one more."""
    assert ([expected] if expected else []) == told(standing(used))


def test_a_threshold_beyond_the_grant_says_more_than_over_quota() -> None:
    """It stands behind it."""
    beyond = replace(PLAIN, thresholds=(50, 120))

    assert [["threshold 50 of 100", "over of 100", "threshold 120 of 100"]] == told(standing(120, of=beyond))


def test_an_award_of_nothing() -> None:
    """It has no thresholds, and is over with the first second."""
    assert ([], [["over of 0"]]) == (told(standing(0, 0)), told(standing(0.001, 0)))


def test_an_extension_makes_it_news_again() -> None:
    """The mark carries the grant."""
    assert [["threshold 80 of 150.5"]] == told(standing(130, 150.5))


def test_before_its_start() -> None:
    """An award is nobody's news."""
    assert [] == told(standing(100), START - 1)


@pytest.mark.parametrize(
    ("grace_days", "grace_end", "goes_on", "expected"),
    [
        (14, NOW, True, True),
        (14, NOW + 1, True, False),
        (14, NOW, False, False),
        (14, None, True, False),
        (0, NOW, True, False),
    ],
)
def test_use_after_the_days_of_grace(
    grace_days: int, grace_end: int | None, goes_on: bool, expected: bool
) -> None:
    """Once they are over and use goes on; over quota without any is told as over quota alone."""
    it = standing(101, of=replace(PLAIN, grace_days=grace_days), grace_end=grace_end, goes_on=goes_on)

    assert expected == (told(it)[0][-1] == "grace of 100 until 2025-01-12T00:00:00+00:00")


def test_use_after_the_end() -> None:
    """It is told without any days of grace, for nothing else tells it."""
    it = standing(10, after_end=5, grace_end=END, goes_on=True)

    assert [["grace of 100 until 2025-01-12T00:00:00+00:00"]] == told(it, END)


@pytest.mark.parametrize(
    ("before_end", "used", "expected"),
    [
        (30 * DAY + 1, 50, []),
        (30 * DAY, 50, ["30"]),
        (7 * DAY, 50, ["30", "7"]),
        (1, 50, ["30", "7"]),
        (0, 50, []),
        (DAY, 100, []),
    ],
)
def test_an_award_that_ends(before_end: int, used: float, expected: list[str]) -> None:
    """30 and 7 days before, while something is left."""
    found = [group for group in due(standing(used), END - before_end) if group[0].kind == "ending"]

    assert expected == [one.mark.split()[0] for group in found for one in group]


def test_what_is_left_of_an_unpriced_award_is_not_told() -> None:
    """It is not known."""
    assert [] == told(standing(10, is_unpriced=True), END - DAY)


def test_an_award_without_an_end() -> None:
    """It never ends."""
    assert [] == told(standing(of=replace(PLAIN, end=None)), 10 * END)


@pytest.mark.parametrize(
    ("before", "expected"), [(30 * DAY + 1, []), (30 * DAY, ["due"]), (1, ["due"]), (0, ["due", "overdue"])]
)
def test_a_report(before: int, expected: list[str]) -> None:
    """30 days before it is due, and when it is late."""
    report = END + 90 * DAY
    found = due(standing(of=replace(PLAIN, report_due=report)), report - before)

    assert expected == [one.mark.split()[0] for group in found for one in group]
    assert [False, True][: len(expected)] == [one.is_overdue for group in found for one in group]


# ------------------------------------------------------------------------------------------------------- whom

ANA = Contact("ana", "Ana", "ana@health.example", project="health", organisation="fct")
UV = Contact("uv", "Office", "office@uv.example", organisation="uv")
SPAIN = Contact("es", "Oficina", "es@funder.example", funder="catalonia")
MUTE = Contact("mute", "No address", project="health")
EVERYBODY = (ANA, UV, SPAIN, MUTE)
REACHED, OVER = Notice("A", "threshold", "80 of 100"), Notice("A", "over", "of 100")


def addresses(notice: Notice, *contacts: Contact) -> list[str]:
    """Where a notice goes."""
    return [one.email for one in recipients(consortium(PLAIN, *contacts), notice)]


def test_the_project_is_told() -> None:
    """Its own contacts; a contact of a project at another organisation is nobody's of that organisation."""
    assert ["ana@health.example"] == addresses(REACHED, *EVERYBODY)


def test_use_beyond_the_grant_concerns_the_organisation() -> None:
    """It is told as well."""
    assert ["ana@health.example", "office@uv.example"] == addresses(OVER, *EVERYBODY)


def test_a_project_without_an_address_falls_back() -> None:
    """To its organisation; contacts without an address do not count."""
    assert ["office@uv.example"] == addresses(REACHED, UV, SPAIN, MUTE)
    assert [] == addresses(REACHED, SPAIN, MUTE)


def test_an_address_is_written_to_once() -> None:
    """However many contacts have it, in whatever letters."""
    twin = replace(ANA, id="zz", email="ANA@health.example")

    assert ["ana@health.example"] == addresses(REACHED, ANA, twin)


def test_whom_people_may_ask() -> None:
    """The funder whose pool pays."""
    assert (SPAIN,) == offices(consortium(PLAIN, *EVERYBODY), PLAIN)


# ------------------------------------------------------------------------------------------------------ turns


def turned(
    *groups: Sequence[Notice],
    kept: Sequence[Kept] = (),
    old: Sequence[Notice] = (),
    to: Sequence[Contact] = (ANA,),
) -> Turn:
    """What to do about an award."""
    return turn(consortium(PLAIN, *to), groups, kept, frozenset(old), NOW)


FULL = Notice("A", "threshold", "95 of 100")
SENT = Kept(REACHED, ANA.email, NOW - DAY, "<1>", sent_at=NOW - DAY)


def test_the_first_time() -> None:
    """It is told now."""
    assert Turn(now=((REACHED, ANA, None),)) == turned([REACHED])


def test_of_several_that_are_new_the_last_is_told() -> None:
    """The others are said by it."""
    assert Turn(now=((FULL, ANA, None),), passed=(REACHED,)) == turned([REACHED, FULL])


def test_what_was_sent_is_not_sent_again() -> None:
    """Nor does it keep the next one from being news."""
    assert Turn() == turned([REACHED], kept=[SENT])
    assert Turn(now=((FULL, ANA, None),)) == turned([REACHED, FULL], kept=[SENT])


def test_what_is_old_at_the_first_look_is_passed() -> None:
    """Nobody is told; what has come since is."""
    assert Turn(passed=(REACHED,)) == turned([REACHED], old=[REACHED])
    assert Turn(now=((FULL, ANA, None),), passed=(REACHED,)) == turned([REACHED, FULL], old=[REACHED])
    assert Turn() == turned([REACHED], kept=[Kept(REACHED, "", NOW - DAY)])


def test_each_group_is_news_by_itself() -> None:
    """An end is told beside a threshold."""
    ending = Notice("A", "ending", "7 days before X")

    assert ((REACHED, ANA, None), (ending, ANA, None)) == turned([REACHED], [ending]).now


def test_nobody_to_tell() -> None:
    """It is said, and nothing is remembered, so that a contact that is added hears it."""
    assert Turn(nobody=(REACHED,)) == turned([REACHED], to=[SPAIN])


def test_another_try() -> None:
    """When its pause is over."""
    waiting = SENT._replace(sent_at=None, next_at=NOW, failures=1)
    later = waiting._replace(next_at=NOW + 1)

    assert Turn(now=((REACHED, ANA, waiting),)) == turned([REACHED], kept=[waiting])
    assert Turn(later=((REACHED, ANA, later),)) == turned([REACHED], kept=[later])


def test_who_was_refused_is_not_tried() -> None:
    """Until there is another address."""
    refused = SENT._replace(sent_at=None, error="550", failures=1)
    other = replace(ANA, email="ana@new.example")

    assert Turn() == turned([REACHED], kept=[refused])
    assert Turn(now=((REACHED, other, None),)) == turned([REACHED], kept=[refused], to=[other])


@pytest.mark.parametrize(("age", "expected"), [(FRESH_SECONDS - 1, 1), (FRESH_SECONDS, 0)])
def test_who_comes_later_hears_what_is_fresh(age: int, expected: int) -> None:
    """Not what was told to others more than a week before."""
    known = SENT._replace(recipient="old@health.example", due_at=NOW - age)

    assert expected == len(turned([REACHED], kept=[known]).now)


def test_what_is_no_longer_so_is_not_sent() -> None:
    """A letter that waits is withdrawn by an extension, by a more telling one, by the end of a contact."""
    waiting = SENT._replace(sent_at=None, next_at=NOW)

    assert (waiting,) == turned(kept=[waiting]).withdrawn
    assert (waiting,) == turned([REACHED, FULL], kept=[waiting]).withdrawn
    assert (waiting,) == turned([REACHED], kept=[waiting], to=[UV]).withdrawn
