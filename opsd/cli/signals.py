"""The signals that end a service, told to whoever waits for them.

Invariant: a handler only fills a SimpleQueue, which may be done at any instruction. An Event may not be set
there: a signal that comes while the same thread begins to wait for it would wait for itself for ever.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue

ENDS = (signal.SIGTERM, signal.SIGINT)
_LOOK_SECONDS = 0.5


@contextmanager
def told() -> Iterator[SimpleQueue[str]]:
    """SIGTERM and SIGINT as texts, for as long as this lasts; from the main thread only."""
    names: SimpleQueue[str] = SimpleQueue()
    before = {
        number: signal.signal(number, lambda number, _frame: names.put(signal.Signals(number).name))
        for number in ENDS
    }
    try:
        yield names
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def wait(names: SimpleQueue[str]) -> str:
    """The first of them.

    Looked for again and again: a signal that comes just before Python blocks, while it hands the
    interpreter to one of many threads, is heard of only when it wakes up.
    """
    while True:
        with suppress(Empty):
            return names.get(timeout=_LOOK_SECONDS)
