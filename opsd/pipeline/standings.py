"""How awards stand: balances, since when over quota, whether use goes on after the days of grace.

Invariant: granted and used are those of `opsd.pipeline.balance` at the same instant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from opsd.core.attribution import BEFORE_START
from opsd.core.awards import Award, grace_end
from opsd.core.notices import Standing
from opsd.core.period import DAY
from opsd.core.plan import Plan, Segment
from opsd.pipeline import exhausted
from opsd.pipeline.balance import Label, Ledger, Line
from opsd.pipeline.outlook import AWARD, KEPT_DAYS, Reading
from opsd.pipeline.seconds import collect
from opsd.store.engine import Connection

LATELY_SECONDS = DAY  # use within it goes on


def run(
    connection: Connection, as_of: int, is_told: Callable[[Line], bool] = lambda _line: False
) -> dict[str, Standing]:
    """Every award's figures: those of `opsd balance` as of that instant.

    Args:
        is_told: of what is over quota, whether nobody needs to hear since when: to find that takes time.
    """
    reading = Reading(connection, as_of)
    ledger, outlooks, awards = reading.ledger, reading.by(AWARD), reading.ledger.consortium.awards
    asked = (line for line in reading.lines if line.over and not is_told(line))
    since = exhausted.since(ledger, dict(_recently(awards, asked, as_of)))
    found = {
        line.key: _standing(awards[line.key], line, since.get(line.key), outlooks.of(line).forecast.at, as_of)
        for line in reading.lines
    }
    going_on = _going_on(ledger, found)
    return {award: replace(it, goes_on=award in going_on) for award, it in found.items()}


def _recently(awards: Mapping[str, Award], lines: Iterable[Line], as_of: int) -> Iterator[tuple[str, int]]:
    for line in lines:
        award = awards[line.key]
        is_long_over = award.end is not None and as_of >= award.end + (award.grace_days + KEPT_DAYS) * DAY
        if not is_long_over:
            yield line.key, line.granted


def _standing(
    award: Award, line: Line, over_since: int | None, exhaustion: int | None, as_of: int
) -> Standing:
    known = over_since is not None or not line.over
    until = grace_end(award, as_of, over_since) if known or award.end is not None else None
    return Standing(
        award, line.granted, line.used, line.after_end, over_since, until, exhaustion,
        is_unpriced=line.unpriced,
    )  # fmt: skip


def _going_on(ledger: Ledger, standings: Mapping[str, Standing]) -> set[str]:
    """Awards of which something was charged lately, after their grace was over."""
    earliest = ledger.as_of - LATELY_SECONDS
    over = {
        award: max(it.grace_end, earliest)
        for award, it in standings.items()
        if it.grace_end is not None and it.grace_end < ledger.as_of
    }
    edges = sorted({*over.values(), ledger.as_of}) if over else []
    cuts = Plan(tuple(Segment(start, end, (str(start),)) for start, end in pairwise(edges)))
    going_on = set()
    cells = collect(ledger.connection, cuts, ledger.labeller, ledger.names.counts) if over else {}
    for cell, (_, run_seconds, suspended) in cells.items():
        label = Label(*cell.labels) if cell.labels else None
        if label is None or label.outside == BEFORE_START or label.award not in over:
            continue
        if int(cell.periods[0]) >= over[label.award] and ledger.charge(
            label, cell.shape, run_seconds, suspended
        ):
            going_on.add(label.award)
    return going_on
