"""When an award is used up if use goes on as it did in the last week, and how much of its time is over.

The rules, which docs/accounting.md says, too:

- *already*: something is charged, and nothing is left.
- *expected* at a time: what is left, divided by the burn of the last seven days. A whole week, so that
  neither a weekend nor a Monday fools it. An award younger than a week burns as it did since its start;
  one younger than a day tells nothing yet, and burns nothing.
- *none*: it burns nothing, it has not begun or is over, or what is left lasts beyond the horizon: the
  award's end, and never more than 365 days from now. Nobody can see further.
- Of several awards, those that are running count: what they have left and what they burn are added up, and
  the latest of their ends is the end. A group of one award says what that award says while it runs.

Invariant: whole numbers and fractions alone; a time is later than `as_of`, not beyond the horizon, rounded
up to a whole second, and never earlier for having more left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import NamedTuple

from opsd.core.period import DAY

NONE, EXPECTED, ALREADY = "none", "expected", "already"
WEEK = 7 * DAY
HORIZON = 365 * DAY


class Standing(NamedTuple):
    """An award as of an instant; amounts in one unit, whichever."""

    granted: int
    used: int
    burned: int  # of `used`: within the last seven days
    start: int
    end: int | None

    @property
    def left(self) -> int:
        """Granted minus charged."""
        return self.granted - self.used

    def is_running(self, as_of: int) -> bool:
        """Whether an instant lies in the award's time."""
        return self.start <= as_of and (self.end is None or as_of < self.end)

    def weekly(self, as_of: int) -> Fraction:
        """What it burns in a week, by its last one or by as much of it as it has lived."""
        age = as_of - self.start
        return Fraction(self.burned * WEEK, min(age, WEEK)) if age >= DAY else Fraction(0)


class Forecast(NamedTuple):
    """What is to be expected, and when."""

    state: str
    at: int | None = None  # of `expected` alone


def of_award(standing: Standing, as_of: int) -> Forecast:
    """When an award will be used up."""
    if standing.used > 0 and standing.left <= 0:
        return Forecast(ALREADY)
    return of_group([standing], as_of)


def of_group(standings: Iterable[Standing], as_of: int) -> Forecast:
    """When awards of one unit will be used up together."""
    running = [one for one in standings if one.is_running(as_of)]
    left = sum(one.left for one in running)
    if left <= 0:
        return Forecast(ALREADY if any(one.used > 0 for one in running) else NONE)
    weekly = sum((one.weekly(as_of) for one in running), start=Fraction(0))
    if weekly <= 0:
        return Forecast(NONE)
    at = as_of + -(-left * WEEK // weekly)
    return Forecast(EXPECTED, at) if at <= _horizon(running, as_of) else Forecast(NONE)


def _horizon(running: Sequence[Standing], as_of: int) -> int:
    ends = [one.end for one in running if one.end is not None]
    farthest = as_of + HORIZON
    return min(max(ends), farthest) if len(ends) == len(running) else farthest


def elapsed(standings: Sequence[Standing], as_of: int) -> Fraction | None:
    """The share of their time that is over, 0 to 1; None where one with a grant has no end.

    Of several awards it is weighted by their grants: what would be used if all were used evenly.
    """
    shares = [(one.granted, _elapsed(one, as_of)) for one in standings]
    if len(shares) > 1:
        shares = [(granted, share) for granted, share in shares if granted > 0]
    known = [(granted, share) for granted, share in shares if share is not None]
    if not known or len(known) < len(shares):
        return None
    if len(known) == 1:
        return known[0][1]
    whole = sum(granted for granted, _ in known)
    return sum((granted * share for granted, share in known), start=Fraction(0)) / whole


def _elapsed(standing: Standing, as_of: int) -> Fraction | None:
    if standing.end is None:
        return None
    gone = min(max(as_of, standing.start), standing.end) - standing.start
    return Fraction(gone, standing.end - standing.start)
