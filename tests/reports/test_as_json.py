"""The statement as data: what its schema describes, exact, the same numbers in every language and format."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import Any, NoReturn

import jsonschema
import pytest

from opsd import reports
from opsd.core.statement.build import Statement, build
from opsd.reports.locale import STYLES
from tests.fakes.blocks import every_kind
from tests.fakes.dossiers import sample

SCOPES = ("", "country:PT", "organisation:bsc", "pays:JU", "cluster:mn5-ai")
WORDS = {"text", "label", "title", "empty", "notes", "unit", "language"}  # what a language may change
Json = dict[str, Any]


@cache
def validator() -> jsonschema.Draft202012Validator:
    """Of the published schema."""
    text = resources.files("opsd.reports").joinpath("statement.schema.json").read_text(encoding="utf-8")
    schema = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(found: Statement, language: str = "en") -> Json:
    """The JSON as a program reads it; a float in it fails."""

    def no_float(text: str) -> NoReturn:
        raise AssertionError(f"a float: {text}")

    content: Json = json.loads(reports.render(found, "json", language), parse_float=no_float)
    return content


@cache
def statement(scope: str = "") -> Statement:
    """The sample, or a part of it."""
    return build(sample(), scope)


# -------------------------------------------------------------------------------------------- the schema


@pytest.mark.parametrize("language", STYLES)
def test_every_language_is_what_the_schema_describes(language: str) -> None:
    """Every kind of block and value."""
    assert [] == [error.message for error in validator().iter_errors(read(every_kind(), language))]


@pytest.mark.parametrize("scope", SCOPES)
def test_every_part_is_what_the_schema_describes(scope: str) -> None:
    """And names its schema first."""
    content = read(statement(scope), "ro")

    validator().validate(content)
    assert ("opsd-statement/2", scope or None) == (content["schema"], content["scope"])
    assert "schema" == next(iter(content))


def test_a_month_that_is_not_closed_is_what_the_schema_describes() -> None:
    """Without edition and closing."""
    content = read(build(sample(closing=None, as_of=sample().span.end - 60)))

    validator().validate(content)
    assert (None, None, True) == (content["edition"], content["closing"], content["provisional"])


def _table(content: Json) -> Json:
    found: Json = next(
        block for part in content["sections"] for block in part["blocks"] if block["type"] == "table"
    )
    return found


def _cells(content: Json) -> Json:
    cells: Json = _table(content)["rows"][0]["cells"]
    return cells


FAULTS: dict[str, Callable[[Json], object]] = {
    "hours as a number": lambda it: _cells(it)["used"].update(hours=1.5),
    "hours of one decimal": lambda it: _cells(it)["used"].update(hours="1.5"),
    "hours without seconds": lambda it: _cells(it)["used"].pop("seconds"),
    "two values in one cell": lambda it: _cells(it)["used"].update(count=3),
    "a count with a broken part": lambda it: _cells(it)["things"].update(count=1.5),
    "a decimal comma": lambda it: _cells(it)["used_of_granted"].update(share="0,5"),
    "money of no currency": lambda it: _cells(it)["paid"].update(currency="euro"),
    "an empty cell": lambda it: _cells(it).update(used={}),
    "a role that is none": lambda it: _table(it)["rows"][0].update(role="sum"),
    "a depth below nothing": lambda it: _table(it)["rows"][0].update(depth=-1),
    "a formula that is none": lambda it: _table(it)["columns"][3].update(formula={"times": ["a"]}),
    "a block of no type": lambda it: it["sections"][0]["blocks"][0].pop("type"),
    "a table without rows": lambda it: _table(it).pop("rows"),
    "no digests": lambda it: it.pop("digests"),
    "half a digest": lambda it: it["digests"].update(facts="abc"),
    "a time of no zone": lambda it: it.update(as_of="2026-10-01T00:00:00"),
    "another schema": lambda it: it.update(schema="opsd-statement/1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused(fault: str) -> None:
    """So that the schema says something."""
    content = copy.deepcopy(read(every_kind()))
    validator().validate(content)
    FAULTS[fault](content)

    assert not validator().is_valid(content)


# ----------------------------------------------------------------------------------------------- numbers


def test_what_is_exact_is_read_back_exactly() -> None:
    """Seconds that no decimal holds are a ratio; a share is rounded, and stands exact beside itself."""
    cells = [row["cells"] for row in _table(read(every_kind()))["rows"]]

    assert {"hours": "3000.07", "seconds": str(Fraction(300_007 * 36) + Fraction(1, 3))} == cells[0][
        "granted"
    ]
    assert Fraction(10_011, 300_007) == Fraction(cells[0]["used_of_granted"]["exact"])
    assert "0.03336922138" == str(Decimal(cells[0]["used_of_granted"]["share"]).quantize(Decimal(10) ** -11))
    assert {"ratio": "1", "exact": "1"} == cells[-1]["of_all"]
    assert {"share": None} == cells[-2]["used_of_granted"]
    assert {"amount": "3703.68", "currency": "EUR"} == cells[0]["paid"]


def numbers(tree: Any) -> Any:
    """What is left of a tree when a language has taken its words."""
    if isinstance(tree, list):
        return [numbers(item) for item in tree]
    if isinstance(tree, dict) and tree.keys() != {"text"}:  # a lone text is somebody's own
        return {
            name: numbers(item) for name, item in tree.items() if name not in WORDS or isinstance(item, dict)
        }
    return tree


@pytest.mark.parametrize("language", [code for code in STYLES if code != "en"])
def test_every_language_has_the_same_numbers_names_and_ids(language: str) -> None:
    """Only words differ, and some of them do."""
    for found in (statement(), every_kind()):
        english, other = read(found), read(found, language)

        assert numbers(english) == numbers(other)
    assert read(statement()) != read(statement(), language)


# ------------------------------------------------------------------------------------------------- footing


def value(cell: Json | None) -> Fraction | None:
    """A cell's number; None: it has none."""
    for name in ("hours", "count", "number", "amount"):
        if cell and name in cell:
            return Fraction(str(cell[name]))
    for name in ("share", "ratio"):
        if cell and cell.get(name) is not None:
            return Fraction(cell["exact"])
    return None


def tables(content: Json) -> Iterator[tuple[str, Json]]:
    """Every table, with the name that its CSV has in the archive."""
    for number, section in enumerate(content["sections"]):
        for block in section["blocks"]:
            if block["type"] == "table":
                yield f"{number:02}-{section['id']}-{block['id']}.csv", block


def summed(rows: list[Json]) -> Iterator[tuple[int, list[int]]]:
    """Each subtotal and total, and the lowest rows that it holds."""
    for at, row in enumerate(rows):
        if row["role"] == "leaf":
            continue
        if row["role"] == "total":
            held = range(at)
        else:
            ends = (below for below in range(at + 1, len(rows)) if rows[below]["depth"] <= row["depth"])
            held = range(at + 1, next(ends, len(rows)))
        yield at, [below for below in held if rows[below]["role"] == "leaf" and rows[below]["summed"]]


def calculated(formula: Json, row: Json, last: Json) -> Fraction | None:
    """What a column's formula gives."""

    def of(name: str) -> Fraction:
        return value(row["cells"].get(name)) or Fraction(0)

    match formula:
        case {"less": [first, *others]}:
            return of(first) - sum(map(of, others))
        case {"plus": names}:
            return sum(map(of, names), Fraction(0))
        case {"per": [part, whole]}:
            return of(part) / of(whole) if of(whole) else None
        case {"of_total": name}:
            whole = value(last["cells"][name])
            return of(name) / whole if whole else None
        case _:
            raise AssertionError(formula)


def foots(table: Json) -> int:
    """Check every sum and formula of a table; how many there were."""
    rows, checked = table["rows"], 0
    for column in table["columns"]:
        name = column["id"]
        if column["sums"] and "formula" not in column:
            for at, below in summed(rows):
                found = value(rows[at]["cells"].get(name))
                if found is not None:
                    parts = [value(rows[one]["cells"].get(name)) or Fraction(0) for one in below]
                    assert found == sum(parts), (table["id"], name, at)
                    checked += 1
        for row in rows if "formula" in column else ():
            found = value(row["cells"].get(name))
            if found is not None:
                assert found == calculated(column["formula"], row, rows[-1]), (table["id"], name, row["keys"])
                checked += 1
    return checked


@pytest.mark.parametrize("scope", SCOPES)
def test_every_table_foots(scope: str) -> None:
    """Every subtotal and total is the sum of its lowest rows, every formula gives its cell, as shown."""
    checked = sum(foots(table) for _, table in tables(read(statement(scope))))

    assert checked > 100


def test_a_table_that_does_not_foot_is_found() -> None:
    """By what the test above checks with."""
    table = _table(read(every_kind()))
    assert 39 == foots(table)
    table["rows"][2]["cells"]["used"]["hours"] = "100.02"

    with pytest.raises(AssertionError, match="used"):
        foots(table)
