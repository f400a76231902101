"""One reading of a source of accounting: what changed since the last one, window by window.

Invariant: how far a cluster is covered moves only after everything up to there is stored. Whatever fails or
is killed on the way leaves usage equal to the runs stored, and the next sweep reads the rest; what is read
twice counts once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC

from collectors.protocol import AccountingSource, AccountingText
from collectors.slurm.sacct import SacctReader
from opsd.core.errors import BadText, Unavailable
from opsd.core.period import DAY, HOUR, Window, isoformat, parse_time
from opsd.core.records import EARLIEST
from opsd.pipeline import ingest
from opsd.store import sweeps
from opsd.store.engine import Store

OVERLAP = 2 * HOUR  # read again each time: records reach slurmdbd late
BACK = 7 * DAY  # what is read again every night
ASKED_AT_ONCE = 500  # jobs named in one command line
_DAYS = re.compile(r"(\d{1,5}) days?", re.ASCII)


@dataclass(slots=True)
class Result:
    """What one sweep read."""

    cluster: str
    span: Window
    windows: int = 0
    asked_again: int = 0  # open runs that no window showed, asked for by job id
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
    window_seconds: int = 7 * DAY,
    span: Window | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Read what a source has that the store may not.

    Args:
        since: where the first sweep of a cluster starts (default: 30 days ago; see `beginning`).
        window_seconds: the longest span asked for at once.
        span: read this again instead, and leave how far the cluster is covered as it is.
        progress: called with (seconds of the span read, seconds of it).

    Raises:
        Refused: the rights to see every run are missing; nothing was read.
        Unavailable: an answer was not whole; what came before it is stored.
    """
    cluster = source.prove()
    wanted = span or _due(store, cluster, now - 30 * DAY if since is None else since, now)
    result = Result(cluster, wanted)
    for window in _windows(wanted, window_seconds):
        answer = source.changed(window.start, window.end)
        _take(store, answer, cluster, now, result)
        result.windows += 1
        if span is None:
            _ask_again(store, source, answer.observed_at, window, now, result)
            with store.write() as connection:
                sweeps.cover(connection, cluster, window.end, answer.observed_at)
        if progress:
            progress(window.end - wanted.start, wanted.end - wanted.start)
    return result


def again(
    store: Store,
    source: AccountingSource,
    *,
    now: int,
    back_seconds: int = BACK,
    window_seconds: int = 7 * DAY,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Read the last days once more: what Slurm wrote down late, or changed since, shows in no other sweep.

    slurmctld keeps records while slurmdbd is away, and sends them when it is back: by then a sweep may have
    passed the time of runs that are yet to come. A cluster that was never read is left to its first sweep.

    Raises:
        as `run`.
    """
    cluster = source.prove()
    with store.read() as connection:
        known = cluster in sweeps.covered(connection)
    span = Window(now - back_seconds if known else now, now)
    return run(store, source, now=now, window_seconds=window_seconds, span=span, progress=progress)


def _due(store: Store, cluster: str, since: int, now: int) -> Window:
    with store.read() as connection:
        covered = sweeps.covered(connection).get(cluster)
    start = since if covered is None else min(covered, now) - OVERLAP
    return Window(min(start, now), now)


def _windows(span: Window, seconds: int) -> Iterator[Window]:
    for start in range(span.start, span.end, seconds):
        yield Window(start, min(start + seconds, span.end))


def _take(store: Store, answer: AccountingText, cluster: str, now: int, result: Result) -> None:
    """Store one answer; bad records in it are quarantined."""
    with answer.stream:
        reader = SacctReader(answer.stream, cluster=cluster, name=answer.source)
        read = ingest.run(
            store, reader, source=f"{answer.source} {cluster}",
            observed_at=answer.observed_at, now=now, placed=False,
        )  # fmt: skip
    if read.broken:
        raise read.broken
    result.read.add(read)


def _ask_again(
    store: Store, source: AccountingSource, observed_at: int, window: Window, now: int, result: Result
) -> None:
    """Ask for open runs that a window did not show, by their jobs.

    A run whose end was set in the past (a runaway job that was fixed) shows up in no window. One that is
    alive must have been in the answer: if it was not, others may be missing, too.
    """
    with store.read() as connection:
        unseen = sweeps.unseen(connection, result.cluster, observed_at, window.end)
    jobs = sorted(set(unseen.values()))
    for at in range(0, len(jobs), ASKED_AT_ONCE):
        _take(store, source.runs(jobs[at : at + ASKED_AT_ONCE]), result.cluster, now, result)
    result.asked_again += len(unseen)
    with store.read() as connection:
        missed = sweeps.alive(connection, [*unseen], observed_at, window.start, window.end)
    if missed:
        raise Unavailable(_not_whole(result.cluster, window, missed))


def _not_whole(cluster: str, window: Window, missed: Sequence[int]) -> str:
    shown = ", ".join(map(str, missed[:5]))
    return (
        f"cluster {cluster}: the answer for {isoformat(window.start)} to {isoformat(window.end)} was not "
        f"whole: it left out {len(missed)} runs that were alive then (job {shown}); what it had is stored, "
        "and the span will be read again"
    )
