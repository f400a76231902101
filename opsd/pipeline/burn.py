"""What awards burn: charged within the last 1, 7 and 30 days.

Invariant: what is burned in a window is what is used at its end less what was used at its begin, as
`opsd.pipeline.balance` says both with today's knowledge, up to that one rounding of each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from itertools import accumulate, pairwise

from opsd.core.period import DAY
from opsd.core.plan import Plan, Segment
from opsd.pipeline.balance import Label, Ledger, micro
from opsd.pipeline.seconds import Sums, collect

DAYS = (1, 7, 30)
Burn = tuple[int, ...]  # micro-unit-seconds, one for each of DAYS
NOTHING: Burn = (0,) * len(DAYS)


def run(ledger: Ledger) -> dict[str, Burn]:
    """By award; one that burned nothing in all that time is left out."""
    edges = [ledger.as_of, *(ledger.as_of - days * DAY for days in DAYS)]
    parts = [Segment(start, end, (str(end),)) for end, start in pairwise(edges)]  # the latest first
    how = (ledger.connection, Plan(tuple(reversed(parts))), ledger.labeller, ledger.names.counts)
    found = charged(ledger, collect(*how, counted=False))
    return {
        award: tuple(map(micro, accumulate(charges.get(part.end, Fraction(0)) for part in parts)))
        for award, charges in found.items()
    }


def charged(ledger: Ledger, cells: Sums) -> Mapping[str, Mapping[int, Fraction]]:
    """Exact unit-seconds inside the awards' lives, by award and by the end of a segment.

    Args:
        cells: of a plan of segments whose one period is their end.
    """
    found: dict[str, dict[int, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    for cell, (_, run_seconds, suspended) in cells.items():
        label = Label(*cell.labels) if cell.labels else None
        if label is not None and not label.outside:
            seconds = run_seconds, suspended
            found[label.award][int(cell.periods[0])] += ledger.charge(label, cell.shape, *seconds)
    return found
