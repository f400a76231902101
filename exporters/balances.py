"""Balances, accounts and the state of the accounting as metrics.

Invariant: values are whole numbers until they become samples here; what is not known is not published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from exporters import certificates
from exporters.page import Page
from opsd.core.amounts import MICRO

RESOURCES = ("gpu", "cpu", "node")


class Award(NamedTuple):
    """An award's names and its balance, in whole micro-unit-seconds."""

    award: str
    project: str
    organisation: str
    country: str
    pool: str
    unit: str
    granted: int
    settled: int
    accrued: int
    committed: int | None  # None: some limit is not known
    left: int
    outside: int
    reached_percent: int  # the highest threshold that its use has reached; 0: none
    end: int | None  # None: it has no end


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
    for award in figures.awards:
        _add_award(made, award)
    for account in figures.accounts:
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


def _add_award(made: Page, award: Award) -> None:
    labels = dict(zip(Award._fields[:6], award[:6], strict=True))
    amounts = {
        "granted": award.granted, "settled": award.settled, "accrued": award.accrued,
        "committed": award.committed, "left": award.left, "outside": award.outside,
    }  # fmt: skip
    for name, micro in amounts.items():
        if micro is not None:
            made.add(f"opsd_award_{name}_seconds", micro / MICRO, **labels)
    made.add("opsd_award_over_quota", int(award.left < 0), **labels)
    made.add("opsd_award_threshold_reached_ratio", award.reached_percent / 100, **labels)
    if award.end is not None:
        made.add("opsd_award_end_timestamp_seconds", award.end, **labels)


def _add_unattributed(made: Page, found: Sequence[Unattributed]) -> None:
    """The largest first, so that a ceiling drops what matters least."""
    for use in sorted(found, key=lambda use: (-use.gpu, -use.cpu, use.cluster, use.account)):
        for resource in RESOURCES:
            seconds = getattr(use, resource)
            if seconds:
                where = {"cluster": use.cluster, "account": use.account, "resource": resource}
                made.add("opsd_unattributed_seconds", seconds, **where)
