"""Why Slurm's report differs from opsd's usage, run by run: each cause from its own evidence.

Invariant: nothing here looks at what Slurm reports, so no cause can be made to fit it. What the causes leave
over is unexplained (`opsd.core.certificate`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from opsd.core.certificate import (
    LATE_RECORD,
    NEVER_ELIGIBLE,
    NOT_ROLLED_UP,
    REASSOCIATED,
    RESIZE_OVERLAP,
    RUNAWAY,
    SUSPENSION,
    Contribution,
    Subject,
    Unknown,
)
from opsd.core.period import HOUR, Window, isoformat
from opsd.core.rollup import Hours, Row, Spans, counted, seen, taken_off
from opsd.core.usage import Seconds, Suspension, cut

_WORDS = {
    SUSPENSION: "its suspended time as slurmdbd placed it, against spread evenly over the run",
    RESIZE_OVERLAP: "resized: Slurm counts this row from its job's start, in the hours since the resize",
    NOT_ROLLED_UP: "in hours that slurmdbd has not added up yet",
    NEVER_ELIGIBLE: "not eligible in those hours, by Slurm's record, so not looked at by its roll-up",
    RUNAWAY: "a runaway that was mended: the roll-up still saw it running",
    LATE_RECORD: "its record came or changed after those hours were added up",
}
_UNSEEN = "open in Slurm's records; opsd saw it last at {at} and counts until then"
_NO_ASSOCIATION = "booked on no association of Slurm's, so in no report of its"
_MOVED = "was of {account}/{user} when those hours were added up"
_CANNOT_PLACE = "suspension cannot be placed"  # only its total is known


class Run(NamedTuple):
    """A run as opsd counts it, and its rows as Slurm had them."""

    job_id: int
    submit: int
    begin: int
    finish: int  # of an open run: when it was last seen
    suspended: Suspension  # as opsd's usage cuts it
    total: int  # suspended seconds, as sacct tells them
    places: Spans | None  # when it was suspended, by slurmdbd; None: only the total is known
    now: Row
    before: tuple[Row, ...] = ()  # superseded rows, in the order in which they were last seen
    modified_at: int | None = None  # when slurmdbd last changed the row; None: not known
    db_index: int | None = None
    others: Spans = ()  # when earlier rows of the same job ran, as opsd counts them
    is_contradicted: bool = False  # slurmdbd's intervals are longer than the total that sacct tells

    @property
    def subject(self) -> Subject:
        """What its contributions are about."""
        return Subject("run", self.job_id, self.submit)

    def seconds(self, a: int, b: int) -> Seconds:
        """What opsd counts of it in [a, b)."""
        return cut(self.begin, self.finish, self.suspended, a, b)

    def asleep(self, hours: Hours, a: int, b: int) -> int:
        """Suspended seconds in [a, b) as Slurm places them; as opsd does where nobody knows."""
        if self.places is None:
            return self.seconds(a, b).suspended
        return taken_off(self.places, hours, a, b)


@dataclass(frozen=True)
class Rolled:
    """What of a window slurmdbd has added up.

    Args:
        spans: of the window, joined.
        at: when, by the beginning of the hour, where that is known.
        mark: where slurmdbd goes on, if it will add up hours once more: a record came late.
        is_told: whether slurmdbd told the spans; else they are taken to be the whole window.
    """

    window: Window
    hours: Hours
    spans: Spans
    at: dict[int, int] = field(default_factory=dict)
    mark: int | None = None
    is_told: bool = True

    @property
    def again_from(self) -> int | None:
        """The hours from here on will be added up once more."""
        return None if self.mark is None else self.hours.top(self.mark)

    def inside(self, a: int, b: int) -> Iterator[tuple[int, int]]:
        """The parts of [a, b) that were added up."""
        for start, end in self.spans:
            if max(a, start) < min(b, end):
                yield max(a, start), min(b, end)

    def outside(self, a: int, b: int) -> Iterator[tuple[int, int]]:
        """The parts of [a, b) inside the window that were not."""
        a, b = max(a, self.window.start), min(b, self.window.end)
        for start, end in (*self.spans, (b, b)):
            if a < min(start, b):
                yield a, min(start, b)
            a = max(a, end)

    @cached_property
    def _in_order(self) -> list[tuple[int, int]]:
        return sorted(self.at.items())

    def timed(self, a: int, b: int, *, every: bool) -> list[tuple[int, int]]:
        """(hour, when it was added up) of the hours in [a, b), or of those that will be added up again."""
        again = self.again_from
        if not every and again is None:
            return []
        least = a if every or again is None else max(a, again)
        timed = self._in_order
        return timed[bisect_left(timed, (least, 0)) : bisect_left(timed, (b, 0))]


def causes(run: Run, rolled: Rolled) -> Iterator[Contribution]:
    """What a run adds to Slurm's report beyond opsd's usage (negative: what it lacks there), by cause."""
    first = _first(run.now, rolled)
    a, b = max(run.begin, rolled.window.start), min(run.finish, rolled.window.end)
    eligible = min(max(first, a), max(a, b))
    yield from _less(run, NEVER_ELIGIBLE, [(a, eligible)])
    yield from _less(run, NOT_ROLLED_UP, rolled.outside(eligible, b))
    both = list(rolled.inside(eligible, b))
    if run.now.association == 0:
        yield from _less(run, REASSOCIATED, both, _NO_ASSOCIATION)
    else:
        yield from _suspension(run, rolled, both)
        yield from _overlap(run, rolled, first)
        yield from _unseen(run, rolled, first)
    yield from _changed(run, rolled)


def _first(row: Row, rolled: Rolled) -> int:
    """The first second that a roll-up looks at a row."""
    if row.eligible == 0:
        return rolled.window.end
    return rolled.window.start if row.eligible is None else rolled.hours.top(row.eligible)


def _less(run: Run, cause: str, spans: Iterable[tuple[int, int]], words: str = "") -> Iterator[Contribution]:
    """opsd's own usage of some spans, which Slurm's report lacks."""
    awake = held = 0
    for a, b in spans:
        ran, off = run.seconds(a, b)
        awake, held = awake + ran, held + ran + off
    yield from _each(run, run.now, cause, -held, -awake, words)


def _each(run: Run, row: Row, cause: str, held: int, awake: int, words: str = "") -> Iterator[Contribution]:
    """Seconds times what a row held; suspended time is off its cpu alone."""
    for name, count in row.tres:
        if seconds := count * (awake if name == "cpu" else held):
            text = words or _WORDS[cause]
            yield Contribution(cause, row.account, row.user, name, seconds, run.subject, text)


def _suspension(run: Run, rolled: Rolled, both: Sequence[tuple[int, int]]) -> Iterator[Contribution]:
    if run.places is None or not run.total:
        return
    off = sum(run.seconds(a, b).suspended - run.asleep(rolled.hours, a, b) for a, b in both)
    yield from _each(run, run.now, SUSPENSION, 0, off)


def _overlap(run: Run, rolled: Rolled, first: int) -> Iterator[Contribution]:
    """A row that starts before it was submitted: Slurm counts both rows of the job until the resize.

    What no earlier row of the job covers is not counted twice, and so is missing here.
    """
    start, end = run.now.start, run.now.end
    if start is None or start >= run.begin:
        return
    until = run.begin if end is None else min(run.begin, end)
    spans = [span for a, b in run.others for span in rolled.inside(max(start, first, a), min(until, b))]
    yield from _more(run, rolled, RESIZE_OVERLAP, spans)


def _unseen(run: Run, rolled: Rolled, first: int) -> Iterator[Contribution]:
    """An open run counts here until it was last seen, there to the end of the hour."""
    if run.now.end is not None:
        return
    spans = list(rolled.inside(max(run.finish, first), rolled.window.end))
    yield from _more(run, rolled, LATE_RECORD, spans, _UNSEEN.format(at=isoformat(run.finish)))


def _more(
    run: Run, rolled: Rolled, cause: str, spans: Sequence[tuple[int, int]], words: str = ""
) -> Iterator[Contribution]:
    """What Slurm counts of a run in spans that opsd's usage of it has not."""
    held = sum(b - a for a, b in spans)
    off = 0 if run.places is None else sum(run.asleep(rolled.hours, a, b) for a, b in spans)
    yield from _each(run, run.now, cause, held, held - off, words)


def _changed(run: Run, rolled: Rolled) -> Iterator[Contribution]:
    """What the roll-up of an hour saw of a run, less what stands now."""
    if not run.before and run.modified_at is None:
        return
    moved = any(_whose(row) != _whose(run.now) for row in run.before)
    sums: dict[Contribution, int] = defaultdict(int)
    for hour, rolled_at in rolled.timed(*_span(run, rolled), every=moved):
        then = seen(run.now, run.before, rolled_at, run.modified_at, rolled.mark)
        again = rolled.again_from is not None and hour >= rolled.again_from
        if then == run.now or not (again or _has_moved(then, run.now)):
            continue
        for part in _difference(run, then, rolled.hours, hour):
            sums[part._replace(seconds=0)] += part.seconds
    yield from (part._replace(seconds=seconds) for part, seconds in sums.items() if seconds)


def _span(run: Run, rolled: Rolled) -> tuple[int, int]:
    """The hours in which a row of a run can be counted."""
    rows = (run.now, *run.before)
    starts = [row.start for row in rows if row.start is not None]
    ends = [rolled.window.end if row.end is None else row.end for row in rows]
    return rolled.hours.top(min(starts, default=rolled.window.end)), max(ends)


def _difference(run: Run, then: Row | None, hours: Hours, hour: int) -> Iterator[Contribution]:
    cause, words = _why(run, then), ""
    if cause == REASSOCIATED and then is not None:
        words = _MOVED.format(account=then.account, user=then.user)
    for row, sign in ((then, 1), (run.now, -1)):
        if row is None:
            continue
        a, b = counted(row, hours, hour, hour + HOUR)
        held = b - a
        yield from _each(run, row, cause, sign * held, sign * (held - run.asleep(hours, a, b)), words)


def _why(run: Run, then: Row | None) -> str:
    now = run.now
    if _has_moved(then, now):
        return REASSOCIATED
    if then is None or then.end is not None or now.end is None:
        return LATE_RECORD
    mended = now.end == max(now.start or 0, now.eligible or 0, run.submit)
    return RUNAWAY if mended else LATE_RECORD


def _has_moved(then: Row | None, now: Row) -> bool:
    return then is not None and _whose(then) != _whose(now)


def _whose(row: Row) -> tuple[str, str, bool]:
    return row.account, row.user, row.association == 0


def unplaced(run: Run, rolled: Rolled) -> Iterator[Unknown]:
    """How far a suspension that nobody can place may move the cpu-seconds of a run in a window."""
    if run.places is not None or not run.total or run.is_contradicted:
        return
    a = max(run.begin, rolled.window.start, _first(run.now, rolled))
    both = list(rolled.inside(a, min(run.finish, rolled.window.end)))
    inside, length = sum(end - start for start, end in both), run.finish - run.begin
    total = min(run.total, length)
    off = sum(run.seconds(start, end).suspended for start, end in both)
    least, most = off - min(total, inside), off - max(0, total - (length - inside))
    cpus = run.now.tres.get("cpu")
    if cpus and least != most:
        who = run.now.account, run.now.user
        yield Unknown(SUSPENSION, *who, "cpu", cpus * least, cpus * most, run.subject, _CANNOT_PLACE)
