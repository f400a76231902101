"""Helping a person who mistyped a name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], more: str = "") -> str:
    """`; did you mean 'x'?`, or nothing when nothing is near; then `more`, such as all names there are."""
    found = get_close_matches(name, list(known), n=1, cutoff=0.6)
    if found:
        return f"; did you mean {found[0]!r}? {more}".rstrip()
    return f"; {more}" if more else ""
