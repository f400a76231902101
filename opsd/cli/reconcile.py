"""`opsd reconcile`: opsd's usage beside Slurm's own report, and why they differ."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli import compared
from opsd.cli.context import now, open_store, warn
from opsd.config import settings
from opsd.core.errors import WrongUsage
from opsd.core.period import Window, zone_name

if TYPE_CHECKING:
    from opsd.core.certificate import Certificate
    from opsd.store.engine import Store

FORMATS = ("table", "csv", "json", "html")
_EPILOG = """\
sreport = opsd + the causes + unexplained, in every cell, in whole TRES-seconds. Each cause is
computed from its own evidence. Exit code 3: something is unexplained.
periods: 2026-10, 2026-Q4, 2026, or A..B (two times, the second not included), in the book zone of
the consortium or --timezone. What is compared are whole hours of slurmdbd's clock that have ended.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = "Compare opsd's usage with what Slurm itself reports, cell by cell."
    parser.epilog = _EPILOG
    parser.add_argument("--against", metavar="WHAT", default="sreport", help="sreport (the default)")
    compared.add_window(parser, "see below (default: the current month so far)", "the book zone")
    parser.add_argument("--cluster", metavar="NAME", help="one of those in the configuration")
    parser.add_argument("--no-ingest", action="store_true", help="do not read Slurm's accounting first")
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file (csv, json, html)")


def run(args: Namespace) -> int:
    """Print a certificate; exit code 3 when something is unexplained."""
    if args.against == "telemetry":
        raise WrongUsage("--against telemetry: opsd cannot compare with telemetry yet; there is sreport")
    if args.against != "sreport":
        raise WrongUsage(f"--against {args.against}: there is sreport")
    if args.output and args.format == "table":
        raise WrongUsage(f"-o {args.output}: say which --format the file is to have: csv, json or html")
    with open_store(args) as store:
        tz = compared.book_zone(args, store)
        found = _certificate(args, store, compared.window(args, tz, this_month=True), tz)
    _show(found, args)
    for note in found.notes:
        warn(note)
    return 3 if found.unexplained else 0


def _certificate(args: Namespace, store: Store, window: Window, tz: tzinfo) -> Certificate:
    from opsd.cli import ingest
    from opsd.pipeline import reconcile
    from opsd.reports import certificate

    one = compared.one_cluster(ingest.sources(settings(args.db, args.config), store), args.cluster)
    if not args.no_ingest:
        compared.swept(store, one)
    found = reconcile.run(store, one, window, now=now(), zone=zone_name(tz))
    reconcile.keep(store, found, certificate.as_json(found).decode())
    return found


def _show(found: Certificate, args: Namespace) -> None:
    if args.format == "table":
        from opsd.cli.certificate_table import certificate_table

        certificate_table(found)
        return
    content = _rendered(found, args.format)
    if args.output and args.output != "-":
        from opsd.cli.report import write

        write(Path(args.output), content)
    else:
        sys.stdout.buffer.write(content)


def _rendered(found: Certificate, form: str) -> bytes:
    from opsd.reports import certificate, certificate_html

    if form == "csv":
        return certificate.as_csv(found)
    document = certificate.as_json(found)
    if form == "json":
        return document
    return certificate_html.render(
        found, document, summary=certificate.summary(found), causes=certificate.shown_causes(found)
    )
