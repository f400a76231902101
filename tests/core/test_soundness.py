"""Whatever does not fit together is named, at its entry and field."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from collectors.slurm.hosts import expand
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.awards import Project
from opsd.core.consortium import Consortium, Item
from opsd.core.journal import KINDS as JOURNAL_KINDS
from opsd.core.parties import Contact, NodeClass, Organisation, Person, UnitTable
from opsd.core.period import HOUR
from opsd.core.slices import MigSlice
from opsd.core.soundness import check, shown
from tests.fakes.consortia import CLUSTER, award, binding, consortium

ONE = award("one")


def test_a_sound_consortium_has_no_problems() -> None:
    """Everything a consortium may hold, fitting together."""
    held = consortium(
        ONE, binding("a", "one", 0, 5), binding("a", "one", 5), binding("a", "one", partition="acc"),
        Person("u", "uv", 0, HOUR), Person("u", "fct", HOUR), Person("u", "fct", 0, None, CLUSTER),
        UnitTable(CLUSTER, "acc", gpu_hours=Fraction(4), core_hours=Fraction(80), khours=Fraction("0.08")),
        MigSlice("h100", "1g.10gb", Fraction(1, 7), 0, HOUR),
        MigSlice("h100", "1g.10gb", Fraction(1, 8), HOUR),
        Contact("k", "K", "k@x.example", organisation="uv", funder="spain", project="health"),
    )  # fmt: skip
    assert [] == check(held, expand)


CASES: list[tuple[str, str, str, list[Item]]] = [
    ("pool", "funder", "unknown funder 'nobody'", [Pool("x", "nobody")]),
    ("project", "organisation", "unknown organisation 'x'", [Project("p", "P", "x")]),
    ("award", "project", "unknown project 'x'", [award("a", project="x")]),
    ("award", "pool", "unknown pool 'x'", [award("a", pool="x")]),
    ("award", "policy", "unknown policy 'x'", [award("a", policy="x")]),
    ("binding", "award", "unknown award 'x'", [binding("a", "x")]),
    ("node_class", "cluster", "unknown cluster 'x'", [NodeClass("x", "n")]),
    ("unit_table", "cluster", "unknown cluster 'x'", [NodeClass("x", "n"), UnitTable("x", "n")]),
    ("unit_table", "node_class", "unknown node_class 'n'", [UnitTable(CLUSTER, "n")]),
    ("person", "organisation", "unknown organisation 'x'", [Person("u", "x")]),
    ("person", "cluster", "unknown cluster 'x'", [Person("u", "uv", cluster="x")]),
    ("contact", "project", "unknown project 'x'", [Contact("k", "K", project="x")]),
    ("organisation", "parent", "unknown parent 'x'", [Organisation("o", "O", "ES", parent="x")]),
    ("organisation", "parent", "a → b → a", [
        Organisation("a", "A", "ES", parent="b"), Organisation("b", "B", "ES", parent="a"),
    ]),
    ("funder", "parent", "a → a", [Funder("a", "A", "state", "ES", "a")]),
    ("binding", "from", "overlaps mini/a", [ONE, binding("a", "one", 0, 5), binding("a", "one", 4)]),
    ("binding", "from", "has no end", [ONE, binding("a", "one", qos="q"), binding("a", "one", 4, qos="q")]),
    ("person", "from", "overlaps u", [Person("u", "uv"), Person("u", "fct", HOUR)]),
    ("policy", "from", "overlaps p", [Policy("p", "billing"), Policy("p", "billing", HOUR)]),
    ("unit_table", "from", "overlaps mini/acc", [UnitTable(CLUSTER, "acc"), UnitTable(CLUSTER, "acc", HOUR)]),
    ("mig_slice", "from", "overlaps h100/1g.10gb", [
        MigSlice("h100", "1g.10gb", Fraction(1, 7)), MigSlice("h100", "1g.10gb", Fraction(1, 8), HOUR),
    ]),
    ("node_class", "from", "overlaps mini/acc", [NodeClass(CLUSTER, "acc", HOUR)]),
    ("node_class", "nodes", "node a4 is also in mini/acc", [NodeClass(CLUSTER, "b", nodes="a[4-5]")]),
    ("node_class", "nodes", "runs backwards", [NodeClass(CLUSTER, "b", nodes="x[5-4]")]),
    ("policy", "rule", "unknown rule 'hours'", [Policy("p", "hours")]),
    ("policy", "mode", "unknown mode 'half'", [Policy("p", "node_hours", params='{"mode":"half"}')]),
    ("policy", "mode", "has no mode", [Policy("p", "gpu_hours", params='{"mode":"whole"}')]),
    ("policy", "suspended", "has no suspended", [Policy("p", "core_hours", params='{"suspended":false}')]),
    ("award", "unit", "charges gpu-hours", [award("a", unit="node-hours")]),
    ("award", "policy", "says nothing from 1970-01-01T01:00", [
        Policy("p", "gpu_hours", 0, HOUR), Policy("p", "gpu_hours", 2 * HOUR), award("a", policy="p"),
    ]),
    ("award", "policy", "says nothing from 1970-01-01T00:00", [
        Policy("p", "gpu_hours", HOUR), award("a", policy="p"),
    ]),
    ("unit_table", "gpu_hours", "has gpus = 4", [UnitTable(CLUSTER, "acc", gpu_hours=Fraction(1))]),
    ("unit_table", "cpu_hours", "has cpus = 160", [UnitTable(CLUSTER, "acc", cpu_hours=Fraction(80))]),
    ("unit_table", "khours", "make 0.08", [
        UnitTable(CLUSTER, "acc", core_hours=Fraction(80), khours=Fraction("0.16")),
    ]),
    ("pool", "funder", "nobody pays", [Funder("f", "F", "programme"), Pool("x", "f")]),
]  # fmt: skip


@pytest.mark.parametrize(("table", "field", "message", "items"), CASES)
def test_names_the_problem(table: str, field: str, message: str, items: list[Item]) -> None:
    """One wrong thing is one problem, at the entry and field to correct."""
    found = {(problem.table, problem.field): str(problem) for problem in check(consortium(*items), expand)}
    assert message in found.get((table, field), f"not among {found}")


def test_an_unknown_zone_is_a_problem() -> None:
    """A book zone that no calendar knows is found before anything is closed in it."""
    assert [] == check(Consortium.of([]))
    assert ["book_zone"] == [problem.field for problem in check(Consortium.of([], "", "Mars/Olympus"))]


def test_what_was_never_in_force_does_not_overlap() -> None:
    """An entry that ends where it begins is how a mistake is taken out of force."""
    held = consortium(ONE, binding("a", "one", 3, 3), binding("a", "one"))
    assert [] == check(held, expand)


def test_a_node_may_change_class() -> None:
    """The same node in two classes at different times is in one class at a time."""
    old = NodeClass(CLUSTER, "old", 0, HOUR, nodes="z1")
    new = NodeClass(CLUSTER, "new", HOUR, nodes="z1")
    assert [] == check(consortium(old, new), expand)


def test_names_for_people() -> None:
    """Entries are named by their key, with the beginning where it tells versions apart."""
    assert "mini/a/acc from 1970-01-01T01:00:00+00:00" == shown("binding", ("mini", "a", "acc", "", HOUR))
    assert "mini/acc" == shown("node_class", ("mini", "acc", 0))


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"second_person": ["credit", "gift"]}, "second_person", "unknown kind 'gift'; write some of grant"),
        ({"smallest_group": 0}, "smallest_group", "no number of users: 0; write 1"),
        ({"smallest_group": 1_001}, "smallest_group", "no number of users: 1001"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], field: str, message: str) -> None:
    """A kind that no journal entry has, and a group of nobody, are refused by name."""
    [problem] = check(Consortium.of([], "", "UTC", **settings))
    assert ("consortium", field, True) == (problem.table, problem.field, message in problem.message)


def test_known_settings_are_sound() -> None:
    """Every kind of entry may ask for a second person; groups of one merge nothing."""
    assert [] == check(Consortium.of([], "", "UTC", JOURNAL_KINDS, 1))
