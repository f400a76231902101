"""State aid: who granted what it is worth, on which day, and what is left under the ceiling."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core import aid
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.amounts import CORE_HOURS, GPU_HOURS, MICRO, MICRO_PER_HOUR
from opsd.core.awards import Award, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.dossier import Dossier, Granted, Span
from opsd.core.money import Money
from opsd.core.parties import Organisation
from opsd.core.prices import AidRule, OtherAid, Price

MADRID = ZoneInfo("Europe/Madrid")


def day(text: str) -> int:
    """The midnight of a civil day in Madrid."""
    return int(datetime.fromisoformat(text).replace(tzinfo=MADRID).timestamp())


SPAN = Span("2026-10", day("2026-10-01"), day("2026-11-01"), "Europe/Madrid")
TWO_EUROS = Price("list-1", GPU_HOURS, Money.parse("2 EUR"), valid_until=day("2026-10-15"))
THREE_EUROS = Price("list-2", GPU_HOURS, Money.parse("3 EUR"), valid_from=day("2026-10-15"))


def world(*items: Item) -> Consortium:
    """Two States, a region of one of them, the JU; a company group, a company of its own, a university."""
    return Consortium.of(
        [
            Funder("spain", "Spain", "state", "ES"), Funder("cat", "Catalonia", "region", "ES", "spain"),
            Funder("portugal", "Portugal", "state", "PT"), Funder("ju", "JU", "ju"),
            Pool("es", "spain", aid_rule="small"), Pool("ct", "cat", aid_rule="small"),
            Pool("pt", "portugal", aid_rule="small"), Pool("union", "ju"),
            Organisation("mother", "Mother", "ES", "large-company", undertaking="group"),
            Organisation("daughter", "Daughter", "PT", "sme", undertaking="group"),
            Organisation("alone", "Alone", "ES", "start-up"), Organisation("uni", "Uni", "ES", "university"),
            *(Project(f"p-{name}", name, name) for name in ("mother", "daughter", "alone", "uni")),
            Policy("gpu", "gpu_hours"),
            AidRule("small", Money.parse("1000 EUR"), 3, kinds=("start-up", "sme", "large-company")),
            TWO_EUROS, THREE_EUROS, *items,
        ]
    )  # fmt: skip


def award(name: str, lead: str, pool: str, **changes: Any) -> Award:
    """An award whose grants are in the dossier."""
    plain: dict[str, Any] = {
        "amount": Fraction(0),
        "unit": GPU_HOURS,
        "start": 0,
        "end": None,
        "policy": "gpu",
    }
    return Award(name, f"p-{lead}", pool, **{**plain, **changes})


def dossier(held: Consortium, *granted: tuple[str, str, str, int]) -> Dossier:
    """October 2026 with these acts: (award, day, kind, hours)."""
    found = tuple(Granted(name, day(on), kind, hours * MICRO_PER_HOUR) for name, on, kind, hours in granted)
    return Dossier("c", SPAN, SPAN.end, "1", held, (), granted=found)


def worths(found: Dossier) -> dict[str, str | None]:
    """What each award's acts are worth."""
    return {act.award: act.worth.text if act.worth else None for act in aid.acts(found)}


def test_the_paying_pool_decides_who_grants() -> None:
    """Of a region's time its State, of the JU's nobody; undertakings of other countries are aided, too."""
    held = world(
        award("a", "mother", "ct"), award("b", "mother", "union"), award("c", "daughter", "es"),
        award("d", "uni", "es"), award("e", "alone", "pt"),
    )  # fmt: skip
    found = dossier(held, *((name, "2026-10-02", "grant", 10) for name in "abcde"))

    expected = [("alone", "PT", "e"), ("group", "ES", "a"), ("group", "ES", "c")]
    assert expected == sorted((act.undertaking, act.country, act.award) for act in aid.acts(found))


def test_the_price_is_that_of_the_day_of_the_right() -> None:
    """Which an award may name; what is added later has the price of its own day."""
    held = world(
        award("a", "alone", "es"),
        award("b", "alone", "es", granted_on=day("2026-10-20"), start=day("2026-10-01")),
    )
    acts = aid.acts(dossier(held, ("a", "2026-10-14", "grant", 10), ("a", "2026-10-15", "extension", 10),
                            ("b", "2026-10-01", "grant", 1)))  # fmt: skip

    expected = [("a", "grant", "20 EUR", "list-1"), ("a", "extension", "30 EUR", "list-2"),
                ("b", "grant", "3 EUR", "list-2")]  # fmt: skip
    shown = [(act.award, act.kind, act.worth.text, act.price.id) for act in acts if act.worth and act.price]
    assert expected == shown


def test_a_pools_own_price_beats_the_general_one() -> None:
    """Whatever its name."""
    own = Price("zz", GPU_HOURS, Money.parse("0.5 EUR"), pools=("pt",))
    held = world(own, award("a", "alone", "pt"), award("b", "alone", "es"))
    found = dossier(held, ("a", "2026-10-02", "grant", 10), ("b", "2026-10-02", "grant", 10))

    assert {"a": "5 EUR", "b": "20 EUR"} == worths(found)


def test_what_has_no_price_is_unknown() -> None:
    """And told in the standing, not counted as nothing."""
    held = world(award("a", "alone", "es", unit=CORE_HOURS))
    found = dossier(held, ("a", "2026-10-02", "grant", 10))

    assert {"a": None} == worths(found)
    (standing,) = aid.standings(found)
    assert (1, "1000 EUR") == (standing.unpriced, standing.left.text)


def test_the_ceiling_holds_per_undertaking_and_state() -> None:
    """A group counts as one, in each State apart, with what it declared."""
    declared = OtherAid("x", "group", "ES", "small", Money.parse("100 EUR"), day("2025-01-01"))
    held = world(
        declared, award("a", "mother", "es"), award("b", "daughter", "ct"), award("c", "daughter", "pt")
    )
    found = dossier(held, *((name, "2026-10-02", "grant", 50) for name in "abc"))

    expected = {("group", "ES"): "700 EUR", ("group", "PT"): "900 EUR"}
    assert expected == {(one.undertaking, one.country): one.left.text for one in aid.standings(found)}


@pytest.mark.parametrize(
    ("granted_on", "left"), [("2023-10-31", "980 EUR"), ("2023-11-01", "960 EUR"), ("2026-10-31", "960 EUR")]
)
def test_years_roll(granted_on: str, left: str) -> None:
    """Aid of three years ago to the day counts, of a day more no longer; of November counts not yet."""
    old = OtherAid("x", "alone", "ES", "small", Money.parse("20 EUR"), day(granted_on))
    late = OtherAid("y", "alone", "ES", "small", Money.parse("500 EUR"), day("2026-11-01"))
    found = dossier(world(old, late, award("a", "alone", "es")), ("a", "2026-10-02", "grant", 10))

    (standing,) = aid.standings(found)
    assert left == standing.left.text


def test_a_grant_beyond_the_ceiling_falls_outside_as_a_whole() -> None:
    """And uses up nothing for the smaller one that follows."""
    held = world(award("a", "alone", "es"), award("b", "alone", "es"), award("c", "alone", "es"))
    found = dossier(
        held,
        ("a", "2026-10-02", "grant", 300),
        ("b", "2026-10-03", "grant", 201),
        ("c", "2026-10-04", "grant", 200),
    )

    (standing,) = aid.standings(found)
    assert ("b",) == standing.beyond
    assert "-402 EUR" == standing.left.text


def test_what_is_taken_back_is_booked_on_its_own_day() -> None:
    """By an entry; use plays no part."""
    held = world(award("a", "alone", "es"))
    found = dossier(held, ("a", "2026-10-02", "grant", 100), ("a", "2026-10-20", "expiry", -20))

    (standing,) = aid.standings(found)
    assert "860 EUR" == standing.left.text


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**9))
def test_worth_is_the_nearest_cent(amount: int, micro: int) -> None:
    """Whatever the amount and price; what is taken back is worth what was given."""
    price = Price("p", GPU_HOURS, Money(micro, "EUR"))
    worth = aid.worth(amount, price)
    exact = Fraction(amount * micro, MICRO_PER_HOUR)

    assert 0 == worth.micro % (MICRO // 100)
    assert abs(worth.micro - exact) <= MICRO // 200
    assert -worth.micro == aid.worth(-amount, price).micro


def test_leap_days_have_a_day_before() -> None:
    """Three years before 29 February is 1 March."""
    assert day("2025-03-01") == aid.years_before(day("2028-02-29"), 3, MADRID)
