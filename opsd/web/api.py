"""The overview as JSON: the numbers of the page before they were rounded.

Invariant: seconds are whole numbers, charged amounts are exact decimals of unit-seconds as `opsd balance`
prints them; nothing here was rounded.
"""

from __future__ import annotations

from typing import Any

from opsd.core.period import isoformat
from opsd.pipeline.balance import COLUMNS, Line
from opsd.pipeline.usage import COLUMNS as MEASURES
from opsd.pipeline.usage import Row
from opsd.web.overview import BY, BY_DAY, Overview


def overview(found: Overview) -> dict[str, Any]:
    """Everything the page shows, exact."""
    return {
        "consortium": found.consortium.name,
        "month": str(found.month),
        "timezone": found.consortium.book_zone or "UTC",
        "from": isoformat(found.window.start, found.tz),
        "to": isoformat(found.window.end, found.tz),
        "now": isoformat(found.now, found.tz),
        "complete": found.window.end <= found.now,
        "usage": [_use(BY, row) for row in found.use],
        "usage_by_day": [_use(BY_DAY, row) for row in found.by_day],
        "balances_as_of": isoformat(found.balances.as_of, found.tz),
        "balances": [_balance(line, found) for line in found.balances.lines],
        "unattributed": [
            {"cluster": line.cluster, "account": line.account, "gpu_seconds": line.gpu_seconds,
             "cpu_seconds": line.cpu_seconds, "hint": line.hint}
            for line in found.unattributed
        ],
        "data": _data(found),
    }  # fmt: skip


def _use(keys: tuple[str, ...], row: Row) -> dict[str, str | int]:
    return {**dict(zip(keys, row.key, strict=True)), **dict(zip(MEASURES, row.measures, strict=True))}


def _balance(line: Line, found: Overview) -> dict[str, str]:
    award = found.consortium.awards[line.key]
    project = found.consortium.projects.get(award.project)
    return {
        "award": line.key,
        "project": award.project,
        "organisation": project.organisation if project else "",
        "pool": award.pool,
        **dict(zip(COLUMNS, line.values(), strict=True)),
    }


def _data(found: Overview) -> dict[str, Any]:
    def at(epoch: int | None) -> str | None:
        return None if epoch is None else isoformat(epoch, found.tz)

    reading = found.ages.reading
    return {
        "until": at(found.ages.until),
        "clusters": {sweep.cluster: at(sweep.covered_until) for sweep in found.ages.sweeps},
        "last_reading": at(reading.observed_at) if reading else None,
        "quarantined": found.ages.quarantined,
        "unknown_limits": found.balances.unknown_limits,
        "not_charged": list(found.balances.unpriced),
        "steps": [
            {"name": step.name, "result": step.result, "failures": step.failures, "message": step.message,
             "started": at(step.started_at), "succeeded": at(step.succeeded_at), "next": at(step.next_at)}
            for step in found.ages.steps
        ],
    }  # fmt: skip
