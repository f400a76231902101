"""Names of sheets, as Excel allows them.

Invariant: no two are the same, in capitals or not; none is longer than 31 characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 31
_FORBIDDEN = re.compile(r"[\[\]:*?/\\\x00-\x1f]")


def sheet_names(titles: Iterable[str]) -> list[str]:
    """A name for each title, cut between words where it can be."""
    names: list[str] = []
    taken = {"history"}  # Excel's own
    for title in titles:
        names.append(_free(_FORBIDDEN.sub(" ", title).strip(" '") or "-", taken))
        taken.add(names[-1].casefold())
    return names


def _free(title: str, taken: set[str]) -> str:
    name, number = _cut(title, LONGEST), 1
    while name.casefold() in taken:
        number += 1
        mark = f" {number}"
        name = _cut(title, LONGEST - len(mark)) + mark
    return name


def _cut(title: str, most: int) -> str:
    if len(title) <= most:
        return title
    head, blank, _ = title[: most - 1].rpartition(" ")
    kept = head if blank and len(head) > most // 2 else title[: most - 2]
    return kept.rstrip(" ,;–-'") + "…"  # noqa: RUF001  # the dash of titles
