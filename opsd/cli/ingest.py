"""`opsd ingest`: what Slurm's accounting says now into the database."""

from __future__ import annotations

import os
import socket
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from opsd.cli.context import counted, note, now, open_store
from opsd.cli.import_ import progress_bar
from opsd.cli.streams import say
from opsd.cli.times import time_option
from opsd.config import Settings, Slurm, settings
from opsd.core.errors import OpsdError, WrongUsage
from opsd.core.names import nearest
from opsd.core.period import Window, isoformat
from opsd.store.hold import Holder

if TYPE_CHECKING:
    from collectors.protocol import AccountingTables, Machine, Present
    from opsd.pipeline.sources import ClusterSources
    from opsd.pipeline.sweep import Result
    from opsd.store.engine import Store

_HOUR = 3_600
_SHOWN_REASONS = 5
_LOOK_SECONDS = 20  # six looks at a controller that hangs then end within their step's deadline


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.description = (
        "Read what changed in Slurm's accounting since the last time. Safe to stop and to run again: "
        "nothing is counted twice."
    )
    parser.add_argument("--cluster", metavar="NAME", help="one of those in the configuration (default: all)")
    parser.add_argument("--from", dest="start", metavar="T", help="read this span again: its start, in UTC")
    parser.add_argument("--to", dest="end", metavar="T", help="its end (default: now)")


def run(args: Namespace) -> int:
    """Read Slurm once; exit code 3 when something was quarantined, or slurmdbd's database did not answer."""
    asked = settings(args.db, args.config)
    span = _span(args)
    with open_store(args) as store:
        found = chosen(sources(asked, store, tell=note), args.cluster)
        return _ingest(store, found, span)


def sources(
    asked: Settings, store: Store, *, tell: Callable[[str], None] | None = None
) -> list[ClusterSources]:
    """The Slurms that the settings name, to be read into this database.

    Args:
        tell: told who reads, when somebody else does (default: the log).

    Raises:
        Refused: the database holds made-up jobs.
    """
    from opsd.pipeline import demo

    demo.refuse_made_up(store)
    return configured(asked, tell)


def configured(asked: Settings, tell: Callable[[str], None] | None = None) -> list[ClusterSources]:
    """The Slurms that the settings name, whatever the database holds."""
    return [_sources(label, slurm, tell) for label, slurm in by_name(asked).items()]


def by_name(asked: Settings) -> Mapping[str, Slurm]:
    """How each cluster is asked; "" is the one local one."""
    return asked.clusters or {"": asked.slurm}


def _sources(label: str, slurm: Slurm, tell: Callable[[str], None] | None) -> ClusterSources:
    from collectors import registry
    from opsd.pipeline.pace import Pace
    from opsd.pipeline.sources import ClusterSources
    from opsd.pipeline.turn import Turn

    def me() -> Holder:
        return Holder(os.getpid(), socket.gethostname(), now())

    return ClusterSources(
        registry.accounting(
            "slurm", folder=slurm.bin, conf=slurm.conf, timeout_seconds=slurm.timeout_seconds,
            clock=time.time, cluster=label,
        ),
        label,
        slurm.since,
        Pace(slurm.window_hours * _HOUR, time.monotonic, time.sleep),
        turn=Turn(me, time.monotonic, time.sleep, *([tell] if tell else [])),
        open_tables=_tables(slurm),
        open_machine=partial(_machine, slurm),
        open_present=partial(_present, slurm),
    )  # fmt: skip


def _tables(slurm: Slurm) -> Callable[[str], AccountingTables] | None:
    from collectors import registry

    url = slurm.database_url
    if url is None:
        return None
    return lambda cluster: registry.tables(
        "slurm", url=url, cluster=cluster, timeout_seconds=slurm.timeout_seconds
    )


def _machine(slurm: Slurm, cluster: str, tables: AccountingTables | None) -> Machine:
    from collectors import registry
    from collectors.slurm.client import Client

    client = Client(folder=slurm.bin, conf=slurm.conf, timeout_seconds=slurm.timeout_seconds)
    return registry.machine("slurm", client, cluster, tables, slurm.timezone)


def _present(slurm: Slurm, cluster: str) -> Present:
    from collectors import registry

    return registry.present(
        "slurm", folder=slurm.bin, conf=slurm.conf, cluster=cluster,
        timeout_seconds=min(slurm.timeout_seconds, _LOOK_SECONDS),
    )  # fmt: skip


def chosen(found: list[ClusterSources], name: str | None) -> list[ClusterSources]:
    """The one of that name, or all.

    Raises:
        WrongUsage: there is no such cluster.
        Refused, Unavailable: the only one was asked for by name, and cannot tell its own.
    """
    if name is None:
        return found
    known = {one.label or one.cluster: one for one in found}  # the only one has no label, but a name in Slurm
    if name not in known:
        listed = (
            f"there is {' '.join(known)}"
            if not found[0].label
            else f"the configuration has {' '.join(known)}"
        )
        raise WrongUsage(f"--cluster {name}: no such cluster{nearest(name, known, listed)}")
    return [known[name]]


def _span(args: Namespace) -> Window | None:
    if args.start is None:
        if args.end is not None:
            raise WrongUsage("--to without --from: say where the span to be read again starts")
        return None
    start = time_option("--from", args.start, UTC)
    end = now() if args.end is None else min(time_option("--to", args.end, UTC), now())
    if end <= start:
        raise WrongUsage(f"--from {args.start}: the span must start before its end and before now")
    return Window(start, end)


def _ingest(store: Store, clusters: Sequence[ClusterSources], span: Window | None) -> int:
    """Each by itself: one that fails is told at the end, and those after it are read."""
    from opsd.pipeline import rebuild

    failed: list[OpsdError] = []
    eyes = False
    for one in clusters:
        try:
            eyes |= _read(store, one, span)
        except OpsdError as err:
            if len(clusters) == 1:
                raise
            failed.append(err)
            note(f"opsd: cluster {one.shown}: {err}")
    with progress_bar("day facts", None) as advance:
        rebuilt = rebuild.run(store, progress=advance)
    say(f"day facts      {counted(rebuilt.cells, 'account-day')} rebuilt")
    return failed[0].exit_code if failed else 3 if eyes else 0


def _read(store: Store, one: ClusterSources, span: Window | None) -> bool:
    """Whether something needs eyes."""
    from opsd.pipeline import sweep

    at, started = now(), time.monotonic()
    with progress_bar("asking", None) as advance:
        result = sweep.run(
            store, one.accounting, now=at, since=sweep.beginning(one.since, at), means=one.means(), span=span,
            progress=advance,
        )  # fmt: skip
    _summary(result, time.monotonic() - started)
    for said in one.new_notes(result):
        note(f"cluster {result.cluster}: not known: {said}")
    return bool(result.quarantined or result.database)


def _summary(result: Result, read_in: float) -> None:
    from opsd.core.flags import MEANINGS, Flag

    read = result.read
    tally = read.tally
    odd = {flag: tally.flags[flag] for flag in MEANINGS}
    odd[Flag.SUSPENDED_UNPLACED] -= result.placed  # slurmdbd's database told the rest
    lines = [
        f"cluster {result.cluster}: {counted(read.rows, 'row')} read in {read_in:.1f} s",
        f"  span         {isoformat(result.span.start)} to {isoformat(result.span.end)}",
        f"  runs         {tally.new:,} new, {tally.changed:,} changed, {tally.unchanged:,} unchanged",
        f"  asked again  {counted(result.asked_again, 'open run')} that no window showed",
        f"  quarantined  {read.quarantined:,}",
        *(
            f"  note         {counted(odd[flag], 'run')}: {text}"
            for flag, text in MEANINGS.items()
            if odd[flag] > 0
        ),
    ]
    if result.modified:
        lines.insert(4, f"  edited       {counted(result.modified, 'job')} that slurmdbd's database named")
    say("\n".join(lines))
    _unknown(result)
    for reason in read.reasons[:_SHOWN_REASONS]:
        note(f"quarantined: {reason}")
    if read.quarantined > _SHOWN_REASONS:
        note(f"quarantined: … and {read.quarantined - _SHOWN_REASONS:,} more: opsd quarantine list")


def _unknown(result: Result) -> None:
    """Open runs that somebody should look at; nothing about how they count changes by itself."""
    from opsd.pipeline.status import GONE, SUSPECTED, jobs_shown

    for jobs, what in ((result.suspected, SUSPECTED), (result.gone, GONE)):
        if jobs:
            note(f"cluster {result.cluster}: {counted(len(jobs), 'run')} {what}: {jobs_shown(jobs)}")
