"""`opsd quarantine`: records that could not be read, with their bytes, until someone has seen to them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace

from opsd.cli.context import counted, now, open_store
from opsd.cli.output import print_rows
from opsd.cli.times import add_format
from opsd.core.errors import BadInput

_COLUMNS = ("id", "source", "line", "position", "length", "digest", "reason")


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="what is waiting, and why")
    add_format(listing)
    show = verbs.add_parser("show", help="the bytes of one record")
    show.add_argument("id", type=_id)
    show.add_argument("--raw", action="store_true", help="the bytes alone, as they were read")
    retry = verbs.add_parser("retry", help="read records again, with the opsd of today")
    retry.add_argument("id", type=_id, nargs="*", help="which ones (default: all)")


def _id(text: str) -> int:
    """The number of a record, as `list` shows it."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # a database integer
        raise ArgumentTypeError(f"{text!r} is no id: opsd quarantine list shows them")
    return int(text)


def run(args: Namespace) -> int:
    """Run one action; `list` and `retry` end with 3 while something waits."""
    return {"list": _list, "show": _show, "retry": _retry}[args.action](args)


def _list(args: Namespace) -> int:
    from opsd.store import imports

    with open_store(args) as store, store.read() as connection:
        rows = [[row[name] for name in _COLUMNS] for row in imports.quarantined(connection)]
    if args.format != "table":
        print_rows(args.format, _COLUMNS, rows)
    else:
        from opsd.cli.tables import quarantine_table

        quarantine_table(rows)
    return 3 if rows else 0


def _show(args: Namespace) -> int:
    from opsd.store import imports

    with open_store(args) as store, store.read() as connection:
        entry = imports.quarantine_entry(connection, args.id)
    if entry is None:
        raise BadInput(f"quarantine {args.id}: no such record: opsd quarantine list shows them")
    if args.raw:
        sys.stdout.flush()
        sys.stdout.buffer.write(entry["data"])
        return 0
    for name in (*_COLUMNS, "layout"):
        print(f"{name:<9} {entry[name]}")
    cut = " (the first MiB of it)" if len(entry["data"]) < entry["length"] else ""
    print(f"bytes{cut}\n{entry['data']!r}")
    return 0


def _retry(args: Namespace) -> int:
    from opsd.pipeline import rebuild, retry

    with open_store(args) as store:
        result = retry.run(store, args.id, now=now())
        rebuild.run(store)
    if not result.resolved and not result.waiting:
        print("nothing waits")
        return 0
    still = f", {len(result.waiting):,} still cannot be:" if result.waiting else ""
    print(f"{counted(result.resolved, 'record')} read{still}")
    for entry_id, reason in result.waiting:
        print(f"  {entry_id}: {reason}")
    return 3 if result.waiting else 0
