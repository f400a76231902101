"""`opsd account`: Slurm accounts and the awards they draw on."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from opsd.cli.context import now, open_store
from opsd.cli.times import add_format, time_option, zone_option
from opsd.core.errors import Refused, WrongUsage

if TYPE_CHECKING:
    from opsd.pipeline.accounts import Line


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from opsd.cli.authorship import add_authorship

    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="accounts with their use and award, unattributed ones first")
    listing.add_argument("--from", dest="start", metavar="T", help="count use from here (default: all)")
    listing.add_argument("--to", dest="end", metavar="T", help="count use up to here (default: all)")
    listing.add_argument("--timezone", metavar="TZ", help="zone of bare dates (default: UTC)")
    add_format(listing)
    bind = verbs.add_parser("bind", help="let an account's use count for an award")
    bind.add_argument("place", metavar="CLUSTER/ACCOUNT")
    bind.add_argument("--award", required=True, metavar="A")
    bind.add_argument("--from", dest="start", required=True, metavar="T", help="a whole UTC hour")
    bind.add_argument("--until", metavar="T", help="a whole UTC hour (default: no end)")
    bind.add_argument("--partition", default="", metavar="P", help="only use in this partition")
    bind.add_argument("--qos", default="", metavar="Q", help="only use under this QOS")
    bind.add_argument("--timezone", metavar="TZ", help="zone of bare dates (default: the book zone)")
    add_authorship(bind)


def run(args: Namespace) -> int:
    """Run one action."""
    return {"list": _list, "bind": _bind}[args.action](args)


def _list(args: Namespace) -> int:
    from opsd.cli.output import print_rows
    from opsd.core.fields import LATEST
    from opsd.core.period import Window
    from opsd.pipeline import accounts

    tz = zone_option(args.timezone)
    start = time_option("--from", args.start, tz) if args.start else 0
    end = time_option("--to", args.end, tz) if args.end else max(LATEST, start)
    if end < start:
        raise WrongUsage(f"--to {args.end} is before --from {args.start}: put the earlier time first")
    with open_store(args) as store:
        lines = accounts.run(store, Window(start, end), now=now())
    if args.format == "table":
        _print(lines)
    else:
        print_rows(args.format, accounts.COLUMNS, [line.values for line in lines])
    return 0


def _print(lines: list[Line]) -> None:
    from rich.table import Table
    from rich.text import Text

    from opsd.cli.changes import console
    from opsd.pipeline.accounts import COLUMNS

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        numeric = column.endswith("_seconds")
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for line in lines:
        shown = (f"{value:,}" if isinstance(value, int) else value for value in line.values)
        style = "yellow" if line.unattributed else ""
        table.add_row(*(Text(value, style) for value in shown))
    console().print(table)


def _bind(args: Namespace) -> int:
    from opsd.cli.authorship import author
    from opsd.cli.changes import print_diff
    from opsd.core.awards import Binding
    from opsd.core.fields import BadField
    from opsd.core.period import zone
    from opsd.pipeline import consortium
    from opsd.store import parties

    cluster, slash, account = args.place.partition("/")
    if not (cluster and slash and account):
        raise WrongUsage(f"{args.place!r} names no account: write CLUSTER/ACCOUNT, such as mn5/ehpc01")
    with open_store(args) as store:
        with store.read() as connection:
            held = parties.load(connection)
        tz = zone_option(args.timezone, zone(held.book_zone))
        try:
            binding = Binding(
                cluster, account, args.award, time_option("--from", args.start, tz),
                time_option("--until", args.until, tz) if args.until else None, args.partition, args.qos,
            )  # fmt: skip
        except BadField as err:
            raise WrongUsage(str(err)) from err
        try:
            diff = consortium.bind(
                store,
                binding,
                author=author(args.author),
                reason=args.reason,
                now=now(),
                dry_run=args.dry_run,
            )
        except Refused as err:
            if args.award in held.awards:
                raise
            raise Refused(f"{err}: opsd balance lists awards") from err
    print_diff(diff, tz, dry_run=args.dry_run)
    return 0
