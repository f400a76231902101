"""Everything a statement holds, exact: whole seconds, decimals as text, times in UTC.

Invariant: no number is a float; a field is added under the same schema, renamed or dropped under the next.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction

from opsd import reports
from opsd.core.agreements import Funder
from opsd.core.amounts import MICRO, exact_text
from opsd.core.parties import UnitTable
from opsd.core.statement import BalanceRow, Shown, Statement, UnitTotal, UsageRow

SCHEMA = "opsd-statement/1"

Json = dict[str, object]


def render(statement: Statement) -> bytes:
    """One object, indented, so that two editions can be compared line by line."""
    span = statement.span
    content: Json = {
        "schema": SCHEMA,
        "title": reports.title(statement),
        "consortium": statement.consortium,
        "period": {
            "text": span.text,
            "timezone": span.zone,
            "from": reports.utc(span.window.start),
            "to": reports.utc(span.window.end),
        },
        "as_of": reports.utc(statement.as_of),
        "provisional": statement.provisional,
        "scope": statement.scope.text if statement.scope else None,
        "usage": [_usage(statement, row) for row in statement.usage],
        "balances": [_balances(statement, table) for table in statement.balances],
        "units": [_unit(table) for table in statement.units],
        "pools": [
            {"pool": pool, "name": statement.name("pool", pool), "funder": funder, "pays": pays}
            for pool, (funder, pays) in statement.pools.items()
        ],
        "funders": [_funder(funder) for funder in statement.funders],
        "data_quality": _quality(statement),
        "warnings": list(reports.warnings(statement)),
        "notes": list(reports.notes(statement)),
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _usage(statement: Statement, row: UsageRow) -> Json:
    key = getattr(row.place, row.level, "")
    seconds = {f"{name}_seconds": value for name, value in row.seconds._asdict().items()}
    hours = {f"{name}_hours": reports.decimal(value) for name, value in row.hours._asdict().items()}
    named = {"name": statement.name(row.level, key)} if key else {}
    return {"level": row.level, **row.place._asdict(), **named, **seconds, **hours}


def _balances(statement: Statement, table: UnitTotal) -> Json:
    rows = [_balance(statement, row) for row in table.rows]
    return {"unit": table.unit, "awards": rows, "total_hours": _shown(table.shown)}


def _balance(statement: Statement, row: BalanceRow) -> Json:
    exact = {
        name: exact_text(Fraction(getattr(row, name), MICRO))
        for name in ("granted", "charged", "settled", "accrued", "left", "after_end")
    }
    return {
        "award": row.award,
        "project": row.project,
        "organisation": row.organisation,
        "country": row.country,
        "pool": row.pool,
        "start": reports.utc(row.start),
        "end": None if row.end is None else reports.utc(row.end),
        "seconds": exact,
        "hours": None if row.shown is None else _shown(row.shown),
        "state": row.state,
        "state_text": reports.state(row, statement.as_of),
    }


def _shown(shown: Shown) -> Json:
    return {**{name: reports.decimal(value) for name, value in shown._asdict().items()},
            "left": reports.decimal(shown.left)}  # fmt: skip


def _unit(table: UnitTable) -> Json:
    numbers = {
        name: None if value is None else exact_text(value)
        for name in ("gpu_hours", "core_hours", "cpu_hours", "khours")
        for value in (getattr(table, name),)
    }
    return {
        "cluster": table.cluster,
        "node_class": table.node_class,
        "node_hours": "1",
        **numbers,
        "from": reports.utc(table.valid_from) if table.valid_from else None,
        "until": None if table.valid_until is None else reports.utc(table.valid_until),
        "source": table.source,
    }


def _funder(funder: Funder) -> Json:
    amount = funder.amount_meur
    return {**asdict(funder), "amount_meur": None if amount is None else f"{amount:f}"}


def _quality(statement: Statement) -> Mapping[str, object]:
    quality = statement.quality
    return {
        "runs": quality.runs,
        "open_runs": quality.open_runs,
        "unattributed": [
            {"cluster": found.cluster, "account": found.account,
             **{f"{name}_seconds": value for name, value in found.seconds._asdict().items()}}
            for found in quality.unbound
        ],
        "unclassified_gpu_seconds": quality.unclassified,
        "unpriced": list(quality.unpriced),
        "unplaced_suspension_runs": quality.unplaced,
        "two_sluids_runs": quality.two_sluids,
        "quarantined_records": quality.quarantined,
        "covered": [
            {"cluster": found.cluster, "until": reports.utc(found.until),
             "observed_at": reports.utc(found.observed_at)}
            for found in quality.covered
        ],
        "last_observed": None if quality.last_observed is None else reports.utc(quality.last_observed),
        "last_read": None if quality.last_read is None else reports.utc(quality.last_read),
    }  # fmt: skip
