"""What the verbs that write the journal share: amounts, the book zone, how they show what was posted."""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

from opsd.core.amounts import exact_text, micro_unit_seconds, unit_hours
from opsd.core.errors import BadText, OpsdError, WrongUsage
from opsd.core.period import isoformat

if TYPE_CHECKING:
    from fractions import Fraction

    from opsd.pipeline.journal import Outcome
    from opsd.store.engine import Store


def print_outcome(done: Outcome, tz: tzinfo, *, dry_run: bool) -> None:
    """A line per entry; and, where a draft waits, how the next person posts it."""
    for entry in done.entries:
        sign = "" if entry.amount < 0 else "+"
        amount = f"{sign}{exact_text(unit_hours(entry.amount))} {entry.unit}"
        other = f" with {entry.subject}" if entry.subject else ""
        names = " and ".join(filter(None, (entry.author, entry.approver)))
        head = f"entry {entry.id}" if entry.id else "draft" if done.draft is not None else "entry"
        since = isoformat(entry.at, tz)
        print(f"{head}: {entry.kind} {entry.award} {amount}{other} from {since} ({entry.reason}; {names})")
    if dry_run:
        waits = "; it would wait for a second person" if done.draft is not None else ""
        print(f"dry run: nothing was written{waits}")
    elif done.draft is not None:
        print(f"draft {done.draft} waits; a second person posts it: opsd journal approve {done.draft}")


def exact_option(option: str, text: str) -> Fraction:
    """An exact amount on the command line, one that can be booked; `+5` is 5."""
    from opsd.core.amounts import exact

    try:
        amount = exact(text.removeprefix("+"))
        micro_unit_seconds(amount)
    except BadText as err:
        raise WrongUsage(f"{option}: {err}") from err
    return amount


def book_zone(store: Store) -> tzinfo:
    """The zone of the books, for times that name none."""
    from datetime import UTC

    from opsd.core.period import zone
    from opsd.store import parties

    with store.read() as connection:
        name = parties.load(connection).book_zone
    try:
        return zone(name)
    except OpsdError:
        return UTC
