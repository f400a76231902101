"""Agreements, shares, caps and contributions that do not fit are named, at their entry and field."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings

from opsd.core.agreements import Agreement, Cap, Contribution, Share
from opsd.core.consortium import Consortium, Item
from opsd.core.dossier import Dossier
from opsd.core.money import Money
from opsd.core.soundness import check
from tests.fakes import dossiers as samples
from tests.fakes.agreements import PLACE, dossiers, euros, founding, parties

HALF = Fraction(1, 2)
TWO_THIRDS = Fraction(2, 3)
ALL = Share("a", "ju", Fraction(1))


def problems(*items: Item) -> list[tuple[str, str, str]]:
    """Table, field and message of everything that does not fit."""
    held = Consortium.of([*parties(), *items], book_zone="Europe/Madrid")
    return [(one.table, one.field, one.message) for one in check(held)]


def agreement(name: str = "a", **more: object) -> Agreement:
    """One over the accelerated nodes."""
    return Agreement(name, **{"node_classes": (PLACE,), **more})


def test_agreements_that_fit_have_no_problem() -> None:
    """Several over the same nodes, one after the other, by parts, hours and money; caps within each other."""
    found = problems(
        *founding(), euros("es-2", 5, "spain", supersedes="es"),
        agreement(part=HALF, valid_until=50), agreement(part=TWO_THIRDS, valid_from=50), ALL,
        agreement("b", part=HALF, valid_until=50, key="hours"), Share("b", "es", hours=Fraction(5)),
        agreement("c", part=Fraction(1, 3), valid_from=50, key="proportional"), Share("c", "es"),
        Share("c", "ct"),
        agreement("d", resource="cpu"), Share("d", "pt", HALF), Share("d", "tr", HALF),
        Cap("outer", pools=("ju",), kinds=("sme",)), Cap("inner", within="outer"),
    )  # fmt: skip
    assert [] == found


CASES: list[tuple[str, str, str, list[Item]]] = [
    ("contribution", "funder", "unknown funder 'x'", [euros("c", 1, "x")]),
    ("contribution", "supersedes", "unknown supersedes 'x'", [euros("c", 1, "spain", supersedes="x")]),
    ("contribution", "supersedes", "as 'b' does", [
        euros("a", 1, "spain"), euros("b", 1, "spain", supersedes="a"),
        euros("c", 1, "spain", supersedes="a"),
    ]),
    ("contribution", "supersedes", "a → b → a", [
        euros("a", 1, "spain", supersedes="b"), euros("b", 1, "spain", supersedes="a"),
    ]),
    ("agreement", "node_classes", "divides no nodes", [Agreement("a"), ALL]),
    ("agreement", "node_classes", "'mn5/ac'; did you mean 'mn5/acc'?", [
        agreement(node_classes=("mn5/ac",)), ALL,
    ]),
    ("agreement", "part", "a 0.5, b 2/3; parts", [
        agreement(part=HALF), ALL, agreement("b", part=TWO_THIRDS), Share("b", "es", HALF),
    ]),
    ("agreement", "part", "gpu of mn5/acc is divided more than once", [
        agreement(), ALL, agreement("b", valid_from=99, part=HALF), Share("b", "es", HALF),
    ]),
    ("agreement", "key", "nobody has a share", [agreement()]),
    ("agreement", "key", "add up to 7/6", [
        agreement(), Share("a", "ju", HALF), Share("a", "es", TWO_THIRDS),
    ]),
    ("agreement", "key", "by contributions", [agreement(key="proportional"), Share("a", "ju")]),
    ("agreement", "key", "several currencies", [
        agreement(key="proportional"), Share("a", "ju"), Share("a", "tr"), euros("e", 1, "eurohpc"),
        Contribution("t", "turkiye", "operation", Money(1, "TRY")),
    ]),
    ("share", "agreement", "unknown agreement 'x'", [Share("x", "ju", HALF)]),
    ("share", "pool", "unknown pool 'x'", [agreement(), Share("a", "x", HALF)]),
    ("share", "fraction", "has no fraction", [agreement(), Share("a", "ju")]),
    ("share", "hours", "has no hours", [agreement(key="hours"), Share("a", "ju")]),
    ("share", "fraction", "has fraction, but", [agreement(key="hours"), Share("a", "ju", HALF)]),
    ("share", "hours", "key is fractions", [agreement(), Share("a", "ju", hours=Fraction(1))]),
    ("share", "fraction", "key is proportional", [*founding(), agreement(key="proportional"), ALL]),
    ("share", "pool", "has the same funder as pt,", [
        *founding(), agreement(key="proportional"), Share("a", "pt"), Share("a", "pt-aif"),
    ]),
    ("cap", "pools", "unknown pool 'juu'; did you mean 'ju'?", [Cap("c", pools=("juu",))]),
    ("cap", "kinds", "unknown kind 'smes'; did you mean 'sme'?", [Cap("c", kinds=("smes",))]),
    ("cap", "kinds", "write one of research", [Cap("c", kinds=("zzz",))]),
    ("cap", "within", "unknown within 'x'", [Cap("c", within="x")]),
    ("cap", "within", "a → b → a", [Cap("a", within="b"), Cap("b", within="a")]),
    ("cap", "within", "a → b → a", [Cap("a", 0, 5, within="b"), Cap("a", 5), Cap("b", within="a")]),
    ("cap", "within", "a → a", [Cap("a", within="a")]),
    ("agreement", "from", "overlaps a", [agreement(part=HALF), agreement(part=HALF, valid_from=9), ALL]),
    ("cap", "from", "overlaps c", [Cap("c"), Cap("c", valid_from=9)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "field", "words", "items"),
    CASES,
    ids=[f"{at}-{one[0]}-{one[1]}" for at, one in enumerate(CASES)],
)
def test_what_does_not_fit_is_named(table: str, field: str, words: str, items: list[Item]) -> None:
    """At the entry and field where it can be put right, with what to do."""
    assert any((table, field) == one[:2] and words in one[2] for one in problems(*items))


@settings(max_examples=60)
@given(dossiers())
def test_random_agreements_are_sound_but_for_money_that_nobody_gave(found: Dossier) -> None:
    """What the other property tests stand on never divides a second twice."""
    messages = [one.message for one in check(found.master)]
    assert [] == [one for one in messages if "by contributions" not in one]


def test_the_sample_is_sound() -> None:
    """The dossier of all other tests of statements, but for what it is odd in."""
    found = {one.table for one in check(samples.master())}
    assert set() == found & {"contribution", "agreement", "share", "cap"}
