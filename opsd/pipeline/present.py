"""Looks at what a cluster is doing now: each source of it once.

Invariant: a source that does not answer harms no other, and nothing old stands in for its answer; the
GPU-seconds counted go up to the last look that saw the nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from collectors import protocol
from collectors.slurm import present as reader
from exporters.slurm import Look
from opsd.core import present_counts
from opsd.core.period import DAY, Window
from opsd.core.present import SOURCES, Present
from opsd.store import gpu_seconds, waits
from opsd.store.engine import Store

STARTED_SECONDS = DAY  # how far back started runs tell how long one waits


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen, for the page; and which sources did not answer, and why."""

    look: Look

    @property
    def failed(self) -> Mapping[str, str]:
        """Why, by source."""
        return self.look.present.failed

    @property
    def is_silent(self) -> bool:
        """Whether nothing at all answered."""
        return all(getattr(self.look.present, source) is None for source in SOURCES)

    @property
    def why_silent(self) -> str:
        """What the first source said instead of an answer; the others mostly say the same."""
        return next(self.failed[source] for source in SOURCES if source in self.failed)

    @property
    def counts(self) -> dict[str, int]:
        """For the log; what nobody told of is absent, not 0."""
        seen, found = self.look.present, {}
        if seen.queue is not None:
            found["jobs"] = sum(job.tasks for job in seen.queue)
        if seen.nodes is not None:
            found["nodes"] = len(seen.nodes)
        return {**found, "silent_sources": len(self.failed)}


def run(
    store: Store,
    source: protocol.Present,
    *,
    cluster: str,
    now: int,
    interval: float,
    stopwatch: Callable[[], float],
    answered: Mapping[str, int],
) -> Result:
    """Look once.

    Args:
        cluster: its stable name.
        interval: seconds from one look to the next, as they should be.
        stopwatch: seconds since whenever, to time answers by.
        answered: when each source last did.
    """
    seen = reader.read(source, stopwatch)
    counters = _count(store, cluster, now, seen, interval)
    with store.read() as connection:
        started = waits.of_started(connection, cluster, Window(now - STARTED_SECONDS, now + 1))
    fresh = {name: now for name in SOURCES if getattr(seen, name) is not None}
    return Result(Look(cluster, now, seen, {**answered, **fresh}, started, counters))


def _count(
    store: Store, cluster: str, now: int, seen: Present, interval: float
) -> Mapping[tuple[str, str], int]:
    """The counters, up to now if the nodes were seen; else as they stood, for they stay true."""
    if seen.nodes is None:
        with store.read() as connection:
            return gpu_seconds.counted(connection, cluster)
    with store.write() as connection:
        return gpu_seconds.look(connection, cluster, now, present_counts.gpus(seen.nodes), interval)
