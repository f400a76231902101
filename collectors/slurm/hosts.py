"""Host lists: `as01r[1-8]b[01-80],n5` to names and back.

Invariant: `expand(compress(names))` is the sorted set of names, and no text, however short, makes
more than `most` names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby, product
from math import prod

from opsd.core.errors import BadText

NO_HOSTS = frozenset({"", "None assigned", "(unknown)", "(null)"})
MOST_HOSTS = 100_000

_NAME = r"[^\s,\[\]|;\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_RANGES = r"\[\d{1,18}(?:-\d{1,18})?(?:,\d{1,18}(?:-\d{1,18})?)*\]"
_ITEM = rf"(?:{_NAME}|{_RANGES})+"
_LIST = re.compile(rf"{_ITEM}(?:,{_ITEM})*\Z", re.ASCII)
_ITEMS = re.compile(_ITEM, re.ASCII)
_PARTS = re.compile(rf"{_RANGES}|{_NAME}+", re.ASCII)
_LAST_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)\Z", re.ASCII | re.DOTALL)


def check(text: str, what: str = "host list") -> str:
    """The list as it stands (`None assigned` and its kin as the empty text), if it can be read."""
    if text in NO_HOSTS:
        return ""
    if not _LIST.match(text):
        raise BadText(f"{what} cannot be read", text)
    return text


def _span(text: str, most: int, whole: str) -> list[str]:
    low, dash, high = text.partition("-")
    if not dash:
        return [low]
    count = int(high) - int(low) + 1
    if count < 1:
        raise BadText("host range runs backwards", whole)
    if count > most:
        raise BadText(f"host list names more than {most} hosts", whole)
    return [f"{number:0{len(low)}}" for number in range(int(low), int(high) + 1)]


def _choices(part: str, most: int, whole: str) -> list[str]:
    if not part.startswith("["):
        return [part]
    return [name for span in part[1:-1].split(",") for name in _span(span, most, whole)]


def _item(text: str, most: int, whole: str) -> Iterator[str]:
    choices = [_choices(part, most, whole) for part in _PARTS.findall(text)]
    if prod(len(names) for names in choices) > most:
        raise BadText(f"host list names more than {most} hosts", whole)
    return ("".join(names) for names in product(*choices))


def expand(text: str, most: int = MOST_HOSTS) -> list[str]:
    """Every host name, in the order written; none for `None assigned`, `(unknown)` and empty."""
    names: list[str] = []
    for item in _ITEMS.findall(check(text)):
        names.extend(_item(item, most, text))
        if len(names) > most:
            raise BadText(f"host list names more than {most} hosts", text)
    return names


def _key(name: str) -> tuple[str, str, int, int]:
    """Hosts that may share a bracket stand together: same text around a number of the same width."""
    found = _LAST_NUMBER.match(name)
    if not found:
        return name, "", 0, -1
    head, digits, tail = found.groups()
    return head, tail, len(digits), int(digits)


def _runs(numbers: list[int], width: int) -> str:
    spans = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        spans.append(f"{run[0]:0{width}}" + (f"-{run[-1]:0{width}}" if len(run) > 1 else ""))
    return ",".join(spans)


def compress(names: Iterable[str]) -> str:
    """One bracket per common text, in sorted order: `c[1,4],n[01-08]`."""
    items = []
    keys = sorted({_key(name) for name in names})
    for (head, tail, width), group in groupby(keys, lambda key: key[:3]):
        numbers = [key[3] for key in group]
        if width == 0:
            items.append(head)
        elif len(numbers) == 1:
            items.append(f"{head}{numbers[0]:0{width}}{tail}")
        else:
            items.append(f"{head}[{_runs(numbers, width)}]{tail}")
    return ",".join(items)
