"""What the daemon's page shows of the database, as of one instant.

Invariant: all of it is read on one connection, so that every figure is of the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.balances import (
    RESOURCES,
    Account,
    Amounts,
    Award,
    Balance,
    Figures,
    Outlook,
    Unattributed,
)
from exporters.certificates import Standing
from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.awards import grace_end, phase
from opsd.core.consortium import Consortium
from opsd.core.fields import in_force
from opsd.core.period import DAY, Window
from opsd.pipeline import burn, outlook, usage
from opsd.pipeline.balance import Line
from opsd.pipeline.outlook import AWARD, Outlooks, Reading
from opsd.store import certificates, imports, sweeps
from opsd.store.engine import Connection, Store

UNATTRIBUTED_DAYS = 30
WHOLE = ("", "")  # of an account: any partition, any QOS
SEVERAL = "several"  # of an account whose jobs draw on one or the other by their partition or QOS
LABELS = ("project", "organisation", "country", "pool")


def run(store: Store, *, now: int) -> Figures:
    """Collect everything."""
    with store.read() as connection:
        reading, found = Reading(connection, now), sweeps.every(connection)
        attribution, outlooks = reading.ledger.labeller.attribution, reading.by(AWARD)
        return Figures(
            as_of=now,
            awards=tuple(_award(reading, outlooks, line) for line in reading.lines),
            balances=tuple(balance for key in LABELS for balance in _balances(reading, key)),
            accounts=tuple(_accounts(reading.ledger.consortium, attribution, now)),
            unattributed=tuple(_unattributed(connection, now)),
            covered={read.cluster: read.covered_until for read in found},
            open_runs=sweeps.open_runs(connection),
            suspected={read.cluster: len(read.suspected) for read in found},
            quarantined=imports.quarantine_count(connection),
            certificates=tuple(_certificates(connection)),
        )


def _certificates(connection: Connection) -> Iterator[Standing]:
    for kept in certificates.standing(connection):
        cells = kept.unexplained_cells, kept.unknowable_cells
        yield Standing(kept.cluster, kept.made_at, kept.end, *cells, kept.seconds, kept.hours_not_added_up)


def _award(reading: Reading, outlooks: Outlooks, line: Line) -> Award:
    ledger, as_of, found = reading.ledger, reading.ledger.as_of, outlooks.of(line)
    award, over_since = ledger.consortium.awards[line.key], reading.over_since.get(line.key)
    project, organisation, country, pool = ledger.labeller.attribution.of_award(LABELS, line.key)
    tolerated = grace_end(award, as_of, over_since) if over_since is not None or not line.over else None
    return Award(
        line.key, project, organisation, country, pool, line.unit, _amounts(line), line.after_end,
        _outlook(found), line.reached, line.state, phase(award, as_of, tolerated), award.start, award.end,
        found.elapsed, over_since, tolerated, award.report_due,
    )  # fmt: skip


def _balances(reading: Reading, key: str) -> Iterator[Balance]:
    found = reading.by(key)
    for line in found.balances.lines:
        yield Balance(key, line.key, line.unit, _amounts(line), _outlook(found.of(line)))


def _amounts(line: Line) -> Amounts:
    return Amounts(line.granted, line.settled, line.accrued, line.committed, line.left, line.free)


def _outlook(found: outlook.Outlook) -> Outlook:
    return Outlook(dict(zip(burn.DAYS, found.burn, strict=True)), *found.forecast)


def _accounts(consortium: Consortium, attribution: Attribution, now: int) -> Iterable[Account]:
    """One line per account, so that joining with it never multiplies anything; labelled as its use is.

    An account of which only partitions or QOS are bound shows what their awards have in common.
    """
    keys = (AWARD, *LABELS)
    bound: dict[tuple[str, str], set[tuple[str, str]]] = {}
    for binding in consortium.bindings:
        if in_force(binding.valid_from, binding.valid_until, now):
            part = binding.partition, binding.qos
            bound.setdefault((binding.cluster, binding.account), set()).add(part)
    for (cluster, account), parts in sorted(bound.items()):
        told = {
            attribution.labels(keys, cluster, account, "", *part, now)
            for part in parts
            if part == WHOLE or WHOLE not in parts
        }
        yield Account(cluster, account, *map(_common, zip(*told, strict=True)))


def _common(texts: tuple[str, ...]) -> str:
    return texts[0] if len(set(texts)) == 1 else SEVERAL


def _unattributed(connection: Connection, now: int) -> Iterable[Unattributed]:
    window = Window(now - UNATTRIBUTED_DAYS * DAY, now)
    columns = [usage.COLUMNS.index(f"{resource}_seconds") for resource in RESOURCES]
    for row in usage.run(connection, window, ("cluster", "account", "award")).rows:
        cluster, account, award = row.key
        if award == UNATTRIBUTED:
            yield Unattributed(cluster, account, *(row.measures[column] for column in columns))
