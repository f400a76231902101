"""The simulated factory's accounting, asked the way Slurm's is.

Invariant: what it hands over is the text sacct would print, so that demonstrations test the real reader.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence

from collectors.protocol import AccountingText
from collectors.simulated.live import LiveFactory
from collectors.simulated.text import CLUSTER

SOURCE = "simulated sacct"


class SimulatedAccounting:
    """An accounting source (`collectors.protocol.AccountingSource`) of a factory that goes on."""

    def __init__(self, factory: LiveFactory, clock: Callable[[], float]) -> None:
        self._factory = factory
        self._clock = clock

    def prove(self) -> str:
        """Everybody's runs are always shown; the name of the cluster."""
        return CLUSTER

    def changed(self, start: int, end: int) -> AccountingText:
        """Every run submitted before `end` that had not ended before `start`."""
        at = int(self._clock())
        return _answer(self._factory.sacct_text(at, start, end), at)

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Every run of these jobs."""
        at = int(self._clock())
        return _answer(self._factory.sacct_text_of(at, frozenset(job_ids)), at)


def _answer(pieces: Iterable[bytes], at: int) -> AccountingText:
    return AccountingText(io.BytesIO(b"".join(pieces)), at, SOURCE)
