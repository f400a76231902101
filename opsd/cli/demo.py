"""`opsd demo`: a simulated AI factory on this machine, from Slurm's text to balances."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from opsd.cli.context import note, open_store
from opsd.cli.times import time_option, zone_option
from opsd.core.errors import WrongUsage
from opsd.core.period import DAY
from opsd.core.records import EARLIEST

FOLDER = "opsd-demo"
UNTIL = "2026-11-15"
SEED = 1
LATEST = 4_102_444_800  # 2100-01-01
MARGIN = 366 * DAY
_EPILOG = """\
Nothing real is read: ninety days of a machine that does not exist are written as the text sacct
would print, and read back the way real text is. The same --seed and --until give the same bytes.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument("--dir", metavar="DIR", default=FOLDER, help=f"where to put it (default: {FOLDER})")
    parser.add_argument(
        "--until", metavar="T", default=UNTIL, help=f"the simulated present (default: {UNTIL})"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=SEED, help=f"another history (default: {SEED})"
    )
    parser.add_argument("--once", action="store_true", help="print and end, as is the default")


def run(args: Namespace) -> int:
    """Make the demonstration and print it."""
    from opsd.cli import demo_tables
    from opsd.pipeline import demo

    if args.db or args.config:
        raise WrongUsage("demo keeps its own database in --dir; leave --db and --config out")
    until = _until(args.until)
    folder = Path(args.dir).absolute()
    with _told() as progress:
        progress("making up ninety days of jobs")
        demo.prepare(folder, until, args.seed)
        args.db = f"sqlite:///{folder / demo.DATABASE}"
        with open_store(args) as store:
            shown = demo.run(store, folder, until, progress)
    demo_tables.show(shown)
    sys.stdout.flush()
    _next(args.db, args.until)
    return 0


def _until(text: str) -> int:
    """A moment whose ninety days, and the awards around them, lie in times that Slurm could have seen."""
    until = time_option("--until", text, zone_option(None))
    if not EARLIEST + MARGIN <= until <= LATEST:
        raise WrongUsage(f"--until {text}: name a moment between 1991 and 2100")
    return until


@contextmanager
def _told() -> Iterator[Callable[[str], None]]:
    """What is going on, on a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(f"{text} …")


def _next(database: str, until: str) -> None:
    """Not on stdout: it names a folder, and the same demonstration must print the same bytes."""
    note("What to try next:")
    note(f"  export OPSD_DB={database}")
    for line in (
        "opsd usage --from 2026-10-01 --to 2026-11-01 --by pays,country,uses",
        "opsd usage --from 2026-10-01 --to 2026-11-01 --by sector,mode --format csv",
        f"opsd balance --as-of {until} --by pool",
        "opsd account list",
        "opsd consortium export",
    ):
        note(f"  {line}")
