"""`opsd notify`: tell people what they should know about their awards, once."""

from __future__ import annotations

import os
import socket
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from opsd.cli.context import counted, note, now, open_store, warn
from opsd.cli.output import print_rows
from opsd.cli.times import add_format, time_option
from opsd.core.errors import Unavailable, WrongUsage

if TYPE_CHECKING:
    from opsd.config import Mail
    from opsd.pipeline.notify import Result, Row
    from opsd.store.engine import Store

_EPILOG = """\
Notices: a threshold reached, over quota, use after the days of grace, an award that ends with something
left (30 and 7 days before), a report due (30 days before, and when it is late). They go to the contacts of
the project ([[contact]] of the consortium file), else to those of its organisation; over quota and use
after grace to both. Each goes once to each of them. The daemon's step notify sends them by itself once
[mail] host and sender are set. Exit code 3: somebody could not be told, for want of an address that works.
"""
COLUMNS = ("award", "project", "kind", "mark", "recipient", "outcome", "why", "subject")


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from argparse import RawDescriptionHelpFormatter

    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("--dry-run", action="store_true", help="show who would be told what; needs no [mail]")
    parser.add_argument(
        "--award", metavar="A", help="only about this award; with --dry-run the whole letters"
    )
    parser.add_argument("--as-of", metavar="T", help="with --dry-run: as of then (bare dates are UTC)")
    parser.add_argument("-v", "--verbose", action="store_true", help="the whole letters")
    add_format(parser)


def run(args: Namespace) -> int:
    """Send, or show what would be sent."""
    from datetime import UTC

    from opsd.config import settings

    if args.as_of is not None and not args.dry_run:
        raise WrongUsage("--as-of: what is sent is sent now: add --dry-run")
    as_of = now() if args.as_of is None else time_option("--as-of", args.as_of, UTC)
    asked = settings(args.db, args.config).mail
    with open_store(args) as store:
        found = (
            _preview(store, asked, as_of, args.award)
            if args.dry_run
            else _sent(store, asked, as_of, args.award)
        )
    _print(args, found)
    if found.failed:
        raise Unavailable(f"{found.failed}: {counted(found.waiting, 'letter')} will be sent later")
    from opsd.pipeline.notify import NOBODY, REFUSED

    return 3 if found.count(NOBODY) or found.count(REFUSED) else 0


def _preview(store: Store, asked: Mail, as_of: int, award: str | None) -> Result:
    from opsd.daemon import post
    from opsd.pipeline import notify

    sender = post.sender(asked) if asked.sender else None
    return notify.preview(store, sender, now=as_of, award=award)


def _sent(store: Store, asked: Mail, as_of: int, award: str | None) -> Result:
    from exporters.mail import Session
    from opsd.daemon import post
    from opsd.pipeline import notify
    from opsd.store.hold import Holder

    if not post.is_set(asked):
        missing = "sender" if asked.host else "host"
        raise WrongUsage(
            f"notify: [mail] {missing} is not set in the configuration: see --config and "
            "docs/configuration.md; --dry-run shows what would be sent"
        )
    me = Holder(os.getpid(), socket.gethostname(), as_of)
    with Session(post.server(asked)) as session:
        return notify.run(store, session, post.sender(asked), me, now=as_of, award=award)


def _print(args: Namespace, found: Result) -> None:
    if args.format != "table":
        print_rows(args.format, COLUMNS, [_cells(row) for row in found.rows])
    else:
        _table(found, dry_run=args.dry_run)
        if args.verbose or (args.award is not None and args.dry_run):
            _letters(found)
    if found.passed:
        note(f"{counted(found.passed, 'notice')} older than a week, or said by another: not sent")
    for row in found.rows:
        if row.outcome == "nobody":
            warn(f"award {row.notice.award}: {row.detail}: add a [[contact]] to the consortium file")
        elif row.outcome == "refused":
            warn(f"{row.recipient}: {row.detail}: not tried again: see to the address")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.notice.award, row.project, row.notice.kind, row.notice.mark, row.recipient, row.outcome,
        row.detail, row.letter.subject,
    )  # fmt: skip


def _table(found: Result, *, dry_run: bool) -> None:
    from rich.text import Text

    from opsd.cli import draw
    from opsd.cli.draw import Column

    styles = {"sent": draw.FINE, "waiting": draw.WATCH, "refused": draw.OVER, "nobody": draw.OVER}
    columns = [
        Column("to", least=12), Column("what", least=20), Column("outcome"),
        Column("why", ratio=1, least=10, rank=1),
    ]  # fmt: skip
    rows = [
        (
            row.recipient or "–",  # noqa: RUF001 (a dash, as in printed tables)
            row.letter.headline, Text(row.outcome, styles.get(row.outcome, "")), row.detail,
        )
        for row in found.rows
    ]  # fmt: skip
    title = "Notices that would be sent" if dry_run else "Notices"
    caption = "" if rows else "nothing to tell anybody"
    draw.console().print(draw.table(title, columns, rows, caption=caption))


def _letters(found: Result) -> None:
    for row in found.rows:
        to = f"{row.name} <{row.recipient}>" if row.recipient else "nobody"
        print(f"\nTo: {to}\nSubject: {row.letter.subject}\n\n{row.letter.text}", end="")
