"""Opening a database, and the two ways to use it: a consistent read, a short write.

SQLite runs in WAL mode with explicit transactions: a read sees one instant, a write takes the write
lock at once (BEGIN IMMEDIATE) so that two writers wait instead of failing half-way. PostgreSQL reads
REPEATABLE READ and serialises writers of accounting data with one advisory lock.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy import exc as sql_errors

from opsd.core.errors import StoreError

__all__ = ["Connection", "Store", "explained", "open_engine", "sqlite_address"]

_LOCK_WAIT_MS = 120_000
_LOCK_STEP_MS = 1_000
_NOTE_WAIT_MS = 2_000
_WRITER_LOCK = 0x6F707364  # "opsd"
_UNCLEAN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_WAL_SECONDS, _WAL_PAUSE_SECONDS = 10, 0.02
_PRAGMAS = (
    "PRAGMA synchronous=NORMAL",
    f"PRAGMA busy_timeout={_LOCK_WAIT_MS}",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-65536",
    "PRAGMA foreign_keys=ON",
)


class Store:
    """One database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self.engine.dialect.name == "sqlite"

    @property
    def shown(self) -> str:
        """The address without its password."""
        return self.engine.url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one instant of the database."""
        with explained(self.shown), self._connect(write=False) as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection inside one transaction: all of it happens, or nothing."""
        with explained(self.shown), self._connect(write=True) as connection, connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _WRITER_LOCK})
            yield connection

    @contextmanager
    def note(self) -> Iterator[Connection]:
        """A write of a few rows beside the accounting data, which gives up soon rather than wait.

        What the daemon notes about itself must not make its steps wait for a long import.
        """
        with (
            explained(self.shown),
            self._connect(write=True, wait_ms=_NOTE_WAIT_MS) as connection,
            connection.begin(),
        ):
            if not self.is_sqlite:
                connection.execute(text(f"SET LOCAL lock_timeout = {_NOTE_WAIT_MS}"))
            yield connection

    def _connect(self, *, write: bool, wait_ms: int = _LOCK_WAIT_MS) -> Connection:
        connection = self.engine.connect()
        if self.is_sqlite:
            return connection.execution_options(opsd_write=write, opsd_wait_ms=wait_ms)
        # A writer waits for the lock first and must then see what the other one wrote.
        return connection.execution_options(isolation_level="READ COMMITTED" if write else "REPEATABLE READ")

    def close(self) -> None:
        """Give back all connections."""
        self.engine.dispose()


def open_engine(address: str) -> Store:
    """A store for an SQLAlchemy URL; nothing is created or migrated here."""
    url = _parsed(address)
    if url.get_backend_name() == "sqlite":
        return Store(_sqlite(url))
    if url.get_backend_name() == "postgresql":
        return Store(_postgresql(url))
    raise StoreError(
        f"database URL {url.render_as_string()!r}: opsd stores in SQLite or PostgreSQL; "
        "write sqlite:////abs/path or postgresql://host/name"
    )


def _parsed(address: str) -> URL:
    try:
        url = make_url(address)
    except (sql_errors.ArgumentError, ValueError) as err:  # a port that is no number is a ValueError
        raise StoreError(
            f"database URL {_hidden(address)!r} cannot be read; write sqlite:////abs/path or postgresql://host/name"
        ) from err
    if _UNCLEAN.search(address):
        raise StoreError(
            f"database URL {_hidden(address)!r}: control characters or no UTF-8: choose another name"
        )
    return url


def _hidden(address: str) -> str:
    """An address that cannot be taken apart, without what may be its user and password."""
    return re.sub(r"//.*@", "//***@", address, flags=re.DOTALL)


def _sqlite(url: URL) -> Engine:
    if url.query:  # or the name of a file with a question mark in it, half of which would go unnoticed
        raise StoreError(
            f"database URL {url.render_as_string()!r}: SQLite takes no options after '?': write sqlite:////abs/path"
        )
    engine = create_engine(url.set(drivername="sqlite"), connect_args={"timeout": _LOCK_WAIT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _on_connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # the driver's own BEGIN would come too late
        _use_wal(raw)
        for pragma in _PRAGMAS:
            raw.execute(pragma)

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("opsd_write", True):
            _take_write_lock(connection, options.get("opsd_wait_ms", _LOCK_WAIT_MS))
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _use_wal(raw: sqlite3.Connection) -> None:
    """Write-ahead logging. Two that open a new file at once: SQLite refuses one of them without waiting."""
    deadline = time.monotonic() + _WAL_SECONDS
    while True:
        try:
            raw.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as err:
            if "is locked" not in str(err) or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return


def _take_write_lock(connection: Connection, wait_ms: int) -> None:
    """BEGIN IMMEDIATE. SQLite waits deaf to Ctrl-C, so it is asked for a second again and again."""
    deadline = time.monotonic() + wait_ms / 1000
    connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOCK_STEP_MS}")
    try:
        while not _began(connection, last_time=time.monotonic() > deadline):
            pass
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOCK_WAIT_MS}")


def _began(connection: Connection, *, last_time: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except sql_errors.OperationalError as err:
        if last_time or "is locked" not in str(err.orig):
            raise
        return False
    return True


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    except ModuleNotFoundError as err:
        raise StoreError(
            f"{url.render_as_string()}: the PostgreSQL driver is missing; install opsd-hpc[postgresql]"
        ) from err


_REMEDIES = (
    (
        "disk is full",
        "the disk is full: free some space and run the same command again; nothing is counted twice",
    ),
    ("disk i/o error", "the disk cannot be written: check space and health, then run the same command again"),
    (
        "no space left",
        "the disk is full: free some space and run the same command again; nothing is counted twice",
    ),
    (
        "readonly",
        "it may only be read: check owner and permissions of its folder, the file, its -wal and its -shm",
    ),
    ("unable to open", "it cannot be opened: check that the folder exists and that you may write there"),
    ("not a database", "it is no SQLite database: check the path"),
    ("malformed", "the file is damaged: restore a backup or import again into a new one"),
    ("is locked", "another process keeps writing: try again when it is done"),
    ("no such table", "its tables are missing: run opsd db upgrade"),
    ("does not exist", "something it needs is missing: create the database, then run opsd db upgrade"),
    ("permission denied", "its user may not do this: let the owner of the tables grant it, or name another"),
    ("connection refused", "nobody answers there: check host and port, and that the server runs"),
    ("failed to resolve", "the host is unknown: check its name"),
    ("authentication failed", "user or password are wrong: check them in the database URL"),
)


@contextmanager
def explained(shown: str) -> Iterator[None]:
    """Turn a driver's failure into a message that says which database, what, and what to do."""
    try:
        yield
    except (sql_errors.DBAPIError, sqlite3.Error) as err:
        known = ((said, advice) for said in _said(err) for sign, advice in _REMEDIES if sign in said.lower())
        said, remedy = next(known, (_said(err)[0], None))
        if remedy is None and not isinstance(err, sql_errors.OperationalError | sqlite3.OperationalError):
            raise
        raise StoreError(f"database {shown}: {said}" + (f": {remedy}" if remedy else "")) from err


def _said(err: BaseException | None) -> list[str]:
    """What the driver said, the last first: a full disk may undo a transaction, and then undoing it fails."""
    texts = []
    while err is not None:
        cause: object = getattr(err, "orig", None) or err
        texts += str(cause).strip().splitlines()[:1] or [type(cause).__name__]
        err = err.__context__
    return texts


def sqlite_address(path: Path) -> str:
    """The URL of an SQLite file, whatever characters its name has."""
    return f"sqlite:///{quote(str(path.absolute()))}"
