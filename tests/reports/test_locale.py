"""Numbers, days and names in six languages: exact examples, and what holds for every value."""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import pytest
from babel.numbers import parse_decimal
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.errors import WrongUsage
from opsd.core.statement import words
from opsd.core.statement.build import build
from opsd.core.statement.table import Table
from opsd.core.statement.words import (
    Amount,
    Code,
    Count,
    Country,
    Day,
    Hours,
    Moment,
    Month,
    Msg,
    Number,
    Ratio,
    Share,
    Text,
    Value,
    msg,
)
from opsd.reports.locale import STYLES, Locale
from tests.fakes import dossiers

CODES = ("en", "es", "ca", "pt", "tr", "ro")
NOV = 1793487600  # 2026-11-01T00:00:00+01:00
_SUMMER = 1790805599  # 2026-09-30T23:59:59+02:00
_HARD = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"


def hours(hundredths: int) -> Hours:
    """Hours as shown, whatever is behind them."""
    return Hours(hundredths, Fraction(hundredths * 36))


# A value, and how it is written in each of CODES; `_` is a no-break space, `-` a true minus.
EXAMPLES: tuple[tuple[Value, tuple[str, ...]], ...] = (
    (hours(0), ("0.00", "0,00", "0,00", "0,00", "0,00", "0,00")),
    (hours(7), ("0.07", "0,07", "0,07", "0,07", "0,07", "0,07")),
    (hours(-50), ("-0.50", "-0,50", "-0,50", "-0,50", "-0,50", "-0,50")),
    (hours(99_999), ("999.99", "999,99", "999,99", "999,99", "999,99", "999,99")),
    (hours(100_000), ("1,000.00", "1000,00", "1.000,00", "1000,00", "1.000,00", "1.000,00")),
    (hours(123_450), ("1,234.50", "1234,50", "1.234,50", "1234,50", "1.234,50", "1.234,50")),
    (hours(999_900), ("9,999.00", "9999,00", "9.999,00", "9999,00", "9.999,00", "9.999,00")),
    (hours(1_000_000), ("10,000.00", "10.000,00", "10.000,00", "10_000,00", "10.000,00", "10.000,00")),
    (hours(-999_901), ("-9,999.01", "-9999,01", "-9.999,01", "-9999,01", "-9.999,01", "-9.999,01")),
    (
        hours(-123_456_789),
        (
            "-1,234,567.89", "-1.234.567,89", "-1.234.567,89",
            "-1_234_567,89", "-1.234.567,89", "-1.234.567,89",
        ),
    ),
    (Count(0), ("0", "0", "0", "0", "0", "0")),
    (Count(4480), ("4,480", "4480", "4.480", "4480", "4.480", "4.480")),
    (Count(19_710), ("19,710", "19.710", "19.710", "19_710", "19.710", "19.710")),
    (Share(Fraction(1, 8)), ("12.5_%", "12,5_%", "12,5_%", "12,5%", "%12,5", "12,5_%")),
    (Share(Fraction(1, 4)), ("25.0_%", "25,0_%", "25,0_%", "25,0%", "%25,0", "25,0_%")),
    (Share(Fraction(-1, 8)), ("-12.5_%", "-12,5_%", "-12,5_%", "-12,5%", "-%12,5", "-12,5_%")),
    (Share(Fraction(12)), ("1,200.0_%", "1200,0_%", "1.200,0_%", "1200,0%", "%1.200,0", "1.200,0_%")),
    (Share(None), ("\N{EN DASH}",) * 6),
    (Ratio(Fraction(2, 3)), ("0.67", "0,67", "0,67", "0,67", "0,67", "0,67")),
    (Ratio(None), ("\N{EN DASH}",) * 6),
    (Number(Fraction(1, 2), 0), ("1", "1", "1", "1", "1", "1")),
    (Number(Fraction(-1, 2), 0), ("-1", "-1", "-1", "-1", "-1", "-1")),
    (Number(Fraction(-1, 3), 0), ("0", "0", "0", "0", "0", "0")),
    (
        Number(Fraction(10_001, 8), 3),
        ("1,250.125", "1250,125", "1.250,125", "1250,125", "1.250,125", "1.250,125"),
    ),
    (
        Amount(98_330_000_000_000, "EUR"),
        (
            "98,330,000.00_EUR", "98.330.000,00_EUR", "98.330.000,00_EUR",
            "98_330_000,00_EUR", "98.330.000,00_EUR", "98.330.000,00_EUR",
        ),
    ),
    (Amount(4_100_000, "RON"), ("4.10_RON", "4,10_RON", "4,10_RON", "4,10_RON", "4,10_RON", "4,10_RON")),
    (
        Amount(-1_234_567_895_000, "TRY"),
        (
            "-1,234,567.90_TRY", "-1.234.567,90_TRY", "-1.234.567,90_TRY",
            "-1_234_567,90_TRY", "-1.234.567,90_TRY", "-1.234.567,90_TRY",
        ),
    ),
    (
        Day(NOV),
        ("2026-11-01", "01/11/2026", "01/11/2026", "01/11/2026", "01.11.2026", "01.11.2026"),
    ),
    (
        Day(NOV - 1),
        ("2026-10-31", "31/10/2026", "31/10/2026", "31/10/2026", "31.10.2026", "31.10.2026"),
    ),
    (
        Moment(NOV),
        (
            "2026-11-01_00:00:00_UTC+01:00", "01/11/2026_00:00:00_UTC+01:00", "01/11/2026_00:00:00_UTC+01:00",
            "01/11/2026_00:00:00_UTC+01:00", "01.11.2026_00:00:00_UTC+01:00", "01.11.2026_00:00:00_UTC+01:00",
        ),
    ),
    (
        Moment(_SUMMER),
        (
            "2026-09-30_23:59:59_UTC+02:00", "30/09/2026_23:59:59_UTC+02:00", "30/09/2026_23:59:59_UTC+02:00",
            "30/09/2026_23:59:59_UTC+02:00", "30.09.2026_23:59:59_UTC+02:00", "30.09.2026_23:59:59_UTC+02:00",
        ),
    ),
    (
        Month("2026-10"),
        (
            "October 2026", "octubre de 2026", "octubre del 2026",
            "outubro de 2026", "Ekim 2026", "octombrie 2026",
        ),
    ),
    (
        Month("2026-03"),
        ("March 2026", "marzo de 2026", "març del 2026", "março de 2026", "Mart 2026", "martie 2026"),
    ),
    (
        Month("2026-Q4"),
        (
            "4th quarter 2026", "4.º trimestre de 2026", "4t trimestre del 2026",
            "4.º trimestre de 2026", "2026 4. çeyrek", "trimestrul al IV-lea 2026",
        ),
    ),
    (Month("2026"), ("2026",) * 6),
    (
        Month("2026-10-01..2026-10-15"),
        (
            "2026-10-01 to 2026-10-15", "01/10/2026 a 15/10/2026", "01/10/2026 a 15/10/2026",
            "01/10/2026 a 15/10/2026", "01.10.2026 \N{EN DASH} 15.10.2026",
            "01.10.2026 \N{EN DASH} 15.10.2026",
        ),
    ),
    (Country("TR"), ("Türkiye", "Turquía", "Turquia", "Turquia", "Türkiye", "Turcia")),
    (Country("ES"), ("Spain", "España", "Espanya", "Espanha", "İspanya", "Spania")),
    (Country("PT"), ("Portugal", "Portugal", "Portugal", "Portugal", "Portekiz", "Portugalia")),
    (Country("RO"), ("Romania", "Rumanía", "Romania", "Roménia", "Romanya", "România")),
    (
        Country("JU"),
        (
            "Joint Undertaking", "Empresa Común", "Empresa Comuna",
            "Empresa Comum", "Ortak Girişim", "Întreprinderea Comună",
        ),
    ),
    (
        Country("unattributed"),
        (
            "Unattributed", "Sin atribuir", "Sense atribuir",
            "Sem atribuição", "İlişkilendirilmemiş", "Neatribuit",
        ),
    ),
    (Country("QQ"), ("QQ",) * 6),
    (Text("istanbul ıİ {x} -1,5"), ("istanbul ıİ {x} -1,5",) * 6),
    (Code("opsd report --period 2026-10"), ("opsd report --period 2026-10",) * 6),
)  # fmt: skip

_CASES = [
    pytest.param(code, value, shown[at], id=f"{code}-{row}-{type(value).__name__}")
    for row, (value, shown) in enumerate(EXAMPLES)
    for at, code in enumerate(CODES)
]


@pytest.mark.parametrize(("code", "value", "shown"), _CASES)
def test_a_value_is_written_as_the_language_writes_it(code: str, value: Value, shown: str) -> None:
    """Each kind of value, in each language, against text written by hand."""
    expected = shown if isinstance(value, Text | Code) else _typed(shown)

    assert expected == Locale.of(code, zone="Europe/Madrid").text(value)


def test_the_languages_are_those_of_the_members_and_english() -> None:
    """Six of them, no more and no fewer."""
    assert set(CODES) == set(STYLES)


def test_a_language_that_nobody_speaks_here_is_refused_with_those_that_are() -> None:
    """The message names the value and all six codes."""
    with pytest.raises(WrongUsage, match=r"'fr'; there are en es ca pt tr ro"):
        Locale.of("fr")


def test_days_and_moments_are_those_of_the_zone() -> None:
    """The same instant is another day elsewhere; west of Greenwich has a true minus; UTC is named alone."""
    seen = [Locale.of("en", zone=name).text(Moment(NOV)) for name in ("UTC", "America/Sao_Paulo", "+05:30")]

    assert [
        _typed("2026-10-31_23:00:00_UTC"),
        _typed("2026-10-31_20:00:00_UTC-") + "03:00",
        _typed("2026-11-01_04:30:00_UTC+05:30"),
    ] == seen


@pytest.mark.parametrize(
    ("code", "tag", "decimal", "separator", "day", "share"),
    [
        ("en", "en", ".", ",", "yyyy-mm-dd", "0.0_%"),
        ("es", "es", ",", ";", "dd/mm/yyyy", "0.0_%"),
        ("ca", "ca", ",", ";", "dd/mm/yyyy", "0.0_%"),
        ("pt", "pt-PT", ",", ";", "dd/mm/yyyy", "0.0%"),
        ("tr", "tr", ",", ";", "dd.mm.yyyy", "%0.0"),
        ("ro", "ro", ",", ";", "dd.mm.yyyy", "0.0_%"),
    ],
)
def test_renderers_learn_what_a_file_of_the_language_needs(
    code: str, tag: str, decimal: str, separator: str, day: str, share: str
) -> None:
    """The language's tag, the separators of CSV, and the number formats of a workbook."""
    found = Locale.of(code)

    assert (tag, decimal, separator, day, _typed(share)) == (
        found.tag,
        found.decimal,
        found.list_separator,
        found.excel_date,
        found.excel_share,
    )


@given(st.integers(-(10**18), 10**18), st.integers(0, 6), st.sampled_from(CODES))
def test_a_number_reads_back_as_itself(scaled: int, decimals: int, code: str) -> None:
    """Whatever the signs of the language, its own reader finds the same number: all languages are equal."""
    shown = Locale.of(code).number(scaled, decimals)

    read = parse_decimal(shown.replace(_MINUS, "-"), locale=STYLES[code].cldr)
    assert Fraction(scaled, 10**decimals) == Fraction(read)
    assert decimals == len(shown.partition(Locale.of(code).decimal)[2])


@given(st.integers(-(10**15), 10**15), st.sampled_from(CODES))
def test_grouping_takes_nothing_away(scaled: int, code: str) -> None:
    """Digits stay the same; groups are of three, and begin at the language's own length."""
    locale = Locale.of(code)
    grouped, plain = locale.number(scaled, 2), locale.number(scaled, 2, grouped=False)

    whole = grouped.strip(_MINUS).partition(locale.decimal)[0]
    groups = "".join(c if c.isdigit() else " " for c in whole).split(" ")
    assert plain.strip(_MINUS).partition(locale.decimal)[0] == "".join(groups)
    assert len(groups) == 1 or all(len(group) == 3 for group in groups[1:])
    assert (len(groups) > 1) == (abs(scaled) // 100 >= 10 ** STYLES[code].ungrouped)


def test_a_whole_statement_holds_the_same_numbers_in_every_language() -> None:
    """Each number of every table, read back by the rules of its language, is the one that English shows."""
    numbers = [
        value for value in _cells() if isinstance(value, Hours | Count | Number | Amount | Share | Ratio)
    ]
    english = [_read("en", value) for value in numbers]

    assert len(numbers) > 500
    for code in CODES:
        assert english == [_read(code, value) for value in numbers]


def _cells() -> list[Value]:
    blocks = [block for section in build(dossiers.sample()).sections for block in section.blocks]
    tables = [block for block in blocks if isinstance(block, Table)]
    return [value for table in tables for row in table.rows for value in row.cells.values()]


def _read(code: str, value: Value) -> Fraction | None:
    """What a reader of the language understands; nothing where a dash stands."""
    shown = Locale.of(code).text(value)
    plain = shown.rstrip("EURTYON").strip(f"%{_HARD}").replace(_MINUS, "-").replace("-%", "-")
    return None if shown == "\N{EN DASH}" else Fraction(parse_decimal(plain, locale=STYLES[code].cldr))


_fractions = st.fractions(-(10**9), 10**9)
_instants = st.integers(-(2**31), 4 * 10**9)
_plain: st.SearchStrategy[Value] = st.one_of(
    st.builds(Text, st.text()),
    st.builds(Code, st.text()),
    st.builds(Hours, st.integers(), _fractions),
    st.builds(Count, st.integers()),
    st.builds(Share, st.none() | _fractions),
    st.builds(Ratio, st.none() | _fractions),
    st.builds(Number, _fractions, st.integers(0, 9)),
    st.builds(Amount, st.integers(), st.sampled_from(["EUR", "TRY", "RON"])),
    st.builds(Day, _instants),
    st.builds(Moment, _instants),
    st.builds(Month, st.from_regex(r"[0-9]{4}(-(0[1-9]|1[0-2]|[Qq][1-4]))?", fullmatch=True) | st.text()),
    st.builds(Country, st.from_regex(r"[A-Z]{2}", fullmatch=True) | st.text()),
)
_values: st.SearchStrategy[Value] = st.recursive(
    _plain, lambda inner: st.builds(lambda a, b: msg("{start} to {end}", start=a, end=b), inner, inner)
)


@given(_values, st.sampled_from(CODES))
def test_every_value_can_be_written_in_every_language(value: Value, code: str) -> None:
    """No value of any kind ends in an error, and the same value is written the same way twice."""
    locale = Locale.of(code, zone="Europe/Madrid")

    assert locale.text(value) == Locale.of(code, zone="Europe/Madrid").text(value)


def test_no_kind_of_value_is_left_out_of_the_examples() -> None:
    """A new kind of value needs examples here."""
    assert {*get_args(words.Value)} == {type(value) for value, _ in EXAMPLES} | {Msg}


@given(st.text(), st.sampled_from(CODES))
def test_names_of_others_are_never_touched(name: str, code: str) -> None:
    """Turkish dotless letters, braces and signs in a name come out as they went in."""
    locale = Locale.of(code)

    assert name == locale.text(Text(name)) == locale.text(Code(name))


def _typed(shown: str) -> str:
    """An example as it is: days keep their hyphens."""
    if shown[:4].isdigit() and shown[4:5] == "-" and not shown.endswith("-"):
        return shown.replace("_", _HARD)
    head, hyphen, tail = shown.rpartition("-")
    if shown.endswith("-"):
        return head.replace("_", _HARD) + _MINUS
    return (shown.replace("-", _MINUS) if hyphen and not head else head + hyphen + tail).replace("_", _HARD)
