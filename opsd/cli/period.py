"""`opsd period`: months are closed, shown as they were reported, and verified."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from opsd.cli.context import counted, note, now, open_store, warn
from opsd.cli.times import add_format
from opsd.core.errors import OpsdError, Refused, WrongUsage

if TYPE_CHECKING:
    from opsd.cli.period_tables import Listed
    from opsd.core.dossier import Dossier
    from opsd.core.editions import Change
    from opsd.pipeline.close import Means, Result
    from opsd.pipeline.verify import Verified
    from opsd.store.editions import Edition, File
    from opsd.store.engine import Connection

KNOWN = "known"
_NUMBER = re.compile(r"[1-9][0-9]{0,5}\Z", re.ASCII)


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    closing = verbs.add_parser(
        "close", help="freeze a month with its statement, in every format and language"
    )
    closing.add_argument(
        "period", metavar="MONTH", help="a month of the book zone that is over, such as 2026-10"
    )
    closing.add_argument("--acknowledge", metavar="NAME", nargs="+", action="extend", default=[],
                         help="a concern that is known and accepted, by its name")  # fmt: skip
    closing.add_argument("--reason", metavar="TEXT", default="", help="why, for the journal")
    closing.add_argument("--author", metavar="NAME", help="who closes (default: login)")
    closing.add_argument("--approver", metavar="NAME", help="the second person, where one is needed")
    closing.add_argument(
        "--restate", action="store_true", help="another edition of a closed month, as now known"
    )
    closing.add_argument("--dry-run", action="store_true", help="show what stands against it, freeze nothing")
    showing = verbs.add_parser("show", help="closed months, and what changed in them")
    showing.add_argument(
        "period", metavar="MONTH", nargs="?", help="one month (default: all that are closed)"
    )
    showing.add_argument("--edition", metavar="N", help="one edition (default: the last)")
    showing.add_argument(
        "--changes", metavar=("A", "B"), nargs=2, help="editions by number, or known: as now known"
    )
    showing.add_argument("--pending", action="store_true", help="what the next close will correct")
    showing.add_argument("--files", metavar="FOLDER", help="write the frozen files of an edition there")
    add_format(showing)
    verifying = verbs.add_parser("verify", help="make every digest and file again, and name what differs")
    verifying.add_argument("period", metavar="MONTH", nargs="?", help="one month (default: all)")


def run(args: Namespace) -> int:
    """Run one action."""
    return {"close": _close, "show": _show, "verify": _verify}[args.action](args)


# ----------------------------------------------------------------------------------------------- close


def _close(args: Namespace) -> int:
    from opsd.cli.authorship import one_line, signer
    from opsd.pipeline import close
    from opsd.pipeline.close import Request

    asked = Request(
        args.period,
        signer(args.author),
        args.reason and one_line("--reason", args.reason),
        "" if args.approver is None else one_line("--approver", args.approver),
        tuple(args.acknowledge),
        args.restate,
    )
    with open_store(args) as store:
        found = close.run(store, asked, _means(args), now=now(), dry_run=args.dry_run)
    if found.again and found.edition:
        note(f"{found.edition.name} is closed, with digest {found.edition.digest}: nothing was changed")
        return 0
    _print_prepared(found)
    if found.prepared and found.prepared.missing and not args.dry_run:
        names = " ".join(concern.name for concern in found.prepared.missing)
        number = counted(len(found.prepared.missing), "concern")
        raise Refused(
            f"{args.period} is not closed: {number} not acknowledged: look into each, then say "
            f"--acknowledge {names}"
        )
    if found.edition is None:
        note("dry run: nothing was frozen")
    else:
        note(
            f"{found.edition.name} closed: {counted(found.files, 'file')}, digest {found.edition.digest}, "
            f"journal entry {found.edition.journal_id}"
        )
    return 0


def _means(args: Namespace) -> Means:
    from opsd import __version__
    from opsd.cli import edition_files
    from opsd.config import settings
    from opsd.pipeline import program
    from opsd.pipeline.close import Means

    chosen = settings(args.db, args.config)
    return Means(_rendered, edition_files.configuration(chosen), program.digest(), __version__)


def _rendered(made: Dossier) -> tuple[File, ...]:
    from opsd.cli import edition_files
    from opsd.cli.import_ import progress_bar

    with progress_bar("files", None) as advance:
        return edition_files.render(made, advance)


def _print_prepared(found: Result) -> None:
    from opsd.cli import draw, period_tables

    if found.prepared is None:
        return
    made, out = found.prepared.dossier, draw.console()
    if made.concerns:
        out.print(period_tables.concern_table(made.concerns, found.prepared.missing))
    else:
        out.print("nothing stands against closing")
    if any(correction.items for correction in made.corrections):
        out.print()
        out.print(period_tables.correction_table(made.corrections))


# ------------------------------------------------------------------------------------------------ show


def _show(args: Namespace) -> int:
    asked = [name for name in ("changes", "pending", "files") if getattr(args, name)]
    if len(asked) > 1:
        raise WrongUsage(f"--{asked[0]} and --{asked[1]}: ask for one after the other")
    if args.period is None and (args.edition or args.changes or args.files):
        raise WrongUsage("name the month: opsd period show 2026-10")
    if args.edition and args.changes:
        raise WrongUsage("--edition and --changes: --changes names its two editions itself")
    with open_store(args) as store, store.read() as connection:
        if args.pending:
            return _pending(args, connection)
        if args.changes:
            return _changes(args, connection)
        return _files(args, connection) if args.files else _list(args, connection)


def _edition(connection: Connection, period: str, number: str | None) -> Edition:
    from opsd.core.names import nearest
    from opsd.store import editions

    every = editions.every(connection)
    there = [edition for edition in every if edition.period == period]
    if not there:
        closed = sorted({edition.period for edition in every})
        names = f"closed are {' '.join(closed)}" if closed else "no month is closed yet"
        raise WrongUsage(f"{period!r} is not closed" + nearest(period, closed, names))
    if number is None:
        return there[-1]
    found = [edition for edition in there if _NUMBER.match(number) and edition.number == int(number)]
    if not found:
        names = " ".join(str(edition.number) for edition in there)
        raise WrongUsage(f"{period} has no edition {number!r}; there are {names}")
    return found[0]


def _list(args: Namespace, connection: Connection) -> int:
    from opsd.cli import draw, period_tables
    from opsd.cli.output import print_rows
    from opsd.store import editions as kept

    wanted = kept.every(connection)
    if args.period is not None:
        one = _edition(connection, args.period, args.edition)
        wanted = [edition for edition in wanted if edition.period == args.period]
        wanted = [one] if args.edition else wanted
    listed = _listed(connection, wanted)
    if args.format != "table":
        print_rows(args.format, period_tables.LIST_COLUMNS, period_tables.list_rows(listed))
    elif listed:
        draw.console().print(period_tables.list_table(listed, _book_zone(connection)))
    else:
        draw.console().print("no month is closed yet")
    return 0


def _listed(connection: Connection, wanted: list[Edition]) -> list[Listed]:
    from opsd.cli.period_tables import Listed
    from opsd.core.dossier import Seconds
    from opsd.pipeline import editions

    months = {month.period: month for month in editions.months(connection)}
    found = []
    for edition in wanted:
        closing = editions.closing(connection, edition)
        if closing is None:
            raise OpsdError(f"edition {edition.name} does not say who closed it: run opsd period verify")
        month = months[edition.period]
        first = edition.number == editions.FIRST
        reported = month.reported.seconds if first else editions.used(connection, edition)
        found.append(Listed(edition, closing, reported, month.corrected if first else Seconds()))
    return found


def _book_zone(connection: Connection) -> tzinfo:
    from opsd.core.period import zone
    from opsd.store import parties

    return zone(parties.load(connection).book_zone or "UTC")


def _pending(args: Namespace, connection: Connection) -> int:
    from opsd.cli import draw, period_tables
    from opsd.cli.output import print_rows
    from opsd.pipeline import close

    if args.period is not None:
        _edition(connection, args.period, args.edition)
    found = [one for one in close.pending(connection) if args.period in (None, one.period)]
    if args.format != "table":
        print_rows(args.format, period_tables.ITEM_COLUMNS, period_tables.item_rows(found))
    elif found:
        draw.console().print(period_tables.correction_table(found))
    else:
        draw.console().print("nothing changed since")
    return 0


def _changes(args: Namespace, connection: Connection) -> int:
    from opsd.cli import draw, period_tables
    from opsd.cli.output import print_rows

    found = _differences(args, connection)
    if args.format != "table":
        print_rows(args.format, period_tables.CHANGE_COLUMNS, period_tables.change_rows(found))
    elif found:
        title = f"{args.period}: from {_called(args.changes[0])} to {_called(args.changes[1])}"
        draw.console().print(period_tables.change_table(found, title))
    else:
        draw.console().print("nothing differs")
    return 0


def _called(side: str) -> str:
    return "as now known" if side == KNOWN else f"edition {side}"


def _differences(args: Namespace, connection: Connection) -> list[Change]:
    from opsd.core import editions as differing
    from opsd.core.dossier import from_records
    from opsd.pipeline import dossier, editions, run_list
    from opsd.store import editions as kept

    sides = []
    for side in args.changes:
        if side == KNOWN:
            _edition(connection, args.period, None)
            made = dossier.run(connection, args.period, now=now())
            runs = {run.id: run for run in run_list.run(connection, made.span.window)}
        else:
            edition = _edition(connection, args.period, side)
            made = from_records(kept.records(connection, edition))
            runs = editions.runs(connection, edition)
        sides.append((made, runs))
    (before, old), (after, new) = sides
    return [*differing.changes(before, after), *differing.run_changes(old, new)]


def _files(args: Namespace, connection: Connection) -> int:
    from opsd.cli.report import write
    from opsd.store import editions

    edition, folder = _edition(connection, args.period, args.edition), Path(args.files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OpsdError(f"--files {folder}: {err.strerror}: name a folder that may be written") from err
    found = editions.files(connection, edition)
    for file in found:
        if Path(file.name).name != file.name:
            raise Refused(f"edition {edition.name} has a file called {file.name!r}: run opsd period verify")
        write(folder / file.name, file.content)
    note(f"{edition.name}: {counted(len(found), 'file')} in {folder}")
    return 0


# ---------------------------------------------------------------------------------------------- verify


def _verify(args: Namespace) -> int:
    from opsd.cli import edition_files
    from opsd.cli.import_ import progress_bar
    from opsd.pipeline import program, verify
    from opsd.pipeline.verify import Means

    with open_store(args) as store, store.read() as connection, progress_bar("verifying", None) as advance:
        looked = [0, 1]  # how many editions are done, of how many

        def render(made: Dossier) -> tuple[File, ...]:
            done, whole = looked
            return edition_files.render(
                made, lambda place, of: advance(done * (of or 1) + place, whole * (of or 1))
            )

        def progress(_: str, done: int, whole: int) -> None:
            looked[:] = done, whole

        found = verify.run(connection, args.period, Means(render, program.digest()), progress)
    for fault in found.faults:
        print(fault)
    _say(found)
    return 1 if found.faults else 0


def _say(found: Verified) -> None:
    if found.other_program:
        warn(
            f"written by another version of opsd, so their files are checked by their digests alone: "
            f"{', '.join(found.other_program)}"
        )
    note(
        f"{found.entries:,} entries of the journal, {counted(found.editions, 'edition')}: "
        f"{counted(found.records, 'record')}, {counted(found.runs, 'run')}, {counted(found.files, 'file')}, "
        f"{found.written_again:,} of them written again"
    )
    note(f"the journal's head is {found.head}")
    if found.faults:
        note(f"{counted(len(found.faults), 'difference')}: what was closed is not as it was")
    else:
        note("everything is as it was closed")
