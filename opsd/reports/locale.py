"""How a statement's words and values are written in one language.

Invariant: only the writing differs. Every number is made from integers alone, never from a float, so it
says the same in every language; and what somebody else named (`Text`, `Code`) is handed through as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from functools import cache
from importlib import resources
from typing import NamedTuple

import babel
from babel.dates import format_skeleton
from babel.messages.pofile import read_po

from opsd.core import figures
from opsd.core.attribution import PAID_BY_JU, UNATTRIBUTED
from opsd.core.errors import WrongUsage
from opsd.core.names import nearest
from opsd.core.period import zone
from opsd.core.statement import words
from opsd.core.statement.words import Msg, Value, msg

MINUS = "−"  # noqa: RUF001 (the minus sign is as wide as a digit)
NOTHING = "–"  # noqa: RUF001 (a dash, as in printed tables)
_HARD = "\N{NO-BREAK SPACE}"
_CENTS = 10_000  # micro-units

_MONTH = re.compile(r"([1-9]\d{3})-(0[1-9]|1[0-2])\Z", re.ASCII)
_QUARTER = re.compile(r"([1-9]\d{3})-[Qq]([1-4])\Z", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d\Z", re.ASCII)

_NOT_COUNTRIES = {PAID_BY_JU: msg("Joint Undertaking"), UNATTRIBUTED: msg("Unattributed")}


class Style(NamedTuple):
    """What a language is called elsewhere, and what Babel does not tell of it.

    `ungrouped`: digits before the decimal sign that still stand together. It follows from CLDR 48's
    minimumGroupingDigits (2 for es and pt-PT, else 1), which Babel's data leave out.
    """

    cldr: str
    tag: str  # BCP 47, for what a document says of its language
    ungrouped: int
    day: str  # for strftime
    excel_day: str


# `pt` is Portugal's; Babel means Brazil by it. English has dates and percentages as ISO writes them.
STYLES = {
    "en": Style("en", "en", 3, "%Y-%m-%d", "yyyy-mm-dd"),
    "es": Style("es", "es", 4, "%d/%m/%Y", "dd/mm/yyyy"),
    "ca": Style("ca", "ca", 3, "%d/%m/%Y", "dd/mm/yyyy"),
    "pt": Style("pt_PT", "pt-PT", 4, "%d/%m/%Y", "dd/mm/yyyy"),
    "tr": Style("tr", "tr", 3, "%d.%m.%Y", "dd.mm.yyyy"),
    "ro": Style("ro", "ro", 3, "%d.%m.%Y", "dd.mm.yyyy"),
}


@dataclass(frozen=True, slots=True)
class Locale:
    """One language in one time zone."""

    code: str
    zone: str

    @classmethod
    def of(cls, code: str, zone: str = "UTC") -> Locale:
        """One of STYLES.

        Raises:
            WrongUsage: there is no such language here.
        """
        if code not in STYLES:
            raise WrongUsage(f"no language {code!r}" + nearest(code, STYLES, f"there are {' '.join(STYLES)}"))
        return cls(code, zone)

    # -- what renderers ask for beside words and values ----------------------------------------------

    @property
    def tag(self) -> str:
        """The language as documents name it: `pt-PT`."""
        return STYLES[self.code].tag

    @property
    def decimal(self) -> str:
        """The sign before decimals."""
        return str(_cldr(self.code).number_symbols["latn"]["decimal"])

    @property
    def list_separator(self) -> str:
        """What stands between the fields of a CSV that a spreadsheet of this language opens."""
        return ";" if self.decimal == "," else ","

    @property
    def excel_date(self) -> str:
        """The number format of days in a workbook."""
        return STYLES[self.code].excel_day

    @property
    def excel_share(self) -> str:
        """The number format of percentages in a workbook, which puts in the decimal sign itself."""
        return self._percent("0.0")

    # -- words and values ----------------------------------------------------------------------------

    def word(self, message: Msg) -> str:
        """A message in this language, its values put in; in English where it has no translation."""
        shown = catalogue(self.code).get(message.id, message.id)
        return shown.format_map({name: self.text(value) for name, value in message.values})

    def text(self, value: Value) -> str:  # noqa: PLR0911 (one line for each kind of value)
        """Any value of a statement, for print."""
        match value:
            case words.Text(text) | words.Code(text):
                return text
            case Msg():
                return self.word(value)
            case words.Hours(hundredths, _):
                return self.number(hundredths, 2)
            case words.Count(number):
                return self.number(number, 0)
            case words.Amount(micro, currency):
                return f"{self.number(_rounded(Fraction(micro, _CENTS)), 2)}{_HARD}{currency}"
            case words.Share(fraction):
                return NOTHING if fraction is None else self._percent(self._fraction(fraction * 100, 1))
            case words.Ratio(fraction):
                return NOTHING if fraction is None else self._fraction(fraction, 2)
            case words.Number(fraction, decimals):
                return self._fraction(fraction, decimals)
            case words.Country(code):
                return self._country(code)
            case _:
                return self._time(value)

    def number(self, scaled: int, decimals: int, *, grouped: bool = True) -> str:
        """An integer of 10 to the minus `decimals`: 123456 with two decimals is `1,234.56`."""
        digits = str(abs(scaled)).rjust(decimals + 1, "0")
        whole, broken = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
        if grouped and len(whole) > STYLES[self.code].ungrouped:
            whole = f"{int(whole):,}".replace(",", str(_cldr(self.code).number_symbols["latn"]["group"]))
        return f"{MINUS if scaled < 0 else ''}{whole}{self.decimal if decimals else ''}{broken}"

    def _fraction(self, value: Fraction, decimals: int) -> str:
        return self.number(_rounded(value * 10**decimals), decimals)

    def _percent(self, number: str) -> str:
        pattern = f"#,##0{_HARD}%" if self.code == "en" else _cldr(self.code).percent_formats[None].pattern
        sign, size = (MINUS, number[1:]) if number.startswith(MINUS) else ("", number)
        return sign + str(pattern).replace("#,##0", size)  # also before a percent sign that comes first

    def _country(self, code: str) -> str:
        if code in _NOT_COUNTRIES:
            return self.word(_NOT_COUNTRIES[code])
        return str(_cldr(self.code).territories.get(code, code))

    # -- days and months -----------------------------------------------------------------------------

    def _time(self, value: words.Day | words.Moment | words.Month) -> str:
        match value:
            case words.Day(at):
                return self._day(datetime.fromtimestamp(at, zone(self.zone)))
            case words.Moment(at):
                local = datetime.fromtimestamp(at, zone(self.zone))
                return f"{self._day(local)}{_HARD}{local:%H:%M:%S}{_HARD}{_offset(local)}"
            case words.Month(text):
                return self._period(text)

    def _day(self, day: date) -> str:
        return day.strftime(STYLES[self.code].day)

    def _period(self, text: str) -> str:
        if found := _MONTH.match(text):
            return self._skeleton("yMMMM", int(found[1]), int(found[2]))
        if found := _QUARTER.match(text):
            return self._skeleton("yQQQQ", int(found[1]), 3 * int(found[2]))
        start, dots, end = text.partition("..")
        if dots:
            return self.word(
                msg("{start} to {end}", start=self._as_written(start), end=self._as_written(end))
            )
        return text  # a year

    def _skeleton(self, skeleton: str, year: int, month: int) -> str:
        return str(format_skeleton(skeleton, date(year, month, 1), locale=_cldr(self.code)))

    def _as_written(self, time: str) -> words.Text:
        """A day in this language's form; an instant as whoever asked wrote it."""
        return words.Text(self._day(date.fromisoformat(time)) if _DAY.match(time) else time)


@cache
def catalogue(code: str) -> Mapping[str, str]:
    """What is translated into a language; English is the ids themselves."""
    if code == "en":
        return {}
    with resources.files("opsd.reports").joinpath("locales", f"{code}.po").open("rb") as file:
        found = read_po(file, locale=STYLES[code].cldr, abort_invalid=True)
    return {str(one.id): str(one.string) for one in found if one.id and one.string and not one.fuzzy}


@cache
def _cldr(code: str) -> babel.Locale:
    return babel.Locale.parse(STYLES[code].cldr)


def _offset(local: datetime) -> str:
    shown = local.strftime("%z")
    away = "" if shown == "+0000" else f"{shown[:3]}:{shown[3:5]}".replace("-", MINUS)
    return f"UTC{away}"


def _rounded(value: Fraction) -> int:
    """To the nearest integer, halves away from zero, as spreadsheets do."""
    size = figures.nearest(abs(value.numerator), value.denominator)
    return -size if value < 0 else size
