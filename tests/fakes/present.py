"""A Slurm that says what it was recorded to say, counts how often it is asked, and may fall silent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from opsd.core.errors import Unavailable

RECORDED = Path(__file__).parents[1] / "data" / "slurm-present" / "22.05"


class RecordedPresent:
    """`collectors.protocol.Present` of one moment of a real Slurm."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.silent: set[str] = set()

    def queue(self) -> str:
        """The queue."""
        return self._told("queue")

    def nodes(self) -> str:
        """The nodes."""
        return self._told("nodes")

    def scheduler(self) -> str:
        """The statistics."""
        return self._told("scheduler")

    def shares(self) -> str:
        """The shares."""
        return self._told("shares")

    def reservations(self) -> str:
        """The reservations."""
        return self._told("reservations")

    def licenses(self) -> str:
        """The licences."""
        return self._told("licenses")

    def _told(self, source: str) -> str:
        self.asked[source] += 1
        if source in self.silent:
            raise Unavailable(f"{source}: nobody answers")
        return (RECORDED / f"{source}.txt").read_text(encoding="utf-8")
