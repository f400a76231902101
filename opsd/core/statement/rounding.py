"""Seconds as hundredths of hours: from the total down, each level adding up to the one above.

Invariant: what is shown of the members of a group adds up to what is shown of the group, and no member is
a hundredth or more off.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from opsd.core import figures
from opsd.core.period import HOUR

PER_HOUR = 100  # hours are shown in hundredths
SHOWN_SECONDS = HOUR // PER_HOUR

Path = Sequence[Hashable]  # from the top down
Amounts = Sequence[int]  # seconds of each resource


def apportioned(paths: Sequence[Path], seconds: Sequence[Amounts]) -> list[tuple[int, ...]]:
    """Hundredths of hours of each member, resource by resource; the total goes to the nearest.

    Args:
        paths: of each member, all of one length. Members on one path are apportioned beside each other.
        seconds: of each member.
    """
    shown: list[tuple[int, ...]] = [()] * len(paths)
    if paths:
        whole = tuple(figures.nearest(total, SHOWN_SECONDS) for total in _sums(seconds, range(len(paths))))
        _share(paths, seconds, range(len(paths)), 0, whole, shown)
    return shown


def _sums(seconds: Sequence[Amounts], members: Sequence[int]) -> list[int]:
    return [sum(column) for column in zip(*(seconds[at] for at in members), strict=True)]


def _share(
    paths: Sequence[Path],
    seconds: Sequence[Amounts],
    members: Sequence[int],
    depth: int,
    whole: tuple[int, ...],
    shown: list[tuple[int, ...]],
) -> None:
    if len(members) == 1:
        shown[members[0]] = whole
        return
    groups: dict[Hashable, list[int]] = {}
    for at in members:
        groups.setdefault(paths[at][depth] if depth < len(paths[at]) else at, []).append(at)
    if len(groups) == 1:
        _share(paths, seconds, members, depth + 1, whole, shown)
        return
    sums = [_sums(seconds, group) for group in groups.values()]
    columns = (
        figures.largest_remainder(column, SHOWN_SECONDS, total)
        for column, total in zip(zip(*sums, strict=True), whole, strict=True)
    )
    for group, part in zip(groups.values(), zip(*columns, strict=True), strict=True):
        _share(paths, seconds, group, depth + 1, part, shown)
