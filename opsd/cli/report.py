"""`opsd report`: a period's statement, as a file for funders."""

from __future__ import annotations

import errno
import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli.context import note, now, open_store, warn
from opsd.core.errors import OpsdError, Refused, WrongUsage

if TYPE_CHECKING:
    from opsd.core.statement.build import Statement

STDOUT = "-"
_NOT_TEXT = ("xlsx", "pdf", "zip")
_EPILOG = """\
periods: 2026-10, 2026-Q4, 2026, or A..B (two times, the second not included), in the book zone of
the consortium unless --timezone names another. scopes: country:X organisation:X project:X pays:X
funder:X cluster:X (country is where the leading organisation is, pays is whose money it was). A
closed month is reported as it was closed, --as known with what came to light since. The file is
written whole or not at all.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--period", metavar="P", required=True, help="what to report on, see below")
    parser.add_argument("--timezone", metavar="TZ", help="whose months (default: the book zone)")
    parser.add_argument(
        "--format",
        metavar="F",
        help="xlsx, pdf, csv, csv-semicolon, json or zip (default: as FILE ends, else xlsx)",
    )
    parser.add_argument("--locale", metavar="L", default="en", help="the language: en, es, ca, pt, tr or ro")
    parser.add_argument(
        "--scope", metavar="K:X", default="", help="report on a part, see below (default: everything)"
    )
    parser.add_argument(
        "--as", dest="standing", metavar="S",
        help="reported: as the month was closed; known: as known now (default: reported where it is closed)",
    )  # fmt: skip
    parser.add_argument(
        "--edition", metavar="N", type=int, help="which edition of a closed month (default: the last)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="where to write; - is standard output"
    )


def run(args: Namespace) -> int:
    """Write a report; exit code 3 when some use belongs to no award."""
    from opsd import reports

    _check_language(args.locale)
    form = _format(args.format, args.output)
    if args.output == STDOUT and form in _NOT_TEXT and sys.stdout.isatty():
        raise Refused(f"{form} on a terminal is of no use: name a file with -o, or pipe it on")
    if args.output != STDOUT:
        _check_target(Path(args.output))
    found, content = _statement(args, form)
    if content is None:
        _progress(args, f"writing {form}")
        content = reports.render(found, form, args.locale)
    if args.output == STDOUT:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
    else:
        write(Path(args.output), content)
    return _warned(found)


def _statement(args: Namespace, form: str) -> tuple[Statement, bytes | None]:
    """The statement, and the file that was frozen of it."""
    from opsd import reports
    from opsd.cli import edition_files
    from opsd.config import settings
    from opsd.core.dossier import Digests
    from opsd.pipeline import program, report

    configuration = edition_files.configuration(settings(args.db, args.config))
    with open_store(args) as store, store.read() as connection:
        _progress(args, f"gathering {args.period}")
        found = report.run(
            connection,
            args.period,
            now=now(),
            timezone=args.timezone,
            scope=args.scope,
            standing=args.standing,
            edition=args.edition,
            digests=Digests(configuration=configuration, program=program.digest()),
        )
        name = reports.file_name(found, form, args.locale)
        return found, report.frozen(connection, found, name)


def _progress(args: Namespace, text: str) -> None:
    """A line for somebody who waits at a terminal; nothing in a log."""
    if args.output != STDOUT and sys.stderr.isatty():
        note(f"{text} …")


def _check_language(code: str) -> None:
    from opsd.core.names import nearest
    from opsd.reports.locale import STYLES

    if code not in STYLES:
        there = f"there are {' '.join(STYLES)}"
        raise WrongUsage(f"--locale {code!r}: no report is written in it" + nearest(code, STYLES, there))


def _format(named: str | None, output: str) -> str:
    from opsd.reports import FORMATS

    there = f"there are {' '.join(FORMATS)}"
    if named is not None:
        if named not in FORMATS:
            raise WrongUsage(f"--format {named!r}: no such report format; {there}")
        return named
    name = Path(output).name.lower()
    if not Path(name).suffix:
        return "xlsx"
    fitting = [form for form, how in FORMATS.items() if name.endswith(how.suffix)]
    if not fitting:
        raise WrongUsage(
            f"-o {output}: no report format is called {Path(name).suffix}; {there}; or say --format"
        )
    return max(fitting, key=lambda form: len(FORMATS[form].suffix))


def _check_target(path: Path) -> None:
    """Before long work: what would fail after it."""
    if path.is_dir():
        raise WrongUsage(f"-o {path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise OpsdError(
            f"{path}: No such file or directory: check that its folder exists; nothing was written"
        )


def write(path: Path, content: bytes) -> None:
    """The whole file or, if anything fails, what was there before."""
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
    return 0 if all(part.place.attributed for part in found.parts) else 3
