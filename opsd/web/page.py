"""The overview as a page shows it: the parts put together, in words and whole hours.

Invariant: the same quantity is the same number wherever it stands on the page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from opsd.core import figures
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
    reach: str  # what part of the month the numbers are of
    running: bool
    to_come: bool
    zone: str
    used: bool
    known: bool  # whether anything at all was ever read
    described: bool  # whether anybody said who pays
    leads: use.Table
    pays: use.Table
    chart: Chart
    grants: grants.Grants
    grants_at: str
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
    eyes = grants.grants(
        found.balances.lines, found.consortium, min(found.window.start, found.now), found.used
    )
    lost = sum(line.gpu_seconds for line in found.unattributed)
    leads = use.leads(now, before)
    return Page(
        title=found.consortium.name or "AI factory",
        month=str(found.month),
        name=words.month(*found.month),
        before=_turn(found.month.plus(-1)),
        previous=_turn(found.month.plus(-1)) if found.month > found.first else None,
        following=_turn(found.month.plus(1)) if found.month < found.last else None,
        present=_turn(found.last) if found.month != found.last else None,
        last_use=_turn(found.last_used) if found.last_used else None,
        reach=_reach(found),
        running=found.running,
        to_come=found.to_come,
        zone=found.consortium.book_zone or "UTC",
        used=any(any(row.measures[1:]) for row in now),
        known=found.span is not None,
        described=bool(found.consortium.awards),
        leads=leads,
        pays=use.pays(now, before, pools),
        chart=chart(found.by_day, found.window, found.tz),
        grants=eyes,
        grants_at=words.instant(found.balances.as_of, found.tz),
        accounts=_accounts(found.unattributed),
        lost=next((line.figures[0] for line in leads.lines if line.nobody), figure.hours(0, 0, "GPU")),
        lost_share=figures.percent(lost, sum(row.measures.gpu_seconds for row in now)),
        data=freshness.headline(found),
        facts=tuple(freshness.facts(found)),
        steps=freshness.steps(found),
    )


def _turn(month: Month) -> Turn:
    return Turn(str(month), words.month(*month))


def _reach(found: Overview) -> str:
    """Whether it is the whole month, or which part of it."""
    if found.to_come:
        return "Still to come"
    first = words.day(found.span.first, found.tz) if found.span and found.begins_late else ""
    if found.span and found.span.first >= found.window.end:
        return f"No accounting before {first} was read"
    if found.running:
        until = f"So far, until {words.instant(found.now, found.tz)}"
        return f"{until}, since {first}: earlier accounting was not read" if first else until
    if first:
        return f"Since {first}: earlier accounting was not read"
    until_read = found.ages.until
    if until_read is not None and until_read < found.window.end:
        return f"Until {words.instant(until_read, found.tz)}: later accounting is not read yet"
    return "The whole month" if found.span else "Nothing was read"


def _accounts(lines: tuple[Line, ...]) -> tuple[Account, ...]:
    """Lines that add up to what the tables say is nobody's, since that is rounded by itself there."""
    gpu = figures.hours([one.gpu_seconds for one in lines])
    cpu = figures.hours([one.cpu_seconds for one in lines])
    return tuple(
        Account(
            line.cluster, line.account, figure.hours(gpu[at], line.gpu_seconds, "GPU"),
            figure.hours(cpu[at], line.cpu_seconds, "CPU"), line.hint,
        )
        for at, line in enumerate(lines)
    )  # fmt: skip
