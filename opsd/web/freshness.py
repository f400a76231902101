"""How old the data are, and what a careful reader should know about them, in words.

Invariant: an age is always said; where nothing was ever read, that is said instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from opsd.core.period import HOUR
from opsd.store.steps import DONE, RUNNING, Last
from opsd.web import words
from opsd.web.overview import Overview

_LATE_SECONDS = 600  # after its time at which a step counts as overdue
_STALE_SECONDS = 6 * HOUR
GOOD, WATCH, BAD = "good", "watch", "bad"  # styles of the mark before a fact


class Step(NamedTuple):
    """What a step of the daemon did last."""

    name: str
    when: str
    exact: str
    result: str
    mark: str


class Fact(NamedTuple):
    """Something about the data, with its detail."""

    name: str
    text: str
    exact: str = ""
    mark: str = GOOD


def facts(found: Overview) -> Iterator[Fact]:
    """What was read, how far, and what could not be."""
    for sweep in found.ages.sweeps:
        stale = found.now - sweep.covered_until > _STALE_SECONDS
        yield Fact(
            f"Cluster {sweep.cluster}",
            f"read up to {words.instant(sweep.covered_until, found.tz)}",
            words.ago(sweep.covered_until, found.now),
            mark=BAD if stale else GOOD,
        )
    if reading := found.ages.reading:
        text = f"as Slurm said on {words.instant(reading.observed_at, found.tz)}"
        yield Fact("Last reading", text, words.ago(reading.observed_at, found.now))
    waiting = found.ages.quarantined
    quarantine = words.count(waiting, "record") + " could not be read" if waiting else "no record"
    yield Fact("Quarantine", quarantine, mark=BAD if waiting else GOOD)
    if found.balances.unknown_limits:
        count = words.count(found.balances.unknown_limits, "open run")
        yield Fact(
            "Time limits", f"{count} without a known one: what is still committed is unknown", mark=WATCH
        )
    for reason in found.balances.unpriced:
        yield Fact("Not charged", reason, mark=WATCH)


def steps(found: Overview) -> tuple[Step, ...]:
    """The daemon's steps."""
    return tuple(_step(step, found) for step in found.ages.steps)


def _step(step: Last, found: Overview) -> Step:
    never = step.succeeded_at is None
    overdue = step.next_at is not None and found.now > step.next_at + _LATE_SECONDS
    result = {DONE: "done", RUNNING: "running"}.get(step.result, step.result)
    if step.failures:
        result = f"failed {words.count(step.failures, 'time')} in a row"
    if overdue:
        result += ", overdue"
    return Step(
        name=step.name,
        when="never" if never else words.ago(step.succeeded_at or 0, found.now),
        exact="" if never else words.instant(step.succeeded_at or 0, found.tz),
        result=result,
        mark=BAD if step.failures or overdue or (never and step.result != RUNNING) else GOOD,
    )


def headline(found: Overview) -> Fact:
    """The age of the data in one line."""
    until = found.ages.until
    if until is None:
        return Fact("Data", "No data yet", mark=WATCH)
    mark = GOOD if found.now - until <= _STALE_SECONDS else BAD
    return Fact("Data", f"Data up to {words.instant(until, found.tz)}", words.ago(until, found.now), mark)
