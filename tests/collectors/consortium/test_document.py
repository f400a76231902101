"""The consortium file: what it says, what is wrong with it and where, and back again."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.consortium import read, read_document, write
from collectors.consortium.layout import FILE_KEYS
from collectors.consortium.lines import Lines
from collectors.slurm.hosts import expand
from opsd.core.consortium import KINDS, Consortium
from opsd.core.faults import BadFile
from opsd.core.period import parse_time, zone
from opsd.core.soundness import check
from tests.fakes.consortia import CONSORTIA, award, binding, consortium

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "opsd" / "examples" / "founding-consortium.toml"
MADRID = zone("Europe/Madrid")


@given(CONSORTIA)
def test_what_is_written_reads_back(held: Consortium) -> None:
    """Any consortium survives the file, and its text is the same every time."""
    text = write(held)
    assert held == read(text, "x.toml")
    assert text == write(read(text, "x.toml"))


@given(CONSORTIA)
def test_lines_are_found(held: Consortium) -> None:
    """Whatever texts an entry holds, the line of its header is known."""
    text = write(held)
    rows = text.splitlines()
    lines = Lines(text)
    for kind in KINDS:
        for position, _ in enumerate(held.items(kind)):
            assert f"[[{kind.table}]]" == rows[lines.at(kind.table, position) - 1]


@given(st.text(st.sampled_from("\"'[]{}#=\n\\ axé.,1"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text, however broken, ends in anything but values or a list of faults."""
    with contextlib.suppress(BadFile):
        read(text, "x.toml")


def test_dates_are_midnights_of_the_book_zone() -> None:
    """A bare date, a local time, one with an offset and one in quotes mean what they say."""
    text = """
    [consortium]
    book_zone = "Europe/Madrid"
    [[person]]
    user = "u"
    organisation = "o"
    from = 2026-10-01
    until = "2026-10-25T03:00:00+01:00"
    [[person]]
    user = "v"
    organisation = "o"
    from = 2026-07-01T08:00:00
    """
    first, second = read(text, "x.toml").people
    assert (parse_time("2026-10-01", MADRID), parse_time("2026-10-25T02:00:00Z", MADRID)) == (
        first.valid_from, first.valid_until,
    )  # fmt: skip
    assert parse_time("2026-07-01T06:00:00Z", MADRID) == second.valid_from


def test_the_installations_zone_counts_where_the_file_names_none() -> None:
    """A file without [consortium] is read, and stays, in the book zone it is given."""
    held = read('[[person]]\nuser = "u"\norganisation = "o"\nfrom = 2026-10-01\n', "x.toml", "Europe/Madrid")
    assert ("Europe/Madrid", parse_time("2026-10-01", MADRID)) == (held.book_zone, held.people[0].valid_from)


def test_numbers_stay_exact() -> None:
    """A decimal means what its digits say, quoted or not; a ratio is allowed in quotes."""
    text = """
    [[unit_table]]
    cluster = "c"
    node_class = "n"
    gpu_hours = 4
    core_hours = "1/3"
    khours = 0.08
    [[policy]]
    id = "p"
    rule = "gpu_hours"
    weights = { h100 = 1, upgrade = 1.1 }
    """
    held = read(text, "x.toml")
    table = held.unit_tables[0]
    assert (Fraction(4), Fraction(1, 3), Fraction("0.08")) == (
        table.gpu_hours,
        table.core_hours,
        table.khours,
    )
    assert '{"weights":{"h100":"1","upgrade":"1.1"}}' == held.policies[0].params


FAULTS = [
    ('[[funders]]\nid = "x"', 1, "unknown table 'funders'; did you mean 'funder'?"),
    ('[[zzz]]\nid = "x"', 1, "unknown table 'zzz'; known are consortium, cluster"),
    ('[[pool]]\nid = "x"\nfunder = "y"\nnme = "y"', 4, "[[pool]] nme: unknown key; did you mean 'name'?"),
    ('[[pool]]\nid = "x"', 1, "[[pool]]: funder is missing; add funder = …"),
    ('[[pool]]\nid = 3\nfunder = "y"', 2, "not a text: '3'; put it in quotes"),
    ('[[pool]]\nid = " x"\nfunder = "y"', 2, "id is not a name: ' x'"),
    ('[[pool]]\nid = "a"\nfunder = "y"\n\n[[pool]]\nid = "a"\nfunder = "z"', 5, "a stands already at line 1"),
    ('[pool]\nid = "x"\nfunder = "y"', 1, "not a list of tables; write [[pool]] above each"),
    ("pool = 3", 1, "write [[pool]] above each"),
    ("[[consortium]]\nname = 'x'", 1, "not one table; write [consortium] once"),
    ("[consortium]\nname = 3", 2, "[consortium] name: not a text: '3'; put it in quotes"),
    ("[consortium]\nbook_zone = 'Mars'", 2, "unknown time zone: 'Mars'"),
    ("[consortium]\nsecond_person = 'credit'", 2, "[consortium] second_person: not a list: 'credit'"),
    ("[consortium]\nsmallest_group = '5'", 2, "[consortium] smallest_group: not a whole number: '5'"),
    ("[consortium]\nnam = 'x'", 2, "unknown key; did you mean 'name'?"),
    ("[[cluster]]\nid = 'x'\nname = [\n", 0, "not TOML"),
    ("[[cluster]]\nid = = 'x'", 2, "not TOML: Invalid value"),
    ("[[person]]\nuser='u'\norganisation='o'\nfrom = 3", 4, "not a time: '3'; write 2026-10-01"),
    ("[[person]]\nuser='u'\norganisation='o'\nfrom = 08:00:00", 4, "not a time: '08:00:00'"),
    (
        "[[person]]\nuser='u'\norganisation='o'\nfrom = 2026-10-01\nuntil = 2026-09-01",
        5,
        "until is before its beg",
    ),
    ("[[person]]\nuser='u'\norganisation='o'\nfrom = '@99999999999999'", 4, "a time in no year of ours"),
    (
        "[[binding]]\ncluster='c'\naccount='a'\naward='x'\nfrom = 2026-10-01T00:30:00Z",
        5,
        "not on a whole UTC hour",
    ),
    ("[[binding]]\ncluster='c'\naccount='a'\naward='x'", 1, "from is missing"),
    ("[[node_class]]\ncluster='c'\nid='n'\ngpus = 4.0", 4, "not a whole number: '4.0'"),
    ("[[node_class]]\ncluster='c'\nid='n'\ngpus = true", 4, "not a whole number: 'true'"),
    ("[[node_class]]\ncluster='c'\nid='n'\npartitions = 'acc'", 4, "not a list: 'acc'"),
    ("[[node_class]]\ncluster='c'\nid='n'\npartitions = [\n'acc',\n3]", 4, "not a text: '3'"),
    ("[[funder]]\nid='f'\nname='F'\nkind='king'", 4, "unknown kind: 'king'; write one of state, region"),
    ("[[funder]]\nid='f'\nname='F'\nkind='state'\ncountry='EU'", 5, "not an ISO 3166-1 country code: 'EU'"),
    ("[[funder]]\nid='f'\nname='F'\nkind='state'\namount_meur=nan", 5, "not an exact number: 'NaN'"),
    ("[[funder]]\nid='f'\nname='F'\nkind='state'\namount_meur='1/3'", 5, "not an amount of money: '1/3'"),
    ("[[funder]]\nid='f'\nname='F'\nkind='state'\namount_meur=1e999999999", 5, "not an exact number"),
    ("[[funder]]\nid='f'\nname='F'\nkind='state'\nconfirmed='yes'", 5, "neither true nor false: 'yes'"),
    ("[[policy]]\nid='p'\nrule='r'\nweights = 1", 4, "not a table of weights: '1'"),
    ("[[policy]]\nid='p'\nrule='r'\n[policy.weights]\nh100 = -1", 4, "weights is below 0 or too long: '-1'"),
]


@pytest.mark.parametrize(("text", "line", "message"), FAULTS)
def test_names_line_value_and_remedy(text: str, line: int, message: str) -> None:
    """Each fault is told once, at its line, with what to write instead."""
    with pytest.raises(BadFile) as caught:
        read(text, "x.toml")
    [fault] = caught.value.faults
    assert (line, True) == (fault.line, message in fault.message), fault
    assert str(caught.value).startswith(f"x.toml:{line}: " if line else "x.toml: ")


def test_shows_all_faults_at_once() -> None:
    """Several faults come together, in the order of the file; a flood is counted."""
    text = "[[pool]]\nid = 1\n[[funder]]\nid = 2\nnmae = 'x'\n"
    with pytest.raises(BadFile) as caught:
        read(text, "x.toml")
    assert [1, 2, 3, 3, 4, 5] == [fault.line for fault in caught.value.faults]
    with pytest.raises(BadFile, match="and 10 more"):
        read("[[pool]]\nid = 'x'\n" * 60, "x.toml")


def test_lines_survive_texts_that_look_like_tables() -> None:
    """Headers and keys inside strings, arrays and comments are not headers and keys."""
    text = '''# [[pool]]
x = """
[[pool]]
id = "no"
"""
y = [ # [[pool]]
  ["a"], [["b"]],
  "]",
]
[[pool]]   # id = 1
"id" = 'a # b'
'''
    lines = Lines(text)
    assert [10, 11, 2, 6] == [
        lines.at("pool", 0),
        lines.at("pool", 0, "id"),
        lines.at("x", 0),
        lines.at("y", 0),
    ]


def test_problems_are_placed() -> None:
    """What does not fit with the rest is shown at its line, or at the file for what is not in it."""
    text = write(consortium(award("one"), binding("a", "one")))
    document = read_document(text, "x.toml")
    wrong = Consortium.of([*document.consortium.bindings, *consortium(award("b", pool="x")).awards.values()])
    places = {problem.field: document.place(problem) for problem in check(wrong)}
    line = text.splitlines().index('award = "one"') + 1
    assert (f"x.toml:{line}", "x.toml") == (places["award"], places["pool"])


def test_the_example_is_sound() -> None:
    """The founding consortium ships clean, with every figure unconfirmed and sourced."""
    held = read(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    assert [] == check(held, expand)
    assert {False} == {funder.confirmed for funder in held.funders.values()}
    assert all(funder.source and funder.amount_meur for funder in held.funders.values())
    national = [funder.amount_meur for funder in held.funders.values() if funder.kind != "ju"]
    assert "98.86" == str(sum(amount for amount in national if amount))
    assert ["spain"] == [f.parent for f in held.funders.values() if f.parent]


def test_the_document_tells_every_key() -> None:
    """docs/consortium.md has a section per table and a row per key."""
    text = (ROOT / "docs" / "consortium.md").read_text(encoding="utf-8")
    sections = {}
    for part in text.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        sections[title.strip("`[] ")] = body
    for table, keys in FILE_KEYS.items():
        assert table in sections, table
        for key in keys:
            assert f"| `{key}` |" in sections[table], f"{table}.{key}"
