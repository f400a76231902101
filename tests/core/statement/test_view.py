"""A dossier as one reader sees it: in order, rounded from the total down, cut to a scope that is known."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings

from opsd.core.attribution import AFTER_END, UNATTRIBUTED
from opsd.core.dossier import Dossier, Key, Line, Seconds
from opsd.core.errors import WrongUsage
from opsd.core.statement.view import SHOWN_SECONDS, Hundredths, View, parse_scope
from tests.fakes.dossiers import sample
from tests.fakes.random_dossiers import dossiers

LEVELS = ("pool", "country", "organisation", "project", "award", "outside")


def line(award: str, gpu: int, outside: str = "", account: str = "") -> Line:
    """Use of nobody in particular."""
    return Line(Key("mn5", "acc", award, account, outside, UNATTRIBUTED, 1), Seconds(gpu, gpu, gpu))


@settings(max_examples=20)
@given(dossiers())
def test_every_level_is_rounded_less_than_a_hundredth_off(dossier: Dossier) -> None:
    """From the total, which goes to the nearest, down to the award, in every resource."""
    view = View(dossier)
    for depth in range(len(LEVELS) + 1):
        seconds: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
        shown: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0, 0])
        for part in view.parts:
            key = tuple(getattr(part.place, level) for level in LEVELS[:depth])
            for at in range(3):
                seconds[key][at] += part.seconds[at]
                shown[key][at] += part.shown[at]
        off = [abs(shown[key][at] * SHOWN_SECONDS - seconds[key][at]) for key in seconds for at in range(3)]
        most = SHOWN_SECONDS // 2 if depth == 0 else SHOWN_SECONDS - 1
        assert max(off, default=0) <= most


@settings(max_examples=20)
@given(dossiers())
def test_parts_hold_the_exact_seconds(dossier: Dossier) -> None:
    """All of them, each once."""
    whole = Seconds()
    for one in dossier.lines:
        whole = whole.plus(one.seconds)
    assert whole == View.total(View(dossier).parts).seconds


def test_what_is_nobodys_comes_last() -> None:
    """After every pool, whatever it is called, and is unattributed at every level."""
    award = min(sample().master.awards)
    view = View(sample(lines=(line("", 35, account="zz"), line(award, 100))))
    found = View.by(lambda part: (part.place.pool, part.place.country), view.parts)

    assert (UNATTRIBUTED, UNATTRIBUTED) == list(found)[-1]
    assert [True, False] == [part.place.attributed for part in view.parts]
    (nobodys,) = (part.place for part in view.parts if not part.place.attributed)
    assert {UNATTRIBUTED} == {getattr(nobodys, level) for level in LEVELS[:-1]}


def test_use_outside_an_awards_life_is_a_part_of_its_own() -> None:
    """Beside the same award's other use."""
    award = min(sample().master.awards)
    view = View(sample(lines=(line(award, 3_600), line(award, 7_200, AFTER_END))))

    assert [("", 3_600, 100), (AFTER_END, 7_200, 200)] == [
        (part.place.outside, part.seconds.gpu, part.shown.gpu) for part in view.parts
    ]
    assert Hundredths(300, 300, 300) == View.total(view.parts).shown


@pytest.mark.parametrize(
    "text", ["country:ES", "organisation:bsc", "project:a:b", "pays:JU", "funder:x", "cluster:mn5"]
)
def test_a_scope_is_read_as_written(text: str) -> None:
    """A key, a colon, and everything behind it."""
    assert text == ":".join(parse_scope(text))


@pytest.mark.parametrize("text", ["ES", "country:", "user:ana", "contry:ES"])
def test_a_scope_that_says_nothing_is_refused(text: str) -> None:
    """The message says what to write."""
    with pytest.raises(WrongUsage, match="write one of country:X organisation:X"):
        parse_scope(text)


def test_no_scope_is_everything() -> None:
    """As nothing was asked for."""
    assert ("", "") == parse_scope("")


@pytest.mark.parametrize("key", ["country", "organisation", "project", "pays", "funder", "cluster"])
def test_a_scope_of_nothing_known_is_refused(key: str) -> None:
    """Rather than answered by an empty statement; with what may have been meant."""
    with pytest.raises(WrongUsage, match=f"'{key}:nothing-of-that-name': nothing of that name"):
        View(sample(), f"{key}:nothing-of-that-name")
    organisation = min(sample().master.organisations)
    with pytest.raises(WrongUsage, match=f"did you mean '{organisation}'"):
        View(sample(), f"organisation:{organisation}s")
