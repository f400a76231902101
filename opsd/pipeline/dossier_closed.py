"""What closed months say to the dossier of a later or longer period.

Invariant: it is read from what was frozen; only the use as now known, which stands beside it, is
counted anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from opsd.core import entitlement
from opsd.core.dossier import ClosedMonth, Entitled, Seconds, Span
from opsd.core.period import Window
from opsd.pipeline import editions, usage
from opsd.pipeline.editions import FIRST
from opsd.store import editions as kept
from opsd.store.engine import Connection


class History(NamedTuple):
    """Closed months inside a period, and before it."""

    closed: tuple[ClosedMonth, ...]  # that the period holds whole
    closings: Mapping[str, int]  # by award: what was left at the end of the month before, as reported
    entitled: tuple[Entitled, ...]  # of every closed month before, as far back as there are


def run(connection: Connection, span: Span) -> History:
    """What is known of closed months."""

    def known(_month: str, window: Window) -> Seconds:
        total = usage.run(connection, window).total
        return Seconds(
            total.gpu_seconds,
            total.node_seconds,
            total.cpu_seconds,
            total.mem_mb_seconds,
            total.billing_seconds,
        )

    return History(
        editions.closed(connection, span.window, known),
        editions.reported_closing(connection, span.start),
        _entitled(connection, span.start),
    )


def _entitled(connection: Connection, until: int) -> tuple[Entitled, ...]:
    """Of the last closed month before, which itself knows of those before it."""
    firsts = [one for one in kept.every(connection) if one.number == FIRST and one.end <= until]
    if not firsts:
        return ()
    last = max(firsts, key=lambda one: one.end)
    found = editions.reported(connection, last.period, FIRST)
    return tuple(sorted((*found.entitled, *entitlement.entitled(found)))) if found else ()
