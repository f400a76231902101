"""One reading of a source of accounting: what changed since the last one, window by window.

Invariant: how far a cluster is covered moves only after everything up to there is stored. Whatever fails or
is killed on the way leaves usage equal to the runs stored, and the next sweep reads the rest; what is read
twice counts once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import TypeVar

from collectors.protocol import AccountingSource, AccountingTables, AccountingText, Controller
from collectors.slurm.sacct import SacctReader
from opsd.core.errors import BadText, Refused, TooWide, Unavailable
from opsd.core.period import DAY, HOUR, Window, isoformat, parse_time
from opsd.core.records import EARLIEST
from opsd.pipeline import ingest
from opsd.pipeline.pace import Pace
from opsd.pipeline.turn import PAUSE_SECONDS, Turn
from opsd.store import identity, sweeps
from opsd.store.engine import Store

OVERLAP = 2 * HOUR  # read again each time: records reach slurmdbd late
BACK = 7 * DAY  # what is read again every night
FAR_BACK = 90 * DAY  # and every week
ENDED_AT_ONCE = 30 * DAY  # ends of runs among which slurmdbd's database looks for changed rows at once
ASKED_AT_ONCE = 500  # jobs named in one command line
NO_DATABASE = (
    "until it answers, suspensions that have no times yet are spread evenly over their runs, and edits of "
    "runs that ended before what is read are not seen; then they are asked for, edits at night"
)
_DAYS = re.compile(r"(\d{1,5}) days?", re.ASCII)
Progress = Callable[[int, int], None]  # (seconds of the span read, seconds of it)
Told = TypeVar("Told")


@dataclass(slots=True)
class Result:
    """What one sweep read."""

    cluster: str
    span: Window
    windows: int = 0
    asked_again: int = 0  # open runs that no window showed, asked for by job id
    modified: int = 0  # jobs no window showed and slurmdbd's database said had changed, asked for by id
    placed: int = 0  # suspended runs of which it was told when they were suspended
    suspected: tuple[int, ...] = ()  # jobs open here and unknown to slurmctld
    gone: tuple[int, ...] = ()  # jobs open here and no longer in the accounting
    controller: str = ""  # why slurmctld could not be asked
    database: str = ""  # why slurmdbd's, though configured, could not be asked, and what is lost by it
    read: ingest.Result = field(default_factory=ingest.Result)

    @property
    def new(self) -> int:
        """Runs that were not known."""
        return self.read.tally.new

    @property
    def changed(self) -> int:
        """Runs known otherwise."""
        return self.read.tally.changed

    @property
    def quarantined(self) -> int:
        """Records that could not be read."""
        return self.read.quarantined


@dataclass(frozen=True, slots=True)
class Means:
    """How a sweep goes about it.

    Args:
        pace: how much is asked at once, and how often again.
        turn: waits until nobody else reads; None: nobody else can.
        tables: slurmdbd's own tables, where the site grants them.
        go_on: called before every question; raises when the process ends.
        notes: tells, once the source is proven, what it cannot tell; kept for `opsd status`.
    """

    pace: Pace = field(default_factory=Pace)
    turn: Turn | None = None
    tables: AccountingTables | None = None
    go_on: Callable[[], None] = lambda: None
    notes: Callable[[], Sequence[str]] = lambda: ()

    def alone(self, store: Store) -> AbstractContextManager[None]:
        """Read alone inside."""
        return self.turn.taken(store, self.go_on) if self.turn else nullcontext()


def _silent(_done: int, _whole: int) -> None:
    """Nobody is looking."""


def beginning(since: str, now: int) -> int:
    """Where a cluster's very first sweep starts: `30 days` ago, or a date."""
    try:
        days = _DAYS.fullmatch(since.strip())
        start = max(EARLIEST, now - int(days[1]) * DAY if days else parse_time(since, UTC))
    except BadText as err:
        raise BadText("slurm.since is no time", since, "write 30 days, or 2026-10-01") from err
    if start > now:  # or nothing would be read, without a word
        raise BadText("slurm.since is still to come", since, "write 30 days, or a date that has passed")
    return start


def run(
    store: Store,
    source: AccountingSource,
    *,
    now: int,
    since: int | None = None,
    means: Means | None = None,
    span: Window | None = None,
    progress: Progress = _silent,
) -> Result:
    """Read what a source has that the store may not, alone.

    Args:
        since: where the first sweep of a cluster starts (default: 30 days ago; see `beginning`).
        span: read this again instead, and leave how far the cluster is covered as it is.
        progress: told after each window.

    Raises:
        Refused: the rights to see every run are missing; nothing was read.
        Unavailable: an answer was not whole; what came before it is stored.
    """
    means = means or Means()
    with means.alone(store):
        reading = _Reading(store, source, means, now)
        if span is not None:
            reading.windows(span, progress)
        else:
            reading.hot(now - 30 * DAY if since is None else since, progress)
        return reading.done()


def again(
    store: Store,
    source: AccountingSource,
    *,
    now: int,
    back_seconds: int = BACK,
    means: Means | None = None,
    progress: Progress = _silent,
) -> Result:
    """Read the last days once more: what Slurm wrote down late, or changed since, shows in no other sweep.

    slurmctld keeps records while slurmdbd is away, and sends them when it is back: by then a sweep may have
    passed the time of runs that are yet to come. A cluster that was never read is left to its first sweep,
    and what lies before its first run is nobody's. Others may read between two windows.

    Raises:
        as `run`.
    """
    means = means or Means()
    with means.alone(store):
        reading = _Reading(store, source, means, now)
        with store.read() as connection:
            known = sweeps.one(connection, reading.cluster)
            first = sweeps.earliest(connection, reading.cluster)
    if known is not None:
        start = min(max(now - back_seconds, EARLIEST if first is None else first), now)
        reading.windows(Window(start, now), progress, between=True)
        if first is not None:
            reading.edited_before(known, Window(min(first, start), start))
    with means.alone(store):
        return reading.done()


class _Reading:
    """A sweep under way."""

    def __init__(self, store: Store, source: AccountingSource, means: Means, now: int) -> None:
        self.store = store
        self.source = source
        self.means = means
        self.now = now
        self.tables = means.tables  # None: there are none, or they did not answer this time
        name = source.prove()
        with store.read() as connection:
            self.cluster = identity.of(connection, name)
        self.result = Result(self.cluster, Window(now, now))

    def done(self) -> Result:
        """With what slurmdbd's own tables tell of suspensions put in place; what cannot be known is kept."""
        from opsd.pipeline import placement

        told = self._told(
            lambda tables: placement.run(self.store, tables, cluster=self.cluster, now=self.now)
        )
        self.result.placed = told.placed if told else 0
        lost = [self.result.database] if self.result.database else []
        with self.store.write() as connection:
            sweeps.note(connection, self.cluster, notes=[*self.means.notes(), *lost])
        return self.result

    def _told(self, question: Callable[[AccountingTables], Told]) -> Told | None:
        """What slurmdbd's own tables tell; None: nothing. Those that fail once are left alone then."""
        if self.tables is None:
            return None
        try:
            return question(self.tables)
        except (Refused, Unavailable) as err:  # the accounting can be read without them
            self.result.database = f"{' '.join(str(err).split())}: {NO_DATABASE}"
            self.tables = None
            return None

    # -- the usual sweep -------------------------------------------------------------------------------

    def hot(self, since: int, progress: Progress) -> None:
        """From where the last one ended, with all that windows do not show."""
        with self.store.read() as connection:
            last = sweeps.one(connection, self.cluster)
        start = since if last is None else min(last.covered_until, self.now) - OVERLAP
        known = self._known_jobs()
        first_seen = self.windows(Window(min(start, self.now), self.now), progress, cover=True)
        self._compare(known, first_seen)
        # What ended earlier is looked through every night. A window of nothing is asked about all the same,
        # so that tables that do not answer are told of at once.
        far = start if last is None else min(start, self.now - BACK)
        self._edited(self.now if last is None else last.observed_at, Window(far, start))

    def edited_before(self, known: sweeps.Sweep, ended: Window) -> None:
        """Read again what was changed of runs that ended before any window, since this was done last.

        How far it was done moves only once all of it was: what cannot be asked today is asked tomorrow.
        Others may read between two questions.
        """
        if self.tables is None:
            return
        since = known.observed_at if known.modified_until is None else known.modified_until
        for at in range(ended.start, ended.end, ENDED_AT_ONCE):
            self.means.go_on()
            with self.means.alone(self.store):
                if not self._edited(since, Window(at, min(at + ENDED_AT_ONCE, ended.end))):
                    return
        with self.store.write() as connection:
            sweeps.reread(connection, self.cluster, self.now)

    def _edited(self, since: int, ended: Window) -> bool:
        """Ask for jobs that ended in a window and whose rows slurmdbd has changed since; whether it told."""
        changed = self._told(lambda tables: sorted(set(tables.modified(since - OVERLAP, ended))))
        if changed:
            self.result.modified += len(changed)
            self._ask_for(changed)
        return changed is not None

    def _known_jobs(self) -> frozenset[int] | None:
        """What slurmctld knows, asked before the accounting: what begins in between is no suspect."""
        if not isinstance(self.source, Controller):
            return None
        try:
            return frozenset(self.source.known_jobs())
        except Unavailable as err:  # the accounting can be read without it
            self.result.controller = str(err)
            return None

    def _compare(self, known: frozenset[int] | None, first_seen: int) -> None:
        """Open runs that slurmctld or the accounting no longer knows: they count as ever, and are told."""
        with self.store.write() as connection:
            begun = sweeps.begun(connection, self.cluster, self.now, first_seen)
            self.result.gone = tuple(job for job, seen in begun if not seen)
            if known is not None:
                self.result.suspected = tuple(job for job, seen in begun if seen and job not in known)
            sweeps.note(
                connection, self.cluster, gone=self.result.gone,
                suspected=None if known is None else self.result.suspected,
            )  # fmt: skip

    # -- windows ---------------------------------------------------------------------------------------

    def windows(self, span: Window, progress: Progress, *, cover: bool = False, between: bool = False) -> int:
        """Read a span in windows as wide as slurmdbd can bear.

        Args:
            cover: note how far it has come, and ask for open runs that did not show.
            between: the turn is taken for each window alone.

        Returns:
            When the first window was asked for.
        """
        self.result.span = span
        pace, at, first_seen = self.means.pace, span.start, self.now
        while at < span.end:
            window = Window(at, min(at + pace.width, span.end))
            try:
                with self.means.alone(self.store) if between else nullcontext():
                    seen = self._window(window, cover=cover)
            except TooWide:
                if not pace.too_wide(window.end - window.start):
                    raise
                continue
            first_seen = seen if at == span.start else first_seen
            at = window.end
            progress(at - span.start, span.end - span.start)
            if between and self.means.turn and at < span.end:
                pace.sleep(PAUSE_SECONDS)
        return first_seen

    def _window(self, window: Window, *, cover: bool) -> int:
        pace = self.means.pace
        asked = pace.clock()
        answer = pace.ask(lambda: self.source.changed(window.start, window.end), self.means.go_on)
        pace.answered(window.end - window.start, pace.clock() - asked)
        self._take(answer)
        self.result.windows += 1
        if cover:
            self._ask_again(answer.observed_at, window)
            with self.store.write() as connection:
                sweeps.cover(
                    connection, self.cluster, window.end, answer.observed_at,
                    modified=None if self.means.tables is None else self.now,
                )  # fmt: skip
        return answer.observed_at

    def _take(self, answer: AccountingText) -> None:
        """Store one answer; bad records in it are quarantined."""
        with answer.stream:
            reader = SacctReader(answer.stream, cluster=self.cluster, name=answer.source)
            read = ingest.run(
                self.store, reader, source=f"{answer.source} {self.cluster}",
                observed_at=answer.observed_at, now=self.now, placed=False,
                only=self.cluster,
            )  # fmt: skip
        if read.broken:
            raise read.broken
        self.result.read.add(read)

    # -- jobs ------------------------------------------------------------------------------------------

    def _ask_for(self, jobs: Sequence[int]) -> None:
        """Read jobs by their ids, whenever they ran."""
        at, many = 0, ASKED_AT_ONCE
        while at < len(jobs):
            some = jobs[at : at + many]
            try:
                answer = self.means.pace.ask(partial(self.source.runs, some), self.means.go_on)
            except TooWide:
                if len(some) == 1:
                    raise
                many = max(1, len(some) // 2)
                continue
            self._take(answer)
            at += len(some)

    def _ask_again(self, observed_at: int, window: Window) -> None:
        """Ask for open runs that a window did not show, by their jobs.

        A run whose end was set in the past (a runaway job that was fixed) shows up in no window. One that
        is alive must have been in the answer: if it was not, others may be missing, too.
        """
        with self.store.read() as connection:
            unseen = sweeps.unseen(connection, self.cluster, observed_at, window.end)
        self._ask_for(sorted(set(unseen.values())))
        self.result.asked_again += len(unseen)
        with self.store.read() as connection:
            missed = sweeps.alive(connection, [*unseen], observed_at, window.start, window.end)
        if missed:
            raise Unavailable(_not_whole(self.cluster, window, missed))


def _not_whole(cluster: str, window: Window, missed: Sequence[int]) -> str:
    shown = ", ".join(map(str, missed[:5]))
    return (
        f"cluster {cluster}: the answer for {isoformat(window.start)} to {isoformat(window.end)} was not "
        f"whole: it left out {len(missed)} runs that were alive then (job {shown}); what it had is stored, "
        "and the span will be read again"
    )
