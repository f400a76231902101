"""The period of a dossier, and what it is compared with: the period before, and the year by month.

Invariant: all of them are cut by the same civil calendar, and each is [start, end).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

from opsd.core.dossier import Past, Seconds, Span
from opsd.core.errors import BadText, Refused, WrongUsage
from opsd.core.period import Window, isoformat, months, parse_period, zone, zone_name
from opsd.core.plan import Plan, Segment
from opsd.pipeline.balance import Ledger
from opsd.pipeline.dossier_lines import ByAward
from opsd.pipeline.seconds import collect

_Key = tuple[str, str, str, str]  # month, cluster, award, outside


def span(text: str, zone_text: str, now: int) -> Span:
    """A period that has begun.

    Raises:
        WrongUsage: the text is no period, or an empty one, or there is no such zone.
        Refused: it is still to come.
    """
    try:
        tz = zone(zone_text)
    except BadText as err:
        raise WrongUsage(f"time zone: {err}") from err
    try:
        window = parse_period(text, tz)
    except BadText as err:
        raise WrongUsage(f"period: {err}") from err
    if not window.seconds:
        raise WrongUsage(f"period {text!r} is empty: put its end, which is not included, after its start")
    if window.start >= now:
        begins = isoformat(window.start, tz)
        raise Refused(f"period {text!r} begins at {begins}, which is still to come: choose an earlier one")
    return Span(text, window.start, window.end, zone_name(tz))


def before(span: Span) -> Span:
    """The month before a month, the quarter before a quarter, as long a time before any other."""
    tz = zone(span.zone)
    year, dash, part = span.text.partition("-")
    if ".." in span.text:
        start = span.start - (span.end - span.start)
        return Span(f"{isoformat(start, tz)}..{isoformat(span.start, tz)}", start, span.start, span.zone)
    if not dash:
        text = f"{int(year) - 1:04}"
    elif part[0] in "Qq":
        count = int(year) * 4 + int(part[1:]) - 2
        text = f"{count // 4:04}-Q{count % 4 + 1}"
    else:
        count = int(year) * 12 + int(part) - 2
        text = f"{count // 12:04}-{count % 12 + 1:02}"
    window = parse_period(text, tz)
    return Span(text, window.start, window.end, span.zone)


def year(span: Span, as_of: int) -> Window:
    """From the begin of the civil year, in which what is reported ends, up to there."""
    tz = zone(span.zone)
    first = datetime.fromtimestamp(as_of - 1, tz).year
    return Window(parse_period(f"{first:04}", tz).start, as_of)


def past(ledger: Ledger, year_so_far: Window, previous: Span) -> tuple[tuple[Past, ...], tuple[Past, ...]]:
    """Use of the previous period, and of the year by month; sorted, without zeroes. One pass for both."""
    how = (ledger.connection, _plan(year_so_far, previous), ByAward(ledger), ledger.names.counts)
    cells = collect(*how, counted=False)
    told: list[dict[_Key, Seconds]] = [defaultdict(Seconds), defaultdict(Seconds)]
    for cell, (_, cpu, node, gpu, mem_mb, billing) in cells.items():
        for period, sums in zip(cell.periods, told, strict=True):
            if period:
                cluster, award, outside = cell.labels
                key = (period, cluster, award, outside)
                sums[key] = sums[key].plus(Seconds(gpu, node, cpu, mem_mb, billing))
    return _told(told[0]), _told(told[1])


def _told(sums: Mapping[_Key, Seconds]) -> tuple[Past, ...]:
    return tuple(Past(*key, sums[key]) for key in sorted(sums) if any(sums[key]))


def _plan(year_so_far: Window, previous: Span) -> Plan:
    """Segments named by (the previous period, if they lie in it; the month of the year)."""
    named = [(part, label) for label, part in months(year_so_far, zone(previous.zone))]
    edges = sorted(
        {previous.start, previous.end, *(at for part, _ in named for at in (part.start, part.end))}
    )
    segments = []
    for start, end in pairwise(edges):
        month = next((label for part, label in named if part.start <= start < part.end), "")
        here = previous.text if previous.start <= start < previous.end else ""
        segments.append(Segment(start, end, (here, month)))
    return Plan(tuple(segments))
