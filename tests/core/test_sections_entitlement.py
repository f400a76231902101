"""Funding, entitlement, caps and unused time as a statement says them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings

from opsd.core.agreements import Agreement, Cap, Contribution, Share
from opsd.core.dossier import Dossier, Entitled
from opsd.core.money import Money
from opsd.core.statement.rights import stretch, to_whole
from opsd.core.statement.sections import caps, entitlement, funding, unused
from opsd.core.statement.table import BAD, LEAF, PLAIN, SUBTOTAL, TOTAL, WARN, Paragraph, Row, Section, Table
from opsd.core.statement.view import View
from opsd.core.statement.words import Amount, Country, Hours, Msg, Text, Value, msg
from opsd.core.statement.words import Share as Percent
from opsd.core.unused import REASONS
from tests.fakes import dossiers as samples
from tests.fakes.agreements import (
    PERIOD,
    PLACE,
    award,
    balance,
    capacity,
    dossier,
    dossiers,
    euros,
    founding,
    line,
    past,
)

MAKE = (funding.section, entitlement.section, caps.section, unused.section)
HALF = Fraction(1, 2)


def tables(section: Section | None) -> dict[str, Table]:
    """The tables of a section by id."""
    return {one.id: one for one in (section.blocks if section else ()) if isinstance(one, Table)}


def said(section: Section | None) -> list[str]:
    """The ids of its paragraphs."""
    return [one.text.id for one in (section.blocks if section else ()) if isinstance(one, Paragraph)]


def hundredths(row: Row, column: str) -> int:
    """What a cell shows; nothing is 0."""
    value = row.cells.get(column)
    return value.hundredths if isinstance(value, Hours) else 0


def leaves(table: Table) -> list[Row]:
    """The rows that are summed."""
    return [row for row in table.rows if row.role == LEAF]


def total(table: Table, column: str) -> int:
    """The sum of the leaves of a column."""
    return sum(hundredths(row, column) for row in leaves(table))


def words(value: object) -> Iterator[str]:
    """Every text in a section, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from words(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from words(one)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from words(getattr(value, name))


# ------------------------------------------------------------------------------------------ every case


def assert_footed(found: Dossier, scope: str = "") -> None:
    """Whatever these sections show of rights and reasons adds up, between tables, too."""
    view = View(found, scope)
    by_pool, why = tables(entitlement.section(view)), tables(unused.section(view))
    for resource in ("gpu", "cpu"):
        if f"entitlement_{resource}" in by_pool:
            shared = total(by_pool[f"divided_{resource}"], "shared_out")
            mine = total(by_pool[f"entitlement_{resource}"], "entitled")
            assert shared == mine if scope.partition(":")[0] in ("", "cluster") else shared >= mine
    if not scope and "entitlement_gpu" in by_pool:
        assert view.total(view.parts).shown.gpu == total(by_pool["entitlement_gpu"], "used")
    for table in why.values():
        for row in table.rows:
            assert hundredths(row, "unused") == sum(hundredths(row, reason) for reason in REASONS)
            gap = hundredths(row, "entitled") - hundredths(row, "used")
            assert gap == hundredths(row, "unused") - hundredths(row, "over")
    for table in (*by_pool.values(), *why.values()):
        sums = [column.id for column in table.columns if column.sums]
        for row in table.rows:
            if row.role == TOTAL:
                assert {one: total(table, one) for one in sums} == {one: hundredths(row, one) for one in sums}


@settings(max_examples=60)
@given(dossiers())
def test_everything_shown_foots_in_every_case(found: Dossier) -> None:
    """Use by pool is all use, reasons are what was not used, shared out is what pools are entitled to."""
    assert_footed(found)


SCOPES = ("", "pays:PT", "pays:JU", "funder:catalonia", "country:PT", "organisation:fct", "cluster:mn5")


@pytest.mark.parametrize("scope", SCOPES)
def test_the_sample_foots_in_every_scope(scope: str) -> None:
    """The dossier with everything odd in it."""
    assert_footed(samples.sample(), scope)


@settings(max_examples=25)
@given(dossiers())
def test_a_scope_changes_no_row(found: Dossier) -> None:
    """A payer's rows are those of the whole statement."""
    whole = tables(entitlement.section(View(found)))
    for pays in ("ES", "JU", "PT"):
        for name, table in tables(entitlement.section(View(found, f"pays:{pays}"))).items():
            if name.startswith("entitlement"):
                mine = [row for row in leaves(whole[name]) if row.keys["pays"] == pays]
                assert mine == leaves(table)


@settings(max_examples=60)
@given(dossiers())
def test_rights_shown_add_up_to_the_capacity_shown(found: Dossier) -> None:
    """Where one basis is used, with what no agreement divides."""
    one_basis = replace(
        found,
        master=replace(
            found.master, agreements=tuple(replace(one, basis="available") for one in found.master.agreements)
        ),
    )
    view = View(one_basis)
    divided = tables(entitlement.section(view)).get("divided_gpu")
    if divided and not [one for one in view.master.agreements if one.key == "hours"]:
        places = {
            place
            for row in leaves(divided)
            if row.keys["agreement"]
            for place in str(row.cells["nodes"][0]).split(", ")
        }
        shown = [
            one.available.hundredths
            for one in view.capacity
            if f"{one.capacity.cluster}/{one.capacity.node_class}" in places
        ]
        assert sum(shown) == total(divided, "divided")


# ---------------------------------------------------------------------------------------------- privacy


@pytest.mark.parametrize(
    ("scope", "others"),
    [
        ("pays:PT", ["España", "Türkiye", "România", "Catal", "EuroHPC", "Union", "98330000"]),
        ("organisation:fct", ["España", "Türkiye", "România", "Catal", "EuroHPC", "Union", "República"]),
        ("funder:catalonia", ["Portugal", "Türkiye", "România", "Gobierno", "EuroHPC", "Union"]),
    ],
)
def test_a_scope_names_no_other_funder_or_pool(scope: str, others: list[str]) -> None:
    """Nor any of its amounts; agreements name themselves."""
    view = View(samples.sample(), scope)
    text = "\n".join(word for make in MAKE for word in words(make(view)))
    text = text.replace("Commercial use of the Union's time", "")
    assert [] == [name for name in others if name in text]


def test_money_is_the_funders_own_affair() -> None:
    """Its country sees it, its sub-funder sees its own, and an organisation none at all."""
    found = dossier(*founding())

    def funders(scope: str) -> list[str]:
        table = tables(funding.section(View(found, scope))).get("contributions")
        return [row.keys["funder"] for row in leaves(table)] if table else []

    assert ["generalitat", "spain"] == funders("pays:ES")
    assert ["generalitat", "spain"] == funders("country:ES")
    assert ["generalitat", "spain"] == funders("funder:spain")
    assert ["generalitat"] == funders("funder:generalitat")
    assert 6 == len(funders("")) == len(funders("cluster:mn5"))
    assert [] == funders("organisation:bsc") == funders("project:science")


# ---------------------------------------------------------------------------------------------- funding


def test_contributions_say_in_words_whether_they_are_confirmed_and_what_replaced_them() -> None:
    """A superseded one is shown and counted nowhere; services buy no compute; hashes are cut to 12 digits."""
    found = dossier(
        euros("old", 9, "spain"), euros("ro", 1, "romania", "services"),
        euros("new", 10, "spain", supersedes="old", confirmed=True, sha256="ab" * 32),
    )  # fmt: skip
    table = tables(funding.section(View(found)))["contributions"]
    rows = {row.keys["contribution"]: row for row in leaves(table)}
    assert ("confirmed", "UNCONFIRMED") == tuple(
        value.id for value in (rows["new"].cells["confirmed"], rows["old"].cells["confirmed"])
    )
    assert ("ab" * 6,) == rows["new"].cells["sha256"]
    assert msg("superseded, counted nowhere") == rows["old"].cells["standing"]
    assert msg("buys no compute") == rows["ro"].cells["standing"]
    (last,) = [row for row in table.rows if row.role == TOTAL]
    assert Amount(11 * 10**6, "EUR") == last.cells["committed"]
    assert "Amounts that are UNCONFIRMED were not yet approved with a document." in said(
        funding.section(View(found))
    )


def test_money_of_two_currencies_has_no_sum() -> None:
    """Neither of a country nor of all."""
    lira = Contribution("t", "turkiye", "acquisition", Money(5, "TRY"), confirmed=True)
    table = tables(funding.section(View(dossier(lira, euros("e", 1, "spain")))))["contributions"]
    assert [SUBTOTAL, LEAF, SUBTOTAL, LEAF] == [row.role for row in table.rows]
    assert [False, True, False, True] == ["committed" in row.cells for row in table.rows]


def test_the_agreed_key_is_told_exactly_beside_the_contributions() -> None:
    """As a fraction, in percent, and by money; with what is not shared out."""
    found = dossier(
        euros("e", 3, "spain"), euros("p", 1, "portugal"),
        Agreement("a", node_classes=(PLACE,)), Share("a", "es", Fraction(1, 3)), Share("a", "pt", HALF),
    )  # fmt: skip
    rows = {row.keys["pool"]: row.cells for row in tables(funding.section(View(found)))["agreed_key"].rows}
    told = {
        pool: tuple(cells.get(name) for name in ("share_exact", "share", "by_contributions"))
        for pool, cells in rows.items()
    }
    assert {
        "es": (Text("1/3"), Percent(Fraction(1, 3)), Percent(Fraction(3, 4))),
        "pt": (Text("1/2"), Percent(HALF), Percent(Fraction(1, 4))),
        "": (Text("1/6"), Percent(Fraction(1, 6)), None),
    } == told


def test_a_funder_whose_money_no_agreement_answers_is_named() -> None:
    """Romania's services need no share; Türkiye's machines do."""
    found = dossier(*founding(), Agreement("a", node_classes=(PLACE,)), Share("a", "es", HALF))
    section = funding.section(View(found))
    named = [
        dict(one.text.values)["funder"]
        for one in (section.blocks if section else ())
        if isinstance(one, Paragraph) and "funder" in dict(one.text.values)
    ]
    assert [Text("EuroHPC"), Text("Portugal"), Text("Türkiye")] == named


def test_nothing_on_record_is_said() -> None:
    """Short and honest; a scope has then nothing to say of money."""
    empty = dossier()
    assert ["No contribution and no agreement is on record."] == said(funding.section(View(empty)))
    assert None is funding.section(View(empty, "pays:PT"))
    (only,) = said(entitlement.section(View(empty)))
    assert only.startswith("No agreement is on record")
    assert None is caps.section(View(empty))
    assert None is unused.section(View(empty))


# ------------------------------------------------------------------------------------------ entitlement


def spain(used: int, **terms: Any) -> Dossier:
    """An agreement that gives Spain 1000 GPU-hours."""
    return dossier(
        Agreement("a", name="Nodes", node_classes=(PLACE,), **terms), Share("a", "es", Fraction(1)),
        award("one", "es"), award("two", "pt"), capacity=(capacity(3_600_000),),
        lines=(line("one", used * 3_600), line("two", 3_600), line("", 7_200)),
    )  # fmt: skip


def test_entitlement_stands_beside_use_by_who_pays() -> None:
    """What is left, the part used; and use that no agreement entitles to, so that all use is told."""
    table = tables(entitlement.section(View(spain(250))))["entitlement_gpu"]
    portugal = msg("{first}, {second}", first=Text("pt"), second=Country("PT"))
    shown: list[tuple[Value | None, ...]] = [
        tuple(row.cells.get(name) for name in ("pool", "used_share")) for row in table.rows
    ]
    assert [
        (Country("ES"), Percent(Fraction(1, 4))), (Text("es"), Percent(Fraction(1, 4))),
        (msg("Without an agreement"), Percent(None)), (portugal, Percent(None)),
        (msg("Unattributed"), Percent(None)), (msg("Total"), Percent(Fraction(253, 1_000))),
    ] == shown  # fmt: skip
    assert [75_000, 75_000, -300, -100, -200, 74_700] == [hundredths(row, "left") for row in table.rows]


def test_use_beyond_what_is_tolerated_stands_out() -> None:
    """A twentieth more is minded by nobody, and still told."""

    def tone(used: int) -> str:
        table = tables(entitlement.section(View(spain(used, tolerance=Fraction(1, 20)))))["entitlement_gpu"]
        return leaves(table)[0].tone

    assert [PLAIN, WARN, WARN, BAD] == [tone(used) for used in (1_000, 1_001, 1_050, 1_051)]


def test_a_scope_that_holds_a_part_of_the_use_compares_nothing() -> None:
    """An organisation's use is not all use of the pool, so nothing is left of it."""
    columns = {
        scope: [
            column.id
            for column in tables(entitlement.section(View(spain(5), scope)))["entitlement_gpu"].columns
        ]
        for scope in ("pays:ES", "organisation:bsc")
    }
    assert {"left", "used_share"} == set(columns["pays:ES"]) - set(columns["organisation:bsc"])
    assert None is unused.section(View(spain(5), "organisation:bsc"))


def test_unknown_capacity_is_said_and_not_taken_for_nothing() -> None:
    """No row of 0 hours."""
    section = entitlement.section(View(replace(spain(5), capacity=())))
    assert "entitlement_gpu" not in tables(section)
    assert any(text.startswith("The capacity of {place} is not known") for text in said(section))


def test_a_tranche_shows_what_the_entitlement_shows() -> None:
    """Thirds of a hundredth are rounded once: the month's slice is not a hundredth off its own month."""
    shares = (Share("a", pool, Fraction(1, 3)) for pool in ("es", "pt", "tr"))
    held = dossier(
        Agreement("a", node_classes=(PLACE,), tranche="month"), *shares,
        *map(award, "xyz", ("es", "pt", "tr")),
        capacity=(capacity(3 * 3_600 + 36),), lines=tuple(line(one, 3_612) for one in "xyz"),
    )  # fmt: skip
    found = tables(entitlement.section(View(held)))
    for mine, theirs in (("slice_entitled", "entitled"), ("slice_used", "used")):
        here = {row.keys["pool"]: hundredths(row, mine) for row in found["tranches"].rows}
        there = {row.keys["pool"]: hundredths(row, theirs) for row in leaves(found["entitlement_gpu"])}
        assert here == there
        assert 301 == sum(there.values())  # of 3.01 hours; each by itself would round to 1.00


def test_an_unknown_tranche_says_which_months_are_missing() -> None:
    """By the first and the last of those that follow each other; a known one has no remark."""
    table = tables(entitlement.section(View(spain(5, valid_from=1_780_000_000))))["tranches"]
    (row,) = table.rows
    assert {"pays", "pool", "agreement", "slice", "carried", "remark"} == set(row.cells)
    monthly = spain(5, valid_from=1_780_000_000, tranche="month")
    (row,) = tables(entitlement.section(View(monthly)))["tranches"].rows
    assert [100_000, 500] == [hundredths(row, name) for name in ("slice_entitled", "slice_used")]
    assert "remark" in row.cells
    assert (("months", Text("2026-05\N{EN DASH}2026-09")),) == _values(row.cells["remark"])
    known = spain(5, valid_from=1_788_213_600)
    month = Entitled("2026-09", "a", "es", "gpu", 3_600, 1_800)
    (row,) = tables(entitlement.section(View(replace(known, entitled=(month,)))))["tranches"].rows
    assert 550 == hundredths(row, "used")
    assert "remark" not in row.cells


def _values(value: Value) -> tuple[tuple[str, Value], ...]:
    return value.values if isinstance(value, Msg) else ()


def test_months_that_follow_each_other_are_told_by_their_ends() -> None:
    """Over the turn of the year, too."""
    assert Text("") == stretch(())
    expected = "2025-11\N{EN DASH}2026-01, 2026-03"
    assert Text(expected) == stretch(("2025-11", "2025-12", "2026-01", "2026-03"))


def test_parts_add_up_to_a_whole_rounded_elsewhere() -> None:
    """By largest remainder where that suffices; else the largest part takes the rest."""
    assert [1, 2, 3] == to_whole([36, 72, 108])
    assert [2, 2, 3] == to_whole([50, 72, 108], 7)
    assert [1, 2, 1] == to_whole([36, 72, 108], 4)
    assert [1, 2, 9] == to_whole([36, 72, 108], 12)
    assert [0, 5] == to_whole([0, 144], 5)
    assert [] == to_whole([], 3)


# ------------------------------------------------------------------------------------------------- caps


def capped(*limits: Cap, used: int = 0, **parts: Any) -> Dossier:
    """The JU has 1000 GPU-hours this month, and uses so many."""
    return dossier(
        Agreement("a", node_classes=(PLACE,)), Share("a", "ju", Fraction(1)), award("one"), *limits,
        capacity=(capacity(3_600_000),), lines=(line("one", used * 3_600),),
        year=(past("2026-10", "one", used * 3_600),), **parts,
    )  # fmt: skip


def cap(name: str, **more: Any) -> Cap:
    """A tenth of the JU's month."""
    return Cap(name, **{"pools": ("ju",), "window": "month", "most": Fraction(1, 10), **more})


def test_a_cap_is_told_on_granted_and_on_used_time() -> None:
    """In hours, as parts of the limit, and in words."""
    found = capped(cap("c"), used=81, balances=(balance("one", granted_total=96 * 3_600 * 10**6),))
    (row,) = tables(caps.section(View(found)))["caps"].rows
    assert (10_000, 9_600, 8_100) == tuple(hundredths(row, one) for one in ("limit", "granted", "consumed"))
    assert Percent(Fraction(96, 100)) == row.cells["granted_share"]
    assert Percent(Fraction(81, 100)) == row.cells["consumed_share"]
    assert "{percent} % of the limit is reached" == row.cells["state"].id
    assert WARN == row.tone


@pytest.mark.parametrize(
    ("used", "granted", "expected"),
    [
        (0, 0, "below every threshold"),
        (100, 0, "the limit is used up"),
        (0, 100, "as much as the limit, or more, is granted"),
    ],
)
def test_the_state_of_a_cap_is_its_worse_side(used: int, granted: int, expected: str) -> None:
    """What is used up is worse than what is granted."""
    found = capped(cap("c"), used=used, balances=(balance("one", granted_total=granted * 3_600 * 10**6),))
    (row,) = tables(caps.section(View(found)))["caps"].rows
    assert expected == row.cells["state"].id


def test_a_cap_stands_where_the_reader_has_all_of_its_pools() -> None:
    """One on all pools is for the whole statement, and none is for one cluster or one organisation."""
    found = capped(cap("ju"), cap("all", pools=()), cap("two", pools=("ju", "pt")))

    def names(scope: str) -> list[str]:
        table = tables(caps.section(View(found, scope))).get("caps")
        return [row.keys["cap"] for row in table.rows] if table else []

    assert ["all", "ju", "two"] == names("")
    assert ["ju"] == names("pays:JU") == names("funder:eurohpc")
    assert [] == names("pays:PT") == names("cluster:mn5") == names("organisation:bsc")


def test_grants_that_are_left_out_are_named() -> None:
    """Nothing is dropped in silence."""
    units = award("two", unit="billing-hours")
    found = replace(capped(cap("c")), master=capped(cap("c"), units).master)
    assert any("cannot be converted" in text for text in said(caps.section(View(found))))


@pytest.mark.parametrize("hours", [0, 7])
def test_what_was_granted_is_unknown_where_no_grant_can_be_counted(hours: int) -> None:
    """It is neither 0 nor a part of the limit; where some can, these are said, and never that all is well."""
    units = award("two", unit="billing-hours")
    given = balance("one", granted_total=hours * 3_600 * 10**6)
    (row,) = tables(caps.section(View(capped(cap("c"), units, balances=(given,)))))["caps"].rows
    known = ("granted" in row.cells, "granted_share" in row.cells)
    assert (bool(hours), bool(hours)) == known
    assert msg("below every threshold in use; not all grants could be counted") == row.cells["state"]
    assert WARN == row.tone


# ----------------------------------------------------------------------------------------------- unused


def test_why_time_was_not_used_is_told_by_who_pays() -> None:
    """Spain's 1000 hours: 250 used, nothing lost, nothing granted, so all of the rest was not granted."""
    found = replace(spain(250), balances=(balance("one"),))
    table = tables(unused.section(View(found)))["unused_gpu"]
    assert [SUBTOTAL, LEAF, TOTAL] == [row.role for row in table.rows]
    assert [75_000] * 3 == [hundredths(row, "not_granted") for row in table.rows]


def test_the_period_of_these_tests_is_a_month() -> None:
    """October 2026 with the hour that summer time gives back."""
    assert 31 * 86_400 + 3_600 == PERIOD
