"""Which awards somebody should look at.

Invariant: the one answer, for a page, a workbook and whoever else lists them.
"""

from __future__ import annotations

from collections.abc import Iterable

from opsd.core.attribution import AFTER_END, BEFORE_START

_OK = "ok"  # the state of a balance in which nothing is the matter


def matters(state: str, outside: int) -> bool:
    """Whether an award is over quota, past a threshold, not wholly charged, or used outside its dates."""
    return state != _OK or outside > 0


def past(end: int | None, start: int, *, used: bool) -> bool:
    """Whether an award ended before a period and was not used in it: it was looked at in its time."""
    return end is not None and end <= start and not used


def used_awards(labels: Iterable[str]) -> frozenset[str]:
    """Awards of labels of use, whether inside their dates or, as in `after-end:A`, outside."""
    return frozenset(_award(label) for label in labels)


def _award(label: str) -> str:
    mark, colon, award = label.partition(":")
    return award if colon and mark in (AFTER_END, BEFORE_START) else label
