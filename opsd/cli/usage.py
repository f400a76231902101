"""`opsd usage`: who used what, in whole seconds as Slurm counts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from typing import TYPE_CHECKING

from opsd.cli.context import counted, open_store, warn
from opsd.cli.output import print_rows
from opsd.cli.times import add_format, time_option, window_option, zone_option

if TYPE_CHECKING:
    from opsd.pipeline.usage import Usage

_EPILOG = """\
keys: cluster account user partition qos state gpu_class award project organisation country pays
uses pool funder mode kind sector month day hour. `country` is the lead organisation's, `pays` the
funder's, `uses` the user's home. `runs` counts the runs that overlap a row, so it does not add up
over rows; every other column does.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--from", dest="start", metavar="T", required=True, help="first second (ISO 8601)")
    parser.add_argument("--to", dest="end", metavar="T", required=True, help="end, not included")
    parser.add_argument("--timezone", metavar="TZ", help="whose midnights, months, … (default: UTC)")
    parser.add_argument("--by", metavar="K,K,…", default="", help="keys, see below (default: one total)")
    parser.add_argument("--as-of", metavar="T", help="cut time here: later use does not count")
    add_format(parser)


def run(args: Namespace) -> int:
    """Print a usage table; exit code 3 when attribution was asked for and something has none."""
    from opsd.pipeline import usage
    from opsd.store import imports, read

    tz = zone_option(args.timezone)
    window = window_option(args.start, args.end, tz)
    as_of = None if args.as_of is None else time_option("--as-of", args.as_of, tz)
    keys = usage.check_keys([key for key in map(str.strip, args.by.split(",")) if key])
    with open_store(args) as store, store.read() as connection:
        found = usage.run(connection, window, keys, tz=tz, as_of=as_of)
        waiting = imports.quarantine_count(connection)
        twins, lost = read.losing_sluids(connection)
        empty = not found.rows and not read.names(connection).accounts
    _print(args.format, found, tz)
    if empty:
        warn("no run is stored in this database: opsd import sacct FILE reads some")
    if waiting:
        are = "is" if waiting == 1 else "are"
        warn(f"{counted(waiting, 'record')} {are} in quarantine and not counted: opsd quarantine list")
    if twins:
        were = "was" if twins == 1 else "were"
        warn(
            f"{counted(twins, 'run')} {were} seen under two SLUIDs; "
            f"{counted(lost, 'second')} of the losers do not count"
        )
    for key in found.unattributed:
        warn(f"some usage is unattributed by {key}: {_REMEDY.get(key, 'opsd account list shows whose')}")
    return 3 if found.unattributed else 0


_REMEDY = {
    "uses": "opsd people import says where users work",
    "mode": "the award's mode in the consortium file, or opsd account list",
    "kind": "the organisation's kind in the consortium file, or opsd account list",
    "sector": "the project's or organisation's sector in the consortium file, or opsd account list",
}


def _print(form: str, found: Usage, tz: tzinfo) -> None:
    from opsd.pipeline.usage import COLUMNS

    if form != "table":
        rows = [(*row.key, *row.measures) for row in found.rows]
        print_rows(form, (*found.keys, *COLUMNS), rows)
        return
    from opsd.cli.tables import usage_table

    usage_table(found, tz)
