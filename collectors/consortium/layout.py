"""Which tables and keys a consortium file has, and how a value of each is read.

Invariant: the layout follows the fields of `opsd.core`'s values, so a new field is a new key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any, get_type_hints

from opsd.core.amounts import exact
from opsd.core.consortium import BY_TABLE, KINDS, Kind
from opsd.core.errors import BadText
from opsd.core.money import Money
from opsd.core.period import parse_time
from opsd.core.terms import Params

CONSORTIUM = "consortium"
TIMES = frozenset({"valid_from", "valid_until", "start", "end", "report_due", "agreed_on", "granted_on"})
TO_KEY = {"valid_from": "from", "valid_until": "until"}
TO_FIELD = {key: field for field, key in TO_KEY.items()}
MOST_DIGITS = 30

Read = Callable[[Any, tzinfo], Any]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a table: the field it fills and how."""

    name: str
    field: str
    read: Read
    required: bool = False
    may_be_none: bool = False


def table_names() -> tuple[str, ...]:
    """Every table a file may have."""
    return (CONSORTIUM, *BY_TABLE)


@cache
def keys_of(kind: Kind) -> tuple[Key, ...]:
    """The keys of a table, in the order they are written."""
    hints = get_type_hints(kind.values)
    keys: list[Key] = []
    for field in fields(kind.values):
        if field.name == "params":
            keys += params_keys()
            continue
        read = time if field.name in TIMES else READERS[hints[field.name]]
        may_be_none = type(None) in _choices(hints[field.name])
        required = field.default is MISSING and not may_be_none
        name = TO_KEY.get(field.name, field.name)
        keys.append(Key(name, field.name, read, required=required, may_be_none=may_be_none))
    return tuple(keys)


def params_keys() -> tuple[Key, ...]:
    """The parameters of a policy stand among its other keys."""
    hints = get_type_hints(Params)
    return tuple(
        Key(field.name, field.name, weights if field.name == "weights" else READERS[hints[field.name]])
        for field in fields(Params)
    )


def _choices(hint: object) -> tuple[object, ...]:
    return getattr(hint, "__args__", ())


def text(value: object, _zone: tzinfo) -> str:
    """A quoted text."""
    if not isinstance(value, str):
        raise BadText("not a text", shown(value), 'put it in quotes, "like this"')
    return value


def whole(value: object, _zone: tzinfo) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadText("not a whole number", shown(value), "write digits only, without quotes")
    return value


def truth(value: object, _zone: tzinfo) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise BadText("neither true nor false", shown(value), "write true or false, without quotes")
    return value


def number(value: object, _zone: tzinfo) -> Fraction:
    """An exact number, bare or quoted."""
    if isinstance(value, Decimal) and value.is_finite() and -MOST_DIGITS <= value.adjusted() <= MOST_DIGITS:
        return Fraction(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return exact(str(value))
    return exact(value if isinstance(value, str) else shown(value))


def money(value: object, zone: tzinfo) -> Decimal:
    """A decimal number; a ratio has no place in an amount of money."""
    found = number(value, zone)
    if isinstance(value, str):
        if "/" in value:
            raise BadText("not an amount of money", value, "write a decimal such as 61.76")
        return Decimal(value)
    return value if isinstance(value, Decimal) else Decimal(found.numerator)


def amount(value: object, zone: tzinfo) -> Money:
    """An amount of money with its currency, in quotes."""
    return Money.parse(text(value, zone))


def time(value: object, zone: tzinfo) -> int:
    """A date, a date and time, or either in quotes."""
    if isinstance(value, datetime | date):
        return parse_time(value.isoformat(), zone)
    if not isinstance(value, str):
        raise BadText("not a time", shown(value), "write 2026-10-01 or 2026-10-01T08:00:00+02:00")
    return parse_time(value, zone)


def texts(value: object, zone: tzinfo) -> tuple[str, ...]:
    """A list of quoted texts."""
    if not isinstance(value, list):
        raise BadText("not a list", shown(value), 'write ["one", "two"]')
    return tuple(text(item, zone) for item in value)


def wholes(value: object, zone: tzinfo) -> tuple[int, ...]:
    """A list of whole numbers."""
    if not isinstance(value, list):
        raise BadText("not a list", shown(value), "write [80, 95, 100]")
    return tuple(whole(item, zone) for item in value)


def weights(value: object, zone: tzinfo) -> tuple[tuple[str, Fraction], ...]:
    """A table of exact numbers by class."""
    if not isinstance(value, dict):
        raise BadText("not a table of weights", shown(value), 'write { h100 = "1", upgrade = "1.5" }')
    return tuple(sorted((name, number(weight, zone)) for name, weight in value.items()))


def shown(value: object) -> str:
    """A value as its author wrote it, roughly."""
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date) else str(value)


READERS: dict[Any, Read] = {
    str: text,
    str | None: text,
    int: whole,
    int | None: whole,
    bool: truth,
    Fraction: number,
    Fraction | None: number,
    Decimal | None: money,
    Money: amount,
    Money | None: amount,
    tuple[str, ...]: texts,
    tuple[int, ...]: wholes,
}

CONSORTIUM_KEYS: dict[str, Read] = {
    "name": text, "book_zone": text, "second_person": texts, "smallest_group": whole,
}  # fmt: skip

FILE_KEYS: dict[str, tuple[str, ...]] = {
    CONSORTIUM: tuple(CONSORTIUM_KEYS),
    **{kind.table: tuple(key.name for key in keys_of(kind)) for kind in KINDS},
}
