"""`opsd balance`: granted, settled, accrued, committed, left, free."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from opsd.cli.context import counted, now, open_store, warn
from opsd.cli.output import print_rows
from opsd.cli.times import add_format, time_option

if TYPE_CHECKING:
    from opsd.pipeline.balance import Balances

_EPILOG = """\
settled: charged for ended runs; accrued: charged so far for open ones; committed: what open runs
may still use up to their limits; left = granted - settled - accrued; free = left - committed.
Use after an award's end, or before its start, stands in after_end alone, which the
table calls outside. csv and json give exact unit-seconds. A table too wide for the terminal leaves
columns out, and says which.
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
    add_format(parser)


def run(args: Namespace) -> int:
    """Print balances; exit code 3 when some use belongs to no award."""
    from datetime import UTC

    from opsd.pipeline import balance

    as_of = now() if args.as_of is None else time_option("--as-of", args.as_of, UTC)
    with open_store(args) as store, store.read() as connection:
        found = balance.run(connection, as_of=as_of, by=args.by)
    _print(args.format, found)
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


def _print(form: str, found: Balances) -> None:
    from opsd.pipeline.balance import COLUMNS

    if form != "table":
        print_rows(form, (found.by, *COLUMNS), [(line.key, *line.values()) for line in found.lines])
        return
    from opsd.cli.tables import balance_table

    balance_table(found)
