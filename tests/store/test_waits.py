"""How long runs waited, by the accounting."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opsd.core.period import DAY, HOUR, Window
from opsd.core.present_counts import Waits
from opsd.core.records import RunRecord
from opsd.store import migrate, waits
from opsd.store.engine import Store, open_engine
from tests.fakes import books

T = books.T + 10 * DAY
TODAY = Window(T - DAY, T + 1)
TRES = books.ONE_GPU


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind."""
    made = open_engine(store_url)
    migrate.upgrade(made)
    yield made
    made.close()


def run(job: int, waited: int, start: int, partition: str = "acc", cluster: str = "mn5") -> RunRecord:
    """A run that began after it had waited."""
    return RunRecord(
        cluster, job, start - waited, start, start + HOUR, "COMPLETED", "es-large", TRES,
        partition=partition, eligible=start - waited,
    )  # fmt: skip


def started(store: Store, *runs: RunRecord) -> dict[str, Waits]:
    """What the store says of the last day, after these runs."""
    books.read(store, runs)
    with store.read() as connection:
        return waits.of_started(connection, "mn5", TODAY)


def test_ranks_by_partition(store: Store) -> None:
    """Nearest ranks: of eleven runs the sixth, the tenth and the last; of one run itself."""
    runs = [run(job, 10 * job, T - job) for job in range(1, 12)]

    assert {"acc": Waits(60, 100, 110), "gpp": Waits(7, 7, 7)} == started(store, *runs, run(50, 7, T, "gpp"))


def test_only_what_started_in_the_span(store: Store) -> None:
    """Neither what began before, nor another cluster's."""
    assert {"acc": Waits(5, 5, 5)} == started(
        store, run(1, 5, T - DAY), run(2, 6, T - DAY - 1), run(3, 7, T + 1), run(4, 8, T, cluster="other")
    )


def test_what_cannot_be_told_is_left_out(store: Store) -> None:
    """No eligible time; a resized run's second row, which was eligible after its start."""
    unknown = run(1, 5, T)._replace(eligible=None)
    resized = run(2, 5, T - HOUR)._replace(submit=T - 60, eligible=T - 60)

    assert {} == started(store, unknown, resized)
    assert {"acc": Waits(0, 0, 0)} == started(store, run(3, 0, T))
