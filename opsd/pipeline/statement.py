"""The statement of a period, from the stored runs: what every report format prints.

Invariant: its usage is `opsd usage` of the same window and its balances are `opsd balance` at the
end of it; a scope takes rows away and changes none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from opsd.core import attention
from opsd.core.agreements import Funder
from opsd.core.attribution import AFTER_END, BEFORE_START, UNATTRIBUTED, Attribution
from opsd.core.awards import Award
from opsd.core.consortium import Consortium
from opsd.core.errors import BadText, Refused, WrongUsage
from opsd.core.fields import shared
from opsd.core.flags import Flag
from opsd.core.names import nearest
from opsd.core.parties import UnitTable
from opsd.core.period import Window, isoformat, parse_period, zone, zone_name
from opsd.core.statement import (
    LEVELS,
    Amounts,
    BalanceRow,
    Covered,
    Place,
    Quality,
    Scope,
    Span,
    Statement,
    Unbound,
    apportioned,
    balance_table,
    usage_tree,
)
from opsd.core.tres import UNCLASSIFIED
from opsd.pipeline import balance, usage
from opsd.pipeline.balance import Line
from opsd.pipeline.usage import Row, Usage
from opsd.store import imports, parties, quality, read, sweeps
from opsd.store.engine import Connection
from opsd.store.span import span as span_of_runs

_KEYS = (*LEVELS, "pays", "funder", "award", "cluster", "account")
_AWARD_KEYS = (*LEVELS, "pays", "funder")
_NAMED = ("pool", "organisation", "project")


def run(
    connection: Connection,
    period: str,
    *,
    now: int,
    timezone: str | None = None,
    scope: Scope | None = None,
) -> Statement:
    """The statement of a period.

    Args:
        connection: from `Store.read()`.
        period: `2026-10`, `2026-Q4`, `2026` or `A..B`.
        now: nothing after it counts; a period that is over is cut at its own end alone.
        timezone: whose months; without one the book zone.
        scope: whose part; without one everything.
    """
    consortium = parties.load(connection)
    span = _span(period, timezone or consortium.book_zone or "UTC", now)
    facts = Attribution(consortium)
    if scope:
        _require_known(scope, consortium, facts)
    as_of = min(span.window.end, now)
    used = _Used(usage.run(connection, span.window, _KEYS, as_of=as_of), scope)
    balances = _Balanced(connection, consortium, facts, span.window.start, as_of, scope, used.awards)
    pools = {place.pool for place in used.leaves} | {row.pool for row in balances.rows}
    held_runs = span_of_runs(connection)
    held = [pool for pool in consortium.pools.values() if not scope or pool.id in pools]
    return Statement(
        consortium=consortium.name,
        span=span,
        as_of=as_of,
        scope=scope,
        names=_names(consortium, used.leaves, balances.rows),
        pools={pool.id: (pool.funder, facts.payer(pool.funder) or UNATTRIBUTED) for pool in held},
        usage=used.tree,
        balances=balance_table(balances.rows),
        units=tuple(table for table in consortium.unit_tables if _in_force(table, span.window)),
        funders=_funders(consortium, {pool.funder for pool in held} if scope else consortium.funders),
        quality=_quality(connection, facts, span.window, as_of, scope, used, balances),
        first=held_runs.first if held_runs else None,
    )


def _span(text: str, zone_text: str, now: int) -> Span:
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
    return Span(text, window, zone_name(tz))


def _require_known(scope: Scope, consortium: Consortium, facts: Attribution) -> None:
    known = {
        "country": {found.country for found in consortium.organisations.values()},
        "organisation": set(consortium.organisations),
        "project": set(consortium.projects),
        "pays": {facts.payer(funder) for funder in consortium.funders} - {""},
        "funder": set(consortium.funders),
    }[scope.key]
    if scope.value not in known:
        near = nearest(scope.value, known) or "; opsd consortium export lists them"
        raise WrongUsage(f"scope {scope.text!r}: nothing of that name in the master data{near}")


def _in_force(table: UnitTable, window: Window) -> bool:
    return shared(table.valid_from, table.valid_until, window.start, window.end)


def _funders(consortium: Consortium, wanted: Iterable[str]) -> tuple[Funder, ...]:
    """Funders and those above them, which say whose money it is in the end."""
    chains = {funder.id for name in wanted for funder in consortium.funder_chain(name)}
    return tuple(funder for funder in consortium.funders.values() if funder.id in chains)


def _names(
    consortium: Consortium, places: Iterable[Place], rows: Sequence[BalanceRow]
) -> dict[tuple[str, str], str]:
    """Names of what the statement speaks of, and of nothing else."""
    seen = {(level, getattr(it, level)) for it in (*places, *rows) for level in _NAMED}
    known = {
        "pool": {key: it.name for key, it in consortium.pools.items()},
        "organisation": {key: it.name for key, it in consortium.organisations.items()},
        "project": {key: it.title for key, it in consortium.projects.items()},
    }
    pairs = ((level, key, known[level].get(key, "")) for level, key in sorted(seen))
    return {(level, key): name for level, key, name in pairs if name}


class _Used:
    """Usage by place, and what is nobody's by account."""

    def __init__(self, found: Usage, scope: Scope | None) -> None:
        self.leaves: dict[Place, Amounts] = defaultdict(Amounts)
        nobody: dict[tuple[str, str], Amounts] = defaultdict(Amounts)
        awards: set[str] = set()
        for row in found.rows:
            labels = dict(zip(found.keys, row.key, strict=True))
            if scope and not scope.holds(labels):
                continue
            seconds = Amounts(row.measures.gpu_seconds, row.measures.node_seconds, row.measures.cpu_seconds)
            if not any(seconds):
                continue
            awards.add(labels["award"])
            self.leaves[_place(labels)] = self.leaves[_place(labels)].plus(seconds)
            if labels["award"] == UNATTRIBUTED:
                where = (labels["cluster"], labels["account"])
                nobody[where] = nobody[where].plus(seconds)
        self.awards = attention.used_awards(awards)
        self.tree = usage_tree(self.leaves)
        whole = next((row.hours for row in self.tree if row.level == UNATTRIBUTED), Amounts())
        shown = apportioned([nobody[where] for where in sorted(nobody)], whole)
        lines = zip(sorted(nobody), shown, strict=True)
        self.unbound = tuple(Unbound(*where, nobody[where], hours) for where, hours in lines)


def _place(labels: Mapping[str, str]) -> Place:
    outside, colon, _ = labels["award"].partition(":")
    marked = colon and outside in (BEFORE_START, AFTER_END)
    levels = {level: labels[level] for level in LEVELS}
    return Place(**levels, outside=outside if marked else "")


class _Balanced:
    """Awards at the end of the period, and what they were charged in it."""

    def __init__(
        self,
        connection: Connection,
        consortium: Consortium,
        facts: Attribution,
        start: int,
        as_of: int,
        scope: Scope | None,
        used: Collection[str],
    ) -> None:
        before = {line.key: line.used for line in balance.run(connection, as_of=start).lines}
        found = balance.run(connection, as_of=as_of)
        self.rows: list[BalanceRow] = []
        self.unpriced: list[str] = []
        for line in found.lines:
            labels = dict(zip(_AWARD_KEYS, facts.of_award(_AWARD_KEYS, line.key), strict=True))
            if scope and not scope.holds(labels):
                continue
            row = _balance_row(line, consortium.awards[line.key], labels, before[line.key])
            past = attention.past(row.end, start, used=row.award in used)
            eyes = attention.matters(row.state, row.after_end) and not past
            self.rows.append(replace(row, eyes=eyes))
            self.unpriced += [reason for reason in found.unpriced if reason.startswith(f"award {line.key}: ")]


def _balance_row(line: Line, award: Award, labels: Mapping[str, str], before: int) -> BalanceRow:
    return BalanceRow(
        award=award.id,
        project=award.project,
        organisation=labels["organisation"],
        country=labels["country"],
        pool=award.pool,
        unit=award.unit,
        start=award.start,
        end=award.end,
        granted=line.granted,
        charged=line.used - before,
        settled=line.settled,
        accrued=line.accrued,
        after_end=line.after_end,
        state=line.state,
    )


def _quality(
    connection: Connection,
    facts: Attribution,
    window: Window,
    as_of: int,
    scope: Scope | None,
    used: _Used,
    balances: _Balanced,
) -> Quality:
    here = (window.start, as_of)
    reading = quality.last_reading(connection)
    return Quality(
        runs=sum(row.measures.runs for row in _part(connection, window, (), as_of, scope)),
        open_runs=_open_runs(connection, facts, window.start, as_of, scope),
        unbound=used.unbound,
        unclassified=sum(
            row.measures.gpu_seconds
            for row in _part(connection, window, ("gpu_class",), as_of, scope)
            if row.key[-1] == UNCLASSIFIED
        ),
        unpriced=tuple(balances.unpriced),
        unplaced=quality.flagged_runs(connection, *here, Flag.SUSPENDED_UNPLACED),
        two_sluids=quality.flagged_runs(connection, *here, Flag.TWO_SLUIDS),
        quarantined=imports.quarantine_count(connection),
        covered=tuple(Covered(*found[:3]) for found in sweeps.every(connection)),
        last_observed=reading.observed_at if reading else None,
        last_read=reading.finished_at if reading else None,
    )


def _part(
    connection: Connection, window: Window, keys: tuple[str, ...], as_of: int, scope: Scope | None
) -> list[Row]:
    """The rows of a scope; `runs` of a scope's key alone counts each of its runs once."""
    asked = (scope.key, *keys) if scope else keys
    found = usage.run(connection, window, asked, as_of=as_of)
    return [row for row in found.rows if not scope or scope.holds(dict(zip(asked, row.key, strict=True)))]


def _open_runs(
    connection: Connection, facts: Attribution, start: int, as_of: int, scope: Scope | None
) -> int:
    """Runs of the period that go on at its end, told by whose they are then."""
    names = read.names(connection)
    found = (limited.held for limited in read.going_on(connection, as_of))
    here = [held for held in found if max(held.finish, held.begin + 1) > start]
    if not scope:
        return len(here)
    count = 0
    for held in here:
        where = (*names.accounts[held.account], "", names.words[held.partition], names.words[held.qos])
        label = facts.labels((scope.key,), *where, as_of - 1)[0]
        count += scope.holds({scope.key: label})
    return count
