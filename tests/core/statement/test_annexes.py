"""The annexes of State aid and energy: whose eyes they are for, and what they say of what nobody knows."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from opsd.core.dossier import Balance, Dossier, Key, Line, Seconds, Span
from opsd.core.factors import Factor
from opsd.core.money import Money
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import DAY, HOUR
from opsd.core.prices import Price
from opsd.core.statement.sections import aid, energy
from opsd.core.statement.table import BAD, TOTAL, Paragraph, Section, Table
from opsd.core.statement.view import View
from opsd.core.statement.words import Amount, Day, Msg, Number, Share
from tests.core.test_aid import award, day, dossier, world


def table(section: Section | None, name: str) -> Table:
    """A table of a section."""
    assert section is not None
    return next(block for block in section.blocks if isinstance(block, Table) and block.id == name)


def aided() -> Dossier:
    """Three awards of two States; one is beyond the ceiling."""
    held = world(award("a", "alone", "es"), award("b", "daughter", "pt"), award("c", "mother", "es"))
    acts = (
        ("a", "2026-10-02", 100),
        ("b", "2026-10-03", 30),
        ("c", "2026-10-03", 501),
        ("a", "2026-09-01", 1),
    )
    found = dossier(held, *((name, on, "grant", hours) for name, on, hours in acts))
    return replace(found, balances=tuple(untouched(name) for name in "abc"))


def untouched(name: str) -> Balance:
    """An award that nobody has used."""
    return Balance(name, 0, {}, 0, 0, 0, 0, 0, 0, (0, 0, 0), "ok", "none", None)


def test_only_the_periods_grants_are_listed() -> None:
    """With their total; an earlier one counts in the headroom alone."""
    section = aid.section(View(aided()))
    *rows, total = table(section, "aid_granted").rows

    assert ["a", "c", "b"] == [row.keys["award"] for row in rows]
    assert (TOTAL, Amount(1_262_000_000, "EUR")) == (total.role, total.cells["gross_grant_equivalent"])
    left = {
        row.keys["undertaking"] + row.keys["country"]: row.cells["left"]
        for row in table(section, "aid_headroom").rows
    }
    assert {"aloneES", "groupES", "groupPT"} == set(left)
    assert Amount(798_000_000, "EUR") == left["aloneES"]


def test_what_is_beyond_the_ceiling_stands_out() -> None:
    """With the awards that are outside as a whole."""
    rows = table(aid.section(View(aided())), "aid_headroom").rows
    (beyond,) = (row for row in rows if row.tone == BAD)

    assert ("group", "ES") == (beyond.keys["undertaking"], beyond.keys["country"])
    assert "c" in str(beyond.cells["remark"])


def test_a_state_sees_its_own_aid_alone() -> None:
    """Its grants and its headroom."""
    section = aid.section(View(aided(), "pays:PT"))

    assert [("b", "PT")] == [
        (row.keys["award"], row.keys["country"])
        for row in table(section, "aid_granted").rows
        if row.role != TOTAL
    ]
    assert ["PT"] == [row.keys["country"] for row in table(section, "aid_headroom").rows]


@pytest.mark.parametrize("scope", ["project:p-alone", "organisation:alone", "funder:spain", "country:ES"])
def test_others_are_told_no_headroom(scope: str) -> None:
    """It would tell them of awards that are not theirs."""
    section = aid.section(View(aided(), scope))
    assert section is not None

    assert "aid_headroom" not in [block.id for block in section.blocks if isinstance(block, Table)]
    said = [block.text.id for block in section.blocks if isinstance(block, Paragraph)]
    assert any("headroom" in text for text in said)


def test_an_award_without_a_price_is_unknown() -> None:
    """And is no part of the total."""
    held = replace(aided().master, prices=(Price("other", "core-hours", Money(1, "EUR")),))
    rows = table(aid.section(View(replace(aided(), master=held))), "aid_granted").rows

    worths = [row.cells["gross_grant_equivalent"] for row in rows]
    assert ["unknown"] * 3 == [worth.id for worth in worths if isinstance(worth, Msg)]
    assert 3 == len(rows)


def test_a_pool_of_the_union_has_no_annex() -> None:
    """Because its pools name no rule."""
    assert aid.section(View(aided(), "funder:ju")) is None


def test_every_rule_price_and_day_is_printed_with_its_source() -> None:
    """So that a reader can check it; a source that is missing is said to be."""
    section = aid.section(View(aided()))
    (rule,) = table(section, "aid_rules").rows

    assert Amount(1_000_000_000, "EUR") == rule.cells["ceiling"]
    assert isinstance(rule.cells["source"], Msg)
    prices = table(section, "aid_prices").rows
    assert [Day(day("2026-10-15"))] == [row.cells["until"] for row in prices if "until" in row.cells]


# --------------------------------------------------------------------------------------------------- energy


def used(*factors: Factor) -> View:
    """Use of two awards on one class of nodes, in a month."""
    nodes = Cluster("mn5"), NodeClass("mn5", "acc", cpus=160)
    held = world(award("a", "alone", "es"), award("b", "daughter", "pt"), *nodes, *factors)
    lines = tuple(
        Line(
            Key("mn5", "acc", name, "", "", "ES", 1),
            Seconds(gpu=gpu * HOUR, cpu=gpu * 40 * HOUR, node=gpu * HOUR),
        )
        for name, gpu in (("a", 1), ("b", 2))
    )
    return View(Dossier("c", Span("2026-10", 0, 31 * DAY, "UTC"), 31 * DAY, "1", held, lines))


def test_energy_adds_up_in_what_is_shown() -> None:
    """Whatever the fractions."""
    kinds = ("gpu-watts", "node-watts", "pue", "location-based", "market-based")
    view = used(*(Factor("mn5", kind, Fraction(1000, 7)) for kind in kinds))
    for name in ("energy_by_pool", "energy_by_country"):
        *rows, total = table(energy.section(view), name).rows
        for column in ("estimated_kwh", "site_kwh", "location_kg", "market_kg"):
            shown = [row.cells[column] for row in (*rows, total)]
            numbers = [value.value for value in shown if isinstance(value, Number)]
            assert len(shown) == len(numbers)
            assert sum(numbers[:-1]) == numbers[-1] > 0


def test_without_factors_energy_is_unknown() -> None:
    """Never nothing, and the section says why."""
    section = energy.section(used())
    total = table(section, "energy_by_pool").rows[-1]

    assert isinstance(total.cells["site_kwh"], Msg)
    assert Share(None) == total.cells["measured_share"]
    assert table(section, "energy_factors").empty is not None


def test_a_dossier_without_use_has_no_energy() -> None:
    """An empty section would say nothing."""
    assert energy.section(View(dossier(world()))) is None
