"""Whose turn it is to read Slurm's accounting into a database: one at a time, so that slurmdbd hears one.

Invariant: nobody asks sacct without the turn, and a long sweep gives it away between two windows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opsd.core.errors import Refused, Unavailable
from opsd.store import hold
from opsd.store.engine import Store
from opsd.store.hold import Holder

POLL_SECONDS = 0.2  # the first wait; each is twice as long as the one before
MOST_POLL_SECONDS = 3.0  # every look is a new session where the database is PostgreSQL
PATIENCE_SECONDS = 900.0
PAUSE_SECONDS = 4.5  # between two windows of a long sweep: longer than anybody waits, and a look takes
_log = logging.getLogger("opsd.ingest")


@dataclass(frozen=True, slots=True)
class Turn:
    """A reader that waits for its turn.

    Args:
        me: who to name to others that wait, as of the moment it becomes the one that reads.
        clock: seconds that only go on.
        sleep: waits for some seconds.
        tell: told once who reads, when one has to wait.
    """

    me: Callable[[], Holder]
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    tell: Callable[[str], None] = _log.info

    @contextmanager
    def taken(self, store: Store, go_on: Callable[[], None]) -> Iterator[None]:
        """Read alone inside.

        Raises:
            Unavailable: somebody else read for too long.
        """
        held = self._wait(store, go_on)
        try:
            yield
        finally:
            held.release()

    def _wait(self, store: Store, go_on: Callable[[], None]) -> hold.Hold:
        until, told, wait = self.clock() + PATIENCE_SECONDS, False, POLL_SECONDS
        while True:
            go_on()
            try:
                return hold.take(store, self.me(), hold.READER)
            except Refused as err:
                if self.clock() > until:
                    raise Unavailable(f"{err}: still after {PATIENCE_SECONDS:g} s: try again later") from err
                if not told:
                    self.tell(f"{err}: waiting")
                    told = True
            self.sleep(wait)
            wait = min(2 * wait, MOST_POLL_SECONDS)
