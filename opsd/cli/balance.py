"""`opsd balance`: granted, settled, accrued, committed, left, free; burned, and when it will be used up."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from opsd.cli.context import counted, now, open_store, warn
from opsd.cli.output import print_rows
from opsd.cli.times import add_format, time_option

if TYPE_CHECKING:
    from opsd.pipeline.balance import Balances
    from opsd.pipeline.outlook import Outlooks

_EPILOG = """\
settled: charged for ended runs; accrued: charged so far for open ones; committed: what open runs
may still use up to their limits; left = granted - settled - accrued; free = left - committed.
Use after an award's end, or before its start, stands in after_end alone, which the
table calls outside. forecast: the day on which nothing will be left if use goes on as in the last 7
days; already, where nothing is; none, where that is not within a year, or not before the award ends.
csv and json give exact unit-seconds. A table too wide for the terminal leaves columns out, and says
which.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument(
        "--by", metavar="KEY", default="award", help="award, project, organisation, country, pool or funder"
    )
    parser.add_argument("--as-of", metavar="T", help="the instant (default: now; bare dates are UTC)")
    parser.add_argument(
        "--forecast", action="store_true", help="add to csv and json what is burned, and the forecast"
    )
    add_format(parser)


def run(args: Namespace) -> int:
    """Print balances; exit code 3 when some use belongs to no award."""
    from datetime import UTC

    from opsd.pipeline import balance, outlook

    ahead = args.forecast or args.format == "table"
    as_of = now() if args.as_of is None else time_option("--as-of", args.as_of, UTC)
    with open_store(args) as store, store.read() as connection:
        if ahead:
            told = outlook.run(connection, as_of=as_of, by=args.by)
            found = told.balances
        else:
            told, found = None, balance.run(connection, as_of=as_of, by=args.by)
    _print(args.format, found, told)
    if not found.lines:
        warn("no award yet: opsd consortium apply FILE says who may use how much")
    for reason in found.unpriced:
        warn(f"not charged: {reason}")
    if found.unknown_limits:
        have = "has" if found.unknown_limits == 1 else "have"
        runs = counted(found.unknown_limits, "open run")
        warn(f"{runs} {have} no known time limit, so what is committed is not known")
    if found.unattributed:
        warn("some usage belongs to no award: opsd account list shows whose")
        return 3
    return 0


def _print(form: str, found: Balances, told: Outlooks | None) -> None:
    from opsd.pipeline.balance import COLUMNS
    from opsd.pipeline.outlook import COLUMNS as MORE

    if form == "table" and told:
        from opsd.cli.tables import balance_table

        balance_table(told)
        return
    columns = (found.by, *COLUMNS, *(MORE if told else ()))
    rows = [(line.key, *line.values(), *(told.of(line).values() if told else ())) for line in found.lines]
    print_rows(form, columns, rows)
