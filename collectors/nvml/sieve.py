"""What the driver gave, with what it failed to give and what cannot be true counted.

Invariant: a value outside its physical range is never kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from opsd.core.telemetry import Reading, is_possible


class Sieve:
    """Counts over a GPU's life what was left out."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()

    def keep(self, reading: Reading, value: float, found: dict[Reading, float]) -> None:
        """Add a value to what was found, if it is possible."""
        if is_possible(reading, value):
            found[reading] = float(value)
        else:
            self.rejected[str(reading)] += 1

    def fail(self, readings: Iterable[Reading]) -> None:
        """The driver did not give these this time."""
        self.failed.update(map(str, readings))

    def fail_names(self, names: Iterable[str]) -> None:
        """The same, by the readings' names."""
        self.failed.update(names)
