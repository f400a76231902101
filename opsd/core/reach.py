"""From when and how far accounting was read, against the time that somebody asks about.

Invariant: less than a day without any run is a quiet night, not accounting that nobody read.
"""

from __future__ import annotations

from collections.abc import Iterable

from opsd.core.period import DAY, Window


def read_until(covered: Iterable[int], observed: int | None) -> int | None:
    """How far accounting was read: by the sweep that is furthest behind, else as the last text says."""
    return min(covered, default=observed)


def begins_late(first: int | None, window: Window) -> bool:
    """Whether accounting, whose first run began then, is that of a part of a window alone."""
    return first is not None and first - window.start >= DAY
