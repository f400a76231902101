"""Why time was not used, by reason."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from opsd.core import unused
from opsd.core.agreements import Agreement, Share
from opsd.core.amounts import MICRO
from opsd.core.consortium import Item
from opsd.core.dossier import Dossier, Waited
from opsd.core.parties import UnitTable
from opsd.core.unused import REASONS, Unused
from tests.fakes.agreements import (
    END,
    PERIOD,
    PLACE,
    START,
    award,
    balance,
    capacity,
    dossier,
    dossiers,
    line,
)

HALF = Fraction(1, 2)


def factory(*items: Item, **parts: Any) -> Dossier:
    """Spain and Portugal have half of 10000 GPU-seconds each, on available capacity."""
    machine = capacity(10_000, planned=1_000, down=200, reserved_idle=600)
    plain = {"capacity": (machine,), **parts}
    agreed = Agreement("a", node_classes=(PLACE,)), Share("a", "es", HALF), Share("a", "pt", HALF)
    return dossier(*agreed, *items, **plain)


def of_pool(found: Dossier, pool: str = "es") -> Unused:
    """One pool's row."""
    return next(one for one in unused.of(found) if one.pool == pool)


def drawable(name: str, seconds: int, **more: Any) -> Any:
    """A balance that leaves so many GPU-seconds to draw."""
    return balance(name, opening=seconds * MICRO, **more)


def test_each_reason_has_its_own_evidence() -> None:
    """A half of what nodes lost, what was not granted, what waited; the rest was never submitted."""
    found = of_pool(
        factory(
            award("one", "es"), balances=(drawable("one", 4_000),), lines=(line("one", 1_500),),
            waited=(Waited("mn5", "acc", "one", 700, 0, 3), Waited("mn5", "gpp", "one", 9, 9, 1)),
        )
    )  # fmt: skip
    expected = {
        "planned_down": 500, "down": 100, "reserved_idle": 300, "not_granted": 1_000, "waited": 700,
        "not_submitted": 900,
    }  # fmt: skip
    assert (5_000, 1_500, expected) == (found.entitled, found.used, found.reasons)
    assert (3_500, 0) == (found.unused, found.over)


def test_a_reason_takes_at_most_what_those_before_it_left() -> None:
    """With 4450 used of 5000, downtime explains 500, failures the last 50."""
    found = of_pool(factory(award("one", "es"), balances=(drawable("one", 0),), lines=(line("one", 4_450),)))
    assert {"planned_down": 500, "down": 50} == {name: one for name, one in found.reasons.items() if one}
    assert 5_000 == found.evidence["not_granted"]


def test_use_beyond_the_entitlement_is_told_and_explains_nothing() -> None:
    """No reason is needed for what was used."""
    found = of_pool(factory(award("one", "es"), lines=(line("one", 5_007),)))
    assert (0, 7, 0) == (found.unused, found.over, sum(found.reasons.values()))


def test_grants_beyond_the_entitlement_are_told() -> None:
    """By the part of them that falls into the period: half of 12000 here."""
    one = award("one", "es", end=END + PERIOD)
    found = of_pool(factory(one, balances=(drawable("one", 9_000, granted_total=12_000 * MICRO),)))
    assert (1_000, 0) == (found.over_allocated, found.evidence["not_granted"])


def test_awards_outside_the_period_can_not_be_drawn_on() -> None:
    """One ended when the period began; what another was granted in the period counts."""
    found = of_pool(
        factory(
            award("one", "es", start=START - PERIOD, end=START), award("two", "es"),
            balances=(drawable("one", 4_000), drawable("two", 0, granted={"grant": 500 * MICRO})),
        )
    )  # fmt: skip
    assert 4_500 == found.evidence["not_granted"]


def test_a_unit_without_a_rate_leaves_what_was_not_granted_unknown() -> None:
    """It is then part of the rest, and not 0."""
    found = of_pool(factory(award("one", "es", unit="billing-hours"), balances=(drawable("one", 10),)))
    assert (None, None) == (found.evidence["not_granted"], found.over_allocated)
    assert 5_000 - 900 == found.reasons["not_submitted"]


def test_classes_that_differ_tell_what_can_be_drawn_at_most() -> None:
    """A node-hour is worth 8 GPU-hours at most; by time it counts as what it drew: 6 GPUs a node here."""
    table = UnitTable("ai", "train", gpu_hours=Fraction(8))
    one = award("one", "es", unit="node-hours", end=END + PERIOD)
    found = dossier(
        Agreement("a", node_classes=(PLACE, "ai/train")), Share("a", "es", Fraction(1)), table, one,
        capacity=(capacity(1_000), capacity(1_000, place="ai/train")),
        lines=(line("one", 400), line("one", 800, "ai/train")),
        balances=(
            drawable("one", 100, charged=200 * MICRO, granted_total=1_000 * MICRO),
        ),
    )  # fmt: skip
    rows = unused.of(found)
    assert 2_000 - 8 * 100 == sum(row.evidence["not_granted"] or 0 for row in rows)
    assert 6 * 1_000 // 2 - 2_000 == sum(row.over_allocated or 0 for row in rows)


def test_a_pool_on_two_clusters_has_a_row_for_each() -> None:
    """What was not granted is split by entitlement, since awards are of no cluster."""
    both = Agreement("a", node_classes=(PLACE, "ai/train"))
    found = unused.of(
        dossier(
            both, Share("a", "es", Fraction(1)), award("one", "es"), balances=(drawable("one", 100),),
            capacity=(capacity(300), capacity(100, place="ai/train")),
        )
    )  # fmt: skip
    assert [("ai", 75), ("mn5", 225)] == [(one.cluster, one.reasons["not_granted"]) for one in found]


@settings(max_examples=60)
@given(dossiers(), st.integers(0, 10**10))
def test_reasons_add_up_to_what_was_not_used(found: Dossier, waited: int) -> None:
    """None is negative, and entitled - used = unused - over, whatever there is."""
    pools = {one.pool for one in found.master.awards.values()}
    waits = tuple(Waited("mn5", "acc", f"award-{pool}", waited, 0, 1) for pool in sorted(pools))
    for one in unused.of(dossier_with(found, waits)):
        assert one.unused == sum(one.reasons.values())
        assert one.entitled - one.used == one.unused - one.over
        assert REASONS == tuple(one.reasons)
        assert min(one.reasons.values()) >= 0


def dossier_with(found: Dossier, waited: tuple[Waited, ...]) -> Dossier:
    """The same with runs that waited."""
    return Dossier(**{name: getattr(found, name) for name in found.__dataclass_fields__} | {"waited": waited})
