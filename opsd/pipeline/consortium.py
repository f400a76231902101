"""Master data into the database: plan what a file changes, refuse what does not fit, apply the rest.

Invariant: applying the same values twice changes nothing the second time, and nothing that was valid
is ever taken away except by an `until`. Facts are never rewritten: who pays is joined when read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from collectors.slurm.hosts import expand
from opsd.core.awards import Binding
from opsd.core.changes import Diff, compare, merge, postings
from opsd.core.consortium import Consortium
from opsd.core.errors import Refused
from opsd.core.faults import SHOWN
from opsd.core.journal import Entry
from opsd.core.parties import Cluster, Person
from opsd.core.soundness import Problem, check
from opsd.pipeline import identity
from opsd.pipeline.reclassify import reclassify
from opsd.store import parties
from opsd.store.engine import Connection, Store


class Plan(NamedTuple):
    """What the master data would become, and how that differs from what it is."""

    merged: Consortium
    diff: Diff


Place = Callable[[Problem], str]  # where a problem stands, for people


def plan(
    current: Consortium,
    incoming: Consortium,
    entries: Iterable[Entry] = (),
    *,
    author: str = "",
    reason: str = "",
    now: int = 0,
    place: Place | None = None,
) -> Plan:
    """Merge, check, compare.

    Args:
        entries: the journal so far.
        place: tells where a problem stands, such as `file:line`.

    Raises:
        Refused: with every problem the merged data would have.
    """
    merged = merge(current, incoming)
    require_sound(merged, place)
    due = postings(current, merged, entries, author=author, reason=reason, now=now)
    return Plan(merged, Diff(compare(current, merged), due))


def require_sound(consortium: Consortium, place: Place | None = None) -> None:
    """Refuse data whose parts do not fit together, naming every problem."""
    problems = check(consortium, expand)
    rows = [f"{place(problem)}: {problem}" if place else str(problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        rows.append(f"and {len(problems) - SHOWN} more")
    if rows:
        raise Refused("\n".join(rows))


def apply(
    store: Store,
    incoming: Consortium,
    *,
    author: str,
    reason: str = "",
    now: int,
    dry_run: bool = False,
    place: Place | None = None,
) -> Diff:
    """Write what `incoming` changes, and post what that grants; the same again is an empty diff."""
    opened = store.read() if dry_run else store.write()
    with opened as connection:
        current = parties.load(connection)
        booked = parties.journal(connection)
        merged, diff = plan(current, incoming, booked, author=author, reason=reason, now=now, place=place)
        identity.keep_former_names(_by_id(current), _by_id(merged))
        _require_unguarded(current, diff.entries)
        if diff and not dry_run:
            write(connection, current, merged, diff)
    return diff


def write(connection: Connection, current: Consortium, merged: Consortium, diff: Diff) -> list[Entry]:
    """Make a planned change true; returns what it posted."""
    parties.save(connection, current, merged)
    posted = parties.post(connection, diff.entries)
    if diff.touches("cluster"):
        identity.adopt(connection)
    if diff.touches("node_class"):
        reclassify(connection)
    return posted


def _require_unguarded(current: Consortium, entries: Iterable[Entry]) -> None:
    """A file has one author: what a second person must approve comes by a draft."""
    for entry in entries:
        if current.guards(entry.kind):
            raise Refused(
                f"award {entry.award!r}: here a second person must approve a journal entry of kind "
                f"{entry.kind}, which this would post; draft it by opsd award or opsd journal add"
            )


def _by_id(consortium: Consortium) -> dict[str, Cluster]:
    return {cluster.id: cluster for cluster in consortium.clusters.values()}


def bind(
    store: Store, binding: Binding, *, author: str, reason: str = "", now: int, dry_run: bool = False
) -> Diff:
    """Bind one account; the same binding again, or with another award or end, replaces it."""
    return _add(store, [binding], author=author, reason=reason, now=now, dry_run=dry_run)


def import_people(
    store: Store, people: Iterable[Person], *, author: str, reason: str = "", now: int, dry_run: bool = False
) -> Diff:
    """Take in home organisations; people not named stay as they are."""
    return _add(store, people, author=author, reason=reason, now=now, dry_run=dry_run)


def _add(
    store: Store, items: Iterable[Binding | Person], *, author: str, reason: str, now: int, dry_run: bool
) -> Diff:
    return apply(store, Consortium.of(items), author=author, reason=reason, now=now, dry_run=dry_run)
