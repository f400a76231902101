"""What all formats have in common, and the two CSVs: complete, harmless, and the same bytes each time."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from opsd import reports
from opsd.core.dossier import Dossier
from opsd.core.errors import WrongUsage
from opsd.core.period import DAY
from opsd.core.statement.build import Statement, build
from opsd.reports.locale import STYLES
from tests.fakes.blocks import every_kind
from tests.fakes.dossiers import sample

DATA = Path(__file__).parent.parent / "data" / "reports"
SCOPES = ("", "country:TR", "organisation:evora", "project:=1+1", "pays:PT", "funder:eurohpc", "cluster:mn5")
CSVS = {"csv": (",", ".", "utf-8"), "csv-semicolon": (";", ",", "utf-8-sig")}
Line = dict[str, str]


@cache
def statement(scope: str = "") -> Statement:
    """The sample, or a part of it."""
    return build(sample(), scope)


def lines(scope: str = "", form: str = "csv") -> list[Line]:
    """A CSV as a program reads it; its decimals with a dot."""
    delimiter, decimal, encoding = CSVS[form]
    text = reports.render(statement(scope), form).decode(encoding)
    found = list(csv.DictReader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    for line in found:
        line.update({name: line[name].replace(decimal, ".") for name in line if name.endswith("_hours")})
    return found


@pytest.mark.golden
def test_the_sample_as_csv(golden: Callable[[Path, str], None]) -> None:
    """Rendered as it was read and approved."""
    golden(DATA / "sample.csv", reports.render(statement(), "csv").decode())


@pytest.mark.golden
def test_every_kind_of_block_and_value_as_json(golden: Callable[[Path, str], None]) -> None:
    """Rendered as it was read and approved."""
    golden(DATA / "kinds.json", reports.render(every_kind(), "json").decode())


@pytest.mark.parametrize(
    ("form", "language"), [("xlsx", "tr"), ("csv", "en"), ("csv-semicolon", "ro"), ("json", "ca")]
)
def test_the_same_statement_gives_the_same_bytes(form: str, language: str) -> None:
    """However often it is made and rendered."""
    first = reports.render(build(sample()), form, language)

    assert first == reports.render(build(sample()), form, language)


@pytest.mark.parametrize("form", ["xlsx", "csv", "csv-semicolon", "json"])
def test_an_empty_statement_can_be_rendered(form: str) -> None:
    """Nothing used, nothing granted, nothing read, not closed."""
    held = sample().master.__class__.of([], "", "Europe/Madrid")
    span = sample().span
    bare = Dossier("", span, span.start + DAY, "0.0.test", held, ())

    assert reports.render(build(bare), form)


# ------------------------------------------------------------------------------------------ what is in CSV


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("lowest", [{"project", "unattributed"}, {"part"}], ids=["projects", "parts"])
def test_the_lowest_lines_of_the_csv_add_up_to_its_total(lowest: set[str], scope: str) -> None:
    """In every column of numbers, seconds and hours, in every part."""
    found = lines(scope)
    low = [line for line in found if line["level"] in lowest]
    total = found[-1]

    assert "total" == total["level"]
    assert low
    for name in ("gpu", "node", "cpu"):
        assert int(total[f"{name}_seconds"]) == sum(int(line[f"{name}_seconds"]) for line in low)
        assert hundredths(total[f"{name}_hours"]) == sum(hundredths(line[f"{name}_hours"]) for line in low)


@pytest.mark.parametrize("level", ["pool", "country", "organisation"])
def test_every_level_of_the_csv_is_the_sum_of_the_parts_under_it(level: str) -> None:
    """Of each pool, country and organisation, in exact seconds and in what is shown."""
    above = ("pool", "country", "organisation")[: ("pool", "country", "organisation").index(level) + 1]
    found = lines()
    checked = [line for line in found if line["level"] == level]

    assert checked
    for line in checked:
        parts = [
            one for one in found if one["level"] == "part" and all(one[key] == line[key] for key in above)
        ]
        assert int(line["gpu_seconds"]) == sum(int(one["gpu_seconds"]) for one in parts)
        assert hundredths(line["cpu_hours"]) == sum(hundredths(one["cpu_hours"]) for one in parts)


def hundredths(text: str) -> int:
    """`12.34` as 1234; a number of two decimals, nothing else."""
    whole, dot, broken = text.partition(".")
    assert (".", 2) == (dot, len(broken)), text
    return int(whole + broken)


def test_the_csv_says_nothing_of_users() -> None:
    """Neither who they are nor where they are from: a part is of an award, a cluster and a class of nodes."""
    found = lines()
    parts = [tuple(line[name] for name in line if not name.endswith(("_seconds", "_hours")))
             for line in found if line["level"] == "part"]  # fmt: skip

    assert len(set(parts)) == len(parts)
    assert not {"uses", "user", "person"} & set(found[0])


def test_no_text_of_the_csv_is_a_formula() -> None:
    """Names that begin as formulas do get an apostrophe; numbers none."""
    found = lines()
    cells = [cell for line in found for cell in line.values()]

    assert [] == [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert {"'=1+1", "'-p5"} <= {line["project"] for line in found}
    assert "'@cmd|' /C calc'!A0" in {line["name"] for line in found}


def test_the_csv_is_rfc_4180() -> None:
    """Lines end with CR LF; quotes are doubled; there is no byte order mark."""
    content = reports.render(statement(), "csv")

    assert content.startswith(b"period,")
    assert content.count(b"\n") == content.count(b"\r\n") == len(lines()) + 1
    assert b'"A ""quoted"" title, with a comma"' in content


def test_the_semicolon_csv_says_the_same() -> None:
    """With a byte order mark, semicolons and decimal commas, and nothing else that differs."""
    content = reports.render(statement(), "csv-semicolon")

    assert content.startswith(b"\xef\xbb\xbfperiod;timezone;")
    assert lines(form="csv") == lines(form="csv-semicolon")
    assert "1390,90" in content.decode("utf-8-sig")


# ----------------------------------------------------------------------------------- names and warnings


def test_a_file_name_holds_nothing_a_shell_minds() -> None:
    """The period, the edition, the scope and the language, in letters, digits, dots and hyphens."""
    assert "opsd-2026-10-edition-1-country-TR-en.xlsx" == reports.file_name(statement("country:TR"), "xlsx")
    assert "opsd-2026-10-edition-1-project--1-1-ca-semicolon.csv" == reports.file_name(
        statement("project:=1+1"), "csv-semicolon", "ca"
    )


def test_a_period_that_is_not_closed_has_no_edition_in_its_name() -> None:
    """Nobody takes it for a closed one."""
    assert "opsd-2026-10-tr.json" == reports.file_name(build(sample(closing=None)), "json", "tr")


def test_an_unknown_format_is_refused() -> None:
    """With those there are."""
    with pytest.raises(WrongUsage, match=r"'xls'; did you mean 'xlsx'.+xlsx pdf csv csv-semicolon json zip"):
        reports.render(every_kind(), "xls")


def test_warnings_are_the_paragraphs_of_the_cover_that_stand_out() -> None:
    """In the language asked for; what is only told is none."""
    assert ["3 things are wrong."] == list(reports.warnings(every_kind()))


def test_every_language_has_every_format() -> None:
    """And no two of their files have one name."""
    names = {
        reports.file_name(every_kind(), form, language) for form in reports.FORMATS for language in STYLES
    }

    assert len(reports.FORMATS) * len(STYLES) == len(names)
