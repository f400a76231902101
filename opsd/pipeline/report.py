"""Which statement a reader gets: of a closed month as it was reported, else what is now known.

Invariant: what was reported is read from what a close froze, and from nothing else.
"""

from __future__ import annotations

from opsd.core import canonical
from opsd.core.dossier import Digests
from opsd.core.errors import Refused, StoreError, WrongUsage
from opsd.core.names import nearest
from opsd.core.statement.build import KNOWN, REPORTED, Statement, build
from opsd.core.statement.view import parse_scope
from opsd.pipeline import dossier, editions
from opsd.store import editions as kept
from opsd.store import parties
from opsd.store.editions import Edition
from opsd.store.engine import Connection

STANDINGS = (REPORTED, KNOWN)


def run(
    connection: Connection,
    period: str,
    *,
    now: int,
    timezone: str | None = None,
    scope: str = "",
    standing: str | None = None,
    edition: int | None = None,
    digests: Digests | None = None,
) -> Statement:
    """The statement of a period.

    Args:
        connection: from `Store.read()`.
        period: `2026-10`, `2026-Q4`, `2026` or `A..B`.
        now: nothing after it counts.
        timezone: whose months; without one the book zone.
        scope: `country:PT` and the like; empty for everything.
        standing: one of STANDINGS; without one as reported where it is closed, else as now known.
        edition: which one of a closed month; without one the last.
        digests: of configuration and program, for what is not frozen yet.
    """
    parse_scope(scope)
    if standing is not None and standing not in STANDINGS:
        there = f"there are {' '.join(STANDINGS)}"
        raise WrongUsage(f"as {standing!r}: no such standing" + nearest(standing, STANDINGS, there))
    if standing == KNOWN and edition is not None:
        raise WrongUsage("an edition says what was reported: leave it out, or ask for it as reported")
    closed = _closed(connection, period, timezone, edition)
    if standing is None:
        standing = REPORTED if closed or edition is not None else KNOWN
    if standing == KNOWN:
        known = dossier.run(connection, period, now=now, timezone=timezone, digests=digests or Digests())
        return build(known, scope, KNOWN)
    if closed is None:
        raise Refused(_not_closed(connection, period, timezone, edition))
    reported = editions.reported(connection, closed.period, closed.number)
    assert reported is not None
    return build(reported, scope, REPORTED)


def frozen(connection: Connection, statement: Statement, name: str) -> bytes | None:
    """The file of that name that was frozen with the edition; None: this statement is not what was frozen.

    Raises:
        StoreError: it is not what was frozen any more.
    """
    closing = statement.dossier.closing
    if statement.standing != REPORTED or statement.scope or closing is None:
        return None
    edition = kept.find(connection, statement.dossier.span.text, closing.edition)
    found = kept.kept_file(connection, edition, name) if edition else None
    if found is None:
        return None
    if canonical.digest(found.content) != found.sha256:
        raise StoreError(f"{name}: the frozen file was changed: opsd period verify says more")
    return found.content


def _closed(connection: Connection, period: str, timezone: str | None, edition: int | None) -> Edition | None:
    """The edition asked for; months of another zone than the book's were never closed."""
    found = kept.find(connection, period, edition)
    return found if found and timezone in (None, found.zone) else None


def _not_closed(connection: Connection, period: str, timezone: str | None, edition: int | None) -> str:
    """Why there is nothing that was reported."""
    there = [one for one in kept.every(connection) if one.period == period]
    zone = parties.load(connection).book_zone or "UTC"
    if there and timezone not in (None, zone):
        return f"{period} was closed in {zone}: leave the time zone out, or ask for it as {KNOWN}"
    if there:
        numbers = ", ".join(str(one.number) for one in there)
        return f"{period} has no edition {edition}: there are {numbers}"
    return (
        f"{period} is not closed, so nothing was reported: ask for it as {KNOWN}, or close it with opsd "
        "period close; only months are closed"
    )
