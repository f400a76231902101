"""One simulated history, told once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from collectors.simulated.factory import consortium_toml, history, sacct_text
from collectors.simulated.scheduler import Run

UNTIL = 1_794_700_800  # 2026-11-15
SEED = 1


@pytest.fixture(scope="session")
def runs() -> Sequence[Run]:
    """The history as the simulation sees it."""
    return history(UNTIL, SEED)


@pytest.fixture(scope="session")
def sacct() -> bytes:
    """The history as Slurm would print it."""
    return b"".join(sacct_text(UNTIL, SEED))


@pytest.fixture(scope="session")
def rows(sacct: bytes) -> list[dict[str, str]]:
    """The same, by column."""
    head, *lines = sacct.decode().splitlines()
    names = head.split("|")
    return [dict(zip(names, line.split("|"), strict=True)) for line in lines]


@pytest.fixture(scope="session")
def toml() -> str:
    """The master data that goes with it."""
    return consortium_toml(UNTIL, SEED)


@pytest.fixture(scope="session")
def until() -> int:
    """The moment at which the history was written."""
    return UNTIL
