"""`opsd capacity`: what there was, and where it went; and the same beside Slurm's own report."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from typing import TYPE_CHECKING

from opsd.cli import compared
from opsd.cli.context import now, open_store, warn
from opsd.cli.output import print_rows
from opsd.cli.times import add_format, zone_option
from opsd.config import settings
from opsd.core.errors import WrongUsage

if TYPE_CHECKING:
    from opsd.pipeline.capacity import Capacity
    from opsd.pipeline.utilised import Comparison
    from opsd.store.engine import Store

_EPILOG = """\
keys: cluster node_class month day hour. total = allocated + reserved_idle + planned_down + down +
unallocated, in whole CPU- and GPU-seconds, of every row. At an instant a node's CPUs and GPUs are
first what runs hold, on a draining node too; what is left is planned down, else down, else reserved
and idle, else unallocated. With --against sreport one cluster's lines stand beside Slurm's, each
difference with its causes; exit code 3: something is left over.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    compared.add_window(parser, "2026-10, 2026-Q4, 2026, or A..B")
    parser.add_argument(
        "--by", metavar="K,K,…", help="keys, see below (default: cluster,node_class)"
    )  # fmt: skip
    parser.add_argument("--against", metavar="WHAT", help="sreport: beside Slurm's cluster utilization")
    parser.add_argument("--cluster", metavar="NAME", help="with --against: one of the configuration")
    parser.add_argument("--no-ingest", action="store_true", help="with --against: do not read Slurm first")
    add_format(parser)


def run(args: Namespace) -> int:
    """Print a capacity table; exit code 3 when something of Slurm's report is left over."""
    if args.against not in (None, "sreport"):
        raise WrongUsage(f"--against {args.against}: there is sreport")
    if args.against:
        return _against(args)
    if args.cluster or args.no_ingest:
        raise WrongUsage("--cluster and --no-ingest go with --against sreport")
    return _capacity(args)


def _capacity(args: Namespace) -> int:
    from opsd.pipeline import capacity

    tz = zone_option(args.timezone)
    window = compared.window(args, tz, this_month=False)
    asked = ",".join(capacity.DEFAULT) if args.by is None else args.by
    keys = capacity.check_keys([key for key in map(str.strip, asked.split(",")) if key])
    with open_store(args) as store, store.read() as connection:
        found = capacity.run(connection, window, keys, tz=tz)
    _print(args.format, found, tz)
    for note in found.notes:
        warn(note)
    if not window.seconds:
        warn("the window is empty: --from and --to are the same instant")
    elif not found.rows:
        warn(
            "no node is known: opsd consortium apply FILE says which node classes there are, "
            "and the daemon reads from Slurm what is registered"
        )
    return 0


def _print(form: str, found: Capacity, tz: tzinfo) -> None:
    from opsd.pipeline.capacity import COLUMNS

    if form == "table":
        from opsd.cli.capacity_table import capacity_table

        capacity_table(found, tz)
        return
    lines = len(COLUMNS) - 1
    rows = [(*row.key, row.resource, *row.lines[:lines]) for row in found.rows]
    print_rows(form, (*found.keys, *COLUMNS), rows)


def _against(args: Namespace) -> int:
    if args.by is not None:
        raise WrongUsage("--by with --against sreport: Slurm's report is about a whole cluster")
    with open_store(args) as store:
        found = _comparison(args, store)
    if args.format == "table":
        from opsd.cli.capacity_table import comparison_table

        comparison_table(found)
    else:
        from opsd.pipeline.utilised import COLUMNS

        print_rows(args.format, COLUMNS, list(found.rows()))
    for note in found.notes:
        warn(note)
    return 3 if found.left_over else 0


def _comparison(args: Namespace, store: Store) -> Comparison:
    from opsd.cli import ingest
    from opsd.pipeline import utilised

    window = compared.window(args, compared.book_zone(args, store), this_month=True)
    one = compared.one_cluster(ingest.sources(settings(args.db, args.config), store), args.cluster)
    if not args.no_ingest:
        compared.read(store, one, window)
    return utilised.run(store, one, window, now=now())
