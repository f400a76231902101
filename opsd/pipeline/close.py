"""Closing a month: its statement is frozen, with what it was made from, and vouched for in the journal.

Everything is read at one instant and rendered before the write lock is taken. Invariant: an edition is
written in one transaction with the journal's entries about it, or not at all; what is frozen adds up to the
second, and the books balance: as first reported plus every correction is what was known at the last close.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from opsd.core import canonical, corrections, dossier, journal
from opsd.core.consortium import Consortium
from opsd.core.corrections import Booked, RunUse
from opsd.core.dossier import Closing, Concern, Correction, Digests, Dossier
from opsd.core.drafts import same_person
from opsd.core.errors import OpsdError, Refused, WrongUsage
from opsd.core.journal import Entry
from opsd.core.names import nearest
from opsd.core.period import Window, isoformat, parse_period, zone
from opsd.pipeline import dossier as gathering
from opsd.pipeline import dossier_lines, editions, run_list, usage
from opsd.pipeline.balance import Ledger
from opsd.pipeline.editions import FIRST, Month
from opsd.store import editions as kept
from opsd.store import parties
from opsd.store.editions import Edition, File, RunList
from opsd.store.engine import Connection, Store

SECOND_PERSON = "close"  # how the setting second_person names a close
_MONTH = re.compile(r"[1-9]\d{3}-(0[1-9]|1[0-2])\Z", re.ASCII)
_ATTEMPTS = 3

Render = Callable[[Dossier], Sequence[File]]


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asks for."""

    period: str
    author: str
    reason: str = ""
    approver: str = ""
    acknowledged: tuple[str, ...] = ()
    restate: bool = False


class Means(NamedTuple):
    """What only an entry point knows."""

    render: Render
    configuration: str  # digest of the settings, without secrets
    program: str  # digest of the program
    version: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a close would freeze; `dossier` is without Closing where something stands against it."""

    dossier: Dossier
    runs: tuple[RunList, ...]
    missing: tuple[Concern, ...]  # not acknowledged


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it."""

    prepared: Prepared | None  # None: it was closed before
    edition: Edition | None  # None: a dry run
    files: int = 0
    again: bool = False  # whether it was closed before


def run(store: Store, asked: Request, means: Means, *, now: int, dry_run: bool = False) -> Result:
    """Close a month, or restate a closed one.

    Raises:
        WrongUsage: what is asked for does not exist.
        Refused: it must not be closed, or not yet; what to do is said.
    """
    for _ in range(_ATTEMPTS):
        with store.read() as connection:
            there = kept.find(connection, asked.period, None if asked.restate else FIRST)
            if there is not None and not asked.restate:
                return Result(None, there, again=True)
            if not dry_run and not (asked.author.strip() and asked.reason.strip()):
                raise WrongUsage("a close is answered for: say --reason TEXT, and --author NAME")
            if not dry_run:
                _check_person(asked, parties.load(connection))
            prepared = prepare(connection, asked, means, now=now)
        if dry_run or prepared.missing:
            return Result(prepared, None)
        files = tuple(means.render(prepared.dossier))
        edition = _freeze(store, prepared, files, now)
        if edition is not None:
            return Result(prepared, edition, len(files))
    raise Refused(
        f"{asked.period}: accounting or master data changed each time while the statement was written: "
        "wait until nothing is read, then close again; nothing was frozen"
    )


def prepare(connection: Connection, asked: Request, means: Means, *, now: int) -> Prepared:
    """Everything but the files; nothing is written.

    Args:
        connection: from `Store.read()`: all of it is of one instant.
    """
    consortium = parties.load(connection)
    window = _month(asked.period, consortium, now)
    closed = editions.months(connection)
    _check_order(connection, consortium, asked, window, closed)
    found = gathering.run(connection, asked.period, now=now, version=means.version)
    _check_read(found)
    missing = _unacknowledged(found.concerns, asked.acknowledged)
    runs = run_list.run(connection, window)
    _check_sum(found, runs)
    fixed, lists = _corrected(connection, consortium, asked, closed)
    own = RunList(asked.period, len(runs), corrections.written(runs))
    head = parties.last_entry(connection)
    closing = Closing(
        edition=1 + max((month.last.number for month in closed if month.period == asked.period), default=0),
        closed_at=now,
        author=asked.author,
        approver=asked.approver,
        reason=asked.reason,
        acknowledged=found.concerns,
        chain=head.hash if head else journal.FIRST,
    )
    digests = Digests(
        canonical.digest(own.text), gathering.digest_of_master(consortium), means.configuration, means.program
    )
    made = replace(found, corrections=fixed, closing=closing, digests=digests)
    return Prepared(made, (own, *lists), missing)


# ------------------------------------------------------------------------------- what stands against it


def month(period: str, consortium: Consortium) -> Window:
    """A month of the book zone.

    Raises:
        WrongUsage: it is none.
    """
    if not _MONTH.match(period):
        raise WrongUsage(f"{period!r} is no month: write 2026-10; months are closed, not longer periods")
    return parse_period(period, zone(consortium.book_zone or "UTC"))


def _month(period: str, consortium: Consortium, now: int) -> Window:
    window = month(period, consortium)
    if now < window.end:
        ends = isoformat(window.end, zone(consortium.book_zone or "UTC"))
        raise Refused(f"{period} is not over: close it after {ends}")
    return window


def _check_person(asked: Request, consortium: Consortium) -> None:
    approver = asked.approver.strip()
    if approver and same_person(asked.author, approver):
        raise Refused(f"{asked.approver!r} is who closes: --approver names another person")
    if SECOND_PERSON in (consortium.second_person or ()) and not approver:
        raise Refused("closing needs a second person here (second_person): say --approver NAME")


def _check_order(
    connection: Connection,
    consortium: Consortium,
    asked: Request,
    window: Window,
    closed: Sequence[Month],
) -> None:
    _check_zone(consortium, closed)
    is_closed = any(found.period == asked.period for found in closed)
    if asked.restate:
        if not is_closed:
            raise Refused(f"{asked.period} is not closed: there is nothing to restate; leave out --restate")
        return
    if not closed:
        return
    first = closed[0]
    if window.start < first.window.start:
        raise Refused(
            f"{asked.period} is before {first.period}, with which the books of opsd begin: it stays open"
        )
    there = Window(first.window.start, window.start)
    rows = usage.run(connection, there, ("month",), tz=zone(consortium.book_zone or "UTC")).rows
    known = {found.period for found in closed}
    still = [row.key[0] for row in rows if row.key[0] not in known and any(row.measures[1:])]
    if still:
        raise Refused(f"{still[0]} is open and has use: close it first, then {asked.period}")


def _check_zone(consortium: Consortium, closed: Sequence[Month]) -> None:
    """Months of two zones overlap or leave hours out: what is closed would count twice, or never."""
    name = consortium.book_zone or "UTC"
    other = next((month.first for month in closed if month.first.zone != name), None)
    if other is not None:
        raise Refused(
            f"the books are kept in {other.zone}, in which {other.period} was closed, and book_zone is now "
            f"{name}: hours would count twice, or never: put book_zone back to {other.zone}"
        )


def _check_read(found: Dossier) -> None:
    """Accounting must be read to the month's end; a cluster that was gone before it is but a concern."""
    end, tz = found.span.end, zone(found.span.zone)
    used = {line.key.cluster for line in found.lines}
    until = {one.cluster: one.until for one in found.quality.covered}
    for cluster in sorted({*used, *(name for name, last in until.items() if last > found.span.start)}):
        last = until.get(cluster, found.quality.last_observed)
        if last is None or last < end:
            read = "was never read" if last is None else f"is read up to {isoformat(last, tz)} only"
            raise Refused(
                f"the accounting of {cluster} {read}: read it up to {isoformat(end, tz)} first, with "
                "opsd ingest or opsd import"
            )
    if not until and found.quality.last_observed is None:
        raise Refused("no accounting was ever read: run opsd ingest or opsd import first")


def _unacknowledged(concerns: Iterable[Concern], names: Iterable[str]) -> tuple[Concern, ...]:
    known = {concern.name: concern for concern in concerns}
    for name in names:
        if name not in known:
            there = f"there are {' '.join(known)}" if known else "nothing stands against this close"
            raise WrongUsage(f"--acknowledge {name!r}: no such concern" + nearest(name, known, there))
    return tuple(concern for concern in known.values() if concern.name not in set(names))


def _check_sum(found: Dossier, runs: Sequence[RunUse]) -> None:
    """The runs to be frozen are what the statement says, to the second."""
    said = corrections.booked(found).lines
    ours = corrections.booked_of(corrections.lines_of(runs), {}).lines
    for key in sorted({*said, *ours}):
        if said.get(key) != ours.get(key):
            raise OpsdError(
                f"bug in opsd: line {corrections.named(key)} of {found.span.text} says {said.get(key)}, its "
                f"runs add up to {ours.get(key)}: nothing was frozen; please report it"
            )


# ------------------------------------------------------------------------------------------ corrections


def pending(connection: Connection) -> tuple[Correction, ...]:
    """What the next close would book of earlier months."""
    consortium = parties.load(connection)
    return _differences(connection, consortium, editions.months(connection))[0]


def _corrected(
    connection: Connection, consortium: Consortium, asked: Request, closed: Sequence[Month]
) -> tuple[tuple[Correction, ...], tuple[RunList, ...]]:
    if not asked.restate:
        return _differences(connection, consortium, closed)
    first = editions.reported(connection, asked.period, FIRST)
    return (first.corrections if first else ()), ()


def _differences(
    connection: Connection, consortium: Consortium, closed: Sequence[Month]
) -> tuple[tuple[Correction, ...], tuple[RunList, ...]]:
    """Of every closed month what changed, with the runs as they are now where something did."""
    ids = [edition.id for edition in kept.every(connection) if edition.number == FIRST]
    policies = {award.id: award.policy for award in consortium.awards.values()}
    known = _Known(connection, consortium)
    found, lists = [], []
    for held in closed:
        now = known.within(held.window)
        if now == held.booked:
            continue
        runs = run_list.run(connection, held.window)
        before = corrections.listed(kept.latest_runs(connection, held.period, ids))
        after = {run.id: run for run in runs}
        correction = corrections.between(held.period, held.booked, now, before, after, policies)
        if correction is not None:
            found.append(correction)
            lists.append(RunList(held.period, len(runs), corrections.written(runs)))
    return tuple(found), tuple(lists)


class _Known:
    """Months as now known, from day facts, which is quick; runs are looked at where something changed."""

    def __init__(self, connection: Connection, consortium: Consortium) -> None:
        self._connection, self._consortium = connection, consortium
        self._used: dict[int, Mapping[str, int]] = {}

    def within(self, window: Window) -> Booked:
        """Use of a window, and what balances grew by in it."""
        ledger = Ledger(self._connection, self._consortium, window.end)
        start, end = self._until(window.start), self._until(window.end)
        charged = {award: micro - start[award] for award, micro in end.items()}
        return corrections.booked_of(dossier_lines.run(ledger, window).lines, charged)

    def _until(self, at: int) -> Mapping[str, int]:
        if at not in self._used:
            lines = Ledger(self._connection, self._consortium, at).lines()
            self._used[at] = {line.key: line.used for line in lines}
        return self._used[at]


# --------------------------------------------------------------------------------------------- freezing


def _freeze(store: Store, prepared: Prepared, files: Sequence[File], now: int) -> Edition | None:
    """Write an edition and the entries about it; None: what it stands on has changed meanwhile."""
    made, closing = prepared.dossier, _closing(prepared.dossier)
    records = list(dossier.records(made))
    digest = kept.digest_of(records, prepared.runs, files)
    with store.write() as connection:
        if not _stands(connection, made):
            return None
        entries = [
            _correction_entry(found, made, now) for found in made.corrections if closing.edition == FIRST
        ]
        posted = parties.post(connection, [*entries, _close_entry(made, digest, now)])
        edition = Edition(
            made.span.text, closing.edition, made.span.start, made.span.end, made.span.zone, now,
            posted[-1].id, len(records), digest, canonical.plain(made.digests),
        )  # fmt: skip
        return kept.add(connection, edition, records, prepared.runs, files)


def _closing(made: Dossier) -> Closing:
    if made.closing is None:
        raise AssertionError("only a prepared dossier is frozen")
    return made.closing


def _stands(connection: Connection, made: Dossier) -> bool:
    """Whether facts, master data and the journal are still what the dossier was made from."""
    head = parties.last_entry(connection)
    if (head.hash if head else journal.FIRST) != _closing(made).chain:
        return False
    if gathering.digest_of_master(parties.load(connection)) != made.digests.master:
        return False
    text = corrections.written(run_list.run(connection, made.span.window))
    return canonical.digest(text) == made.digests.facts


def _correction_entry(found: Correction, made: Dossier, now: int) -> Entry:
    closing = _closing(made)
    return Entry(
        now, now, journal.CORRECTION, "", "", 0,
        f"{found.period} as now known, booked with {made.span.text}", closing.author,
        approver=closing.approver, subject=found.period, digest=canonical.digest(canonical.text(found)),
    )  # fmt: skip


def _close_entry(made: Dossier, digest: str, now: int) -> Entry:
    closing = _closing(made)
    return Entry(
        now, now, journal.CLOSE, "", "", 0, closing.reason, closing.author, approver=closing.approver,
        subject=f"{made.span.text}/{closing.edition}", digest=digest,
    )  # fmt: skip
