"""The dossier of a period, gathered from the stored runs, master data, journal and certificates.

Invariant: everything is read on one connection, so at one instant; the same truth gives the same dossier on
every database, and what happens after a period, and is not about it, changes nothing in its dossier.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from opsd import __version__
from opsd.core import canonical
from opsd.core.consortium import KINDS, Consortium
from opsd.core.dossier import Digests, Dossier, Line, Span
from opsd.core.period import Window
from opsd.pipeline import (
    dossier_balances,
    dossier_closed,
    dossier_lines,
    dossier_machine,
    dossier_quality,
    dossier_spans,
)
from opsd.pipeline.outlook import Reading
from opsd.store import parties
from opsd.store.engine import Connection

SMALLEST_GROUP = 5  # users; where the consortium does not say another
_NO_DIGESTS = Digests()
_NOT_FOR_READERS = ("person", "binding", "contact", "account_hint")  # kinds that name users or accounts


def run(
    connection: Connection,
    period: str,
    *,
    now: int,
    timezone: str | None = None,
    version: str = __version__,
    digests: Digests = _NO_DIGESTS,
) -> Dossier:
    """The dossier of a period, as now known.

    Args:
        connection: from `Store.read()`.
        period: `2026-10`, `2026-Q4`, `2026` or `A..B`.
        now: nothing after it counts; a period that is over is cut at its own end alone.
        timezone: whose months; without one the book zone.
        version: of the program.
        digests: of configuration and program, which the caller knows.
    """
    consortium = parties.load(connection)
    span = dossier_spans.span(period, timezone or consortium.book_zone or "UTC", now)
    return _gathered(connection, consortium, span, min(span.end, now), version, digests)


def _gathered(
    connection: Connection, consortium: Consortium, span: Span, as_of: int, version: str, digests: Digests
) -> Dossier:
    window = Window(span.start, as_of)
    reading, journal = Reading(connection, as_of), parties.journal(connection)
    ledger = reading.ledger
    used = dossier_lines.run(ledger, window)
    before = dossier_spans.before(span)
    previous, year = dossier_spans.past(ledger, dossier_spans.year(span, as_of), before)
    capacity, capacity_notes = dossier_machine.of_capacity(connection, window)
    history = dossier_closed.run(connection, span)
    until = dossier_balances.last_instant(span, as_of)
    found = Dossier(
        consortium=consortium.name,
        span=span,
        as_of=as_of,
        version=version,
        master=public(consortium),
        lines=used.lines,
        previous_span=before,
        previous=previous,
        year=year,
        balances=dossier_balances.run(connection, reading, span, journal, history.closings),
        entries=dossier_balances.entries(journal, span, as_of),
        granted=dossier_balances.ever_granted(journal, consortium, until),
        capacity=capacity,
        waited=dossier_machine.of_waiting(ledger, window),
        measured=dossier_machine.of_measuring(ledger, window),
        certificates=dossier_quality.of_certificates(connection, window),
        quality=dossier_quality.run(connection, window, used.unclassified, capacity_notes),
        closed=history.closed,
        entitled=history.entitled,
        digests=digests._replace(facts=digest_of_lines(used.lines), master=digest_of_master(consortium)),
        smallest_group=consortium.smallest_group or SMALLEST_GROUP,
        notes=() if capacity else ("no inventory of nodes was read: nothing is known of the capacity",),
    )
    return replace(found, concerns=dossier_quality.concerns(found))


def public(consortium: Consortium) -> Consortium:
    """Master data without what names a user, an account or somebody's address."""
    kinds = [kind for kind in KINDS if kind.table not in _NOT_FOR_READERS]
    items = (item for kind in kinds for item in consortium.items(kind))
    return Consortium.of(items, consortium.name, consortium.book_zone)


def digest_of_lines(lines: Iterable[Line]) -> str:
    """Of the use that a statement adds up, where no list of runs was kept."""
    return canonical.digest(canonical.text(tuple(lines)))


def digest_of_master(consortium: Consortium) -> str:
    """Of all master data, people and bindings included: they decide whose the use is."""
    texts = [[kind.table, canonical.plain(item)] for kind in KINDS for item in consortium.items(kind)]
    settings = [consortium.name, consortium.book_zone, consortium.second_person, consortium.smallest_group]
    return canonical.digest(canonical.dumped([settings, texts]))
