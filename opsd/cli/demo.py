"""`opsd demo`: a simulated AI factory on this machine: living, or (`--once`) as tables that end."""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli import signals
from opsd.cli.context import note, open_store
from opsd.cli.times import time_option, zone_option
from opsd.core.errors import WrongUsage
from opsd.core.period import DAY
from opsd.core.records import EARLIEST

if TYPE_CHECKING:
    from opsd.cli.live_demo import Started

FOLDER = "opsd-demo"
UNTIL = "2026-11-15"
SEED = 1
LATEST = 4_102_444_800  # 2100-01-01
MARGIN = 366 * DAY
PORT = 8750
_EPILOG = """\
Nothing real is read: ninety days of a machine that does not exist are written as the text sacct
would print, and read back the way real text is. It then goes on: a daemon that reads what happens
next, four GPU nodes, and the portal, until Ctrl-C. With --once the tables are printed instead; there
the same --seed and --until give the same bytes.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    parser.epilog = _EPILOG
    parser.add_argument("--dir", metavar="DIR", default=FOLDER, help=f"where to put it (default: {FOLDER})")
    parser.add_argument(
        "--until", metavar="T", help=f"the simulated present (default: now; with --once: {UNTIL})"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=SEED, help=f"another history (default: {SEED})"
    )
    parser.add_argument(
        "--port", metavar="N", type=int, default=PORT,
        help=f"of the portal; daemon and nodes take those after it (default: {PORT}; 0: any)",
    )  # fmt: skip
    parser.add_argument("--once", action="store_true", help="print the tables and end")


def run(args: Namespace) -> int:
    """Make the demonstration; show it until it is stopped, or print it."""
    from opsd.pipeline import demo

    if args.db or args.config:
        raise WrongUsage("demo keeps its own database in --dir; leave --db and --config out")
    folder = Path(args.dir).absolute()
    args.db = f"sqlite:///{folder / demo.DATABASE}"
    return _tables(args, folder) if args.once else _live(args, folder)


def _tables(args: Namespace, folder: Path) -> int:
    from opsd.cli import demo_tables
    from opsd.pipeline import demo

    stated = args.until or UNTIL
    until = _until(stated)
    with _told() as progress:
        progress("making up ninety days of jobs")
        demo.prepare(folder, until, args.seed)
        with open_store(args) as store:
            shown = demo.run(store, folder, until, progress)
    demo_tables.show(shown)
    sys.stdout.flush()
    _next(args.db, stated)
    return 0


def _live(args: Namespace, folder: Path) -> int:
    from opsd.cli import live_demo

    clock = live_demo.clock_from(None if args.until is None else _until(args.until))
    with ExitStack() as shown:
        progress = shown.enter_context(_told())
        with live_demo.living(args, folder, clock, progress) as started:
            shown.close()
            with signals.told() as ends:
                _print_addresses(started, folder, args.db)
                signals.wait(ends)
            note("stopping ...")
    note(f"stopped; the database stays until the next start, which makes a new one: {args.db}")
    return 0


def _print_addresses(started: Started, folder: Path, database: str) -> None:
    lines = [
        "A simulated AI factory lives on this machine. Ctrl-C stops all of it.",
        "",
        f"  portal    {started.portal}",
        f"  metrics   {started.daemon.rstrip('/')}/metrics    the daemon: allocations, steps",
        *(f"            {url.rstrip('/')}/metrics    GPU node {node}" for node, url in started.nodes.items()),
        f"  targets   {folder / 'targets'}    for Prometheus' file_sd (make stack)",
        "",
        *(f"  {line}" for line in _another_terminal(database)),
        "  opsd status",
        "  opsd balance",
    ]
    print("\n".join(lines), flush=True)


def _another_terminal(database: str) -> Iterator[str]:
    """What a new shell must be told: where opsd is, unless every shell finds it, and which database."""
    activate = Path(sys.prefix, "bin", "activate")
    if sys.prefix != sys.base_prefix and activate.exists():
        yield f"source {shlex.quote(str(activate))}"
    yield f"export OPSD_DB={shlex.quote(database)}"


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
    for line in (
        *_another_terminal(database),
        "opsd usage --from 2026-10-01 --to 2026-11-01 --by pays,country,uses",
        "opsd usage --from 2026-10-01 --to 2026-11-01 --by sector,mode --format csv",
        f"opsd balance --as-of {until} --by pool",
        "opsd report --period 2026-10 --locale es -o october.pdf",
        "opsd period close 2026-10 --reason 'end of month' --dry-run",
        "opsd account list",
        "opsd consortium export",
    ):
        note(f"  {line}")
