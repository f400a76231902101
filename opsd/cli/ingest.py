"""`opsd ingest`: what Slurm's accounting says now into the database."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from datetime import UTC
from typing import TYPE_CHECKING

from opsd.cli.context import counted, note, now, open_store
from opsd.cli.import_ import progress_bar
from opsd.cli.streams import say
from opsd.cli.times import time_option
from opsd.config import Settings, Slurm, settings
from opsd.core.errors import WrongUsage
from opsd.core.period import Window, isoformat

if TYPE_CHECKING:
    from collectors.protocol import AccountingSource
    from opsd.pipeline.rebuild import Result as Rebuilt
    from opsd.pipeline.sweep import Result
    from opsd.store.engine import Store

_HOUR = 3_600
_SHOWN_REASONS = 5


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.description = (
        "Read what changed in Slurm's accounting since the last time. Safe to stop and to run again: "
        "nothing is counted twice."
    )
    parser.add_argument("--from", dest="start", metavar="T", help="read this span again: its start, in UTC")
    parser.add_argument("--to", dest="end", metavar="T", help="its end (default: now)")


def run(args: Namespace) -> int:
    """Read Slurm once; exit code 3 when something was quarantined."""
    asked = settings(args.db, args.config)
    span = _span(args)
    with open_store(args) as store:
        return _ingest(store, source(asked, store), asked.slurm, span)


def source(asked: Settings, store: Store) -> AccountingSource:
    """The Slurm that the settings name, to be read into this database.

    Raises:
        Refused: the database holds made-up jobs.
    """
    from collectors import registry
    from opsd.pipeline import demo

    demo.refuse_made_up(store)
    return registry.accounting(
        "slurm", folder=asked.slurm.bin, conf=asked.slurm.conf,
        timeout_seconds=asked.slurm.timeout_seconds, clock=time.time,
    )  # fmt: skip


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


def _ingest(store: Store, answers: AccountingSource, slurm: Slurm, span: Window | None) -> int:
    from opsd.pipeline import rebuild, sweep

    at, started = now(), time.monotonic()
    with progress_bar("asking", None) as advance:
        result = sweep.run(
            store, answers, now=at, since=sweep.beginning(slurm.since, at),
            window_seconds=slurm.window_hours * _HOUR, span=span, progress=advance,
        )  # fmt: skip
    read_in = time.monotonic() - started
    with progress_bar("day facts", None) as advance:
        rebuilt = rebuild.run(store, progress=advance)
    _summary(result, read_in, rebuilt)
    return 3 if result.quarantined else 0


def _summary(result: Result, read_in: float, rebuilt: Rebuilt) -> None:
    from opsd.core.flags import MEANINGS

    read = result.read
    tally = read.tally
    lines = [
        f"cluster {result.cluster}: {counted(read.rows, 'row')} read in {read_in:.1f} s",
        f"  span         {isoformat(result.span.start)} to {isoformat(result.span.end)}",
        f"  runs         {tally.new:,} new, {tally.changed:,} changed, {tally.unchanged:,} unchanged",
        f"  asked again  {counted(result.asked_again, 'open run')} that no window showed",
        f"  quarantined  {read.quarantined:,}",
        f"  day facts    {counted(rebuilt.cells, 'account-day')} rebuilt",
        *(
            f"  note         {counted(tally.flags[flag], 'run')}: {text}"
            for flag, text in MEANINGS.items()
            if tally.flags[flag]
        ),
    ]
    say("\n".join(lines))
    for reason in read.reasons[:_SHOWN_REASONS]:
        note(f"quarantined: {reason}")
    if read.quarantined > _SHOWN_REASONS:
        note(f"quarantined: … and {read.quarantined - _SHOWN_REASONS:,} more: opsd quarantine list")
