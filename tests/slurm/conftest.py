"""One real Slurm for all tests that ask for it, with one busy hour behind it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm import cluster, workload

NO_SLURM = "Slurm tests left out: "
HOUR_ENDS_IN = 125  # seconds after we begin: bringing it up, and about 90 for the jobs


@pytest.fixture(scope="session")
def slurm() -> Iterator[cluster.Slurm]:
    """A real Slurm, an hour of whose accounting has just ended; some jobs still run."""
    if lacking := cluster.missing():
        pytest.skip(f"{NO_SLURM}{lacking}")
    folder = Path(tempfile.mkdtemp(prefix="opsd-slurm-"))
    found = cluster.Slurm(folder, int(time.time()) + HOUR_ENDS_IN)
    try:
        found.up()
        try:
            workload.run(found)
            time.sleep(max(0.0, found.hour_ends + 2 - time.time()))
            yield found
        finally:
            found.down()
    finally:
        shutil.rmtree(folder)
