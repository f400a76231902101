"""How long a run may take: its own limit, or its partition's in force when it began.

Invariant: a number is a limit that Slurm gave; whatever is without end, or older than the first look at the
partitions, is None, never zero.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict

from sqlalchemy import Connection

from opsd.core.records import PARTITION_LIMIT
from opsd.store import machine


class Limits:
    """The limits of partitions by time, read once."""

    def __init__(self, connection: Connection) -> None:
        self._since: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._seconds: dict[tuple[str, str], list[int]] = defaultdict(list)
        for since, limit in machine.partitions(connection):
            self._since[limit.cluster, limit.partition].append(since)
            self._seconds[limit.cluster, limit.partition].append(limit.seconds)

    def seconds(self, limit: int | None, cluster: str, partition: str, start: int) -> int | None:
        """A run's limit as a number of seconds; None where there is none, or nobody knows it."""
        if limit == PARTITION_LIMIT:
            limit = self._of_partition(cluster, partition, start)
        return limit if limit is not None and limit >= 0 else None

    def _of_partition(self, cluster: str, partition: str, start: int) -> int | None:
        which = (cluster, partition)
        at = bisect_right(self._since.get(which, ()), start)
        return self._seconds[which][at - 1] if at else None
