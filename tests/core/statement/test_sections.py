# ruff: noqa: RUF001 - letters that look like others are what these names are for
"""The sections of a statement made from the sample: what stands where, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from typing import Any

import pytest

from opsd.core.dossier import Concern, Quality, Seconds
from opsd.core.period import DAY
from opsd.core.statement.accounts import account
from opsd.core.statement.build import KNOWN, REPORTED, SECTIONS, build
from opsd.core.statement.groups import Group, merged
from opsd.core.statement.table import Facts, Paragraph, Row, Section, Table
from opsd.core.statement.view import Sum, View
from opsd.core.statement.words import Code, Count, Country, Hours, Msg, Number, Ratio, Text, Value
from tests.fakes.dossiers import (
    AWARDS,
    CLOSING,
    END,
    PLANTED_JOB,
    PLANTED_PATH,
    PLANTED_USER,
    START,
    balance,
    large,
    sample,
)
from tests.fakes.random_dossiers import scopes

ORDER = [
    "cover",
    "funding",
    "capacity",
    "entitlement",
    "organisations",
    "matrix",
    "modes",
    "caps",
    "projects",
    "adjustments",
    "forecast",
    "aid",
    "energy",
    "unused",
    "reconciliation",
    "units",
    "privacy",
    "reproduce",
]


def said(value: Value | None) -> str:
    """A value in plain English."""
    match value:
        case None:
            return ""
        case Msg(name, values):
            return name.format(**{key: said(inner) for key, inner in values})
        case Hours(hundredths, _):
            return f"{hundredths / 100:.2f}"
        case Text(text) | Code(text) | Country(text):
            return text
    return str(value[0])


def table(section: Section, name: str) -> Table:
    """A table of a section by its id."""
    return next(block for block in section.blocks if isinstance(block, Table) and block.id == name)


def facts(section: Section, name: str) -> dict[str, str]:
    """Facts of a section, said."""
    found = next(block for block in section.blocks if isinstance(block, Facts) and block.id == name)
    return {key: said(value) for key, _, value in found.facts}


def line(row: Row, *columns: str) -> list[str]:
    """Some cells of a row, said."""
    return [said(row.cells.get(column)) for column in columns]


def by(found: Table, key: str, value: str) -> Row:
    """The row about something."""
    return next(row for row in found.rows if row.keys.get(key) == value)


def section(name: str, scope: str = "", standing: str = KNOWN, **changes: Any) -> Section:
    """One section of the sample."""
    made = dict(SECTIONS)[name](View(sample(**changes), scope, standing))
    assert made is not None
    return made


def texts(value: Any) -> Iterator[str]:
    """Every piece of text, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for pair in value.items() for text in texts(pair))
    elif isinstance(value, (list, tuple)):
        yield from (text for inner in value for text in texts(inner))
    elif is_dataclass(value):
        yield from (text for field in fields(value) for text in texts(getattr(value, field.name)))


def test_sections_stand_in_the_agreed_order() -> None:
    """From the cover to how to make it again, each once."""
    assert ORDER == [made.id for made in SECTIONS]
    assert ORDER == [one.id for one in build(sample()).sections]


def test_nothing_planted_is_told() -> None:
    """No user, job name or path of the journal's evidence or of a correction is in any statement."""
    dossier = sample()
    planted = (PLANTED_USER, PLANTED_JOB, PLANTED_PATH)
    assert all(one in str(dossier) for one in planted)
    for scope in scopes(dossier.master):
        told = "\n".join(texts(build(dossier, scope).sections))
        assert [] == [one for one in planted if one in told], scope


# ------------------------------------------------------------------------------------------------- cover


def test_the_cover_says_whose_what_and_whether_to_trust_it() -> None:
    """Period, part, standing, warnings, acknowledged concerns, digests and who signs."""
    cover = section("cover", standing=REPORTED)
    period = facts(cover, "period")

    assert "2026-10" == period["period"]
    assert "The whole installation" == period["scope"]
    assert "Closed: as reported, edition 1" == period["standing"]
    warned = [
        said(block.text) for block in cover.blocks if isinstance(block, Paragraph) and block.tone == "warn"
    ]
    assert "3 records could not be read and are not counted." in warned
    assert "Some use belongs to no award and is shown as unattributed." in warned
    assert "9.73 GPU-hours belong to <nobody>" == facts(cover, "concerns")["unattributed"]
    assert {16} == {len(digest) for digest in facts(cover, "digests").values()}
    signed = facts(cover, "signatures")
    assert ["Ana Gràcia i Ferré", "İlker Işık Şahin"] == [signed["prepared_by"], signed["approved_by"]]


@pytest.mark.parametrize(
    ("changes", "standing", "expected"),
    [
        ({}, KNOWN, "As now known; reported before as edition 1"),
        ({"closing": None}, KNOWN, "As now known; reported before as edition 1"),
        ({"closing": None, "closed": ()}, KNOWN, "As now known; the period is not closed"),
        ({"closing": None, "as_of": START + DAY}, KNOWN, "Provisional: the period is not over"),
    ],
)
def test_a_statement_says_how_its_period_stands(
    changes: dict[str, Any], standing: str, expected: str
) -> None:
    """Closed, as now known, or provisional."""
    assert expected == facts(section("cover", standing=standing, **changes), "period")["standing"]


def test_a_payers_line_on_the_cover_says_what_the_sections_say() -> None:
    """Entitled, used and what was used before are the sums of the tables that tell more."""
    found, use = table(section("cover"), "payers"), table(section("matrix"), "pays_leads")
    rights = table(section("entitlement"), "entitlement_gpu")

    for row in found.rows:
        pays = row.keys.get("pays", "")
        told = next(one for one in use.rows if one.keys.get("pays", "") == pays)
        assert told.cells["total"] == row.cells["used"]
        entitled = [one for one in rights.rows if one.keys == {"pays": pays} and one.role == "subtotal"]
        assert [one.cells["entitled"] for one in entitled] in ([], [row.cells["entitled"]])


@pytest.mark.parametrize(
    ("changes", "standing", "expected"),
    [
        (
            {},
            REPORTED,
            ["Yes: as edition 1. These numbers stay as they are.", "No: see below", "No: not all of"],
        ),
        (
            {},
            KNOWN,
            ["Reported as edition 1; here stands what is known now.", "No: see below", "No: not all of"],
        ),
        (
            {"closing": None, "closed": (), "concerns": (Concern("unexplained:mn5", "x"),)},
            KNOWN,
            ["No: the numbers can still change.", "No: see below", "No: some figures differ"],
        ),
        (
            {"concerns": (), "closing": None, "as_of": START + DAY, "quality": Quality(last_observed=END)},
            KNOWN,
            ["No: the period is not over.", "No: see below", "Yes: Slurm's own report says the same"],
        ),
        (
            {"closing": replace(CLOSING, acknowledged=()), "quality": Quality(last_observed=END)},
            REPORTED,
            [
                "Yes: as edition 1",
                "Yes: Slurm's accounting was read",
                "Yes: Slurm's own report says the same",
            ],
        ),
        (
            {
                "closing": replace(CLOSING, acknowledged=(Concern("begins-late", "never read"),)),
                "quality": Quality(last_observed=END),
            },
            REPORTED,
            ["Yes: as edition 1", "No: see below", "Yes: Slurm's own report says the same"],
        ),
    ],
)
def test_the_cover_says_in_plain_words_whether_to_trust_it(
    changes: dict[str, Any], standing: str, expected: list[str]
) -> None:
    """Closed, complete and reconciled, each yes or no."""
    told = list(facts(section("cover", standing=standing, **changes), "trust").values())

    assert expected == [text[: len(start)] for text, start in zip(told, expected, strict=True)]


def test_clean_data_are_said_to_be_so() -> None:
    """No line warns, and one says that there is nothing to warn of."""
    clean = sample(
        lines=(),
        certificates=(),
        quality=Quality(last_observed=END),
        balances=(balance("a4", settled=1),),
        concerns=(),
        closing=None,
    )
    cover = dict(SECTIONS)["cover"](View(clean))

    assert cover is not None
    assert ["good"] == [block.tone for block in cover.blocks if isinstance(block, Paragraph)]


def test_a_scope_hears_of_concerns_by_their_kind_alone() -> None:
    """What a concern says in words may be about others."""
    told = facts(section("cover", "country:PT"), "concerns")

    whole = "The whole installation"
    assert {"no-certificate:mn5-ai": "mn5-ai", "quarantine": whole, "unattributed": whole} == told


# ---------------------------------------------------------------------------------------------- the tables


def test_capacity_is_told_per_cluster_and_in_all() -> None:
    """Available is nominal less planned down and down, on every line."""
    found = table(section("capacity"), "capacity_gpu")

    assert ["59520.00", "10.00", "2.50", "59507.50"] == line(
        by(found, "cluster", "mn5"), "nominal", "planned_down", "down", "available"
    )
    assert ["71424.00", "71411.50"] == line(found.rows[-1], "nominal", "available")
    assert ["mn5-ai"] == [
        row.keys["cluster"]
        for row in table(section("capacity", "cluster:mn5-ai"), "capacity_gpu").rows
        if row.role == "subtotal"
    ]


def test_use_outside_an_awards_dates_has_a_line_of_its_own() -> None:
    """Beside the same project's other use, marked; what is nobody's comes last before the total."""
    found = table(section("organisations"), "organisations")
    p3 = [row for row in found.rows if row.keys.get("project") == "p3"]

    assert [["", "1388.90"], ["after the award's end", "2.00"]] == [
        line(row, "outside", "gpu_hours") for row in p3
    ]
    assert "Belongs to no award" == said(found.rows[-2].cells["name"])


def test_companies_and_research_are_a_headline() -> None:
    """Start-ups and small enterprises are companies; universities are research."""
    found = table(section("organisations"), "companies_and_research")

    assert ["3057.57"] == line(by(found, "group", "companies"), "gpu_hours")
    assert ["companies", "research", "public-bodies", "unattributed"] == [
        row.keys["group"] for row in found.rows[:-1]
    ]


def test_a_project_without_use_now_but_before_keeps_its_line() -> None:
    """So that the columns of before and of the year are whole."""
    found = table(section("organisations", lines=()), "organisations")

    leaf = next(row for row in found.rows if row.keys.get("project") == "p1")
    assert ["0.00", "3055.55"] == line(leaf, "gpu_hours", "previous_gpu_hours")


def test_what_comes_back_is_never_divided_by_nothing() -> None:
    """A country without a pool has no ratio; one that gave nothing for compute none of contributions."""
    found = table(section("matrix"), "return")

    assert Ratio(None) == by(found, "country", "DE").cells["return_ratio"]
    assert Ratio(None) == by(found, "country", "RO").cells["return_on_contributions"]
    assert Ratio(Fraction(1)) == by(found, "country", "PT").cells["return_ratio"]


def test_a_countrys_own_statement_tells_its_return_over_all_pools() -> None:
    """The same line as in the whole, alone."""
    whole, alone = table(section("matrix"), "return"), table(section("matrix", "country:TR"), "return")

    assert [by(whole, "country", "TR").cells] == [row.cells for row in alone.rows]


def test_nothing_is_told_apart_where_all_are_few() -> None:
    """Words stand where the table would."""
    matrix = section("matrix", smallest_group=1_000)

    assert ["pays_leads", "return"] == [block.id for block in matrix.blocks if isinstance(block, Table)]
    assert "each country's users are fewer than 1000" in "".join(
        said(block.text) for block in matrix.blocks if isinstance(block, Paragraph)
    )


def group(*persons: int) -> Group:
    """Some people's use, an hour each."""
    return Group(Sum(Seconds(gpu=3_600 * len(persons))), frozenset(persons))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"ES": group(1, 2, 3), "PT": group(4, 5, 6)}, {"ES": 3, "PT": 3}),
        ({"ES": group(1, 2, 3), "PT": group(4), "RO": group(5), "TR": group(6)}, {"ES": 3, "": 3}),
        ({"ES": group(*range(9)), "PT": group(10, 11, 12), "RO": group(13)}, {"ES": 9, "": 4}),
        ({"ES": group(1, 2, 3), "PT": group(4)}, {"": 4}),
        ({"ES": group(1, 2), "PT": group(2)}, {"": 2}),
        ({"ES": group(1, 2, 3), "PT": group()}, {"ES": 3}),
        ({}, {}),
    ],
    ids=[
        "all-large",
        "small-make-a-large-one",
        "the-next-smallest-joins",
        "one-and-the-rest",
        "all-few",
        "without-use",
        "nobody",
    ],
)
def test_small_groups_stand_together(groups: dict[str, Group], expected: dict[str, int]) -> None:
    """Until what stands together is large enough itself; people in two groups count once."""
    found = dict(merged(groups, 3))

    assert expected == {name: len(one.persons) for name, one in found.items()}
    assert sum(one.use.seconds.gpu for one in groups.values()) == sum(
        one.use.seconds.gpu for one in found.values()
    )


# -------------------------------------------------------------------------------------- awards and journal


@pytest.mark.parametrize(
    ("award", "left", "state", "tone"),
    [
        ("a2", "-166.00", "over quota", "bad"),
        ("a1", "6412.00", "past 80 %", "warn"),
        ("a3", "2612.50", "used outside its dates, ended", "warn"),
        ("a5", "8910.00", "ok, ends within 60 days", "plain"),
        ("a8", "3000.00", "ok, not begun", "plain"),
        ("a9", "2463.00", "ok, some use not charged", "warn"),
    ],
)
def test_an_award_says_how_it_stands(award: str, left: str, state: str, tone: str) -> None:
    """In words, with what is left, and a tone where somebody should look."""
    row = by(table(section("projects"), "projects_gpu_hours"), "award", award)

    assert [left, state, tone] == [*line(row, "left", "state"), row.tone]


def test_reports_due_are_told_with_their_days() -> None:
    """Days until then, negative once the day has passed."""
    found = table(section("projects"), "projects_gpu_hours")

    assert {"a1": Count(20), "a3": Count(-5)} == {
        row.keys["award"]: row.cells["report_days"] for row in found.rows if "report_days" in row.cells
    }
    counts = facts(section("projects"), "attention")
    assert ["1", "1", "1", "2", "1"] == [
        counts[name]
        for name in ("reports_due", "reports_overdue", "over_quota", "past_threshold", "expiring")
    ]


def test_units_are_never_added() -> None:
    """Each has a table of its own, with its own total."""
    names = [block.id for block in section("projects").blocks if isinstance(block, Table)]

    assert ["reports", "projects_core_hours", "projects_gpu_hours", "projects_node_hours"] == names


def test_reports_due_stand_in_a_table_of_their_own() -> None:
    """Those of the next 60 days and those that are late, the earliest first; the late ones are marked."""
    found = table(section("projects"), "reports")

    shown = [[row.keys["award"], *line(row, "report_days"), row.tone] for row in found.rows]
    assert [["a3", "-5", "warn"], ["a1", "20", "plain"]] == shown


def test_a_line_of_movements_adds_up_across() -> None:
    """Opening, what was granted by kind, what was charged, closing."""
    found = table(section("adjustments"), "movements_gpu_hours")

    assert ["12600.00", "500.00", "12.00", "-6700.00", "6412.00"] == line(
        by(found, "award", "a1"), "opening", "extension", "credit", "charged", "closing"
    )
    assert {"grant"} == {column.id for column in found.columns if column.wanted == 2}


def test_an_opening_that_changed_is_explained() -> None:
    """As reported, corrections of use, entries dated back, as now known."""
    found = table(section("adjustments"), "openings_gpu_hours")

    assert [["a1", "12625.00", "-25.00", "0.00", "12600.00"]] == [
        line(row, "award", "reported", "use", "entries", "opening") for row in found.rows[:-1]
    ]


@pytest.mark.parametrize("micro", [0, 1, 17_999_999, 18_000_000, 18_000_001, 35_999_999])
def test_a_month_opens_with_what_the_month_before_closed_with(micro: int) -> None:
    """As shown, however the use of each falls between two hundredths."""
    award = AWARDS[1]
    before = replace(balance("a2", settled=100, charged=100), settled=100 * 3_600 * 10**6 + micro)
    after = replace(
        before,
        settled=before.settled + 7_777_777,
        charged=7_777_777,
        reported_closing=before.granted_total - before.settled,
    )
    closed, opened = account(award, replace(before, accrued=0)), account(award, replace(after, accrued=0))

    assert opened.reported is not None
    assert closed.closing.hundredths == opened.opening.hundredths == opened.reported.hundredths


def test_the_journal_of_a_scope_is_that_of_its_awards() -> None:
    """Closes and corrections are left out, and so is the other award of a transfer that is not in scope."""
    whole = table(section("adjustments"), "journal")
    turkey = table(section("adjustments", "organisation:itu"), "journal")

    assert 9 == len(whole.rows)
    assert [("a5", "transfer", False), ("a5", "expiry", False)] == [
        (row.keys["award"], row.keys["kind"], "subject" in row.cells) for row in turkey.rows
    ]
    assert "a6" == said(by(whole, "award", "a5").cells["subject"])


def test_corrections_are_told_one_by_one_without_users() -> None:
    """Of a person who moved no id is shown, and a short list is printed."""
    found = table(section("adjustments"), "correction_items")

    assert 1 == found.wanted
    assert [["Run", "mn5/4711@1790000000", "25.00"], ["Home organisation of a user", "", "0.00"]] == sorted(
        (line(row, "what", "id", "gpu_hours") for row in found.rows if row.keys["award"] == "a1"),
        reverse=True,
    )


def test_a_long_list_of_reasons_is_for_machines() -> None:
    """It is left out on paper; the table by month and award stays."""
    first, second = sample().corrections
    many = second._replace(items=second.items[:1] * 21)
    found = section("adjustments", corrections=(first, many))

    assert [1, 2] == [table(found, name).wanted for name in ("corrections", "correction_items")]


def test_a_pools_forecast_is_made_from_its_running_awards() -> None:
    """An award says what its balance says; the pool adds up what is left and what is burned, and no more."""
    found = table(section("forecast"), "forecast_gpu_hours")
    pool, award = by(found, "pool", "ju"), by(found, "award", "a1")

    assert ["6412.00", "29", "expected"] == line(pool, "left", "days_left", "forecast")
    assert ["6412.00", "40", "expected"] == line(award, "left", "days_left", "forecast")


# -------------------------------------------------------------------------------------------- trust and units


def test_a_cluster_without_a_certificate_is_said_to_have_none() -> None:
    """Beside those that have one, with its digest."""
    found = table(section("reconciliation"), "certificates")

    assert [["MareNostrum 5", "900", "1"], ["MareNostrum 5 & AI upgrade", "", ""]] == [
        line(row, "cluster", "cells", "unexplained") for row in found.rows[:-1]
    ]
    assert ["bad", "warn"] == [row.tone for row in found.rows[:-1]]


def test_accounts_of_nobody_are_shown_in_the_whole_alone() -> None:
    """They add up to the line of what is unattributed."""
    found = table(section("reconciliation"), "unbound")
    nobodys = table(section("organisations"), "organisations").rows[-2]

    assert ["nobody", "=lost"] == [said(row.cells["account"]) for row in found.rows[:-1]]
    assert line(nobodys, "gpu_hours", "node_hours", "cpu_hours") == line(
        found.rows[-1], "gpu_hours", "node_hours", "cpu_hours"
    )
    assert "nobody" not in "".join(texts(section("reconciliation", "country:PT")))


def test_one_hour_has_five_names() -> None:
    """An example, with the numbers of the unit table in force, exact."""
    units = section("units")

    assert "1 node-hour = 4 GPU-hours = 80 core-hours = 160 Slurm CPU-hours = 2/25 thousands" in "".join(
        said(block.text) for block in units.blocks if isinstance(block, Paragraph)
    )
    assert Number(Fraction(14, 125), 3) == by(table(units, "units"), "node_class", "gpp").cells["khours"]


@pytest.mark.parametrize(
    ("scope", "standing", "expected"),
    [
        ("", REPORTED, "--as reported --edition 1"),
        ("project:=1+1", KNOWN, "--as known --scope project:=1+1"),
    ],
)
def test_the_command_makes_this_very_statement(scope: str, standing: str, expected: str) -> None:
    """Scope, standing and edition are in it; digests stand beside it, whole."""
    found = section("reproduce", scope, standing)

    command = f"opsd report --period 2026-10 {expected} --format pdf -o statement.pdf"
    assert command == facts(found, "commands")["report"]
    assert "opsd period verify 2026-10" == facts(found, "commands")["verify"]
    assert {64} == {
        len(value) for key, value in facts(found, "inputs").items() if key not in ("version", "edition")
    }


def test_a_large_statement_has_a_line_for_every_project() -> None:
    """And its totals are those of its view."""
    view = View(large(40, 3))
    organisations, modes = (dict(SECTIONS)[name](view) for name in ("organisations", "modes"))

    assert organisations is not None
    assert modes is not None
    leaves = [row for row in table(organisations, "organisations").rows if row.role == "leaf"]
    assert 40 == len({row.keys["project"] for row in leaves})
    total = table(modes, "modes").rows[-1].cells["gpu_hours"]
    assert View.total(view.parts).hours("gpu") == total
