"""`opsd journal`: what changed what awards may use, whether the chain is whole, what waits for a person."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from opsd.cli.context import counted, note, now, open_store, warn
from opsd.cli.postings import book_zone, exact_option, print_outcome
from opsd.cli.times import add_format, time_option, zone_option
from opsd.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from opsd.cli import draw
    from opsd.core.drafts import Draft
    from opsd.core.journal import Entry
    from opsd.store.engine import Store

ADDED = ("adjustment", "credit", "expiry", "carry-over", "extension")
COLUMNS = (
    "id", "at", "posted", "kind", "award", "unit", "amount", "reason", "author", "approver", "subject",
    "evidence", "digest", "previous", "hash",
)  # fmt: skip
DRAFTS = (
    "draft", "made", "state", "kind", "award", "unit", "amount", "reason", "author", "decided", "decided_by",
    "decision", "mark", "evidence",
)  # fmt: skip
_BRIEF = ("id", "at", "kind", "award", "amount", "unit", "reason", "author", "approver", "subject")
_BRIEF_DRAFTS = (
    "draft",
    "state",
    "kind",
    "award",
    "amount",
    "unit",
    "reason",
    "author",
    "decided_by",
    "decision",
)


_RANKS = {"subject": 1, "kind": 4, "unit": 3, "decided_by": 2, "approver": 5, "author": 6}


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from opsd.cli.authorship import add_signature

    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="entries, oldest first; or drafts, and what became of them")
    listing.add_argument("--award", metavar="A", help="of one award")
    listing.add_argument("--kind", metavar="K", help="of one kind")
    listing.add_argument("--from", dest="start", metavar="T", help="that take effect from here on")
    listing.add_argument("--to", dest="end", metavar="T", help="that take effect before")
    listing.add_argument("--timezone", metavar="TZ", help="zone of bare dates (default: the book zone)")
    listing.add_argument("--drafts", action="store_true", help="drafts instead of entries")
    listing.add_argument("--refresh", action="store_true", help="with --drafts: look for node failures first")
    add_format(listing)
    adding = verbs.add_parser("add", help="post one entry, or draft it for a second person")
    adding.add_argument("--kind", required=True, choices=ADDED)
    adding.add_argument("--award", required=True, metavar="A")
    adding.add_argument("--amount", required=True, metavar="N", help="in the award's unit: 12, -0.5, 1/3")
    adding.add_argument("--at", metavar="T", help="when it takes effect (default: now, or the award's start)")
    adding.add_argument("--timezone", metavar="TZ", help="zone of bare dates (default: the book zone)")
    adding.add_argument(
        "--evidence",
        metavar="TEXT",
        action="append",
        default=[],
        help="a document it rests on; again for more",
    )
    add_signature(adding)
    verbs.add_parser("verify", help="walk the chain; name what is wrong with it").add_argument(
        "--head", metavar="HASH", help="a head that was printed before: it must still be on the chain"
    )
    approve = verbs.add_parser("approve", help="post a draft, as the second person where one is asked for")
    approve.add_argument("draft", metavar="ID", type=int)
    approve.add_argument("--author", metavar="NAME", help="who approves (default: login)")
    decline = verbs.add_parser("decline", help="let a draft go")
    decline.add_argument("draft", metavar="ID", type=int)
    decline.add_argument("--reason", required=True, metavar="TEXT", help="why; it stays with the draft")
    decline.add_argument("--author", metavar="NAME", help="who declines (default: login)")


def run(args: Namespace) -> int:
    """Run one action."""
    actions = {"list": _list, "add": _add, "verify": _verify, "approve": _approve, "decline": _decline}
    return actions[args.action](args)


# ------------------------------------------------------------------------------------------------- list


def _list(args: Namespace) -> int:
    from opsd.pipeline import credits as node_failures

    if args.refresh and not args.drafts:
        raise WrongUsage("--refresh looks for drafts: write --drafts as well")
    _check_kind(args.kind)
    with open_store(args) as store:
        tz = zone_option(args.timezone, book_zone(store))
        if args.refresh:
            done = node_failures.run(store, now())
            note(f"{counted(done.made, 'draft')} made, {done.renewed} renewed, {done.withdrawn} withdrawn")
        (_list_drafts if args.drafts else _list_entries)(args, store, tz)
    return 0


def _check_kind(kind: str | None) -> None:
    from opsd.core.journal import KINDS
    from opsd.core.names import nearest

    if kind is not None and kind not in KINDS:
        raise WrongUsage(
            f"--kind {kind!r}: there is none" + nearest(kind, KINDS, f"there are {' '.join(KINDS)}")
        )


def _check_award(name: str | None, known: set[str]) -> None:
    from opsd.core.names import nearest

    if name is not None and name not in known - {""}:
        there = nearest(name, sorted(known - {""}), "opsd award list lists them")
        raise WrongUsage(f"--award {name!r}: there is none{there}")


def _chosen(args: Namespace, entry: Entry, tz: tzinfo) -> bool:
    return (
        args.award in (None, entry.award)
        and args.kind in (None, entry.kind)
        and (args.start is None or entry.at >= time_option("--from", args.start, tz))
        and (args.end is None or entry.at < time_option("--to", args.end, tz))
    )


def _list_entries(args: Namespace, store: Store, tz: tzinfo) -> None:
    from opsd.core.amounts import exact_text, unit_hours
    from opsd.core.period import isoformat
    from opsd.store import parties

    with store.read() as connection:
        every = parties.journal(connection)
        _check_award(args.award, {*parties.load(connection).awards, *(entry.award for entry in every)})
    entries = [entry for entry in every if _chosen(args, entry, tz)]
    rows = [
        (
            entry.id, isoformat(entry.at, tz), isoformat(entry.posted, tz), entry.kind, entry.award,
            entry.unit, exact_text(unit_hours(entry.amount)) if entry.award else "",
            *(getattr(entry, name) for name in COLUMNS[7:]),
        )
        for entry in entries
    ]  # fmt: skip
    _print(args.format, "Journal", COLUMNS, _BRIEF, rows)


def _list_drafts(args: Namespace, store: Store, tz: tzinfo) -> None:
    from opsd.store import drafts, parties

    with store.read() as connection:
        kept = drafts.every(connection)
        drafted = {entry.award for draft in kept for entry in draft.content.entries}
        _check_award(args.award, {*parties.load(connection).awards, *drafted})
    rows = [
        row
        for draft in kept
        for entry, row in zip(draft.content.entries, _rows(draft, tz), strict=True)
        if _chosen(args, entry, tz)
    ]
    _print(args.format, "Drafts", DRAFTS, _BRIEF_DRAFTS, rows)


def _rows(draft: Draft, tz: tzinfo) -> list[tuple[object, ...]]:
    from opsd.core.amounts import exact_text, unit_hours
    from opsd.core.period import isoformat

    decided = "" if draft.decided_at is None else isoformat(draft.decided_at, tz)
    return [
        (
            draft.id, isoformat(draft.made_at, tz), draft.state, draft.kind, entry.award, entry.unit,
            exact_text(unit_hours(entry.amount)), entry.reason, draft.author, decided, draft.decided_by,
            draft.reason, draft.mark or "", entry.evidence,
        )
        for entry in draft.content.entries
    ]  # fmt: skip


def _print(
    form: str, title: str, columns: Sequence[str], brief: Sequence[str], rows: Sequence[Sequence[object]]
) -> None:
    from opsd.cli import draw
    from opsd.cli.output import print_rows

    if form != "table":
        print_rows(form, columns, rows)
        return
    places = [columns.index(name) for name in brief]
    heads = [_head(name) for name in brief]
    lines = [[_cell(columns[place], row[place]) for place in places] for row in rows]
    caption = "" if lines else "none"
    draw.console().print(draw.table(title, heads, lines, caption=caption, all_in="csv"))


def _head(name: str) -> draw.Column:
    from opsd.cli import draw

    if name in ("reason", "decision"):
        return draw.Column(name, least=12, ratio=1)
    return draw.Column(
        name.replace("_", " "), numeric=name in ("id", "draft", "amount"), rank=_RANKS.get(name)
    )


def _cell(name: str, value: object) -> str:
    """A day where csv has the instant."""
    return str(value)[: len("2026-10-01")] if name == "at" else str(value)


# -------------------------------------------------------------------------------------------------- add


def _add(args: Namespace) -> int:
    from opsd.cli.authorship import one_line, reason, signer
    from opsd.core import canonical
    from opsd.core.awards import Award
    from opsd.core.drafts import Content, Draft
    from opsd.core.journal import Entry
    from opsd.pipeline import journal
    from opsd.pipeline.awards import named
    from opsd.store import parties

    said, author, at = reason(args.reason), signer(args.author), now()
    amount = amount_option(args.amount, args.kind)
    with open_store(args) as store:
        with store.read() as connection:
            held = parties.load(connection)
        award: Award = named(held, args.award)
        tz = zone_option(args.timezone, book_zone(store))
        since = max(at, award.start) if args.at is None else time_option("--at", args.at, tz)
        documents = [one_line("--evidence", text) for text in args.evidence]
        evidence = canonical.dumped({"documents": documents}) if documents else ""
        entry = Entry(since, at, args.kind, award.id, award.unit, amount, said, author, evidence=evidence)
        draft = Draft(at, args.kind, Content((entry,)), author)
        print_outcome(journal.add(store, draft, now=at, dry_run=args.dry_run), tz, dry_run=args.dry_run)
    return 0


TAKES, GIVES = ("expiry",), ("credit", "extension")


def amount_option(text: str, kind: str) -> int:
    """`--amount`, in whole micro-unit-seconds; with the sign that the kind allows."""
    from opsd.core.amounts import micro_unit_seconds

    micro = micro_unit_seconds(exact_option("--amount", text), "--amount")
    if micro == 0:
        raise WrongUsage("--amount 0: an entry gives or takes something")
    if kind in TAKES and micro > 0:
        raise WrongUsage(f"--amount {text}: an {kind} takes away: write --amount=-{text}")
    if kind in GIVES and micro < 0:
        raise WrongUsage(f"--amount {text}: a {kind} gives: take away by --kind adjustment")
    return micro


# ---------------------------------------------------------------------------- verify, approve, decline


def _verify(args: Namespace) -> int:
    from opsd.core.journal import FIRST
    from opsd.pipeline import journal
    from opsd.store import parties

    if args.head is not None and not args.head.strip():
        raise WrongUsage("--head is empty: write a head that was printed before")
    with open_store(args) as store, store.read() as connection:
        found = journal.verify(connection)
        on_chain = {FIRST, *(row["hash"] for row in parties.journal_rows(connection))}
    print(f"entries: {found.entries:,}\nhead: {found.head}")
    faults = list(found.faults)
    if args.head is not None and args.head.strip().lower() not in on_chain:
        faults.append(f"no entry has the hash {args.head}: what stood up to it was changed or cut off")
    if not faults:
        print("the chain is whole")
        return 0
    for said in faults:
        print(said)
    warn(f"{counted(len(faults), 'fault')}: restore the journal from a backup; the first is where it broke")
    return 1


def _approve(args: Namespace) -> int:
    from opsd.cli.authorship import signer
    from opsd.pipeline import journal

    with open_store(args) as store:
        done = journal.approve(store, args.draft, person=signer(args.author), now=now())
        print_outcome(done, book_zone(store), dry_run=False)
    return 0


def _decline(args: Namespace) -> int:
    from opsd.cli.authorship import reason, signer
    from opsd.pipeline import journal

    said, person = reason(args.reason), signer(args.author)
    with open_store(args) as store:
        journal.decline(store, args.draft, person=person, reason=said, now=now())
    print(f"draft {args.draft} declined: nothing was posted")
    return 0
