"""`opsd reconcile`: opsd's usage beside Slurm's own report, or beside what GPUs really did."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli import compared
from opsd.cli.context import counted, now, open_store, warn
from opsd.config import settings
from opsd.core.errors import WrongUsage
from opsd.core.period import Window, zone_name

if TYPE_CHECKING:
    from opsd.core.certificate import Certificate
    from opsd.core.telemetry_certificate import Comparison
    from opsd.store.engine import Store

FORMATS = ("table", "csv", "json", "html")
_EPILOG = """\
sreport = opsd + the causes + unexplained, in every cell, in whole TRES-seconds. Each cause is
computed from its own evidence. Exit code 3: something is unexplained.
periods: 2026-10, 2026-Q4, 2026, or A..B (two times, the second not included), in the book zone of
the consortium or --timezone. What is compared are whole hours of slurmdbd's clock that have ended.
--against telemetry: what Slurm allocated of GPUs beside what the node agents saw, by --by; nothing is
read from Slurm. Exit code 3: of what has records, more than 2 % are clearly longer or shorter for the
agents than for Slurm, or belong to no run.
"""


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.description = "Compare opsd's usage with what Slurm reports, or with what GPUs really did."
    parser.epilog = _EPILOG
    parser.add_argument(
        "--against", metavar="WHAT", default="sreport", help="sreport (the default) or telemetry"
    )
    parser.add_argument(
        "--by", metavar="K,K,…", help="telemetry: keys as of opsd usage (default: project,country)"
    )
    compared.add_window(parser, "see below (default: the current month so far)", "the book zone")
    parser.add_argument("--cluster", metavar="NAME", help="one of those in the configuration")
    parser.add_argument("--no-ingest", action="store_true", help="do not read Slurm's accounting first")
    parser.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to a file (csv, json, html)")


def run(args: Namespace) -> int:
    """Print a certificate; exit code 3 when something is unexplained."""
    if args.against not in ("sreport", "telemetry"):
        raise WrongUsage(f"--against {args.against}: there is sreport, and telemetry")
    if args.output and args.format == "table":
        raise WrongUsage(f"-o {args.output}: say which --format the file is to have: csv, json or html")
    if args.against == "telemetry":
        return _telemetry(args)
    if args.by is not None:
        raise WrongUsage(f"--by {args.by}: sreport is compared by account and user; --by is for telemetry")
    with open_store(args) as store:
        tz = compared.book_zone(args, store)
        found = _certificate(args, store, compared.window(args, tz, this_month=True), tz)
    _show(found, args)
    for note in found.notes:
        warn(note)
    return 3 if found.unexplained else 0


def _telemetry(args: Namespace) -> int:
    """Print what was allocated beside what was used; exit code 3 when too much does not fit."""
    from opsd.pipeline import telemetry
    from opsd.reports import gpu_use

    if args.format == "html":
        raise WrongUsage("--format html: the page is of sreport; telemetry has table, csv and json")
    if args.cluster is not None:
        raise WrongUsage(
            f"--cluster {args.cluster}: telemetry is of all clusters; --by cluster tells them apart"
        )
    keys = telemetry.KEYS if args.by is None else [key for key in map(str.strip, args.by.split(",")) if key]
    with open_store(args) as store:
        tz = compared.book_zone(args, store)
        window = compared.window(args, tz, this_month=True)
        with store.read() as connection:
            found = telemetry.run(connection, window, keys, tz=tz)
    if args.format == "table":
        from opsd.cli.telemetry_table import telemetry_table

        telemetry_table(found, tz)
    else:
        _put(gpu_use.as_csv(found) if args.format == "csv" else gpu_use.as_json(found, tz), args)
    _remark(found)
    return 3 if found.needs_eyes else 0


def _remark(found: Comparison) -> None:
    if not found.total.use.allocated:
        warn("no node agent has told of any run in this window: opsd status shows which nodes are asked")
    if found.early:
        records = counted(found.early, "record")
        warn(f"{records} younger than what was read of Slurm: opsd ingest reads their runs")
    if found.needs_eyes:
        drift, stray = found.drift_ms // 1000, found.stray_ms // 1000
        runs = counted(len(found.drifts), "run")
        warn(
            f"too much does not fit: {counted(drift, 'GPU-second')} of {runs} that "
            f"Slurm and the agents measure differently, {counted(stray, 'GPU-second')} in records of no run"
        )


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
    _put(_rendered(found, args.format), args)


def _put(content: bytes, args: Namespace) -> None:
    """To the file asked for, or alone on stdout."""
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
