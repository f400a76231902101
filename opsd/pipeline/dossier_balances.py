"""Awards over a period: opening and closing, what was granted and charged in it, and what comes next.

A period is half-open, so an entry in effect at the instant it ends belongs to the next one. Invariant:
opening + granted in it - charged in it = closing, and but for such entries the closing is what
`opsd.pipeline.balance` says as of the end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from opsd.core.consortium import Consortium
from opsd.core.dossier import Balance, Granted, Span
from opsd.core.journal import GRANT, GRANTING, Entry, granted
from opsd.pipeline.balance import Ledger, Line
from opsd.pipeline.outlook import Outlook, Reading
from opsd.store.engine import Connection


def last_instant(span: Span, as_of: int) -> int:
    """The last instant at which an entry may take effect inside a period."""
    return as_of if as_of < span.end else span.end - 1


def run(
    connection: Connection,
    reading: Reading,
    span: Span,
    journal: Sequence[Entry],
    reported: Mapping[str, int],
) -> tuple[Balance, ...]:
    """Every award, by its id.

    Args:
        reading: the books at the end of what is reported.
        reported: the closing of the month before, by award, where that is closed.
    """
    ledger = reading.ledger
    until = last_instant(span, ledger.as_of)
    inside = [entry for entry in journal if entry.kind in GRANTING and span.start <= entry.at <= until]
    opening = _standing(Ledger(connection, ledger.consortium, span.start), journal, span.start - 1)
    closing = granted(journal, until)
    reading.lines = [replace(line, granted=closing.get(line.key, 0)) for line in reading.lines]
    outlooks, by_award = reading.by("award"), _by_award(inside)
    return tuple(
        _balance(line, opening[line.key], by_award.get(line.key, {}), reading, outlooks.of(line), reported)
        for line in reading.lines
    )


def _standing(ledger: Ledger, journal: Sequence[Entry], until: int) -> dict[str, Line]:
    """The awards' lines with what was granted up to an instant, it included."""
    grants = granted(journal, until)
    return {line.key: replace(line, granted=grants.get(line.key, 0)) for line in ledger.lines()}


def _by_award(entries: Iterable[Entry]) -> dict[str, dict[str, int]]:
    sums: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        sums[entry.award][entry.kind] += entry.amount
    return {award: dict(sorted(kinds.items())) for award, kinds in sums.items()}


def _balance(
    line: Line,
    before: Line,
    inside: Mapping[str, int],
    reading: Reading,
    outlook: Outlook,
    reported: Mapping[str, int],
) -> Balance:
    reasons = (reason for reason in reading.ledger.reasons if reason.startswith(f"award {line.key}: "))
    return Balance(
        award=line.key,
        opening=before.left,
        granted=inside,
        granted_total=line.granted,
        charged=line.used - before.used,
        settled=line.settled,
        accrued=line.accrued,
        committed=line.committed,
        after_end=line.after_end,
        burned=outlook.burn,
        state=line.state,
        forecast=outlook.forecast.state,
        exhausted_at=outlook.forecast.at,
        over_since=reading.over_since.get(line.key),
        reported_closing=reported.get(line.key),
        unpriced=tuple(sorted(reasons)),
    )


def ever_granted(journal: Iterable[Entry], known: Consortium, until: int) -> tuple[Granted, ...]:
    """Everything granted up to an instant, by award and time."""
    granting = (entry for entry in journal if entry.kind in GRANTING)
    found = (Granted(one.award, _granted_at(one, known), one.kind, one.amount) for one in granting)
    return tuple(sorted(one for one in found if one.at <= until))


def _granted_at(entry: Entry, known: Consortium) -> int:
    """Of a grant the day of the legal right to it, where the award tells that."""
    award = known.awards.get(entry.award)
    legal = award.granted_on if award and entry.kind == GRANT else None
    return entry.at if legal is None else legal


def entries(journal: Iterable[Entry], span: Span, as_of: int) -> tuple[Entry, ...]:
    """Entries in effect or posted inside a period, in the order in which they were posted."""
    until = last_instant(span, as_of)
    return tuple(
        entry for entry in journal if span.start <= entry.at <= until or span.start <= entry.posted <= until
    )
