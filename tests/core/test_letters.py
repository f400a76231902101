"""The words of notices: figures that add up, dates in the book zone, nothing that a name could break."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.awards import Project
from opsd.core.letters import Letter, write
from opsd.core.notices import Notice, Standing, due
from opsd.core.parties import Contact
from opsd.core.period import DAY, HOUR
from tests.fakes.consortia import award, consortium

START, END = 20_000 * DAY - 2 * HOUR, 20_100 * DAY - HOUR  # midnights in Madrid
NOW = END - 20 * DAY + 9 * HOUR
PLAIN = award("A", START // HOUR, END // HOUR)
ANA = Contact("ana", "Ana Muñoz", "ana@health.example", project="health")
SPAIN = Contact("es", "Oficina", "es@funder.example", funder="catalonia")
WORLD = replace(consortium(PLAIN, ANA, SPAIN), book_zone="Europe/Madrid")


def standing(used: float, of: Any = PLAIN, **changes: Any) -> Standing:
    """An award of 1,000 hours."""
    return Standing(of, 1_000 * MICRO_PER_HOUR, round(used * MICRO_PER_HOUR), **changes)


def letter(kind: str, it: Standing, as_of: int = NOW, world: Any = WORLD, to: Contact = ANA) -> Letter:
    """About the last notice of a kind that is due."""
    (*_, notice) = (one for group in due(it, as_of) for one in group if one.kind == kind)
    return write(world, notice, it, to, as_of, "answer this mail")


def test_a_whole_letter() -> None:
    """Who, what, the figures and dates, what to do, whom to ask."""
    it = standing(
        1_012.345, replace(PLAIN, grace_days=14, report_due=END + 90 * DAY), after_end=MICRO_PER_HOUR,
        over_since=NOW - DAY, grace_end=NOW + 13 * DAY,
    )  # fmt: skip

    found = letter("over", it)

    assert "[Mini] A: over quota by 12.35 GPU-hours" == found.subject
    assert "A: over quota by 12.35 GPU-hours" == found.headline
    assert (
        """\
Ana Muñoz,

More is used than was granted to this award.

  award         A
  project       health: Health
  organisation  Universitat
  granted       1,000.00 GPU-hours
  used          1,012.35 GPU-hours (101 %)
  left          −12.35 GPU-hours
  outside       1.00 GPU-hours before the start or after the end
  over since    2024-12-22 09:00
  from          2024-10-04
  until         2025-01-12
  grace         14 days, until 2025-01-05 09:00
  report due    2025-04-12 01:00
  as of         2024-12-23 09:00 Europe/Madrid

What to do: end what runs, hold what waits, or ask for more. Further use is tolerated until 2025-01-05 09:00.

Questions: Oficina <es@funder.example>

opsd wrote this by itself. It says each thing once to each of its readers.
"""  # noqa: RUF001 (a minus)
        == found.text
    )


@pytest.mark.parametrize(
    ("kind", "it", "as_of", "headline", "words"),
    [
        ("threshold", standing(800), NOW, "A: 80 % of the grant is used", "80 % of what was granted"),
        ("over", standing(1_001), NOW, "A: over quota by 1.00 GPU-hours", "More is used than was granted"),
        (
            "grace", standing(1_001, replace(PLAIN, grace_days=1), grace_end=NOW - DAY, goes_on=True), NOW,
            "A: use goes on after the days of grace",
            "although the grant was used up and the days of grace were over on 2024-12-22 09:00",
        ),
        (
            "grace", standing(1, grace_end=END, goes_on=True), END,
            "A: use goes on after the days of grace", "although this award ended and the days of grace",
        ),
        (
            "ending", standing(250.5), NOW, "A: ends in 20 days, 749.50 GPU-hours left",
            "This award ends on 2025-01-12, and part of it is not used.",
        ),
        ("ending", standing(1), END - HOUR, "A: ends in 1 day, 999.00 GPU-hours left", "This award ends"),
        (
            "report", standing(1, replace(PLAIN, end=None, report_due=NOW + DAY // 2)), NOW,
            "A: its report is due in 1 day", "The report on this award is due on 2024-12-23 21:00.",
        ),
        (
            "report", standing(1, replace(PLAIN, end=None, report_due=NOW)), NOW,
            "A: its report was due on 2024-12-23 09:00", "The report on this award was due on",
        ),
    ],
)  # fmt: skip
def test_each_kind(kind: str, it: Standing, as_of: int, headline: str, words: str) -> None:
    """The subject tells the thing; the first sentence tells it in words; there is something to do."""
    found = letter(kind, it, as_of)

    assert headline == found.headline
    assert words in found.text.splitlines()[2]
    assert 1 == found.text.count("\nWhat to do: ")


def test_the_figures_add_up_as_shown() -> None:
    """Granted less used is left, to the hundredth, whatever is behind it."""
    found = letter("threshold", standing(850.0049))

    assert "used          850.00 GPU-hours (85 %)\n  left          150.00 GPU-hours" in found.text


def test_over_by_less_than_is_shown() -> None:
    """No minus zero."""
    assert "over quota by 0.00 GPU-hours" in letter("over", standing(1_000.001)).headline
    assert "  left          0.00 GPU-hours\n" in letter("over", standing(1_000.001)).text


def test_what_is_known_besides() -> None:
    """When it will be used up, and that some use is missing."""
    text = letter("threshold", standing(900, exhaustion=NOW + 3 * DAY, is_unpriced=True)).text

    assert "  used up       about 2024-12-26, at the pace of the last 7 days\n" in text
    assert "  note          some use could not be charged, so more may be used than this says\n" in text


@pytest.mark.parametrize(
    ("grace_end", "what_to_do"),
    [
        (None, "or ask for more. Further use is tolerated for 1 day."),
        (NOW + DAY, "or ask for more. Further use is tolerated until 2024-12-24 09:00."),
        (NOW, "or ask for more. The days of grace were over on 2024-12-23 09:00."),
    ],
)
def test_grace_is_told_as_it_is(grace_end: int | None, what_to_do: str) -> None:
    """A letter that comes when the days of grace are over promises none."""
    text = letter("over", standing(1_001, replace(PLAIN, grace_days=1), grace_end=grace_end)).text

    assert f"What to do: end what runs, hold what waits, {what_to_do}\n" in text
    assert "  grace         1 day" in text


def test_what_an_ended_award_has_left_is_expired() -> None:
    """Else a project would plan with it."""
    ended = replace(PLAIN, report_due=END)

    assert "  left          999.00 GPU-hours, expired\n" in letter("report", standing(1, ended), END).text
    assert "  left          999.00 GPU-hours\n" in letter("report", standing(1, ended), END - 1).text


def test_no_share_of_no_grant() -> None:
    """Use under an award that grants nothing is no percentage of it."""
    it = Standing(PLAIN, 0, MICRO_PER_HOUR)

    assert "  used          1.00 GPU-hours\n" in letter("over", it).text


def test_names_cannot_end_a_line() -> None:
    """Nor turn the direction of what follows."""
    evil = "A\r\nBcc: x\u2028y\u202ez"
    world = replace(WORLD, name=evil, projects={"health": Project("health", "T", "uv")})
    object.__setattr__(world.projects["health"], "title", evil)
    reader = replace(ANA)
    object.__setattr__(reader, "name", evil)

    found = letter("threshold", standing(800), world=world, to=reader)

    assert "[A Bcc: x y z] A: 80 % of the grant is used" == found.subject
    assert found.text.startswith("A Bcc: x y z,\n\n")
    assert "  project       health: A Bcc: x y z\n" in found.text


def test_whom_to_ask_without_an_office() -> None:
    """Whoever sends the letters."""
    world = consortium(PLAIN, ANA)

    assert "\nQuestions: answer this mail\n" in letter("threshold", standing(800), world=world).text


def test_a_notice_is_about_a_percentage() -> None:
    """Its mark begins with it."""
    assert 80 == Notice("A", "threshold", "80 of 1752.5").percent
