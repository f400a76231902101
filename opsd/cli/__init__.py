"""The `opsd` command: one table of verbs, each loaded only when it is called.

Invariant: `opsd --help` imports nothing that costs time; a failure that opsd can explain ends with
one line on stderr and the exit code of section 7 of the design, never with a traceback.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from opsd.cli import streams
from opsd.core.errors import OpsdError


class Verb(NamedTuple):
    """One row of the table: a module with `register(parser)` and `run(args) -> exit code`."""

    name: str
    module: str
    help: str


VERBS = (
    Verb("demo", "opsd.cli.demo", "a simulated AI factory, from Slurm text to balances, on this machine"),
    Verb("import", "opsd.cli.import_", "read Slurm accounting text"),
    Verb("ingest", "opsd.cli.ingest", "read Slurm's accounting now"),
    Verb("usage", "opsd.cli.usage", "who used what, exact to the second"),
    Verb("capacity", "opsd.cli.capacity", "what there was, and where it went: used, reserved, down, free"),
    Verb("balance", "opsd.cli.balance", "what was granted, what is used, what is left"),
    Verb("notify", "opsd.cli.notify", "tell people by mail: thresholds, over quota, ends, reports due"),
    Verb("explain", "opsd.cli.explain", "from any figure down to the runs, rule and sources behind it"),
    Verb("reconcile", "opsd.cli.reconcile", "opsd's usage beside sreport's, every difference by its cause"),
    Verb("report", "opsd.cli.report", "a statement for funders, in six languages: xlsx, pdf, csv, json, zip"),
    Verb("period", "opsd.cli.period", "months: close, show, verify"),
    Verb("consortium", "opsd.cli.consortium", "who pays, leads and uses: apply, export, check"),
    Verb("account", "opsd.cli.account", "Slurm accounts and the awards they draw on: list, bind"),
    Verb("award", "opsd.cli.award", "what was granted to whom: list, grant, extend, transfer, credit"),
    Verb("journal", "opsd.cli.journal", "what changed it: list, add, verify, approve, decline"),
    Verb("people", "opsd.cli.people", "users' home organisations: import"),
    Verb("quarantine", "opsd.cli.quarantine", "records that could not be read: list, show, retry"),
    Verb("daemon", "opsd.cli.daemon", "what runs by itself: ingest, balances, metrics"),
    Verb("status", "opsd.cli.status", "what the daemon did last, and how old its data are"),
    Verb("doctor", "opsd.cli.doctor", "checks Slurm and opsd, says what to mend; changes nothing"),
    Verb("web", "opsd.cli.web", "the portal"),
    Verb("dashboards", "opsd.cli.dashboards", "Grafana dashboards and Prometheus rules: build, push"),
    Verb("db", "opsd.cli.db", "the database: upgrade, rebuild"),
)

_EPILOG = """\
database: --db URL or OPSD_DB (sqlite:////abs/path, postgresql://host/name), else the
configuration file (--config FILE or OPSD_CONFIG), else your own data folder.
exit codes: 0 done, 1 failed, 2 wrong usage, 3 done but something needs eyes.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    streams.prepare()
    return streams.finish(_outcome(list(sys.argv[1:] if argv is None else argv)))


def _outcome(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except OpsdError as err:
        print(f"opsd: {err}", file=sys.stderr)
        return err.exit_code
    except SystemExit as end:  # argparse helped (0) or complained (2); rich says 1 when its reader has gone
        return 2 if end.code == 2 else 0
    except BrokenPipeError:
        streams.discard_output()
        return 0
    except OSError as err:
        return streams.failed(err)
    except KeyboardInterrupt:
        print("opsd: interrupted; what was done is kept: the same command again goes on", file=sys.stderr)
        return 130


def _dispatch(words: list[str]) -> int:
    everywhere, rest = _everywhere().parse_known_args(words)
    called = next((word for word in rest if not word.startswith("-")), None)
    try:
        return _run(rest, called, everywhere)
    except ModuleNotFoundError as err:  # also while the verb says which options it has
        raise _missing(err) from err


def _run(words: list[str], called: str | None, everywhere: argparse.Namespace) -> int:
    parser = _parser(called)
    args = parser.parse_args(words)
    if args.verb is None:
        parser.print_help()
        return 2
    args.db, args.config = everywhere.db, everywhere.config
    module = import_module(next(verb.module for verb in VERBS if verb.name == args.verb))
    return int(module.run(args))


_OURS = ("opsd", "collectors", "exporters", "dashboards")


def _missing(err: ModuleNotFoundError) -> Exception:
    """A part that was not installed, such as everything but the agent on a compute node."""
    name = (err.name or "").partition(".")[0]
    if name in _OURS:
        return err
    return OpsdError(
        f"the package {name} is not installed here: this command needs opsd-hpc[server], or an extra of it "
        "such as [postgresql] or [grafana]: docs/install.md"
    )


def _everywhere() -> argparse.ArgumentParser:
    """Options that may stand anywhere on the line."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--db", metavar="URL", help="the database")
    options.add_argument("--config", metavar="FILE", help="the configuration file")
    return options


def _parser(called: str | None) -> argparse.ArgumentParser:
    from opsd import __version__

    parser = argparse.ArgumentParser(
        prog="opsd",
        description="Operations and accounting of an AI factory: counted once, equal to Slurm, explained.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[_everywhere()],
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"opsd {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for verb in VERBS:
        child = verbs.add_parser(verb.name, help=verb.help, description=verb.help, allow_abbrev=False)
        if verb.name == called:
            import_module(verb.module).register(child)
    return parser
