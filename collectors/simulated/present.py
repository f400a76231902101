"""What the simulated factory is doing now, asked the way Slurm is.

Invariant: what it hands over is text as Slurm prints it, all of one instant and of the factory's true
state, so that demonstrations test the real readers, and numbers agree with the accounting's.
"""

from __future__ import annotations

from collections.abc import Callable

from collectors.simulated import nodes_text, queue_text, scheduler_text, shares_text
from collectors.simulated.live import LiveFactory


class SimulatedPresent:
    """`collectors.protocol.Present` of a factory that goes on."""

    def __init__(self, factory: LiveFactory, clock: Callable[[], float]) -> None:
        self._factory = factory
        self._clock = clock

    def queue(self) -> str:
        """Jobs that run, wait, or ended within the last minutes."""
        return queue_text.queue(self._factory.moment(self._at))

    def nodes(self) -> str:
        """Every node."""
        return nodes_text.nodes(self._factory.moment(self._at))

    def scheduler(self) -> str:
        """Statistics since midnight."""
        return scheduler_text.statistics(self._factory.moment(self._at))

    def shares(self) -> str:
        """Every account, and what it has used lately."""
        return shares_text.shares(self._factory.moment(self._at))

    def reservations(self) -> str:
        """A maintenance that is to come."""
        return nodes_text.reservations(self._factory.moment(self._at))

    def licenses(self) -> str:
        """Two programs that few may run at once."""
        return queue_text.licenses(self._factory.moment(self._at))

    @property
    def _at(self) -> int:
        return int(self._clock())
