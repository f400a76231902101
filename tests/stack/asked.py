"""What dashboards ask of Prometheus, and over how long a time.

Invariant: read from the built dashboards and rules themselves, so that it cannot differ from them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dashboards.recording import RECORDED, Recorded

_NAME = re.compile(r"\bopsd[_:][\w:]+")
_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800, "M": 2_592_000, "y": 31_536_000}


class Query(NamedTuple):
    """One query of one panel."""

    uid: str
    panel: int
    title: str
    ref: str
    expr: str
    is_range: bool
    seconds: int  # of the time range that is shown first


def queries(boards: Iterable[Mapping[str, Any]]) -> Iterator[Query]:
    """Every query of every panel, also of those in collapsed rows."""
    for board in boards:
        for panel in panels(board):
            seconds = reach(panel.get("timeFrom") or board["time"]["from"])
            for target in panel.get("targets", ()):
                is_range = bool(target.get("range")) or not target.get("instant")
                yield Query(
                    board["uid"], panel["id"], panel.get("title", ""), target.get("refId", ""),
                    target["expr"], is_range, seconds,
                )  # fmt: skip


def panels(board: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every panel of a dashboard."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels") or ()


def reach(text: str) -> int:
    """`now-24h` or `24h` in seconds.

    Raises:
        ValueError: it is neither.
    """
    found = re.fullmatch(r"(?:now-)?(\d+)([mhdwMy])", text)
    if not found:
        raise ValueError(f"{text!r} is no time such as now-24h")
    return int(found[1]) * _SECONDS[found[2]]


def names(texts: Iterable[str], rules: Sequence[Recorded] = RECORDED) -> set[str]:
    """The metrics and recorded series that these queries need, also by way of rules."""
    by_name = {rule.name: rule for rule in rules}
    found: set[str] = set()
    waiting = {name for text in texts for name in _NAME.findall(text)}
    while waiting:
        found |= waiting
        waiting = {
            name for one in waiting if one in by_name for name in _NAME.findall(by_name[one].expr)
        } - found
    return found


class Asked(NamedTuple):
    """Names by how long a past they need."""

    long: frozenset[str]  # drawn over time
    short: frozenset[str]  # asked for now alone, by tables and alerts


def asked(boards: Iterable[Mapping[str, Any]], alerts: Iterable[str]) -> Asked:
    """What dashboards draw over time, and what they and the alerts ask for besides."""
    every = list(queries(boards))
    long = names(it.expr for it in every if it.is_range)
    return Asked(frozenset(long), frozenset(names([*(it.expr for it in every), *alerts]) - long))
