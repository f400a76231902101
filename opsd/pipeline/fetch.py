"""Fetch what agents measured, and find the runs that it is about.

Invariant: what is stored and how far it goes are one transaction; an agent that fails costs nobody else
anything but its place among those asked at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

from collectors.protocol import Agents, Spooled, Target
from opsd.core.errors import BadInput, Unavailable
from opsd.core.measured import Measured, doubt
from opsd.core.period import DAY
from opsd.store import identity, measured, sweeps
from opsd.store.engine import Store
from opsd.store.measured import Cursor

AT_ONCE = 32
MATCHED_DAYS = 30  # a run that has not come by then does not come
_AGAIN_DAYS = 2  # in each round; housekeeping looks at all of them
_MOST_PAGES = 50  # of one agent in one round: the rest comes in the next
_SHOWN_FAULTS = 5


@dataclass(frozen=True, slots=True)
class Result:
    """What a round brought."""

    answered: Mapping[str, int]  # agents by cluster
    failed: Mapping[str, tuple[str, ...]]  # why, by cluster
    records: int  # new, or longer than before
    faults: tuple[str, ...]  # records that could not be read; the first of many
    unreadable: int
    matched: int
    unmatched: Mapping[str, int]  # records whose run is not known, by cluster
    oldest: Mapping[str, int]  # when, of agents that ever did, the one away longest last answered, by cluster


def run(store: Store, agents: Agents, *, now: int, go_on: Callable[[], None] = lambda: None) -> Result:
    """Ask every agent for what is new.

    Args:
        go_on: called between two transactions; what it raises ends the round.

    Raises:
        BadInput: the list of agents cannot be used.
    """
    targets = agents.targets()
    clusters = _clusters(store, targets)
    with store.write() as connection:
        measured.forget(connection, {(clusters[target.address], target.name) for target in targets})
    round_ = _Round(store, agents, clusters, now)
    round_.ask(targets, go_on)
    matched = match(store, now=now, again_days=_AGAIN_DAYS)
    with store.read() as connection:
        unmatched = measured.unmatched(connection)
        oldest = measured.oldest(connection)
    return Result(
        dict(round_.answered), {name: tuple(why) for name, why in round_.failed.items()}, round_.records,
        tuple(round_.faults[:_SHOWN_FAULTS]), len(round_.faults), matched, unmatched, oldest,
    )  # fmt: skip


def match(store: Store, *, now: int, again_days: int = MATCHED_DAYS) -> int:
    """Find the runs of records; how many were found. Nothing waits for the search, only for what it found.

    Args:
        again_days: how far back records that have a run are looked at: it may turn out to be another.
    """
    with store.read() as connection:
        found = measured.misplaced(connection, now - MATCHED_DAYS * DAY, now - again_days * DAY)
    if not found:
        return 0
    with store.write() as connection:
        return measured.place(connection, found)


def _clusters(store: Store, targets: Sequence[Target]) -> dict[str, str]:
    """The stable name of each target's cluster, by address."""
    with store.read() as connection:
        known = sorted({identity.of(connection, one.cluster) for one in sweeps.every(connection)})
        named = {target.address: identity.of(connection, target.cluster) for target in targets}
    for address, cluster in named.items():
        if not cluster and len(known) != 1:
            which = f"there are {len(known)}: {', '.join(known)}" if known else "none was read so far"
            raise BadInput(f"nodes.file: {address} has no label cluster, and {which}: name its cluster")
    return {address: cluster or known[0] for address, cluster in named.items()}


class Asked(NamedTuple):
    """A question under way: whom, and for which page of this round."""

    target: Target
    page: int


class _Round:
    """Agents are asked in threads; what they say is written down in one."""

    def __init__(self, store: Store, agents: Agents, clusters: Mapping[str, str], now: int) -> None:
        self._store, self._agents, self._clusters, self._now = store, agents, clusters, now
        self.answered: Counter[str] = Counter()
        self.failed: dict[str, list[str]] = {}
        self.records = 0
        self.faults: list[str] = []

    def ask(self, targets: Sequence[Target], go_on: Callable[[], None]) -> None:
        """All of them, several at once."""
        with self._store.read() as connection:
            cursors = measured.cursors(connection)
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch")
        waiting: dict[Future[Spooled], Asked] = {}

        def submit(target: Target, at: Cursor, page: int) -> None:
            future = pool.submit(self._agents.spool(target).fetch, at.spool, at.after)
            waiting[future] = Asked(target, page)

        try:
            for target in targets:
                known = cursors.get((self._clusters[target.address], target.name), Cursor())
                submit(target, known, 1)
            while waiting:
                done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    go_on()
                    asked = waiting.pop(future)
                    further = self._take(asked, future)
                    if further:
                        submit(asked.target, further, asked.page + 1)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _take(self, asked: Asked, future: Future[Spooled]) -> Cursor | None:
        """Write down what an agent said; where it goes on, if there is more to be asked for now."""
        cluster, name = self._clusters[asked.target.address], asked.target.name
        try:
            found = future.result()
        except Unavailable as err:
            self.failed.setdefault(cluster, []).append(str(err))
            with self._store.write() as connection:
                measured.failed(connection, cluster, name, str(err))
            return None
        at = Cursor(found.spool, found.cursor)
        with self._store.write() as connection:
            records = [one for one in found.records if self._is_possible(name, one)]
            self.records += measured.keep(connection, cluster, name, records, at, self._now)
        self.faults += [f"{name}: {fault}" for fault in found.faults]
        if found.more and asked.page < _MOST_PAGES:
            return at
        self.answered[cluster] += 1
        return None

    def _is_possible(self, name: str, record: Measured) -> bool:
        if why := doubt(record, self._now):
            self.faults.append(f"{name}: job {record.job_id} on {record.uuid}: {why}")
        return not why
