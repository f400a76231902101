"""Balances with what they burn and when they will be used up, by any key.

Invariant: whatever the key, the balances, burns and forecasts are of one reading of the books, and the
balances are those of `opsd.pipeline.balance.run`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

from opsd.core import forecast
from opsd.core.amounts import MICRO, exact_text
from opsd.core.forecast import Forecast, Standing
from opsd.core.period import DAY, isoformat
from opsd.pipeline import burn, exhausted
from opsd.pipeline.balance import Balances, Ledger, Line, check_key
from opsd.pipeline.burn import DAYS, NOTHING, Burn
from opsd.store import parties
from opsd.store.engine import Connection

AWARD = "award"
COLUMNS = (*(f"burn_{days}d" for days in DAYS), "forecast", "exhaustion")
KEPT_DAYS = 30  # so long after its end and grace it is still said since when an award was over quota


class Outlook(NamedTuple):
    """What one balance comes to."""

    burn: Burn
    elapsed: Fraction | None  # of its time; None: it has no end
    forecast: Forecast

    @property
    def week(self) -> int:
        """Burned within the last seven days."""
        return self.burn[DAYS.index(7)]

    def values(self) -> tuple[str, ...]:
        """The columns: exact decimals of unit-seconds, the forecast's state, and its time or nothing."""
        state, at = self.forecast
        burned = (exact_text(Fraction(micro, MICRO)) for micro in self.burn)
        return (*burned, state, "" if at is None else isoformat(at))


@dataclass(frozen=True, slots=True)
class Outlooks:
    """Balances by a key, and the outlook of each line by its key and unit."""

    balances: Balances
    by_line: Mapping[tuple[str, str], Outlook]

    def of(self, line: Line) -> Outlook:
        """The outlook of one of the lines."""
        return self.by_line[line.key, line.unit]


def run(connection: Connection, *, as_of: int, by: str = AWARD) -> Outlooks:
    """Balances at an instant and their outlook; the arguments of `opsd.pipeline.balance.run`."""
    by = check_key(by)
    return Reading(connection, as_of).by(by)


class Reading:
    """The books as of one instant, read once."""

    def __init__(self, connection: Connection, as_of: int) -> None:
        self.ledger = Ledger(connection, parties.load(connection), as_of)
        self.lines = self.ledger.lines()

    @cached_property
    def burns(self) -> dict[str, Burn]:
        """What each award burns; one that does not is left out."""
        return burn.run(self.ledger)

    @cached_property
    def over_since(self) -> dict[str, int]:
        """Since when awards are over quota; those whose end and grace are long past are left out."""
        ledger, awards = self.ledger, self.ledger.consortium.awards

        def matters(line: Line) -> bool:
            end = awards[line.key].end
            return end is None or ledger.as_of < end + (awards[line.key].grace_days + KEPT_DAYS) * DAY

        over = {line.key: line.granted for line in self.lines if line.over and matters(line)}
        return exhausted.since(ledger, over)

    def by(self, key: str) -> Outlooks:
        """Their balances by a key."""
        members: dict[tuple[str, str], list[Line]] = defaultdict(list)
        for line in self.lines:
            members[self.ledger.key_of(line.key, key), line.unit].append(line)
        outlooks = {where: self._outlook(lines, key) for where, lines in members.items()}
        return Outlooks(self.ledger.balances(self.lines, key), outlooks)

    def _outlook(self, lines: list[Line], key: str) -> Outlook:
        as_of, standings = self.ledger.as_of, [self._standing(line) for line in lines]
        burned = tuple(map(sum, zip(*(self._burn(line) for line in lines), strict=True)))
        expected = (
            forecast.of_award(standings[0], as_of) if key == AWARD else forecast.of_group(standings, as_of)
        )
        return Outlook(burned, forecast.elapsed(standings, as_of), expected)

    def _standing(self, line: Line) -> Standing:
        award = self.ledger.consortium.awards[line.key]
        burned = self._burn(line)[DAYS.index(7)]
        return Standing(line.granted, line.used, burned, award.start, award.end)

    def _burn(self, line: Line) -> Burn:
        return self.burns.get(line.key, NOTHING)
