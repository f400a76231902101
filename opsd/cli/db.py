"""`opsd db`: bring the schema up to date, build the day facts anew."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from opsd.cli.context import counted, open_store


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    verbs.add_parser("upgrade", help="create or migrate the tables")
    verbs.add_parser("rebuild", help="throw all day facts away and build them from the runs")


def run(args: Namespace) -> int:
    """Run one action."""
    return _upgrade(args) if args.action == "upgrade" else _rebuild(args)


def _upgrade(args: Namespace) -> int:
    from opsd.store import migrate

    with open_store(args, upgrade=False) as store:
        before, after = migrate.upgrade(store)
        print(f"{store.shown}: schema {after}" + ("" if before == after else f" (was {before or 'empty'})"))
    return 0


def _rebuild(args: Namespace) -> int:
    from opsd.cli.import_ import progress_bar
    from opsd.pipeline import rebuild

    started = time.monotonic()
    with open_store(args) as store, progress_bar("day facts", None) as advance:
        done = rebuild.everything(store, progress=advance)
    seconds = time.monotonic() - started
    print(f"{counted(done.cells, 'account-day')} rebuilt from {counted(done.runs, 'run')} in {seconds:.1f} s")
    return 0
