"""How simulated jobs end: mostly well, sometimes in one of the ways that break accounting tools.

Invariant: a fate is drawn when the job is submitted (again when it is requeued), so the machine's
state decides only when things happen, never what.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from collectors.simulated.chance import pick

HELD_SECONDS = 14 * 3600


class Fate(NamedTuple):
    """What will happen: `seconds` on the machine, or in the queue if the job never starts."""

    state: str
    seconds: int
    suspended: int = 0
    again: bool = False
    never_starts: bool = False


ENDINGS = (
    ("COMPLETED", 0.870),
    ("FAILED", 0.045),
    ("TIMEOUT", 0.022),
    ("CANCELLED", 0.028),
    ("OUT_OF_MEMORY", 0.008),
    ("PREEMPTED", 0.005),
    ("REQUEUED", 0.004),
    ("FAILED AT ONCE", 0.006),
    ("GIVEN UP", 0.009),
    ("DEADLINE", 0.001),
    ("COMPLETED AT ONCE", 0.002),
)
CUT_SHORT = ("FAILED", "CANCELLED", "OUT_OF_MEMORY", "PREEMPTED", "REQUEUED")
QUEUED_AGAIN = ("PREEMPTED", "REQUEUED")


def fate(dice: Random, seconds: int) -> Fate:
    """The fate of a job that would need `seconds` to complete."""
    ending = pick(dice, ENDINGS)
    if ending in ("GIVEN UP", "DEADLINE"):
        state = "CANCELLED" if ending == "GIVEN UP" else ending
        return Fate(state, 60 + int(dice.random() * HELD_SECONDS), never_starts=True)
    if ending.endswith(" AT ONCE"):
        return Fate(ending.removesuffix(" AT ONCE"), 0)
    if ending in CUT_SHORT:
        return Fate(ending, int(seconds * dice.random()), again=ending in QUEUED_AGAIN)
    suspended = int(seconds * dice.random()) if dice.random() < 0.006 else 0
    return Fate(ending, seconds + suspended, suspended)
