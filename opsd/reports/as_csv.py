"""A statement's usage as one flat table: CSV after RFC 4180, UTF-8, decimal dots.

Invariant: lines whose level is `project` or `unattributed` add up to the line `total`, in every column.
"""

from __future__ import annotations

import csv
import io

from opsd import reports
from opsd.core.statement import Statement, UsageRow

COLUMNS = (
    "period", "timezone", "from", "to", "as_of", "scope", "level", "pool", "funder", "pays", "country",
    "organisation", "project", "outside_award", "name", "gpu_seconds", "node_seconds", "cpu_seconds",
    "gpu_hours", "node_hours", "cpu_hours",
)  # fmt: skip


def render(statement: Statement) -> bytes:
    """A header and one line per row of the usage tree."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    span = statement.span
    whole = (
        span.text,
        span.zone,
        reports.utc(span.window.start),
        reports.utc(span.window.end),
        reports.utc(statement.as_of),
        statement.scope.text if statement.scope else "",
    )
    for row in statement.usage:
        texts = (*whole, *_texts(statement, row))
        hours = map(reports.decimal, row.hours)
        writer.writerow((*map(reports.harmless, texts), *row.seconds, *hours))
    return out.getvalue().encode()


def _texts(statement: Statement, row: UsageRow) -> tuple[str, ...]:
    place = row.place
    key = getattr(place, row.level, "")
    funder, pays = statement.pools.get(place.pool, (place.pool, place.pool))
    return (
        row.level,
        place.pool,
        funder,
        pays,
        place.country,
        place.organisation,
        place.project,
        place.outside,
        statement.name(row.level, key) if key else "",
    )
