"""What a database needs now and then: forget idle readings, find runs late, refresh statistics.

Records of agents are looked at once more: their runs may have changed since. Never deleted: runs, their
versions, day facts, the journal, the quarantine, and every reading that a run traces back to.
"""

from __future__ import annotations

from dataclasses import dataclass

from opsd.core.period import DAY
from opsd.pipeline import fetch
from opsd.store import upkeep
from opsd.store.engine import Store

KEEP_DAYS = 30  # readings that found nothing are kept so long, for whoever looks into a bad night


@dataclass(frozen=True, slots=True)
class Result:
    """What was done."""

    readings_forgotten: int
    matched: int  # records of agents that found their run, or another
    log_emptied: bool


def run(store: Store, *, now: int) -> Result:
    """Tidy up; a second time changes nothing."""
    with store.read() as connection:
        idle = upkeep.idle_readings(connection, now - KEEP_DAYS * DAY)
    upkeep.forget(store, idle)
    return Result(len(idle), fetch.match(store, now=now), upkeep.tidy(store))
