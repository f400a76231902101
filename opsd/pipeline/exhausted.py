"""Since when awards are over quota: the first second from which more is charged than is granted now.

Found by halving and more: the days of all these awards at once, from the day facts, until each is known
to one day; then its second, from the runs of that day.

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
from opsd.pipeline.seconds import pieces_of
from opsd.store import read
from opsd.store.read import Held

_MOST_PARTS, _SEGMENTS = 16, 320  # of one award, and of all of them


class _Span(NamedTuple):
    """Between these instants an award came to be over; `used` was charged by the first."""

    start: int
    end: int
    used: Fraction


def since(ledger: Ledger, over: Mapping[str, int]) -> dict[str, int]:
    """The instant of each award.

    Args:
        over: what is granted now, in micro-unit-seconds, to awards of which more is charged.
    """
    spans = {award: _life(ledger, award) for award in over}
    while edges := _edges(spans):
        spans = _narrowed(ledger, over, spans, edges)
    return {award: _second(ledger, award, over[award], span) for award, span in spans.items()}


def _life(ledger: Ledger, award: str) -> _Span:
    known = ledger.consortium.awards[award]
    end = ledger.as_of if known.end is None else min(known.end, ledger.as_of)
    return _Span(known.start, end, Fraction(0))


def _edges(spans: Mapping[str, _Span]) -> set[int]:
    """Midnights that cut the spans into some parts each; none once all lie inside a day."""
    parts = max(2, min(_MOST_PARTS, _SEGMENTS // max(1, len(spans))))
    edges: set[int] = set()
    for span in spans.values():
        first, last = span.start // DAY + 1, -(-span.end // DAY) - 1
        days = last - first + 1  # midnights strictly inside
        edges.update(DAY * (first + days * part // parts) for part in range(parts) if days > 0)
    return edges


def _narrowed(
    ledger: Ledger, over: Mapping[str, int], spans: Mapping[str, _Span], edges: set[int]
) -> dict[str, _Span]:
    ends = {instant for span in spans.values() for instant in (span.start, span.end)}
    cuts = [Segment(a, b, (str(b),)) for a, b in pairwise(sorted(edges | ends))]
    found, starts = charged(ledger, Plan(tuple(cuts))), [part.start for part in cuts]
    narrowed = {}
    for award, span in spans.items():
        used, charges = span.used, found.get(award, {})
        for part in cuts[bisect_left(starts, span.start) : bisect_left(starts, span.end)]:
            more = used + charges.get(part.end, Fraction(0))
            if micro(more) > over[award] or part.end == span.end:
                narrowed[award] = _Span(part.start, part.end, used)
                break
            used = more
    return narrowed


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
    """Of the accounts that ever drew on an award."""
    bound = {(one.cluster, one.account) for one in ledger.consortium.bindings if one.award == award}
    accounts = {number for number, account in ledger.names.accounts.items() if account in bound}
    for number in accounts:
        yield from read.runs_overlapping(ledger.connection, span.start, span.end, account=number)
    yield from (held for held in read.open_runs(ledger.connection) if held.account in accounts)
