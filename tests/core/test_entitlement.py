"""Who is entitled to what, by hand and in every case."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings

from opsd.core import contributions, entitlement
from opsd.core.agreements import Agreement, Contribution, Funder, Share
from opsd.core.consortium import Item
from opsd.core.dossier import Dossier, Entitled
from opsd.core.entitlement import Right
from opsd.core.money import Money
from tests.fakes.agreements import (
    PERIOD,
    PLACE,
    START,
    award,
    capacity,
    dossier,
    dossiers,
    euros,
    founding,
    line,
)

HALF = Fraction(1, 2)
STATES = ("es", "ct", "pt", "tr", "ro")


def agreement(name: str, *shares: Share, **more: Any) -> list[Item]:
    """An agreement over the accelerated nodes, in force always unless told otherwise."""
    return [Agreement(name, **{"node_classes": (PLACE,), **more}), *shares]


def by_pool(found: Dossier, **more: Any) -> dict[str, int]:
    """Seconds by pool, what is not shared out under an empty name."""
    sums: Counter[str] = Counter()
    for right in entitlement.of(found, **more).rights:
        if right.agreement:
            sums[right.pool] += right.seconds
    return dict(sums)


def test_the_union_has_half_and_the_states_share_the_other_half_by_their_money() -> None:
    """The founding example: 61.76, 14, 15.6 and 6.5 of 97.86 M€; Romania's million buys services."""
    found = dossier(
        *founding(),
        *agreement("union", Share("union", "ju", Fraction(1)), part=HALF),
        *agreement("states", *(Share("states", pool) for pool in STATES), part=HALF, key="proportional"),
        capacity=(capacity(2 * 97_860),),
    )
    expected = {"ju": 97_860, "es": 61_760, "ct": 14_000, "pt": 15_600, "tr": 6_500, "ro": 0, "": 0}
    assert expected == by_pool(found)


def test_available_capacity_leaves_out_what_was_down() -> None:
    """Nominal is everything; available is without planned downtime and failures."""
    shares = Share("a", "ju", Fraction(1))
    machine = (capacity(1_000, planned=100, down=23),)
    assert {"ju": 877, "": 0} == by_pool(dossier(*agreement("a", shares), capacity=machine))
    assert {"ju": 1_000, "": 0} == by_pool(
        dossier(*agreement("a", shares, basis="nominal"), capacity=machine)
    )
    assert {"ju": 1_000, "": 0} == by_pool(
        dossier(*agreement("a", shares), capacity=machine), basis="nominal"
    )


def test_an_agreement_counts_for_as_long_as_it_is_in_force() -> None:
    """Two agreements follow one another inside the period; each divides its own part of the seconds."""
    change = START + PERIOD // 3
    found = dossier(
        *agreement("old", Share("old", "es", Fraction(1)), valid_until=change),
        *agreement("new", Share("new", "pt", Fraction(1)), valid_from=change),
        *agreement("over", Share("over", "tr", Fraction(1)), valid_until=START),
        capacity=(capacity(3_000),),
    )
    assert {"es": 1_000, "pt": 2_000, "": 0} == by_pool(found)


def test_what_is_not_shared_out_is_told() -> None:
    """Shares need not add up to 1, and parts of agreements need not, either."""
    found = dossier(*agreement("a", Share("a", "es", Fraction(2, 7)), part=HALF), capacity=(capacity(1_400),))
    rights = {(one.agreement, one.pool): one.seconds for one in entitlement.of(found).rights}
    assert {("a", "es"): 200, ("a", ""): 500, ("", ""): 700} == rights


def test_fixed_hours_are_of_a_year_of_365_days() -> None:
    """8760 hours a year are one GPU all the time: as many seconds as the period has."""
    found = dossier(
        *agreement("a", Share("a", "es", hours=Fraction(8_760)), key="hours"),
        capacity=(capacity(10 * PERIOD),),
    )
    assert {"es": PERIOD, "": 9 * PERIOD} == by_pool(found)


def test_fixed_hours_are_owed_where_no_capacity_is_on_record() -> None:
    """They do not depend on it; and the missing class is named."""
    found = dossier(*agreement("a", Share("a", "es", hours=Fraction(8_760)), key="hours"))
    assert {"es": PERIOD, "": -PERIOD} == by_pool(found)
    assert (("a", PLACE),) == entitlement.of(found).no_capacity


def test_without_capacity_nobody_is_entitled_to_a_number() -> None:
    """What is not known is no right of 0 seconds."""
    found = entitlement.of(dossier(*agreement("a", Share("a", "es", Fraction(1)))))
    assert ((), (("a", PLACE),)) == (found.rights, found.no_capacity)


def test_a_proportional_key_without_money_is_named() -> None:
    """Nobody gets a share by guess."""
    found = entitlement.of(
        dossier(*agreement("a", Share("a", "es"), key="proportional"), capacity=(capacity(10),))
    )
    assert (("a",), ["", ""]) == (found.no_key, [right.pool for right in found.rights])


def test_the_figure_by_contributions_stands_beside_the_agreed_key() -> None:
    """It shares what the agreement shares out, by the same funders' money."""
    found = dossier(
        euros("p", 1_000, "portugal"), euros("e", 3_000, "spain"),
        *agreement("a", Share("a", "es", Fraction(1, 4)), Share("a", "pt", Fraction(1, 4))),
        capacity=(capacity(1_000),),
    )  # fmt: skip
    told = {one.pool: (one.seconds, one.proportional) for one in entitlement.of(found).of_pools()}
    assert {"es": (250, 375), "pt": (250, 125)} == told


def test_a_period_that_is_not_over_counts_up_to_now() -> None:
    """Capacity is counted up to then, and so is how long an agreement is in force."""
    middle = START + PERIOD // 2
    found = dossier(
        *agreement("a", Share("a", "es", Fraction(1)), valid_from=START + PERIOD // 4),
        capacity=(capacity(1_000),), as_of=middle,
    )  # fmt: skip
    assert {"es": 500, "": 0} == by_pool(found)
    assert {} == by_pool(replace(found, as_of=START - 1))


def parts(*items: Item, pools: tuple[str, ...] = ("es", "pt")) -> dict[str, Fraction] | None:
    """Parts of the money for compute."""
    return contributions.parts(dossier(*items).master, pools)


def test_only_money_for_compute_that_was_not_superseded_counts() -> None:
    """Services, the experimental platform and what a later document replaced buy nothing."""
    found = parts(
        euros("old", 9_000, "spain"), euros("new", 1_000, "spain", supersedes="old"),
        euros("services", 500, "portugal", "services"),
        euros("more", 500, "portugal", "experimental-platform"), euros("run", 3_000, "portugal", "operation"),
    )  # fmt: skip
    assert {"es": Fraction(1, 4), "pt": Fraction(3, 4)} == found


def test_a_sub_funder_without_a_pool_counts_with_the_one_above() -> None:
    """The Generalitat's money is Spain's where only Spain has a pool, and its own where it has one."""
    money = (euros("e", 60, "spain"), euros("c", 15, "generalitat"), euros("p", 25, "portugal"))
    assert {"es": Fraction(3, 4), "pt": Fraction(1, 4)} == parts(*money)
    found = parts(*money, pools=("es", "ct", "pt"))
    assert {"es": Fraction(60, 100), "ct": Fraction(15, 100), "pt": Fraction(25, 100)} == found


def test_a_funder_without_contributions_counts_with_its_amount() -> None:
    """But one that gave services alone has said what it gave."""
    spain = Funder("spain", "España", "state", "ES", amount_meur=Decimal(3))
    romania = Funder("romania", "România", "state", "RO", amount_meur=Decimal(1))
    money = (spain, romania, euros("p", 1_000_000, "portugal"), euros("r", 1_000_000, "romania", "services"))
    expected = {"es": Fraction(3, 4), "pt": Fraction(1, 4), "ro": Fraction(0)}
    assert expected == parts(*money, pools=("es", "pt", "ro"))


def test_money_of_two_currencies_is_not_compared() -> None:
    """Nothing here knows a rate."""
    lira = Contribution("t", "turkiye", "acquisition", Money(1, "TRY"))
    assert None is parts(lira, euros("e", 1, "spain"), pools=("es", "tr"))
    assert {"es": Fraction(1)} == parts(lira, euros("e", 1, "spain"), pools=("es",))


def test_paid_counts_where_nothing_was_committed() -> None:
    """A contribution may be told by what was paid alone."""
    paid = Contribution("p", "portugal", "acquisition", None, Money(10**6, "EUR"))
    assert {"es": HALF, "pt": HALF} == parts(paid, euros("e", 1, "spain"))


# -------------------------------------------------------------------------------------------------- use


def test_use_of_a_pool_under_two_agreements_is_told_apart_by_entitlement() -> None:
    """A run says its pool alone; and use of another class is under neither."""
    found = dossier(
        *agreement("a", Share("a", "es", Fraction(1)), part=Fraction(1, 4)),
        *agreement("b", Share("b", "es", Fraction(1)), part=Fraction(3, 4)),
        award("one", "es"), award("two", "pt"),
        capacity=(capacity(1_000),), lines=(line("one", 101), line("one", 7, "ai/train"), line("two", 9)),
    )  # fmt: skip
    use = entitlement.used(found, entitlement.of(found).of_pools())
    assert {"a": 25, "b": 76} == {right.agreement: seconds for right, seconds in use.items()}


def test_a_closed_month_tells_later_ones_what_it_entitled_to() -> None:
    """By agreement and pool, with use."""
    found = dossier(
        *agreement("a", Share("a", "es", HALF), node_classes=(PLACE, "ai/train")), award("one", "es"),
        capacity=(capacity(1_000), capacity(500, place="ai/train")),
        lines=(line("one", 10), line("one", 3, "ai/train")),
    )  # fmt: skip
    assert (Entitled("2026-10", "a", "es", "gpu", 750, 13),) == entitlement.entitled(found)


# ------------------------------------------------------------------------------------------- every case


@settings(max_examples=60)
@given(dossiers())
def test_rights_and_what_is_left_add_up_to_the_capacity(found: Dossier) -> None:
    """Per class and basis, to the second, whatever the fractions and dates."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for right in entitlement.of(found).rights:
        sums[f"{right.cluster}/{right.node_class}", right.resource, right.basis] += right.seconds
    known = {(f"{one.cluster}/{one.node_class}", one.resource): one for one in found.capacity}
    told = {key: seconds for key, seconds in sums.items() if key[:2] in known}
    assert {key: entitlement.basis_seconds(known[key[:2]], key[2]) for key in told} == told


@settings(max_examples=60)
@given(dossiers())
def test_no_right_is_a_second_off_its_exact_share(found: Dossier) -> None:
    """Each is within two seconds of capacity x part x time x share: one for the part, one for the share."""
    known = {(f"{one.cluster}/{one.node_class}", one.resource): one for one in found.capacity}
    terms = {one.agreement.id: one for one in entitlement.in_force(found.master, entitlement.reported(found))}
    for right in entitlement.of(found).of_pools():
        term = terms[right.agreement]
        shares = entitlement.fractions(found.master, term.agreement)
        if shares is not None:
            place = f"{right.cluster}/{right.node_class}"
            whole = entitlement.basis_seconds(known[place, right.resource], right.basis)
            exact = whole * term.agreement.part * Fraction(term.seconds, PERIOD) * shares[right.pool]
            assert abs(right.seconds - exact) < 2


@settings(max_examples=60)
@given(dossiers())
def test_the_figure_by_contributions_shares_out_the_same(found: Dossier) -> None:
    """Its sum is that of the agreed shares, of every agreement whose funders' money is on record."""
    sums: Counter[Right] = Counter()
    for right in entitlement.of(found).of_pools():
        if right.proportional is not None:
            key = right._replace(pool="", seconds=0, proportional=None)
            sums[key] += right.seconds - right.proportional
    assert not any(sums.values())


@settings(max_examples=60)
@given(dossiers())
def test_use_under_agreements_is_all_use_of_the_spot(found: Dossier) -> None:
    """However many agreements there are, no second of a pool's use is lost or counted twice."""
    rights = entitlement.of(found).of_pools()
    use = entitlement.used(found, rights)
    sums: Counter[tuple[str, str, str]] = Counter()
    for right, seconds in use.items():
        sums[right.pool, right.cluster, right.node_class] += seconds
    awards = found.master.awards
    expected: Counter[tuple[str, str, str]] = Counter()
    for one in found.lines:
        expected[awards[one.key.award].pool, one.key.cluster, one.key.node_class] += one.seconds.gpu
    assert {key: expected[key] for key in sums} == dict(sums)
