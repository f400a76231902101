"""Since when awards are over quota: the first second from which more is charged than is granted now.

First its day is found, from the day facts of the accounts that draw on such awards; then the second, from
the runs of that day.

Invariant: as of that instant the balance, with today's grant, is over; as of a second before, it is not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from datetime import UTC
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from opsd.core import plan
from opsd.core.period import DAY, Window
from opsd.core.plan import Plan, Segment
from opsd.core.rules import Rates, Unpriced
from opsd.core.usage import cut
from opsd.pipeline.balance import Label, Ledger, micro
from opsd.pipeline.burn import charged
from opsd.pipeline.seconds import collect_of, pieces_of
from opsd.store import read
from opsd.store.read import Held


class _Span(NamedTuple):
    """Inside it an award came to be over; `used` was charged by its start."""

    start: int
    end: int
    used: Fraction


def since(ledger: Ledger, over: Mapping[str, int]) -> dict[str, int]:
    """The instant of each award.

    Args:
        over: what is granted now, in micro-unit-seconds, to awards of which more is charged.
    """
    lives = {award: _life(ledger, award) for award in over}
    edges = sorted(
        {instant for life in lives.values() for instant in (life.start, life.end, *_midnights(life))}
    )
    days = [Segment(start, end, (str(end),)) for start, end in pairwise(edges)]
    accounts = frozenset(number for award in over for number in _accounts(ledger, award))
    how = (ledger.connection, Plan(tuple(days)), ledger.labeller, ledger.names.counts)
    found = charged(ledger, collect_of(*how, accounts))
    return {
        award: _second(ledger, award, over[award], _day(days, life, found.get(award, {}), over[award]))
        for award, life in lives.items()
    }


def _life(ledger: Ledger, award: str) -> Window:
    known = ledger.consortium.awards[award]
    end = ledger.as_of if known.end is None else min(known.end, ledger.as_of)
    return Window(known.start, end)


def _midnights(life: Window) -> range:
    return range((life.start // DAY + 1) * DAY, life.end, DAY)


def _day(days: list[Segment], life: Window, charges: Mapping[int, Fraction], granted: int) -> _Span:
    """The day, or the part of it, in which the award came to be over."""
    used = Fraction(0)
    for day in days:
        if life.start <= day.start < life.end:
            more = used + charges.get(day.end, Fraction(0))
            if micro(more) > granted:
                return _Span(day.start, day.end, used)
            used = more
    raise AssertionError(f"charged {used} within {life}, which is not over {granted}")


def _second(ledger: Ledger, award: str, granted: int, span: _Span) -> int:
    parts = list(_charging(ledger, award, span))

    def is_over(at: int) -> bool:
        return micro(span.used + sum(part.until(at) for part in parts)) > granted

    instants = range(span.start, span.end + 1)
    return instants[bisect_left(instants, True, key=is_over)]


class _Charging(NamedTuple):
    """A part of a run that is charged to the award at one price."""

    held: Held
    start: int
    end: int
    rates: Rates

    def until(self, at: int) -> Fraction:
        held = self.held
        run, off = cut(held.begin, held.finish, held.suspended, self.start, min(at, self.end))
        return self.rates.run * run + self.rates.suspended * off


def _charging(ledger: Ledger, award: str, span: _Span) -> Iterator[_Charging]:
    cuts = plan.make(Window(span.start, span.end), (), UTC)
    runs = _runs(ledger, award, span)
    how = (ledger.connection, cuts, ledger.labeller, ledger.names.counts)
    for held, cell, start, end in pieces_of(*how, runs):
        label = Label(*cell.labels) if cell.labels else None
        if label is None or label.outside or label.award != award:
            continue
        rates = ledger.rates(label, cell.shape)
        if not isinstance(rates, Unpriced):
            yield _Charging(held, start, end, rates)


def _runs(ledger: Ledger, award: str, span: _Span) -> Iterator[Held]:
    accounts = _accounts(ledger, award)
    for number in accounts:
        yield from read.runs_overlapping(ledger.connection, span.start, span.end, account=number)
    yield from (held for held in read.open_runs(ledger.connection) if held.account in accounts)


def _accounts(ledger: Ledger, award: str) -> frozenset[int]:
    """Those that ever drew on an award."""
    bound = {(one.cluster, one.account) for one in ledger.consortium.bindings if one.award == award}
    return frozenset(number for number, account in ledger.names.accounts.items() if account in bound)
