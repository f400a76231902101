"""`opsd consortium`: the file that says who pays, who leads, who uses, on which machines."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from opsd.cli.context import note, now, open_store
from opsd.core.errors import BadInput


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from opsd.cli.authorship import add_authorship

    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    apply = verbs.add_parser("apply", help="write what a file changes; what it does not mention stays")
    apply.add_argument("file", metavar="FILE", help="TOML, see docs/consortium.md; - reads standard input")
    add_authorship(apply)
    export = verbs.add_parser("export", help="the present master data as such a file")
    export.add_argument("file", metavar="FILE", nargs="?", default="-", help="default: standard output")
    check = verbs.add_parser("check", help="whether a file is complete and fits together; no database needed")
    check.add_argument("file", metavar="FILE", help="TOML; - reads standard input")


def run(args: Namespace) -> int:
    """Run one action."""
    return {"apply": _apply, "export": _export, "check": _check}[args.action](args)


def _apply(args: Namespace) -> int:
    from collectors.consortium import read_document
    from opsd.cli.authorship import author, read_text
    from opsd.cli.changes import print_diff
    from opsd.core.period import zone
    from opsd.pipeline import consortium
    from opsd.store import parties

    text = read_text(args.file)
    with open_store(args) as store:
        with store.read() as connection:
            book_zone = parties.load(connection).book_zone
        document = read_document(text, args.file, book_zone)
        diff = consortium.apply(
            store, document.consortium, author=author(args.author), reason=args.reason, now=now(),
            dry_run=args.dry_run, place=document.place,
        )  # fmt: skip
    print_diff(diff, zone(document.consortium.book_zone), dry_run=args.dry_run)
    return 0


def _export(args: Namespace) -> int:
    from collectors.consortium import write
    from opsd.store import parties

    with open_store(args) as store, store.read() as connection:
        text = write(parties.load(connection))
    if args.file == "-":
        sys.stdout.write(text)
        return 0
    try:
        Path(args.file).write_text(text, encoding="utf-8")
    except OSError as err:
        raise BadInput(f"{args.file}: {err.strerror}; choose a file you may write") from err
    return 0


def _check(args: Namespace) -> int:
    from collectors.consortium import read_document
    from opsd.cli.authorship import read_text
    from opsd.core.consortium import KINDS
    from opsd.pipeline.consortium import require_sound

    document = read_document(read_text(args.file), args.file)
    require_sound(document.consortium, document.place)
    counts = ((len(document.consortium.items(kind)), kind.table) for kind in KINDS)
    note(f"{args.file}: fits together: " + ", ".join(f"{count} {table}" for count, table in counts if count))
    return 0
