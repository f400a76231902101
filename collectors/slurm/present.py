"""One look at a cluster: each question asked once, its answer read.

Invariant: a question that fails, or whose answer cannot be read, is absent and says why; it takes no other
with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from collectors import protocol
from collectors.slurm import (
    present_licenses,
    present_nodes,
    present_queue,
    present_reservations,
    present_scheduler,
    present_shares,
)
from opsd.core.errors import BadText, Refused, Unavailable
from opsd.core.present import LICENSES, NODES, QUEUE, RESERVATIONS, SCHEDULER, SHARES, Present

T = TypeVar("T")


def read(source: protocol.Present, stopwatch: Callable[[], float]) -> Present:
    """What a cluster is doing now.

    Args:
        stopwatch: seconds since whenever, to time answers by.
    """
    look = _Look(stopwatch)
    nodes = look.at(NODES, lambda: present_nodes.read(source.nodes()))
    return Present(
        look.at(QUEUE, lambda: present_queue.read(source.queue())),
        nodes,
        look.at(SCHEDULER, lambda: present_scheduler.read(source.scheduler())),
        look.at(SHARES, lambda: present_shares.read(source.shares())),
        look.at(RESERVATIONS, lambda: present_reservations.read(source.reservations(), nodes)),
        look.at(LICENSES, lambda: present_licenses.read(source.licenses())),
        look.failed,
        look.seconds,
    )


class _Look:
    """What is kept beside the answers."""

    def __init__(self, stopwatch: Callable[[], float]) -> None:
        self._stopwatch = stopwatch
        self.failed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def at(self, name: str, question: Callable[[], T]) -> T | None:
        """An answer and how long it took; None: there is none, and why is kept."""
        started = self._stopwatch()
        try:
            found = question()
        except (Unavailable, BadText, Refused) as err:
            self.failed[name] = str(err)
            return None
        self.seconds[name] = self._stopwatch() - started
        return found
