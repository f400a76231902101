"""`opsd daemon`: what runs by itself, until it is told to end; or once, in the foreground."""

from __future__ import annotations

import logging
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opsd.cli import signals
from opsd.cli.context import now, open_store
from opsd.cli.ingest import sources
from opsd.config import Settings, settings
from opsd.systemd import notify, watchdog_seconds

if TYPE_CHECKING:
    from opsd.pipeline.sources import ClusterSources
    from opsd.store.engine import Store

_EPILOG = """\
steps: ingest (read Slurm's accounting), reread (the last week once more, every night), review (the last
90 days, every week), rebuild (day facts), balances (everything on the page), notify (letters to people,
where [mail] says how), reconcile (certificates, every night), slurm (what it is doing now), machine
(nodes, reservations, partitions), fetch (what jobs did with GPUs, from the node agents), housekeeping
(tidy up, once a day). One daemon runs on a database; --once may run beside it.
"""
_BEATS_PER_WATCH = 3


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "--once",
        nargs="*",
        metavar="STEP",
        help="run these steps (default: all) now and end",
    )


def run(args: Namespace) -> int:
    """Run until SIGTERM or SIGINT, or the steps of --once."""
    from opsd.daemon import named

    chosen = named(args.once or ())
    _log_to_stderr()
    asked = settings(args.db, args.config)
    with open_store(args) as store:
        slurm = sources(asked, store)
        if args.once is None:
            return _until_told(store, asked, slurm)
        return _once(store, asked, slurm, [step.name for step in chosen])


def _once(store: Store, asked: Settings, clusters: Sequence[ClusterSources], names: list[str]) -> int:
    from opsd.daemon import named
    from opsd.daemon.runner import Runner, World
    from opsd.store import hold
    from opsd.store.steps import DONE

    runner = Runner(World(store, clusters, asked, now, time.time))
    runner.load(alone=hold.holder(store) is None)
    results = [runner.run(step).result for step in named(names)]
    return 0 if all(result == DONE for result in results) else 1


def _until_told(store: Store, asked: Settings, clusters: Sequence[ClusterSources]) -> int:
    from opsd.daemon import Daemon
    from opsd.daemon.service import BEAT_SECONDS

    watch = watchdog_seconds()
    with signals.told() as told:
        daemon = Daemon(
            store, asked, clusters, on_beat=lambda: notify("WATCHDOG=1"), on_end=told.put,
            beat_seconds=min(BEAT_SECONDS, watch / _BEATS_PER_WATCH) if watch else BEAT_SECONDS,
        )  # fmt: skip
        daemon.start()
        notify("READY=1")
        why = signals.wait(told)
        notify("STOPPING=1")
        all_ended = daemon.stop()
    if not why.startswith("SIG"):
        print(f"opsd: {why}", file=sys.stderr)
    if not all_ended:
        _leave()
    return 0 if why.startswith("SIG") else 1


def _leave() -> None:
    """A run that hangs must not keep the process: what it had not committed is undone by the database."""
    import os

    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    form = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    form.converter = time.gmtime
    handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
