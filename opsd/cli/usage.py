"""`opsd usage`: who used what, in whole seconds as Slurm counts."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from typing import TYPE_CHECKING

from opsd.cli.context import counted, open_store, warn
from opsd.cli.output import print_rows
from opsd.cli.times import add_format, time_option, window_option, zone_option
from opsd.core.amounts import exact_text
from opsd.core.slices import slice_of

if TYPE_CHECKING:
    from opsd.pipeline.usage import Row, UnknownSlice, Usage

_EPILOG = """\
keys: cluster account user partition qos state gpu_class award project organisation country pays
uses pool funder mode kind sector month day hour. `country` is the lead organisation's, `pays` the
funder's, `uses` the user's home. `runs` counts the runs that overlap a row, so it does not add up
over rows; every other column does. `gpu_seconds` counts instances, as Slurm does;
--equivalents adds what they are in whole GPUs, by the [[mig_slice]] entries in force at a run's start.
--measured adds what the node agents saw of the GPUs: `measured_gpu_seconds` is the part that was seen,
`coverage` its share of `gpu_seconds`. Of the seen part: `process_`, with a process of the job;
`idle_`, with next to no SM active; `gpm_`, with the figures of GPM, to which `sm_active_` and
`tensor_active_` belong (activity times time); `energy_joules`. Empty: no agent tells it. A record is
spread evenly over its run. Jobs on shards hold no GPU for Slurm: they have measures and no coverage.
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
    parser.add_argument(
        "--equivalents", action="store_true", help="add a column in which a MIG slice is its part of a GPU"
    )
    parser.add_argument(
        "--measured", action="store_true", help="add columns of what the node agents saw of the GPUs"
    )
    add_format(parser)


def run(args: Namespace) -> int:
    """Print a usage table; exit code 3 when something asked for (attribution, equivalents) has no answer."""
    from opsd.cli import gpu_use_columns
    from opsd.pipeline import usage
    from opsd.store import imports, read

    tz = zone_option(args.timezone)
    window = window_option(args.start, args.end, tz)
    as_of = None if args.as_of is None else time_option("--as-of", args.as_of, tz)
    keys = usage.check_keys([key for key in map(str.strip, args.by.split(",")) if key])
    with open_store(args) as store, store.read() as connection:
        found = usage.run(
            connection, window, keys, tz=tz, as_of=as_of, with_equivalents=args.equivalents,
            with_measured=args.measured,
        )  # fmt: skip
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
    for text in gpu_use_columns.remarks(found) if args.measured else ():
        warn(text)
    for key in found.unattributed:
        warn(f"some usage is unattributed by {key}: {_REMEDY.get(key, 'opsd account list shows whose')}")
    unknown = found.equivalents.unknown if found.equivalents else ()
    for item in unknown:
        warn(_unknown(item))
    return 3 if found.unattributed or unknown else 0


def _unknown(item: UnknownSlice) -> str:
    """Which entry is missing, ready to be written down."""
    sort = slice_of(item.gpu_class)
    make = sort.make if sort and sort.make else item.node_gpu_class.casefold()
    name = f'gpu_class = "{make}"' if make else "the gpu_class that the node class of its nodes declares"
    profile = sort.profile if sort else item.gpu_class
    return (
        f"{counted(item.seconds, 'GPU-second')} of {item.gpu_class} are of unknown size: say what such "
        f'a slice is of a GPU in a [[mig_slice]] with {name} and profile = "{profile}"'
    )


_REMEDY = {
    "uses": "opsd people import says where users work",
    "mode": "the award's mode in the consortium file, or opsd account list",
    "kind": "the organisation's kind in the consortium file, or opsd account list",
    "sector": "the project's or organisation's sector in the consortium file, or opsd account list",
}


def _print(form: str, found: Usage, tz: tzinfo) -> None:
    from opsd.pipeline.usage import COLUMNS, EQUIVALENT

    if form != "table":
        from opsd.cli import gpu_use_columns

        measured = () if found.uses is None else gpu_use_columns.COLUMNS
        columns = (*found.keys, *COLUMNS, *((EQUIVALENT,) if found.equivalents else ()), *measured)
        rows = [
            (*row.key, *row.measures, *_equivalent(found, row), *gpu_use_columns.of(found, row))
            for row in found.rows
        ]
        print_rows(form, columns, rows)
        return
    from opsd.cli.tables import usage_table

    usage_table(found, tz)


def _equivalent(found: Usage, row: Row) -> tuple[str, ...]:
    """The exact text of the added column, if it was asked for."""
    if found.equivalents is None:
        return ()
    seconds = found.equivalents.of(row.key)
    return ("unknown" if seconds is None else exact_text(seconds),)
