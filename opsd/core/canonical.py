"""Values as text that is the same for equal values, and back: what digests are taken of.

Invariant: `read(type(value), text(value)) == value` for the values opsd freezes: dataclasses and named
tuples of whole numbers, texts, truths, fractions, decimals, money, tuples and mappings with text keys.
No float has a place in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from opsd.core.amounts import exact, exact_text
from opsd.core.errors import BadText


def text(value: object) -> str:
    """Canonical JSON: keys sorted, no blanks, characters as they are."""
    return dumped(plain(value))


def dumped(tree: object) -> str:
    """The canonical text of what `plain` gave."""
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(data: str | bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def plain(value: Any) -> Any:  # noqa: ANN401, PLR0911  # whatever a frozen value holds
    """What JSON can hold: dataclasses and named tuples as objects, exact numbers as texts."""
    match value:
        case None | bool() | int() | str():
            return value
        case Fraction():
            return exact_text(value)
        case Decimal():
            return f"{value:f}"
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case tuple() if hasattr(value, "_fields"):
            return {name: plain(getattr(value, name)) for name in value._fields}
        case tuple():
            return [plain(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        case _:
            raise TypeError(f"no canonical form for {type(value).__name__}")


def read(kind: Any, tree: Any) -> Any:  # noqa: ANN401  # any frozen type
    """The inverse of `plain` for a type; an absent field has its default.

    Raises:
        BadText: the tree does not hold such a value.
    """
    try:
        return _read(kind, tree)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        if isinstance(err, BadText):
            raise
        raise BadText(f"not a frozen {kind}", dumped(tree)[:200], "restore it from a backup") from err


@cache
def _hints(kind: Any) -> dict[str, Any]:  # noqa: ANN401  # a class
    return get_type_hints(kind)


def _read(kind: Any, tree: Any) -> Any:  # noqa: ANN401, PLR0911
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        if tree is None and NoneType in arguments:
            return None
        (inner,) = (one for one in arguments if one is not NoneType)
        return _read(inner, tree)
    if origin is tuple:
        return tuple(_read(arguments[0], item) for item in tree)
    if origin is not None and issubclass(origin, Mapping):
        return {key: _read(arguments[1], item) for key, item in tree.items()}
    if kind is Fraction:
        return exact(tree)
    if kind is Decimal:
        return Decimal(tree)
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = _hints(kind)
        return kind(**{name: _read(hints[name], item) for name, item in tree.items()})
    if not isinstance(tree, kind):
        raise TypeError(f"{tree!r} is no {kind.__name__}")
    return tree
