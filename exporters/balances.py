"""Balances and their outlook, accounts and the state of the accounting as metrics.

Invariant: values are whole numbers until they become samples here; what is not known is not published.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from exporters import certificates
from exporters.catalogue import BY_NAME
from exporters.page import Page
from opsd.core.amounts import MICRO
from opsd.core.awards import ENDED

RESOURCES = ("gpu", "cpu", "node")


class Amounts(NamedTuple):
    """What was granted and what became of it, in whole micro-unit-seconds."""

    granted: int
    settled: int
    accrued: int
    committed: int | None  # None: some limit is not known
    left: int
    free: int | None


class Outlook(NamedTuple):
    """What is burned, and when it will be used up."""

    burn: Mapping[int, int]  # micro-unit-seconds by days
    forecast: str  # none, expected, already
    exhaustion: int | None = None  # of `expected`


class Award(NamedTuple):
    """An award: its names, its balance and its dates."""

    award: str
    project: str
    organisation: str
    country: str
    pool: str
    unit: str
    amounts: Amounts
    outside: int  # micro-unit-seconds
    outlook: Outlook
    reached_percent: int  # the highest threshold that its use has reached; 0: none
    state: str
    phase: str
    start: int
    end: int | None  # None: it has no end
    elapsed: Fraction | None  # of its time; None: it has no end
    over_since: int | None = None
    grace_end: int | None = None
    report_due: int | None = None


class Balance(NamedTuple):
    """What all awards of a project, organisation, country or pool come to."""

    by: str
    key: str
    unit: str
    amounts: Amounts
    outlook: Outlook


class Account(NamedTuple):
    """A Slurm account and the award it draws on."""

    cluster: str
    account: str
    award: str
    project: str
    organisation: str
    country: str
    pool: str


class Unattributed(NamedTuple):
    """Use that no award pays for, in whole seconds."""

    cluster: str
    account: str
    gpu: int
    cpu: int
    node: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything the daemon's page shows of the database, as of one instant."""

    as_of: int
    awards: Sequence[Award] = ()
    balances: Sequence[Balance] = ()
    accounts: Sequence[Account] = ()
    unattributed: Sequence[Unattributed] = ()
    covered: Mapping[str, int] = field(default_factory=dict)
    open_runs: Mapping[str, int] = field(default_factory=dict)
    suspected: Mapping[str, int] = field(default_factory=dict)  # runaways, by cluster
    quarantined: int = 0
    certificates: Sequence[certificates.Standing] = ()


def page(figures: Figures) -> Page:
    """The figures as samples."""
    made = Page()
    for award in _living_first(figures.awards):
        _add_award(made, award)
    for balance in _widest_first(figures.balances):
        labels = {"by": balance.by, "key": balance.key, "unit": balance.unit}
        _add_amounts(made, "opsd_balance", balance.amounts, balance.outlook, labels)
    for account in sorted(figures.accounts, key=lambda account: ":" in account.award):  # after-end:A last
        made.add("opsd_account_info", 1, **account._asdict())
    _add_unattributed(made, figures.unattributed)
    for cluster, until in figures.covered.items():
        made.add("opsd_ingest_covered_timestamp_seconds", until, cluster=cluster)
    for cluster, count in figures.open_runs.items():
        made.add("opsd_open_runs", count, cluster=cluster)
    for cluster, count in figures.suspected.items():
        made.add("opsd_runs_suspected_runaway", count, cluster=cluster)
    made.add("opsd_quarantine_records", figures.quarantined)
    certificates.add(made, figures.certificates, figures.as_of)
    made.add("opsd_balances_as_of_timestamp_seconds", figures.as_of)
    return made


def _living_first(awards: Sequence[Award]) -> Sequence[Award]:
    """Where a ceiling is near, what it drops has ended."""
    if len(awards) <= BY_NAME["opsd_award_granted_seconds"].ceiling:
        return awards
    return sorted(awards, key=lambda award: award.phase == ENDED)


def _widest_first(balances: Sequence[Balance]) -> Sequence[Balance]:
    """Where a ceiling is near, countries and pools stay: there are few, and each speaks for many projects."""
    if len(balances) <= BY_NAME["opsd_balance_granted_seconds"].ceiling:
        return balances
    many = Counter(balance.by for balance in balances)
    return sorted(balances, key=lambda balance: many[balance.by])


def _add_award(made: Page, award: Award) -> None:
    labels = dict(zip(Award._fields[:6], award[:6], strict=True))
    _add_amounts(made, "opsd_award", award.amounts, award.outlook, labels)
    made.add("opsd_award_outside_seconds", award.outside / MICRO, **labels)
    made.add("opsd_award_over_quota", int(award.amounts.left < 0), **labels)
    made.add("opsd_award_threshold_reached_ratio", award.reached_percent / 100, **labels)
    made.add("opsd_award_state_info", 1, **labels, state=award.state, phase=award.phase)
    instants = {
        "start": award.start, "end": award.end, "over_quota_since": award.over_since,
        "grace_end": award.grace_end, "report_due": award.report_due,
    }  # fmt: skip
    for name, instant in instants.items():
        if instant is not None:
            made.add(f"opsd_award_{name}_timestamp_seconds", instant, **labels)
    if award.elapsed is not None:
        made.add("opsd_award_elapsed_ratio", float(award.elapsed), **labels)


def _add_amounts(
    made: Page, prefix: str, amounts: Amounts, outlook: Outlook, labels: Mapping[str, str]
) -> None:
    for name, micro in amounts._asdict().items():
        if micro is not None:
            made.add(f"{prefix}_{name}_seconds", micro / MICRO, **labels)
    for days, micro in outlook.burn.items():
        made.add(f"{prefix}_burn_seconds", micro / MICRO, **labels, days=str(days))
    made.add(f"{prefix}_forecast_info", 1, **labels, forecast=outlook.forecast)
    if outlook.exhaustion is not None:
        made.add(f"{prefix}_exhaustion_timestamp_seconds", outlook.exhaustion, **labels)


def _add_unattributed(made: Page, found: Sequence[Unattributed]) -> None:
    """The largest first, so that a ceiling drops what matters least."""
    for use in sorted(found, key=lambda use: (-use.gpu, -use.cpu, use.cluster, use.account)):
        for resource in RESOURCES:
            seconds = getattr(use, resource)
            if seconds:
                where = {"cluster": use.cluster, "account": use.account, "resource": resource}
                made.add("opsd_unattributed_seconds", seconds, **where)
