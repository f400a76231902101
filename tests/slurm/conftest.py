"""A real Slurm with one busy hour behind it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster, workload

NO_SLURM = "Slurm tests left out: "
HOUR_ENDS_IN = (120, 300)  # seconds after we begin: bringing it up, and about a minute for the jobs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with these tests, and with the one that mostly waits: the other workers take the rest."""
    items.sort(key=lambda item: (item.get_closest_marker("slurm") is None, "test_live" not in item.nodeid))


@pytest.fixture
def slurm() -> Iterator[cluster.Slurm]:
    """A real Slurm, an hour of whose accounting has just ended; some jobs still run."""
    if lacking := cluster.missing():
        pytest.skip(f"{NO_SLURM}{lacking}")
    for seconds in HOUR_ENDS_IN:  # a longer hour where the first was too short for this machine
        folder = Path(tempfile.mkdtemp(prefix="opsd-slurm-"))
        found = cluster.Slurm.with_an_hour(folder, int(time.time()) + seconds)
        try:
            found.up()
            if workload.run(found):
                yield found
                return
        finally:
            found.down()
    raise AssertionError("this machine is so slow that the hour ended before what it was to hold, twice")
