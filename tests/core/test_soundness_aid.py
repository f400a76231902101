"""Prices, aid rules, declarations and factors that do not fit are named, at their entry and field."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from opsd.core.consortium import Consortium, Item
from opsd.core.factors import Factor
from opsd.core.money import Money
from opsd.core.prices import AidRule, OtherAid, Price
from opsd.core.soundness import check
from tests.fakes import dossiers as samples
from tests.fakes.agreements import parties

EURO, LIRA = Money(1_000_000, "EUR"), Money(1_000_000, "TRY")
RULE = AidRule("dm", EURO, 3)
PRICE = Price("p", "gpu-hours", EURO)


def problems(*items: Item) -> list[tuple[str, str, str]]:
    """Table, field and message of everything that does not fit."""
    held = Consortium.of([*parties(), *items], book_zone="Europe/Madrid")
    return [(one.table, one.field, one.message) for one in check(held)]


def undertaking() -> str:
    """One that leads a project."""
    return next(iter(Consortium.of(parties()).organisations))


def declared(**more: object) -> OtherAid:
    """Aid from elsewhere, of an undertaking that is known."""
    values = {"undertaking": undertaking(), "country": "PT", "rule": "dm", "amount": EURO, "granted_on": 5}
    return OtherAid("o", **{**values, **more})


def test_what_fits_has_no_problem() -> None:
    """Prices one after the other and pool by pool, one for all beside one for a pool, factors of a class."""
    found = problems(
        RULE, replace(RULE, id="sgei", ceiling=LIRA), declared(),
        replace(PRICE, valid_until=50), replace(PRICE, id="q", valid_from=50),
        replace(PRICE, id="r", pools=("ju",)), replace(PRICE, id="s", pools=("es",)),
        replace(PRICE, id="t", unit="node-hours"),
        Factor("mn5", "pue", Fraction(1)), Factor("mn5", "gpu-watts", Fraction(1, 2), "acc"),
    )  # fmt: skip
    assert [] == found


CASES: list[tuple[str, str, str, list[Item]]] = [
    ("pool", "aid_rule", "unknown aid_rule 'dn'", [
        RULE, replace(Consortium.of(parties()).pools["es"], aid_rule="dn"),
    ]),
    ("price", "pools", "unknown pool 'juu'; did you mean 'ju'?", [replace(PRICE, pools=("juu",))]),
    ("price", "unit", "beside 'p'", [PRICE, replace(PRICE, id="q", valid_from=9)]),
    ("price", "unit", "beside 'p'", [
        replace(PRICE, pools=("es", "ju")), replace(PRICE, id="q", pools=("ju",)),
    ]),
    ("aid_rule", "kinds", "unknown kind 'smes'; did you mean 'sme'?", [replace(RULE, kinds=("smes",))]),
    ("other_aid", "rule", "unknown rule 'dn'", [RULE, declared(rule="dn")]),
    ("other_aid", "undertaking", "unknown undertaking 'zzz'; write it", [RULE, declared(undertaking="zzz")]),
    ("other_aid", "amount", "is in TRY, but the ceiling of 'dm' in EUR", [RULE, declared(amount=LIRA)]),
    ("factor", "cluster", "unknown cluster 'mn6'", [Factor("mn6", "pue", Fraction(1))]),
    ("factor", "node_class", "unknown node_class 'ac'; did you mean 'acc'?", [
        Factor("mn5", "node-watts", Fraction(1), "ac"),
    ]),
    ("factor", "value", "is below 1", [Factor("mn5", "pue", Fraction(1, 2))]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "field", "words", "items"),
    CASES,
    ids=[f"{at}-{one[0]}-{one[1]}" for at, one in enumerate(CASES)],
)
def test_what_does_not_fit_is_named(table: str, field: str, words: str, items: list[Item]) -> None:
    """At the entry and field where it can be put right, with what to do."""
    assert any((table, field) == one[:2] and words in one[2] for one in problems(*items))


def test_the_sample_is_sound() -> None:
    """The dossier of all other tests of statements."""
    found = {one.table for one in check(samples.master())}
    assert set() == found & {"price", "aid_rule", "other_aid", "factor"}
