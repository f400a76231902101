"""What the daemon's page shows of the database, as of one instant.

Invariant: all of it is read on one connection, so that every figure is of the same moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from exporters.balances import RESOURCES, Account, Award, Figures, Unattributed
from exporters.certificates import Standing
from opsd.core.attribution import UNATTRIBUTED, Attribution
from opsd.core.consortium import Consortium
from opsd.core.fields import in_force
from opsd.core.period import DAY, Window
from opsd.pipeline import balance, usage
from opsd.store import certificates, imports, parties, sweeps
from opsd.store.engine import Connection, Store

UNATTRIBUTED_DAYS = 30
_LABELS = ("project", "organisation", "country", "pool")


def run(store: Store, *, now: int) -> Figures:
    """Collect everything."""
    with store.read() as connection:
        consortium = parties.load(connection)
        attribution, found = Attribution(consortium), sweeps.every(connection)
        return Figures(
            as_of=now,
            awards=tuple(_awards(connection, consortium, attribution, now)),
            accounts=tuple(_accounts(consortium, attribution, now)),
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


def _awards(
    connection: Connection, consortium: Consortium, attribution: Attribution, now: int
) -> Iterable[Award]:
    for line in balance.run(connection, as_of=now).lines:
        project, organisation, country, pool = attribution.of_award(_LABELS, line.key)
        yield Award(
            line.key, project, organisation, country, pool, line.unit, line.granted, line.settled,
            line.accrued, line.committed, line.left, line.after_end, line.reached,
            consortium.awards[line.key].end,
        )  # fmt: skip


def _accounts(consortium: Consortium, attribution: Attribution, now: int) -> Iterable[Account]:
    """One line per account, so that joining with it never multiplies anything.

    An account of which only a partition or QOS is bound shows that award, unless it draws on several.
    """
    by_account: dict[tuple[str, str], set[str]] = {}
    for binding in consortium.bindings:
        if in_force(binding.valid_from, binding.valid_until, now):
            by_account.setdefault((binding.cluster, binding.account), set()).add(binding.award)
    for (cluster, account), awards in sorted(by_account.items()):
        whole, _ = attribution.award_at(cluster, account, "", "", now)
        award = whole or (consortium.awards.get(next(iter(awards))) if len(awards) == 1 else None)
        if award and in_force(award.start, award.end, now):
            project, organisation, country, pool = attribution.of_award(_LABELS, award.id)
            yield Account(cluster, account, award.id, project, organisation, country, pool)


def _unattributed(connection: Connection, now: int) -> Iterable[Unattributed]:
    window = Window(now - UNATTRIBUTED_DAYS * DAY, now)
    columns = [usage.COLUMNS.index(f"{resource}_seconds") for resource in RESOURCES]
    for row in usage.run(connection, window, ("cluster", "account", "award")).rows:
        cluster, account, award = row.key
        if award == UNATTRIBUTED:
            yield Unattributed(cluster, account, *(row.measures[column] for column in columns))
