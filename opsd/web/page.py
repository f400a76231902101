"""The overview as a page shows it: the parts put together, in words and whole hours.

Invariant: the same quantity is the same number wherever it stands on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from opsd.core import figures
from opsd.core.period import HOUR
from opsd.pipeline.accounts import Line
from opsd.web import figure, freshness, grants, use, words
from opsd.web.chart import Chart, chart
from opsd.web.figure import Figure
from opsd.web.overview import Month, Overview


class Account(NamedTuple):
    """An account nobody pays for."""

    cluster: str
    name: str
    gpu: Figure
    cpu: Figure
    hint: str


class Turn(NamedTuple):
    """A way to another month."""

    month: str
    name: str


@dataclass(frozen=True, slots=True)
class Page:
    """What the template draws."""

    title: str
    month: str
    name: str
    before: Turn  # the month compared with
    previous: Turn | None
    following: Turn | None
    present: Turn | None
    last_use: Turn | None  # where to look when nothing was used
    so_far: str
    zone: str
    used: bool
    known: bool  # whether anything at all was ever read
    described: bool  # whether anybody said who pays
    leads: use.Table
    pays: use.Table
    chart: Chart
    grants: tuple[grants.Grant, ...]
    grants_at: str
    quiet: int
    over: int
    accounts: tuple[Account, ...]
    lost: Figure
    lost_share: str
    data: freshness.Fact
    facts: tuple[freshness.Fact, ...]
    steps: tuple[freshness.Step, ...]


def page(found: Overview) -> Page:
    """Everything on it."""
    now, before = found.of(found.month), found.of(found.month.plus(-1))
    pools = {pool.id: pool.name or pool.id for pool in found.consortium.pools.values()}
    eyes = grants.grants(found.balances.lines, found.consortium)
    lost = sum(line.gpu_seconds for line in found.unattributed)
    leads = use.leads(now, before)
    accounts = _accounts(found.unattributed, leads)
    return Page(
        title=found.consortium.name or "AI factory",
        month=str(found.month),
        name=words.month(*found.month),
        before=_turn(found.month.plus(-1)),
        previous=_turn(found.month.plus(-1)) if found.month > found.first else None,
        following=_turn(found.month.plus(1)) if found.month < found.last else None,
        present=_turn(found.last) if found.month != found.last else None,
        last_use=_turn(found.last_used) if found.last_used else None,
        so_far=words.instant(found.now, found.tz) if found.running else "",
        zone=found.consortium.book_zone or "UTC",
        used=any(any(row.measures[1:]) for row in now),
        known=found.span is not None,
        described=bool(found.consortium.awards),
        leads=leads,
        pays=use.pays(now, before, pools),
        chart=chart(found.by_day, found.window, found.tz),
        grants=eyes,
        grants_at=words.instant(found.balances.as_of, found.tz),
        quiet=len(found.balances.lines) - len(eyes),
        over=sum(line.over for line in found.balances.lines),
        accounts=accounts,
        lost=next((line.figures[0] for line in leads.lines if line.nobody), figure.hours(0, 0, "GPU")),
        lost_share=figures.percent(lost, sum(row.measures.gpu_seconds for row in now)),
        data=freshness.headline(found),
        facts=tuple(freshness.facts(found)),
        steps=freshness.steps(found),
    )


def _turn(month: Month) -> Turn:
    return Turn(str(month), words.month(*month))


def _accounts(lines: tuple[Line, ...], table: use.Table) -> tuple[Account, ...]:
    """Lines that add up to what the table says is attributed to nobody."""
    nobody = next((line.shown for line in table.lines if line.nobody), None)
    gpu = figures.largest_remainder([one.gpu_seconds for one in lines], HOUR, nobody[0] if nobody else None)
    cpu = figures.largest_remainder([one.cpu_seconds for one in lines], HOUR, nobody[2] if nobody else None)
    return tuple(
        Account(
            line.cluster, line.account, figure.hours(gpu[at], line.gpu_seconds, "GPU"),
            figure.hours(cpu[at], line.cpu_seconds, "CPU"), line.hint,
        )
        for at, line in enumerate(lines)
    )  # fmt: skip
