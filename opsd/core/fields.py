"""What one field of master data may hold.

Invariant: a check either returns nothing or raises `BadField` naming the field, the value and what
to write instead, so that a reader can point at the line.
"""

from __future__ import annotations

import re
from fractions import Fraction

from opsd.core.amounts import exact_text
from opsd.core.errors import BadText
from opsd.core.money import Money
from opsd.core.period import HOUR, isoformat

ALWAYS = 0  # `valid_from` of what has no known beginning; Slurm is younger than the epoch
MOST = 10**30
LATEST = 253_370_764_800  # the year 9999, whose end no calendar can print in every zone
RESERVED = ("unattributed", "after-end:", "before-start:")

# ISO 3166-1 alpha-2, officially assigned. EU is only reserved: the JU is a funder, not a country.
COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ
    BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM
    DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS
    GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN
    KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ
    MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM
    PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI
    VN VU WF WS YE YT ZA ZM ZW
    """.split()  # noqa: SIM905  # readable as a table
)


class BadField(BadText):
    """One field of a master-data entry holds what it must not."""

    def __init__(self, field: str, what: str, text: str, remedy: str = "") -> None:
        super().__init__(what, text, remedy)
        self.field = field


def name(field: str, text: str) -> None:
    """An identifier: printable, not empty, no blanks at its ends."""
    if not text or text != text.strip() or not text.isprintable():
        raise BadField(field, f"{field} is not a name", text, "write printable text without outer blanks")


def identity(field: str, text: str) -> None:
    """A name that people will see as a report key, so not one of the words reports use themselves."""
    name(field, text)
    if text == RESERVED[0] or text.startswith(RESERVED[1:]):
        raise BadField(field, f"{field} is a word reports reserve", text, "choose another")


def words(field: str, text: str) -> None:
    """Free text for people: may be empty, must stay on one line."""
    if not text.isprintable():
        raise BadField(field, f"{field} holds a line break or control character", text, "write one line")


def names(field: str, items: tuple[str, ...]) -> None:
    """A list of names without repeats; a comma would split one of them when stored."""
    for item in items:
        name(field, item)
        if "," in item:
            raise BadField(field, f"{field} holds a comma inside a name", item, "write a list of names")
    if len(set(items)) != len(items):
        raise BadField(field, f"{field} repeats a name", ",".join(items), "name each once")


def count(field: str, value: int | None) -> None:
    """A count, or None for one nobody knows yet."""
    if value is not None and not 0 <= value < 2**63:
        raise BadField(field, f"{field} is not a count", str(value), "write a whole number from 0 up")


def number(field: str, value: Fraction | None) -> None:
    """An exact number from 0 up, short enough to be written in a file, or None for none agreed."""
    if value is not None and not (0 <= value < MOST and value.denominator < MOST):
        raise BadField(
            field, f"{field} is below 0 or too long", exact_text(value), "write 0 or more, in 30 digits"
        )


def part(field: str, value: Fraction) -> None:
    """A part of a whole, 0 to 1."""
    if not 0 <= value <= 1 or value.denominator >= MOST:
        raise BadField(
            field, f"{field} is no part of a whole", exact_text(value), "write 0 to 1, such as 1/3"
        )


def money(field: str, value: Money | None) -> None:
    """An amount of money from 0 up, or None for one nobody knows."""
    if value is not None and value.micro < 0:
        raise BadField(field, f"{field} is below 0", value.text, "write what was agreed, or leave it out")


_SHA256 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


def sha256(field: str, text: str) -> None:
    """A SHA-256 in 64 small hexadecimal digits, or nothing."""
    if text and not _SHA256.match(text):
        raise BadField(field, f"{field} is no SHA-256", text, "write the 64 digits that sha256sum prints")


def choice(field: str, text: str, allowed: tuple[str, ...]) -> None:
    """One of a fixed list."""
    if text not in allowed:
        raise BadField(field, f"unknown {field}", text, f"write one of {', '.join(allowed)}")


def country(field: str, text: str) -> None:
    """An ISO 3166-1 alpha-2 code."""
    if text not in COUNTRIES:
        raise BadField(
            field, f"{field} is not an ISO 3166-1 country code", text, "write two capitals such as ES or TR"
        )


def instant(field: str, value: int | None) -> None:
    """Epoch seconds that a calendar can show, or None for an open end."""
    if value is not None and not ALWAYS <= value < LATEST:
        raise BadField(field, f"{field} is no time from 1970 to 9998", str(value), "write it as 2026-10-01")


def validity(valid_from: int, valid_until: int | None, field: str = "until") -> None:
    """A half-open validity; ending where it starts is allowed and means *never in force*."""
    instant("from", valid_from)
    instant(field, valid_until)
    if valid_until is not None and valid_until < valid_from:
        raise BadField(
            field,
            f"{field} is before its beginning ({isoformat(valid_from)})",
            isoformat(valid_until),
            "put the earlier time first",
        )


def whole_hour(field: str, value: int | None) -> None:
    """An instant on a whole UTC hour, where usage can be cut without splitting a second."""
    if value is not None and value % HOUR:
        raise BadField(field, f"{field} is not on a whole UTC hour", isoformat(value), "move it to the hour")


def in_force(valid_from: int, valid_until: int | None, at: int) -> bool:
    """Whether [from, until) contains `at`."""
    return valid_from <= at and (valid_until is None or at < valid_until)


def shared(a_from: int, a_until: int | None, b_from: int, b_until: int | None) -> bool:
    """Whether two validities have an instant in common."""
    starts = max(a_from, b_from)
    return all(until is None or starts < until for until in (a_until, b_until))
