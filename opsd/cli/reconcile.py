"""`opsd reconcile`: opsd's usage beside Slurm's own report, and why they differ."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli.context import now, open_store, warn
from opsd.cli.times import window_option, zone_option
from opsd.config import settings
from opsd.core.errors import BadText, WrongUsage
from opsd.core.period import Window, parse_period, zone, zone_name

if TYPE_CHECKING:
    from opsd.core.certificate import Certificate
    from opsd.pipeline.sources import ClusterSources
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
    parser.add_argument("--period", metavar="P", help="see below (default: the current month so far)")
    parser.add_argument("--from", dest="start", metavar="T", help="first second, instead of --period")
    parser.add_argument("--to", dest="end", metavar="T", help="end, not included")
    parser.add_argument("--timezone", metavar="TZ", help="whose months (default: the book zone)")
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
        tz = zone_of(args, store)
        found = _certificate(args, store, window_of(args, tz), tz)
    _show(found, args)
    for note in found.notes:
        warn(note)
    return 3 if found.unexplained else 0


def zone_of(args: Namespace, store: Store) -> tzinfo:
    """Whose months a period is of: as asked, or the book zone."""
    from opsd.store import parties

    with store.read() as connection:
        book = zone(parties.load(connection).book_zone or "UTC")
    return zone_option(args.timezone, book)


def window_of(args: Namespace, tz: tzinfo) -> Window:
    """What is to be compared."""
    if args.start or args.end:
        if args.period:
            raise WrongUsage("--period with --from or --to: say one of the two")
        if not (args.start and args.end):
            raise WrongUsage("--from and --to go together: say both, or --period")
        return window_option(args.start, args.end, tz)
    try:
        return parse_period(args.period or _this_month(tz), tz)
    except BadText as err:
        raise WrongUsage(f"--period: {err}") from err


def _this_month(tz: tzinfo) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(now(), tz):%Y-%m}"


def _certificate(args: Namespace, store: Store, window: Window, tz: tzinfo) -> Certificate:
    from opsd.cli import ingest
    from opsd.pipeline import reconcile
    from opsd.reports import certificate

    one = chosen(ingest.sources(settings(args.db, args.config), store), args.cluster)
    if not args.no_ingest:
        _read(store, one)
    found = reconcile.run(store, one, window, now=now(), zone=zone_name(tz))
    reconcile.keep(store, found, certificate.as_json(found).decode())
    return found


def chosen(found: list[ClusterSources], name: str | None) -> ClusterSources:
    """The one cluster: a report of Slurm's is about one."""
    if name is None and len(found) == 1:
        return found[0]
    labels = [one.label for one in found]
    if name is None:
        raise WrongUsage(f"--cluster: which one of {' '.join(labels)}? A certificate is about one cluster")
    chosen = [one for one in found if name in (one.label, *([one.cluster] if len(found) == 1 else []))]
    if not chosen:
        known = " ".join(filter(None, labels)) or found[0].cluster
        raise WrongUsage(f"--cluster {name}: no such cluster; there is {known}")
    return chosen[0]


def _read(store: Store, one: ClusterSources) -> None:
    """An ordinary sweep, so that open runs are seen after the end of what is compared."""
    from opsd.pipeline import rebuild, sweep

    at = now()
    sweep.run(store, one.accounting, now=at, since=sweep.beginning(one.since, at), means=one.means())
    rebuild.run(store)


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
