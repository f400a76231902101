"""`opsd explain`: from a figure down to the runs, the rule, the binding and the sources behind it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from opsd.cli import compared
from opsd.cli.context import now, open_store
from opsd.cli.times import time_option, window_option, zone_option
from opsd.core.errors import WrongUsage

if TYPE_CHECKING:
    from opsd.core.explanation import Explanation
    from opsd.store.engine import Connection, Store

_CELL = "the cell: keys as in opsd usage --by; none: the total"


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.epilog = "Ends with 3 when what it found needs eyes."
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True, title="what")
    usage = kinds.add_parser("usage", help="a cell of opsd usage", allow_abbrev=False)
    _add_window(usage)
    usage.add_argument("--cell", metavar="K=V,…", action="append", default=[], help=_CELL)
    usage.add_argument("--column", metavar="NAME", default="gpu_seconds", help="default: gpu_seconds")
    usage.add_argument("--as-of", metavar="T", help="cut time here, as opsd usage does")
    _add_limit(usage)
    run = kinds.add_parser(
        "run", help="a job: every run of it, every version, which counts", allow_abbrev=False
    )
    run.add_argument("job", metavar="JOBID", help="the number that Slurm gave it")
    run.add_argument("--cluster", metavar="NAME", help="of one cluster alone")
    run.add_argument("--timezone", metavar="TZ", help="whose clock times are shown by (default: UTC)")
    balance = kinds.add_parser("balance", help="a line of opsd balance", allow_abbrev=False)
    balance.add_argument("--award", metavar="ID", required=True, help="the award")
    balance.add_argument("--as-of", metavar="T", help="the instant (default: now; bare dates are UTC)")
    _add_limit(balance)
    capacity = kinds.add_parser("capacity", help="a line of opsd capacity", allow_abbrev=False)
    compared.add_window(capacity, "as opsd capacity takes it")
    capacity.add_argument(
        "--cell", metavar="K=V,…", action="append", default=[], help="cluster, node_class, resource"
    )
    capacity.add_argument("--column", metavar="NAME", default="down", help="default: down")
    _add_limit(capacity)
    certificate = kinds.add_parser("certificate", help="a cell of opsd reconcile", allow_abbrev=False)
    certificate.add_argument("--period", metavar="P", help="as opsd reconcile takes it")
    certificate.add_argument("--from", dest="start", metavar="T", help="first second, instead of --period")
    certificate.add_argument("--to", dest="end", metavar="T", help="end, not included")
    certificate.add_argument("--timezone", metavar="TZ", help="whose months (default: the book zone)")
    certificate.add_argument("--cluster", metavar="NAME", help="one of those in the configuration")
    certificate.add_argument(
        "--cell", metavar="K=V,…", action="append", default=[], help="account, user, tres"
    )
    _add_limit(certificate)
    for child in (usage, run, balance, capacity, certificate):
        _add_format(child)


def _add_window(parser: ArgumentParser) -> None:
    parser.add_argument("--from", dest="start", metavar="T", required=True, help="first second (ISO 8601)")
    parser.add_argument("--to", dest="end", metavar="T", required=True, help="end, not included")
    parser.add_argument("--timezone", metavar="TZ", help="whose midnights, months, … (default: UTC)")


def _add_limit(parser: ArgumentParser) -> None:
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="show so many runs (default: 20)")


def _add_format(parser: ArgumentParser) -> None:
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(args: Namespace) -> int:
    """Explain one figure; exit code 3 when something needs eyes."""
    from opsd.cli import explained

    tz = zone_option(getattr(args, "timezone", None))
    if getattr(args, "limit", 0) < 0:
        raise WrongUsage(f"--limit {args.limit}: write how many runs to show, 0 or more")
    with open_store(args) as store:
        if args.kind == "certificate":
            found, tz = _certificate(store, args)
        else:
            with store.read() as connection:
                found = _KINDS[args.kind](connection, args, tz)
    if args.format == "json":
        explained.as_json(found, tz)
    else:
        explained.as_tables(found, tz)
    return 3 if found.eyes else 0


def _usage(connection: Connection, args: Namespace, tz: tzinfo) -> Explanation:
    from opsd.pipeline.explain import cells, usage

    window = window_option(args.start, args.end, tz)
    as_of = None if args.as_of is None else time_option("--as-of", args.as_of, tz)
    return usage.run(
        connection, window, cells.parse(args.cell, usage.KEYS), column=args.column, tz=tz, as_of=as_of,
        limit=args.limit,
    )  # fmt: skip


def _run(connection: Connection, args: Namespace, _tz: tzinfo) -> Explanation:
    from opsd.pipeline.explain import job

    return job.run(connection, args.job, args.cluster)


def _balance(connection: Connection, args: Namespace, _tz: tzinfo) -> Explanation:
    from opsd.pipeline.explain import balance

    as_of = now() if args.as_of is None else time_option("--as-of", args.as_of, UTC)
    return balance.run(connection, args.award, as_of=as_of, limit=args.limit)


def _capacity(connection: Connection, args: Namespace, tz: tzinfo) -> Explanation:
    from opsd.pipeline.explain import capacity, cells

    window = compared.window(args, tz, this_month=False)
    asked = cells.parse(args.cell, capacity.KEYS)
    return capacity.run(connection, window, asked, column=args.column, tz=tz, limit=args.limit)


def _certificate(store: Store, args: Namespace) -> tuple[Explanation, tzinfo]:
    """Made anew, without reading accounting first: what is kept may not hold every contribution."""
    from opsd.cli import ingest
    from opsd.config import settings
    from opsd.core.period import zone_name
    from opsd.pipeline import reconcile as made
    from opsd.pipeline.explain import cells, certificate

    asked = cells.parse(args.cell, certificate.KEYS)
    tz = compared.book_zone(args, store)
    one = compared.one_cluster(ingest.sources(settings(args.db, args.config), store), args.cluster)
    window = compared.window(args, tz, this_month=True)
    found = made.run(store, one, window, now=now(), zone=zone_name(tz))
    with store.read() as connection:
        return certificate.run(connection, found, asked, limit=args.limit), tz


_KINDS = {"usage": _usage, "run": _run, "balance": _balance, "capacity": _capacity}
