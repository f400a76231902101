"""The steps of the daemon, in one table.

Invariant: every step may be run at any time and again: a second run changes nothing. So several may run
beside each other, and beside the command line.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from exporters import balances
from exporters.page import Rendered
from opsd import config
from opsd.core.errors import OpsdError, StoreError, WrongUsage
from opsd.core.names import nearest
from opsd.core.period import DAY, HOUR
from opsd.daemon.log import event
from opsd.store.engine import Store

if TYPE_CHECKING:
    from opsd.pipeline.present import Result as Seen
    from opsd.pipeline.sources import ClusterSources
    from opsd.pipeline.sweep import Result as Sweep

_LEAST_STALE_SECONDS = 300
_MOST_WAIT_SECONDS = 600
_EFFICIENCY_SECONDS = 900
_NOTIFY_SECONDS = 300  # a letter need not come within the minute, and the books are read for it once more
_MACHINE_SECONDS = 900  # nodes change rarely, and the last week is read again each time
_TOLD_AGENTS = 3  # by name, in the log of a round
WEEK = 7 * DAY


class Stopped(Exception):
    """The daemon ends, and a run between two transactions with it."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run of a step gets."""

    store: Store
    clusters: Sequence[ClusterSources]
    now: int
    go_on: Callable[[], None]  # call between transactions; raises Stopped when the daemon ends
    nodes: config.Nodes = field(default_factory=config.Nodes)
    daemon: config.Daemon = field(default_factory=config.Daemon)
    mail: config.Mail = field(default_factory=config.Mail)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run brought: numbers for the log, and samples for the page."""

    counts: Mapping[str, int] = field(default_factory=dict)
    page: Rendered | None = None
    failed: str = ""  # which clusters failed, and why
    served: bool = True  # whether something was done all the same: then nothing waits longer
    lacking: str = ""  # what it did without, and succeeded all the same


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again."""

    seconds: Callable[[config.Daemon], float]


@dataclass(frozen=True, slots=True)
class Daily:
    """Once a day, UTC: a local time comes twice in autumn."""

    hour: int
    minute: int


@dataclass(frozen=True, slots=True)
class Weekly:
    """Once a week, UTC."""

    weekday: int  # 0: Monday
    hour: int
    minute: int


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the table."""

    name: str
    run: Callable[[Work], Outcome]
    trigger: Every | Daily | Weekly
    deadline: int  # seconds after which a run is reported; commands inside have time-outs of their own
    stale_after: int  # intervals without a success after which its data are stale
    follows: str = ""  # the step after whose success it runs as well

    def interval(self, settings: config.Daemon) -> float:
        """Seconds from one run to the next."""
        if isinstance(self.trigger, Every):
            return self.trigger.seconds(settings)
        return DAY if isinstance(self.trigger, Daily) else WEEK

    def stale_seconds(self, settings: config.Daemon) -> int:
        """The age of the last success from which its data are stale."""
        return max(_LEAST_STALE_SECONDS, int(self.stale_after * self.interval(settings)))

    def wait(self, settings: config.Daemon, failures: int) -> float:
        """Seconds to the next run after so many failures on end: twice as long each time, up to a limit."""
        least = min(self.interval(settings), HOUR)
        doubled = least * 2.0 ** min(failures - 1, 32)
        return max(least, min(doubled, _MOST_WAIT_SECONDS))


def each_cluster(work: Work, do: Callable[[ClusterSources], Mapping[str, int]]) -> Outcome:
    """Do something for every cluster; one that fails harms no other.

    Returns:
        The counts of all, added up, and which of them failed.

    Raises:
        OpsdError: the only one failed.
    """
    counts: Counter[str] = Counter()
    failed: dict[str, OpsdError] = {}
    for one in work.clusters:
        work.go_on()
        try:
            counts.update(do(one))
        except StoreError:  # the same for all of them
            raise
        except OpsdError as err:
            work.go_on()  # a daemon that ends has ended its commands
            if len(work.clusters) == 1:
                raise
            event("cluster_failed", level=logging.ERROR, cluster=one.shown, error=err)
            failed[one.shown] = err
    said = "; ".join(f"cluster {name}: {err}" for name, err in failed.items())
    return Outcome(counts, failed=said, served=len(failed) < len(work.clusters))


def _ingest(work: Work) -> Outcome:
    from opsd.pipeline import sweep

    return each_cluster(
        work,
        lambda one: _swept(one, sweep.run(
            work.store, one.accounting, now=work.now, since=sweep.beginning(one.since, work.now),
            means=one.means(work.go_on), progress=_pausing(work),
        )),
    )  # fmt: skip


def _reread(work: Work) -> Outcome:
    from opsd.pipeline import sweep

    return _again(work, sweep.BACK)


def _review(work: Work) -> Outcome:
    from opsd.pipeline import sweep

    return _again(work, sweep.FAR_BACK)


def _again(work: Work, back_seconds: int) -> Outcome:
    from opsd.pipeline import sweep

    return each_cluster(
        work,
        lambda one: _swept(one, sweep.again(
            work.store, one.accounting, now=work.now, back_seconds=back_seconds,
            means=one.means(work.go_on), progress=_pausing(work),
        )),
    )  # fmt: skip


def _pausing(work: Work) -> Callable[[int, int], None]:
    return lambda _done, _whole: work.go_on()


def _swept(one: ClusterSources, done: Sweep) -> dict[str, int]:
    for note in one.new_notes(done):
        event("cannot_know", level=logging.WARNING, cluster=done.cluster, what=note)
    tally = done.read.tally
    return {
        "windows": done.windows, "asked_again": done.asked_again, "modified": done.modified,
        "new": tally.new, "changed": tally.changed, "quarantined": done.read.quarantined,
        "suspected": len(done.suspected), "gone": len(done.gone), "database_away": int(bool(done.database)),
    }  # fmt: skip


def _rebuild(work: Work) -> Outcome:
    from opsd.pipeline import rebuild

    done = rebuild.run(work.store, progress=lambda _done, _waiting: work.go_on())
    return Outcome({"cells": done.cells, "runs": done.runs})


def _credits(work: Work) -> Outcome:
    from opsd.pipeline import credits as node_failures

    done = node_failures.run(work.store, work.now)
    return Outcome({
        "made": done.made, "renewed": done.renewed, "withdrawn": done.withdrawn, "waiting": done.waiting,
    })  # fmt: skip


def _balances(work: Work) -> Outcome:
    from opsd.pipeline import figures

    found = figures.run(work.store, now=work.now)
    over = sum(award.amounts.left < 0 for award in found.awards)
    return Outcome({"awards": len(found.awards), "over_quota": over}, balances.page(found).render())


def _reconcile(work: Work) -> Outcome:
    return each_cluster(work, lambda one: _certified(work, one))


def _certified(work: Work, one: ClusterSources) -> dict[str, int]:
    """Yesterday and its month so far against Slurm's own report, after an ordinary sweep."""
    from opsd.pipeline import reconcile, sweep
    from opsd.reports import certificate

    if not one.has_machine:  # a demonstration: nobody reports beside it
        return {}
    sweep.run(
        work.store, one.accounting, now=work.now, since=sweep.beginning(one.since, work.now),
        means=one.means(work.go_on), progress=_pausing(work),
    )  # fmt: skip
    counts = Counter({"certificates": 0, "unexplained": 0})
    for window, zone in reconcile.nightly(work.store, work.now):
        work.go_on()
        found = reconcile.run(work.store, one, window, now=work.now, zone=zone)
        reconcile.keep(work.store, found, certificate.as_json(found).decode())
        counts.update(certificates=1, unexplained=len(found.unexplained))
    return counts


def _machine(work: Work) -> Outcome:
    from opsd.pipeline import machine, sweep

    def read(one: ClusterSources) -> dict[str, int]:
        if not one.has_machine:
            return {}
        done = machine.run(
            work.store, one.machine, one.tables, cluster=stable_name(work.store, one), now=work.now,
            since=sweep.beginning(one.since, work.now),
        )  # fmt: skip
        for note in done.notes:
            event("cannot_know", level=logging.WARNING, cluster=done.cluster, what=note)
        return {
            "events": done.events, "reservations": done.reservations, "partitions": done.partitions,
            "new": done.new, "changed": done.changed, "dropped": done.dropped,
        }  # fmt: skip

    return each_cluster(work, read)


def _fetch(work: Work) -> Outcome:
    """What agents measured; one that does not answer stands on the page, and fails nothing."""
    asked = work.nodes
    if asked.file is None:
        return Outcome()
    from collectors.node_spool import Agents
    from exporters import spools
    from opsd.pipeline import fetch

    agents = Agents(
        asked.file, ca_file=asked.ca_file, cert_file=asked.cert_file, key_file=asked.key_file,
        username=asked.username, password=asked.password, timeout_seconds=asked.timeout_seconds,
    )  # fmt: skip
    try:
        done = fetch.run(work.store, agents, now=work.now, go_on=work.go_on)
    finally:
        agents.close()
    for fault in done.faults:
        event("record_unreadable", level=logging.WARNING, what=fault)
    failed = {cluster: len(why) for cluster, why in done.failed.items()}
    reasons = sorted(one for some in done.failed.values() for one in some)
    for why in reasons[:_TOLD_AGENTS]:
        event("agent_failed", level=logging.WARNING, error=why)
    counts = {
        "answered": sum(done.answered.values()), "failed": sum(failed.values()), "records": done.records,
        "unreadable": done.unreadable, "matched": done.matched, "unmatched": sum(done.unmatched.values()),
    }  # fmt: skip
    page = spools.page(done.answered, failed, done.unmatched, done.oldest).render()
    none = f"no agent answers: {reasons[0]}" if reasons and not counts["answered"] else ""
    return Outcome(counts, page, failed=none, served=not none)


def stable_name(store: Store, one: ClusterSources) -> str:
    """What a cluster's rows stand under, whatever Slurm calls it now."""
    from opsd.store import identity

    with store.read() as connection:
        return identity.of(connection, one.cluster)


def name_now(store: Store, one: ClusterSources) -> str:
    """The same, asking the accounting only where it must: slurmctld is looked at while slurmdbd is away."""
    from opsd.store import identity, sweeps

    with store.read() as connection:
        if one.label:
            return identity.of(connection, one.label)
        known = [sweep.cluster for sweep in sweeps.every(connection)]
    return known[0] if len(known) == 1 else stable_name(store, one)


def _slurm(work: Work) -> Outcome:
    """What Slurm is doing now. A source that fails stands on the page; a silent cluster fails the step."""
    from exporters import slurm
    from opsd.pipeline import present

    seen: list[Seen] = []

    def look(one: ClusterSources) -> dict[str, int]:
        if one.present is None:
            return {}
        done = present.run(
            work.store, one.present, cluster=name_now(work.store, one), now=work.now,
            interval=work.daemon.slurm_seconds, stopwatch=time.monotonic, answered=one.answered,
        )  # fmt: skip
        work.go_on()  # a daemon that ends has ended its commands
        seen.append(done)
        one.answered = done.look.answered
        for source in one.new_silences(done.failed):
            event(
                "slurm_silent",
                level=logging.WARNING,
                cluster=one.shown,
                source=source,
                error=done.failed[source],
            )
        return done.counts

    outcome = each_cluster(work, look)
    silent = [f"cluster {done.look.cluster}: {done.why_silent}" for done in seen if done.is_silent]
    lacking = [
        f"cluster {done.look.cluster}: {source}: {why}"
        for done in seen if not done.is_silent for source, why in sorted(done.failed.items())
    ]  # fmt: skip
    return replace(
        outcome, page=slurm.page([done.look for done in seen]).render() if seen else None,
        failed="; ".join(filter(None, (outcome.failed, *silent))),
        served=outcome.served and (not seen or len(silent) < len(seen)), lacking="; ".join(lacking),
    )  # fmt: skip


def _notify(work: Work) -> Outcome:
    """Notices to people; without a mail server nothing is looked at."""
    import os
    import socket

    from opsd.daemon import post

    if not post.is_set(work.mail):
        return Outcome()
    from exporters import waiting
    from exporters.mail import Session
    from opsd.pipeline import notify
    from opsd.store.hold import Holder

    me = Holder(os.getpid(), socket.gethostname(), work.now)
    with Session(post.server(work.mail)) as session:
        done = notify.run(work.store, session, post.sender(work.mail), me, now=work.now, go_on=work.go_on)
    for row in done.rows:
        if row.outcome in (notify.REFUSED, notify.NOBODY):
            event("notice_untold", level=logging.WARNING, award=row.notice.award, kind=row.notice.kind,
                  to=row.recipient, why=row.detail)  # fmt: skip
    counts = {name: done.count(name) for name in (notify.SENT, notify.REFUSED, notify.NOBODY)}
    counts |= {"waiting": done.waiting, "passed": done.passed}
    return Outcome(counts, waiting.page(done.waiting).render(), failed=done.failed, served=not done.failed)


def _efficiency(work: Work) -> Outcome:
    from exporters import efficiency as shown
    from opsd.pipeline import efficiency

    found = efficiency.run(work.store, now=work.now, go_on=work.go_on)
    counts = {"projects": len(found.projects), "classes": len(found.capacity)}
    counts["unbalanced"] = sum(bool(one.unbalanced) for one in found.capacity)
    return Outcome(counts, shown.page(found).render())


def _housekeeping(work: Work) -> Outcome:
    from opsd.pipeline import housekeeping

    done = housekeeping.run(work.store, now=work.now)
    return Outcome({
        "readings_forgotten": done.readings_forgotten, "matched": done.matched,
        "log_emptied": int(done.log_emptied),
    })  # fmt: skip


STEPS: tuple[Step, ...] = (
    Step("ingest", _ingest, Every(lambda daemon: daemon.ingest_seconds), 1_800, 3),
    Step("reread", _reread, Daily(1, 41), 7_200, 2),
    Step("review", _review, Weekly(6, 4, 23), 6 * HOUR, 2),
    Step("rebuild", _rebuild, Every(lambda daemon: daemon.ingest_seconds), 1_800, 3, follows="ingest"),
    Step("balances", _balances, Every(lambda daemon: daemon.balances_seconds), 120, 3, follows="rebuild"),
    Step("credits", _credits, Every(lambda _: HOUR), 1_800, 3),
    Step("notify", _notify, Every(lambda _: _NOTIFY_SECONDS), 900, 3),
    Step("reconcile", _reconcile, Daily(2, 27), 7_200, 2),
    Step("slurm", _slurm, Every(lambda daemon: daemon.slurm_seconds), 120, 3),
    Step("machine", _machine, Every(lambda _: _MACHINE_SECONDS), 1_800, 3),
    Step("fetch", _fetch, Every(lambda daemon: daemon.fetch_seconds), 900, 3),
    Step("efficiency", _efficiency, Every(lambda _: _EFFICIENCY_SECONDS), 900, 3, follows="fetch"),
    Step("housekeeping", _housekeeping, Daily(3, 17), 1_800, 2),
)


def named(names: Sequence[str], steps: Sequence[Step] = STEPS) -> list[Step]:
    """The steps of these names, in the table's order; all when none is named.

    Raises:
        WrongUsage: there is no such step.
    """
    known = [step.name for step in steps]
    for name in names:
        if name not in known:
            raise WrongUsage(
                f"step {name!r}: no such step" + nearest(name, known, f"steps: {' '.join(known)}")
            )
    return [step for step in steps if not names or step.name in names]
