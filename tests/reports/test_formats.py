"""CSV and JSON of one statement: exact, complete, harmless, and the same bytes each time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from opsd import reports
from opsd.core.errors import WrongUsage
from opsd.core.period import DAY
from opsd.core.statement import Amounts
from tests.fakes.statements import END, SCOPED, START, sample

DATA = Path(__file__).parent.parent / "data" / "reports"


@pytest.mark.golden
@pytest.mark.parametrize("form", ["csv", "json"])
def test_the_sample(form: str, golden: Callable[[Path, str], None]) -> None:
    """Rendered as it was read and approved."""
    golden(DATA / f"sample.{form}", reports.render(sample(), form).decode())


@pytest.mark.parametrize("form", reports.FORMATS)
def test_the_same_statement_gives_the_same_bytes(form: str) -> None:
    """However often it is rendered."""
    assert reports.render(sample(), form) == reports.render(sample(), form)


def lines() -> list[dict[str, str]]:
    """The CSV as a program reads it."""
    text = reports.render(sample(), "csv").decode()
    return list(csv.DictReader(text.splitlines(keepends=True), strict=True))


def test_the_lowest_lines_of_the_csv_add_up_to_its_total() -> None:
    """In every column of numbers, seconds and hours."""
    found = lines()
    lowest = [line for line in found if line["level"] in ("project", "unattributed")]
    (total,) = (line for line in found if line["level"] == "total")

    for name in ("gpu", "node", "cpu"):
        assert int(total[f"{name}_seconds"]) == sum(int(line[f"{name}_seconds"]) for line in lowest)
        hundredths = [int(line[f"{name}_hours"].replace(".", "")) for line in lowest]
        assert int(total[f"{name}_hours"].replace(".", "")) == sum(hundredths)


def test_no_text_of_the_csv_is_a_formula() -> None:
    """Names that begin as formulas do get an apostrophe; numbers none."""
    found = lines()
    cells = [(name, cell) for line in found for name, cell in line.items()]

    assert [] == [cell for _, cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert "'=1+1" in {line["project"] for line in found}
    assert "'@cmd|' /C calc'!A0" in {line["name"] for line in found}


def test_the_csv_is_rfc_4180() -> None:
    """Lines end with CR LF; quotes are doubled; there is no byte order mark."""
    content = reports.render(sample(), "csv")

    assert content.startswith(b"period,")
    assert content.count(b"\n") == content.count(b"\r\n") == len(lines()) + 1
    assert b'"A ""quoted"" title, with a comma"' in content


def read_json(**changes: Any) -> Any:
    """The JSON as a program reads it; a float in it fails."""

    def no_float(text: str) -> NoReturn:
        raise AssertionError(f"a float: {text}")

    return json.loads(reports.render(sample(**changes), "json"), parse_float=no_float)


def test_the_json_holds_no_float() -> None:
    """And names its schema first."""
    found = read_json()

    assert ["schema", "title", "consortium"] == list(found)[:3]
    assert "opsd-statement/1" == found["schema"]


def test_the_json_is_exact() -> None:
    """Whole seconds; balances in decimals of unit-seconds; what is unknown is null."""
    found = read_json()
    (a2,) = (line for table in found["balances"] for line in table["awards"] if line["award"] == "a2")

    assert ["98.33", "6.5"] == [funder["amount_meur"] for funder in found["funders"]]
    assert [True, False] == [funder["confirmed"] for funder in found["funders"]]
    assert {"7200", "-3600.666666"} == {a2["seconds"]["granted"], a2["seconds"]["left"]}
    assert None is found["units"][0]["core_hours"]
    assert [["mn5", "nobody", 35]] == [
        [it["cluster"], it["account"], it["gpu_seconds"]] for it in found["data_quality"]["unattributed"]
    ]


def test_warnings_say_what_to_beware_of() -> None:
    """Each for its own reason, and none without."""
    quiet = sample(usage=sample().usage[:-2] + sample().usage[-1:], funders=(), as_of=END - 120)
    unread = sample(funders=())
    late = sample(first=START + 16 * DAY)

    assert "Provisional" in " ".join(reports.warnings(quiet))
    assert "unattributed" not in " ".join(reports.warnings(quiet))
    assert "not been read up to the end" in " ".join(reports.warnings(unread))
    assert "accounting begins at 2026-10-17 00:00:00+02:00" in " ".join(reports.warnings(late))
    assert "accounting begins" not in " ".join(reports.warnings(sample(first=START + DAY - 1)))
    assert "unconfirmed" in " ".join(reports.warnings(sample()))


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("2026-10", "Usage and balances, October 2026"),
        ("2026-Q4", "Usage and balances, quarter 4 of 2026"),
        ("2026", "Usage and balances, 2026"),
        ("a..b", "Usage and balances, 2026-10-01 00:00:00+02:00 to 2026-11-01 00:00:00+01:00"),
    ],
)
def test_a_period_is_named_as_people_name_it(text: str, title: str) -> None:
    """And anything else by its two instants."""
    span = sample().span
    assert title == reports.title(sample(span=type(span)(text, span.window, span.zone)))


def test_a_file_name_holds_nothing_a_shell_minds() -> None:
    """The period and the scope, in letters, digits and hyphens."""
    assert "opsd-2026-10-country-TR.xlsx" == reports.file_name(sample(scope=SCOPED), "xlsx")


def test_an_unknown_format_is_refused() -> None:
    """With those there are."""
    with pytest.raises(WrongUsage, match=r"'xls'; did you mean 'xlsx'.+xlsx csv json"):
        reports.render(sample(), "xls")


@pytest.mark.parametrize("form", reports.FORMATS)
def test_an_empty_statement_can_be_rendered(form: str) -> None:
    """Nothing used, nothing granted, nothing read."""
    empty = sample(
        usage=(sample().usage[-1].__class__("total", sample().usage[-1].place, Amounts(), Amounts()),),
        balances=(), units=(), funders=(), names={}, pools={},
    )  # fmt: skip
    assert reports.render(empty, form)
