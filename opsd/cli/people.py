"""`opsd people`: where users come from, so that use can be counted by country."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from opsd.cli.context import now, open_store


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from opsd.cli.authorship import add_authorship

    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    load = verbs.add_parser("import", help="read users' home organisations; people not named stay")
    load.add_argument(
        "file", metavar="FILE", help="CSV: user,organisation,from,until[,cluster]; - reads stdin"
    )
    load.add_argument("--timezone", metavar="TZ", help="zone of bare dates (default: the book zone)")
    add_authorship(load)


def run(args: Namespace) -> int:
    """Read a list, write what it changes."""
    from collectors import people
    from opsd.cli.authorship import author, read_text
    from opsd.cli.changes import print_diff
    from opsd.cli.times import zone_option
    from opsd.core.period import zone, zone_name
    from opsd.pipeline import consortium
    from opsd.store import parties

    text = read_text(args.file)
    with open_store(args) as store:
        with store.read() as connection:
            tz = zone_option(args.timezone, zone(parties.load(connection).book_zone))
        diff = consortium.import_people(
            store, people.read(text, args.file, zone_name(tz)), author=author(args.author),
            reason=args.reason, now=now(), dry_run=args.dry_run,
        )  # fmt: skip
    print_diff(diff, tz, dry_run=args.dry_run)
    return 0
