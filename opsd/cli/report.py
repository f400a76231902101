"""`opsd report`: a period's usage and balances, as a file for funders."""

from __future__ import annotations

import errno
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli.context import now, open_store, warn
from opsd.core.errors import OpsdError, Refused, WrongUsage

if TYPE_CHECKING:
    from opsd.core.statement import Statement

STDOUT = "-"
_EPILOG = """\
periods: 2026-10, 2026-Q4, 2026, or A..B (two times, the second not included), in the book zone of
the consortium unless --timezone names another. scopes: country:X organisation:X project:X pays:X
funder:X (country is where the leading organisation is, pays is whose money it was). The file is
written whole or not at all.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--period", metavar="P", required=True, help="what to report on, see below")
    parser.add_argument("--timezone", metavar="TZ", help="whose months (default: the book zone)")
    parser.add_argument("--format", metavar="F", help="xlsx, csv or json (default: as FILE ends, else xlsx)")
    parser.add_argument("--locale", metavar="L", default="en", help="the language: en")
    parser.add_argument("--scope", metavar="K:X", help="report on a part, see below (default: everything)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="where to write; - is standard output"
    )


def run(args: Namespace) -> int:
    """Write a report; exit code 3 when some use belongs to no award."""
    from opsd import reports
    from opsd.core.statement import Scope
    from opsd.pipeline import statement

    if args.locale != "en":
        raise WrongUsage(f"--locale {args.locale!r}: reports are written in en so far")
    form = _format(args.format, args.output)
    if args.output == STDOUT and form == "xlsx" and sys.stdout.isatty():
        raise Refused("an xlsx file on a terminal is of no use: name a file with -o, or pipe it on")
    scope = None if args.scope is None else Scope.parse(args.scope)
    with open_store(args) as store, store.read() as connection:
        found = statement.run(connection, args.period, now=now(), timezone=args.timezone, scope=scope)
    content = reports.render(found, form)
    if args.output == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    else:
        write(Path(args.output), content)
    return _warned(found)


def _format(named: str | None, output: str) -> str:
    from opsd.reports import FORMATS

    there = f"there are {' '.join(FORMATS)}"
    if named is not None:
        if named not in FORMATS:
            raise WrongUsage(f"--format {named!r}: no such report format yet; {there}")
        return named
    suffix = Path(output).suffix.lower()
    if not suffix:
        return "xlsx"
    found = next((name for name, form in FORMATS.items() if form.suffix == suffix), None)
    if found is None:
        raise WrongUsage(f"-o {output}: no report format is called {suffix}; {there}; or say --format")
    return found


def write(path: Path, content: bytes) -> None:
    """The whole file or, if anything fails, what was there before."""
    if path.is_dir():
        raise WrongUsage(f"-o {path} is a folder: name a file in it")
    if path.exists() and not path.is_file():  # a pipe or a device takes what it is given
        path.write_bytes(content)
        return
    target = path.resolve()  # a link stays one
    waiting = target.with_name(f".{target.name[:200]}.{os.getpid()}.tmp")
    try:
        with waiting.open("xb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        waiting.replace(target)
    except OSError as err:
        waiting.unlink(missing_ok=True)
        remedy = (
            "make room there"
            if err.errno == errno.ENOSPC
            else "check that its folder exists and may be written"
        )
        raise OpsdError(f"{path}: {err.strerror}: {remedy}; nothing was left behind") from err


def _warned(found: Statement) -> int:
    from opsd import reports

    for text in reports.warnings(found):
        warn(text)
    return 3 if found.unattributed else 0
