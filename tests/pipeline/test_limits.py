"""What open runs may still use where their partition says for how long."""

from __future__ import annotations

import pytest

from opsd.core.consortium import Consortium
from opsd.core.period import HOUR
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, PartitionLimit
from opsd.pipeline import balance
from opsd.store import machine
from tests.pipeline.test_balance import FOUND, PER_HOUR, T, award, bound, grants, run, stored

NOW = T + 4 * HOUR
ACC = "acc"


def limit(hours: int, partition: str = ACC, cluster: str = "mn5") -> PartitionLimit:
    """A partition's limit."""
    return PartitionLimit(cluster, partition, hours * HOUR)


@pytest.mark.parametrize(
    ("seen", "committed", "unknown"),
    [
        ([], None, 1),
        ([(T - HOUR, limit(6))], 3, 0),
        ([(T + HOUR, limit(6))], 3, 0),  # the very second of its start
        ([(T + HOUR + 1, limit(6))], None, 1),  # nobody looked before it began
        ([(T - HOUR, limit(6)), (T + 2 * HOUR, limit(9))], 3, 0),  # changed while it runs: not for it
        ([(T - HOUR, limit(9)), (T, limit(6))], 3, 0),
        ([(T - HOUR, limit(1))], 0, 0),  # past its limit
        ([(T - HOUR, PartitionLimit("mn5", ACC, UNLIMITED))], None, 1),
        ([(T - HOUR, PartitionLimit("mn5", ACC, UNLIMITED)), (T, limit(6))], 3, 0),
        ([(T - HOUR, limit(6, "gpp")), (T - HOUR, limit(6, ACC, "aiup"))], None, 1),
    ],
)
def test_a_partitions_limit_is_the_one_of_the_runs_start(
    store_url: str, seen: list[tuple[int, PartitionLimit]], committed: int | None, unknown: int
) -> None:
    """A run that asked for no time has what its partition gave when it began; else unknown, never 0."""
    known = Consortium.of([*FOUND, award(), bound()])
    rows = [run(1, None, limit=PARTITION_LIMIT, partition=ACC)]
    store = stored(store_url, rows, known, grants(known), NOW)
    with store.write() as connection:
        for now, found in seen:
            machine.save_partitions(connection, [found], now)
    with store.read() as connection:
        told = balance.run(connection, as_of=NOW)
    store.close()

    (line,) = told.lines
    assert (None if committed is None else committed * PER_HOUR, unknown) == (
        line.committed,
        told.unknown_limits,
    )


def test_other_limits_do_not_ask_the_partition(sqlite_url: str) -> None:
    """A limit of its own stands, and UNLIMITED or none is unknown whatever the partition says."""
    known = Consortium.of([*FOUND, award(), bound()])
    rows = [run(1, None, limit=each, partition=ACC) for each in (5 * HOUR, UNLIMITED, None)]
    store = stored(sqlite_url, rows, known, grants(known), NOW)
    with store.write() as connection:
        machine.save_partitions(connection, [limit(24)], T - HOUR)
    with store.read() as connection:
        told = balance.run(connection, as_of=NOW)
    store.close()

    assert (None, 2) == (told.lines[0].committed, told.unknown_limits)
