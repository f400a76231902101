"""Master data as the text of a consortium file.

Invariant: `read(write(c)) == c`, and equal content is written as equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any

from collectors.consortium import layout
from opsd.core.amounts import exact_text
from opsd.core.consortium import KINDS, Consortium, Item
from opsd.core.errors import BadText
from opsd.core.money import Money
from opsd.core.period import parse_time, zone
from opsd.core.terms import Params


def write(consortium: Consortium) -> str:
    """A whole file, every entry by its key; what equals a default is left out."""
    book_zone = consortium.book_zone or "UTC"
    tz = zone(book_zone)
    head = [f"[{layout.CONSORTIUM}]", f"book_zone = {_quoted(book_zone)}"]
    if consortium.name:
        head.insert(1, f"name = {_quoted(consortium.name)}")
    settings = (("second_person", consortium.second_person), ("smallest_group", consortium.smallest_group))
    head += [f"{key} = {_value(value)}" for key, value in settings if value is not None]
    blocks = ["\n".join(head)]
    for kind in KINDS:
        blocks += ["\n".join([f"[[{kind.table}]]", *_rows(item, tz)]) for item in consortium.items(kind)]
    return "\n\n".join(blocks) + "\n"


def _rows(item: Item, tz: tzinfo) -> Iterator[str]:
    for field in fields(item):
        value = getattr(item, field.name)
        if field.name == "params":
            yield from _rows_of_params(Params.from_text(value), tz)
        elif value is not None and (field.default is MISSING or value != field.default):
            yield f"{layout.TO_KEY.get(field.name, field.name)} = {field_text(field.name, value, tz)}"


def _rows_of_params(params: Params, _tz: tzinfo) -> Iterator[str]:
    for field in fields(params):
        value = getattr(params, field.name)
        if value != field.default:
            yield f"{field.name} = {_weights(value) if field.name == 'weights' else _value(value)}"


def field_text(field: str, value: Any, tz: tzinfo) -> str:  # noqa: ANN401  # whatever a field holds
    """One field's value as it would stand in a file."""
    return _time(value, tz) if field in layout.TIMES else _value(value)


def _weights(pairs: tuple[tuple[str, Fraction], ...]) -> str:
    inside = ", ".join(f"{_quoted(name)} = {_value(weight)}" for name, weight in pairs)
    return f"{{ {inside} }}"


def _value(value: Any) -> str:  # noqa: ANN401, PLR0911  # whatever a field may hold
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case Fraction():
            return str(value) if value.denominator == 1 else f'"{exact_text(value)}"'
        case Decimal():
            return f'"{value:f}"'
        case Money():
            return _quoted(value.text)
        case tuple():
            return f"[{', '.join(_value(part) for part in value)}]"
        case _:
            return _quoted(str(value))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _time(epoch: int, tz: tzinfo) -> str:
    """A bare date where it is a midnight of the book zone, else with its offset."""
    local = datetime.fromtimestamp(epoch, tz)
    day = local.date().isoformat()
    try:
        if parse_time(day, tz) == epoch:
            return day
    except BadText:
        pass  # a midnight that the clocks skip or repeat
    offset = local.utcoffset() or timedelta(0)
    whole_minutes = offset % timedelta(minutes=1) == timedelta(0)
    return (local if whole_minutes else datetime.fromtimestamp(epoch, UTC)).isoformat()
