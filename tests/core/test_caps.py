"""Limits on kinds of use, on what was granted and on what was used."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from opsd.core import caps, conversion
from opsd.core.agreements import Agreement, Cap, Share
from opsd.core.amounts import MICRO
from opsd.core.caps import Limit
from opsd.core.consortium import Item
from opsd.core.dossier import Dossier, Entitled
from opsd.core.parties import UnitTable
from opsd.core.period import DAY, HOUR, months, parse_period, zone
from tests.fakes.agreements import END, PERIOD, PLACE, START, ZONE, award, balance, capacity, dossier, past

YEAR = parse_period("2026", zone(ZONE))
MONTHS = dict(months(YEAR, zone(ZONE)))
RATE = 1_000  # GPU-seconds a second that the JU is entitled to
HALF = Fraction(1, 2)
MODES = ("Playground", "Fast Lane", "Large Scale")


def cap(name: str, **more: Any) -> Cap:
    """A cap on the JU's pool, by month."""
    return Cap(name, **{"pools": ("ju",), "window": "month", **more})


def factory(*items: Item, **parts: Any) -> Dossier:
    """The JU has half of the nodes since January; every earlier month is closed."""
    plain = {
        "capacity": (capacity(2 * RATE * PERIOD),),
        "entitled": [
            Entitled(label, "union", "ju", "gpu", RATE * window.seconds, 0)
            for label, window in MONTHS.items()
            if window.end <= START
        ],
        **parts,
    }
    agreed = Agreement("union", YEAR.start, node_classes=(PLACE,)), Share("union", "ju", HALF)
    return dossier(*agreed, *items, **plain)


def by_id(found: Dossier) -> dict[str, Limit]:
    """Every cap there is."""
    return {limit.cap.id: limit for limit in caps.of(found)}


def test_a_cap_is_a_part_of_what_its_pools_are_entitled_to_in_the_window() -> None:
    """A month as it was, a year with its rest as expected, the whole capacity where that is the base."""
    found = by_id(
        factory(
            cap("month", most=Fraction(1, 5)), cap("year", most=Fraction(1, 5), window="year"),
            cap("ancillary", base="capacity", most=Fraction(1, 5)),
        )
    )  # fmt: skip
    assert {
        "month": RATE * PERIOD // 5, "year": RATE * YEAR.seconds // 5, "ancillary": 2 * RATE * PERIOD // 5,
    } == {name: limit.most for name, limit in found.items()}  # fmt: skip
    assert {"month": "2026-10", "year": "2026", "ancillary": "2026-10"} == {
        name: limit.label for name, limit in found.items()
    }


def test_caps_within_a_cap_are_parts_of_its_limit() -> None:
    """The Union's 20 % for commerce; 30 % for industry, of which 10 % for small calls; 25 % for science."""
    found = caps.of(
        factory(
            cap("commercial", most=Fraction(1, 5), purposes=("commercial",)),
            cap("industry", most=Fraction(3, 10), modes=MODES),
            cap("small", most=Fraction(1, 10), modes=MODES[:2], within="industry"),
            cap("science", most=Fraction(1, 4), modes=("AI for Science",)),
        )
    )
    base = RATE * PERIOD
    assert [
        ("commercial", 0, base // 5), ("industry", 0, base * 3 // 10), ("small", 1, base * 3 // 100),
        ("science", 0, base // 4),
    ] == [(limit.cap.id, limit.depth, limit.most) for limit in found]  # fmt: skip


def test_what_counts_matches_every_list_that_is_not_empty() -> None:
    """Pool, mode, kind of organisation and purpose of the project."""
    found = factory(
        cap("pool"), cap("mode", modes=("Fast Lane",)), cap("kind", kinds=("sme",)),
        cap("purpose", purposes=("commercial",)), cap("other", pools=("pt",)),
        award("a", mode="Fast Lane"), award("b", project="product"), award("c", "es", project="product"),
        year=tuple(past("2026-10", *use) for use in (("a", 1), ("b", 20), ("c", 300), ("", 4_000))),
    )  # fmt: skip
    assert {"pool": 21, "mode": 1, "kind": 20, "purpose": 20, "other": 0} == {
        name: limit.consumed for name, limit in by_id(found).items()
    }


def test_use_counts_in_the_months_of_the_window() -> None:
    """A month's cap leaves September out."""
    found = factory(
        cap("month"), cap("year", window="year"), award("a"),
        year=(past("2026-09", "a", 1_000), past("2026-10", "a", 20)),
    )  # fmt: skip
    assert {"month": 20, "year": 1_020} == {name: limit.consumed for name, limit in by_id(found).items()}


def granted(award_item: Item, hours: int = 80, **more: Any) -> Limit:
    """A cap over one award with so many units granted."""
    held = factory(
        cap("c", **more), award_item, balances=(balance("one", granted_total=hours * HOUR * MICRO),)
    )
    return by_id(held)["c"]


def test_a_grant_counts_with_the_part_of_its_life_in_the_window() -> None:
    """Three quarters of it lie outside; one without an end counts whole, and is named."""
    assert 80 * HOUR == granted(award("one")).granted
    assert 20 * HOUR == granted(award("one", end=START + 4 * PERIOD)).granted
    assert 0 == granted(award("one", start=END, end=END + 1)).granted
    endless = granted(award("one", start=START - PERIOD, end=None))
    assert (80 * HOUR, ("one",)) == (endless.granted, endless.endless)


def test_units_are_converted_by_the_unit_table_or_named() -> None:
    """A node-hour is four GPU-hours, a core-hour a twentieth; a billing unit is nobody knows what."""
    assert 320 * HOUR == granted(award("one", unit="node-hours")).granted
    assert 4 * HOUR == granted(award("one", unit="core-hours")).granted
    billed = granted(award("one", unit="billing-hours"))
    assert (0, ("one",)) == (billed.granted, billed.no_rate)


def test_classes_that_differ_give_no_rate() -> None:
    """Eight GPUs on one node and four on the other: a node-hour is not one number."""
    table = UnitTable("ai", "train", gpu_hours=Fraction(8), core_hours=Fraction(80))
    held = dossier(table).master
    both = {PLACE, "ai/train"}
    assert None is conversion.rate(held, "node-hours", "gpu", both, START)
    assert 8 == conversion.rate(held, "node-hours", "gpu", {"ai/train"}, START)
    assert 1 == conversion.rate(held, "gpu-hours", "gpu", both, START)
    assert 0 == conversion.rate(held, "gpu-hours", "cpu", both, START)
    assert 160 == conversion.rate(held, "node-hours", "cpu", {PLACE}, START)
    assert None is conversion.rate(held, "node-hours", "gpu", {PLACE, "mn5/gpp"}, START)


def test_an_award_is_worth_what_it_is_where_it_ran() -> None:
    """On one class of two: by its table. Elsewhere alone: nothing here. On both sides: nobody knows."""
    table = UnitTable("ai", "train", gpu_hours=Fraction(8), core_hours=Fraction(80))
    held, both = dossier(table).master, {PLACE, "ai/train"}

    def rate(*ran_on: str) -> Fraction | None:
        return conversion.rate(held, "node-hours", "gpu", both, START, ran_on)

    assert [4, 8, 0] == [rate(PLACE), rate("ai/train"), rate("mn5/gpp")]
    assert [None, None] == [rate(PLACE, "ai/train"), rate(PLACE, "mn5/gpp")]
    most = [
        conversion.most(held, "node-hours", "gpu", places, START, ran_on)
        for places, ran_on in ((both, ()), (both, (PLACE, "mn5/gpp")), (both, ("mn5/gpp",)), ({"x/y"}, ()))
    ]
    assert [8, 4, 0, None] == most


def test_a_cap_is_counted_in_cpus_only_where_its_pools_have_no_gpus() -> None:
    """The JU has both here, Portugal CPUs alone."""
    agreed = Agreement("cpus", node_classes=("mn5/gpp",), resource="cpu")
    found = factory(
        agreed, Share("cpus", "ju", HALF), Share("cpus", "pt", HALF), cap("ju"), cap("pt", pools=("pt",)),
        capacity=(capacity(2 * RATE * PERIOD), capacity(600, place="mn5/gpp", resource="cpu")),
    )  # fmt: skip
    told = [(one.cap.id, one.resource, one.base) for one in caps.of(found)]
    assert [("ju", "gpu", RATE * PERIOD), ("pt", "cpu", 300)] == told


def test_thresholds_are_reached_from_their_percentage_on() -> None:
    """80, 95 and 100 unless the cap says otherwise."""
    (limit,) = caps.of(factory(cap("c", most=Fraction(100, RATE * PERIOD))))
    assert 100 == limit.most
    assert [0, 0, 80, 80, 95, 100, 100] == [limit.reached(one) for one in (0, 79, 80, 94, 95, 100, 500)]
    assert None is replace(limit, most=None).reached(5)


def test_use_is_expected_to_go_on_as_in_the_last_month() -> None:
    """Of a year's cap: two months at October's pace, and the instant the limit is reached."""
    used = (past("2026-09", "one", 7), past("2026-10", "one", 10 * PERIOD))  # 10 GPU-seconds a second
    held = factory(cap("c", window="year", most=Fraction(1, 100)), award("one"), year=used)
    (limit,) = caps.of(held)
    assert (7 + 10 * PERIOD + 10 * (YEAR.end - END), None) == (limit.by_end, limit.breached_at)
    near = RATE * YEAR.seconds // 100 - 10 * PERIOD - 1_000
    (limit,) = caps.of(replace(held, year=(past("2026-09", "one", near), used[1])))
    assert END + 100 == limit.breached_at
    over = replace(held, year=(past("2026-10", "one", RATE * YEAR.seconds // 100),))
    assert [(100, None)] == [(one.reached(one.consumed), one.breached_at) for one in caps.of(over)]


def test_what_is_expected_is_use_and_not_what_was_charged() -> None:
    """Charges weigh GPUs, and node-hours may have no rate: neither moves a forecast of use."""
    used = (past("2026-10", "one", 10 * PERIOD),)
    for unit in ("gpu-hours", "billing-hours"):
        held = factory(
            cap("c", window="year"), award("one", unit=unit), year=used,
            balances=(balance("one", burned=(0, 0, 999 * PERIOD * MICRO)),),
        )  # fmt: skip
        (limit,) = caps.of(held)
        assert 10 * PERIOD + 10 * (YEAR.end - END) == limit.by_end


def test_less_than_a_week_is_no_pace() -> None:
    """On the third of October, September counts, too."""
    september = MONTHS["2026-09"]
    used = (past("2026-09", "one", 2 * (september.seconds + 2 * DAY)), past("2026-10", "one", 0))
    held = factory(cap("c", window="year"), award("one"), year=used, as_of=START + 2 * DAY)
    (limit,) = caps.of(held)
    assert used[0].seconds.gpu + 2 * (YEAR.end - START - 2 * DAY) == limit.by_end


def test_half_a_month_is_a_pace() -> None:
    """Half of the month is over."""
    held = factory(cap("c"), award("one"), year=(past("2026-10", "one", 500),), as_of=START + PERIOD // 2)
    (limit,) = caps.of(held)
    assert 1_000 == limit.by_end


def test_missing_months_are_taken_at_this_pace_and_named() -> None:
    """The base of a year of which two months are not closed."""
    held = factory(cap("c", window="year"))
    some = replace(held, entitled=tuple(held.entitled)[2:])
    (limit,) = caps.of(some)
    assert (RATE * YEAR.seconds, ("2026-01", "2026-02")) == (limit.base, limit.guessed)


def test_a_cap_within_one_that_is_not_in_force_has_no_base() -> None:
    """Nobody knows of what it is a part; a cap that is over is not told at all."""
    found = caps.of(factory(cap("outer", valid_until=START), cap("inner", within="outer")))
    assert [("inner", None, None)] == [(one.cap.id, one.base, one.most) for one in found]


def test_pools_that_no_agreement_entitles_have_no_base() -> None:
    """An installation without agreements may still count."""
    (limit,) = caps.of(dossier(cap("c"), award("one"), year=(past("2026-10", "one", 5),)))
    assert (None, None, 5) == (limit.base, limit.most, limit.consumed)
