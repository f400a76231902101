"""What every command needs: the clock, the database, and where to say things."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opsd.config import settings
from opsd.core.errors import StoreError
from opsd.store.engine import Store, open_engine


def now() -> int:
    """UTC epoch seconds: the one place where a command looks at the clock."""
    return int(time.time())


def warn(text: str) -> None:
    """Say something that is no result, so that stdout carries data alone."""
    print(f"opsd: warning: {text}", file=sys.stderr)


def note(text: str) -> None:
    """A line of a summary."""
    print(text, file=sys.stderr)


def counted(number: int, one: str) -> str:
    """`1 run`, `2,000 runs`."""
    return f"{number:,} {one}" if number == 1 else f"{number:,} {one}s"


@contextmanager
def open_store(args: Namespace, *, upgrade: bool = True) -> Iterator[Store]:
    """The database of a command line, created on first use when it is embedded.

    Args:
        upgrade: whether the tables must be there (`opsd db upgrade` makes them itself).
    """
    from opsd.store import migrate

    chosen = settings(args.db, args.config)
    store = open_engine(chosen.database_url)
    _make_folder(store)
    try:
        if upgrade:
            migrate.ensure_current(store)
        yield store
    finally:
        store.close()


def _make_folder(store: Store) -> None:
    if not store.is_sqlite:
        return
    if store.engine.url.database in (None, "", ":memory:"):
        raise StoreError(f"database {store.shown} is gone when the command ends: write sqlite:////abs/path")
    folder = Path(str(store.engine.url.database)).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise StoreError(f"database {store.shown}: folder {folder} cannot be made: {err.strerror}") from err
