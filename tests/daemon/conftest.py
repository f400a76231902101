"""A small database, and daemons that are stopped again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from opsd.daemon import Daemon, Step
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.fakes import books
from tests.fakes.daemons import SLURM_AWAY, settings


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small database, to be copied."""
    path = tmp_path_factory.mktemp("daemon") / "filled.db"
    store = open_engine(sqlite_address(path))
    books.fill(store)
    store.close()
    return path


@pytest.fixture
def database(tmp_path: Path, filled: Path) -> Path:
    """A copy of the small database."""
    return Path(shutil.copy(filled, tmp_path / "opsd.db"))


@pytest.fixture
def store(database: Path) -> Iterator[Store]:
    """The small database, opened."""
    store = open_engine(sqlite_address(database))
    yield store
    store.close()


@pytest.fixture
def another(tmp_path: Path, filled: Path) -> Iterator[Store]:
    """A second such database."""
    store = open_engine(sqlite_address(Path(shutil.copy(filled, tmp_path / "another.db"))))
    yield store
    store.close()


@pytest.fixture
def started(store: Store, another: Store) -> Iterator[Callable[..., Daemon]]:
    """Starts daemons, of the small database unless another is named; stops them."""
    made: list[Daemon] = []

    def start(steps: Sequence[Step], of: Store | None = None, **options: Any) -> Daemon:
        clusters, asked = SLURM_AWAY, options.pop("settings", settings())
        options.setdefault("beat_seconds", 0.05)
        daemon = Daemon(of or store, asked, clusters, lambda: books.NOW, steps=steps, **options)
        daemon.start()
        made.append(daemon)
        return daemon

    yield start
    assert [True] * len(made) == [daemon.stop() for daemon in made]
