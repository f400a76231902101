"""Options of commands that set opsd's figures beside Slurm's own: which window, which cluster, read anew.

Invariant: a comparison is about one cluster, and about a window in the zone of the books.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from opsd.cli.context import now, warn
from opsd.cli.times import window_option, zone_option
from opsd.core.errors import BadText, WrongUsage
from opsd.core.period import Window, parse_period, zone

if TYPE_CHECKING:
    from opsd.pipeline.sources import ClusterSources
    from opsd.store.engine import Store


def add_window(parser: ArgumentParser, periods: str, zone_shown: str = "UTC") -> None:
    """`--period`, or `--from` and `--to`, and `--timezone`.

    Args:
        zone_shown: the zone where none is asked for, as the help says it.
    """
    parser.add_argument("--period", metavar="P", help=periods)
    parser.add_argument("--from", dest="start", metavar="T", help="first second, instead of --period")
    parser.add_argument("--to", dest="end", metavar="T", help="end, not included")
    parser.add_argument(
        "--timezone", metavar="TZ", help=f"whose midnights and months (default: {zone_shown})"
    )


def book_zone(args: Namespace, store: Store) -> tzinfo:
    """The zone of `--timezone`, else the one that the books are kept in."""
    from opsd.store import parties

    with store.read() as connection:
        book = zone(parties.load(connection).book_zone or "UTC")
    return zone_option(args.timezone, book)


def window(args: Namespace, tz: tzinfo, *, this_month: bool) -> Window:
    """The window that was asked for.

    Args:
        this_month: whether nothing said means the current month.
    """
    if args.start or args.end:
        if args.period:
            raise WrongUsage("--period with --from or --to: say one of the two")
        if not (args.start and args.end):
            raise WrongUsage("--from and --to go together: say both, or --period")
        return window_option(args.start, args.end, tz)
    if not args.period and not this_month:
        raise WrongUsage("say which time: --from T --to T, or --period 2026-10")
    try:
        return parse_period(args.period or f"{datetime.fromtimestamp(now(), tz):%Y-%m}", tz)
    except BadText as err:
        raise WrongUsage(f"--period: {err}") from err


def one_cluster(found: list[ClusterSources], name: str | None) -> ClusterSources:
    """The one cluster: a report of Slurm's is about one."""
    from opsd.cli import ingest

    chosen = ingest.chosen(found, name)
    if len(chosen) > 1:
        known = " ".join(one.label for one in chosen)
        raise WrongUsage(f"--cluster: which one of {known}? A report of Slurm's is about one cluster")
    return chosen[0]


def swept(store: Store, one: ClusterSources) -> str:
    """An ordinary sweep, so that open runs are seen after the end of what is compared; the stable name."""
    from opsd.pipeline import rebuild, sweep

    at = now()
    done = sweep.run(store, one.accounting, now=at, since=sweep.beginning(one.since, at), means=one.means())
    rebuild.run(store)
    return done.cluster


def read(store: Store, one: ClusterSources, span: Window) -> None:
    """The same, and what the cluster consisted of."""
    from opsd.pipeline import machine

    cluster = swept(store, one)
    told = machine.run(
        store, one.machine, one.tables, cluster=cluster, now=now(), start=span.start, end=span.end
    )
    for note in told.notes:
        warn(note)
