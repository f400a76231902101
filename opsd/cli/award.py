"""`opsd award`: what was granted to whom; grant, extend, transfer, credit, each with its journal entry."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from opsd.cli.context import now, open_store
from opsd.cli.postings import book_zone, exact_option, print_outcome
from opsd.cli.times import add_format, time_option, zone_option
from opsd.core.amounts import MICRO_PER_HOUR
from opsd.core.errors import BadText, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo
    from fractions import Fraction

    from opsd.pipeline.awards import Act
    from opsd.pipeline.journal import Outcome
    from opsd.store.engine import Store

COLUMNS = ("id", "project", "pool", "unit", "granted", "left", "start", "end", "mode")

_RANKS = {"mode": 1, "pool": 2, "project": 3, "start": 4, "end": 5}


def register(parser: ArgumentParser) -> None:
    """The arguments of the verb."""
    from opsd.cli.authorship import add_signature

    verbs = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = verbs.add_parser("list", help="every award, with what was granted and what is left")
    listing.add_argument("--timezone", metavar="TZ", help="zone of the times shown (default: the book zone)")
    add_format(listing)
    grant = verbs.add_parser("grant", help="a new award")
    grant.add_argument("award", metavar="ID")
    for option, metavar, said in _NEW:
        grant.add_argument(option, metavar=metavar, required=True, help=said)
    grant.add_argument("--end", metavar="T", help="end, not included (default: none)")
    grant.add_argument("--mode", metavar="M", default="", help="access mode: Playground, Large Scale, …")
    extend = verbs.add_parser("extend", help="more time, a later end, or both")
    extend.add_argument("award", metavar="ID")
    extend.add_argument("--amount", metavar="+N", help="so much more, in its unit")
    extend.add_argument("--until", metavar="T", help="its new end, later than the present one")
    transfer = verbs.add_parser("transfer", help="time from one award to another of the same unit")
    transfer.add_argument("award", metavar="FROM")
    transfer.add_argument("target", metavar="TO")
    transfer.add_argument("--amount", metavar="N", required=True, help="at most what FROM has left")
    credit = verbs.add_parser("credit", help="give time back")
    credit.add_argument("award", metavar="ID")
    credit.add_argument("--amount", metavar="N", required=True, help="in its unit")
    credit.add_argument(
        "--run",
        metavar="CLUSTER/JOB@SUBMIT",
        action="append",
        default=[],
        help="for this run; again for more",
    )
    for child in (grant, extend):
        child.add_argument("--timezone", metavar="TZ", help="zone of bare dates (default: the book zone)")
    for child in (grant, extend, transfer, credit):
        add_signature(child)


_NEW = (
    ("--project", "P", "a project's id"),
    ("--pool", "X", "the pool that pays"),
    ("--amount", "N", "how much, in the unit, exact"),
    ("--unit", "U", "gpu-hours, node-hours, core-hours or billing-hours"),
    ("--start", "T", "first moment"),
    ("--policy", "C", "the charge policy's id"),
)


def run(args: Namespace) -> int:
    """Run one action."""
    if args.action == "list":
        return _list(args)
    return _act(args)


def _list(args: Namespace) -> int:
    from opsd.cli.output import print_rows
    from opsd.core.amounts import exact_text, unit_hours
    from opsd.core.period import isoformat
    from opsd.pipeline import awards

    with open_store(args) as store:
        tz = zone_option(args.timezone, book_zone(store))
        with store.read() as connection:
            found = awards.standings(connection, now())
    rows = [
        (
            one.award.id, one.award.project, one.award.pool, one.award.unit,
            exact_text(unit_hours(one.granted)), exact_text(unit_hours(one.left)),
            isoformat(one.award.start, tz), "" if one.award.end is None else isoformat(one.award.end, tz),
            one.award.mode,
        )
        for one in found
    ]  # fmt: skip
    if args.format == "table":
        _print(
            [
                (*row[:4], _hours(one.granted), _hours(one.left), *row[6:])
                for one, row in zip(found, rows, strict=True)
            ]
        )
    else:
        print_rows(args.format, COLUMNS, rows)
    return 0


def _hours(micro: int) -> str:
    """To the hundredth, halves up; csv and json have the exact number."""
    hundredths = (200 * micro + MICRO_PER_HOUR) // (2 * MICRO_PER_HOUR)
    sign, size = ("-", -hundredths) if hundredths < 0 else ("", hundredths)
    return f"{sign}{size // 100:,}.{size % 100:02}"


def _print(rows: Sequence[Sequence[str]]) -> None:
    from opsd.cli import draw

    columns = [
        draw.Column(name, numeric=name in ("granted", "left"), rank=_RANKS.get(name)) for name in COLUMNS
    ]
    rows = [(*row[:6], *(text[: len("2026-10-01")] for text in row[6:8]), *row[8:]) for row in rows]
    caption = "" if rows else "no award yet: opsd award grant"
    draw.console().print(draw.table("Awards", columns, rows, caption=caption, all_in="csv"))


def _act(args: Namespace) -> int:
    from opsd.cli.authorship import reason, signer
    from opsd.pipeline.awards import Act

    act = Act(signer(args.author), reason(args.reason), now(), dry_run=args.dry_run)
    actions = {"grant": _grant, "extend": _extend, "transfer": _transfer, "credit": _credit}
    with open_store(args) as store:
        tz = zone_option(getattr(args, "timezone", None), book_zone(store))
        print_outcome(actions[args.action](args, store, act, tz), tz, dry_run=args.dry_run)
    return 0


def _grant(args: Namespace, store: Store, act: Act, tz: tzinfo) -> Outcome:
    from opsd.core.awards import Award
    from opsd.core.fields import BadField
    from opsd.pipeline import awards

    try:
        award = Award(
            args.award, args.project, args.pool, exact_option("--amount", args.amount), args.unit,
            time_option("--start", args.start, tz),
            None if args.end is None else time_option("--end", args.end, tz), args.policy, args.mode,
        )  # fmt: skip
    except BadField as err:
        raise WrongUsage(str(err)) from err
    return awards.grant(store, award, act)


def _extend(args: Namespace, store: Store, act: Act, tz: tzinfo) -> Outcome:
    from opsd.pipeline import awards

    more = None if args.amount is None else _positive(args.amount)
    until = None if args.until is None else time_option("--until", args.until, tz)
    return awards.extend(store, args.award, act, more=more, until=until)


def _transfer(args: Namespace, store: Store, act: Act, _tz: tzinfo) -> Outcome:
    from opsd.pipeline import awards

    return awards.transfer(store, args.award, args.target, _positive(args.amount), act)


def _credit(args: Namespace, store: Store, act: Act, _tz: tzinfo) -> Outcome:
    from opsd.core.credits import Mark
    from opsd.pipeline import awards

    try:
        runs = [Mark.parse(text) for text in args.run]
    except BadText as err:
        raise WrongUsage(f"--run: {err}") from err
    return awards.credit(store, args.award, _positive(args.amount), act, runs=runs)


def _positive(text: str) -> Fraction:
    amount = exact_option("--amount", text)
    if amount <= 0:
        raise WrongUsage(f"--amount {text}: write how many unit-hours, above 0")
    return amount
