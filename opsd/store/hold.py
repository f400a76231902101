"""Who does what only one may do on a database, such as be its daemon: named to whoever comes second.

Invariant: the hold ends with the process that has it, however that process ends: a lock of the kernel on
a file beside an SQLite database (what the file says counts only while it is locked), a lock of the
session in PostgreSQL.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from opsd.core.errors import Refused, StoreError
from opsd.core.period import isoformat
from opsd.store.engine import Store, explained

_TRIES, _PAUSE_SECONDS = 5, 0.2  # `opsd status` locks the file for an instant to see whether it is held
_NAME = re.compile(r"opsd \w+ (\d+) since (\d+) on (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Part:
    """What only one process may be on a database at a time."""

    name: str
    key: int  # of PostgreSQL's lock
    refusal: str  # what the second is told

    @property
    def suffix(self) -> str:
        """Of the file beside an SQLite database."""
        return f"-{self.name}"


DAEMON = Part("daemon", 0x6F70736464, "a daemon runs on it already: {who}: stop that one first")  # "opsdd"
READER = Part("reader", 0x6F70736472, "Slurm's accounting is being read into it: {who}")  # "opsdr"
SENDER = Part("sender", 0x6F70736473, "notices are being sent from it: {who}: wait for that one")  # "opsds"
SUFFIXES = (DAEMON.suffix, READER.suffix, SENDER.suffix)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a part."""

    pid: int
    host: str
    since: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {isoformat(self.since)}"


class Hold(Protocol):
    """Being the one that has a part."""

    def keep(self) -> None:
        """See that it is still so.

        Raises:
            StoreError: the database does not answer.
            Refused: it was lost, and another process has it.
        """

    def release(self) -> None:
        """Let another one begin."""


def take(store: Store, me: Holder, part: Part = DAEMON) -> Hold:
    """Become the daemon of a database, or its reader.

    Raises:
        Refused: another one is.
    """
    if store.is_sqlite:
        return _FileHold(_path(store, part), me, store.shown, part)
    return _SessionHold(store, me, part)


def holder(store: Store, part: Part = DAEMON) -> Holder | None:
    """Who is the daemon of a database now, or its reader; None: nobody."""
    if store.is_sqlite:
        return _file_holder(_path(store, part))
    with store.read() as connection:
        return _session_holder(connection, part)


def _refusal(part: Part, shown: str, other: Holder | None) -> Refused:
    who = str(other) if other else "a process that has not said who it is"
    return Refused(f"database {shown}: " + part.refusal.format(who=who))


# -- SQLite: a locked file ------------------------------------------------------------------------


def _path(store: Store, part: Part) -> Path:
    database = Path(str(store.engine.url.database)).absolute()
    return database.with_name(database.name + part.suffix)


class _FileHold:
    def __init__(self, path: Path, me: Holder, shown: str, part: Part) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as err:
            raise StoreError(f"{path}: {err.strerror}: opsd must be able to write it") from err
        if not _locked(self._file):
            os.close(self._file)
            raise _refusal(part, shown, _read(path))
        try:
            os.ftruncate(self._file, 0)
            os.write(self._file, json.dumps(asdict(me)).encode())
        except OSError as err:  # a full disk must not leave the lock behind
            os.close(self._file)
            raise StoreError(f"{path}: {err.strerror}: opsd must be able to write it") from err

    def keep(self) -> None:
        """The kernel keeps it."""

    def release(self) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)  # never unlinked: somebody may be waiting with the same file open


def _locked(file: int) -> bool:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return True
    return False


def _file_holder(path: Path) -> Holder | None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise StoreError(f"{path}: {err.strerror}: it says who runs the daemon") from err
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(path) or Holder(0, "?", 0)
    finally:
        os.close(file)
    return None


def _read(path: Path) -> Holder | None:
    """What the file says; None in the instant before it is written."""
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        return None


# -- PostgreSQL: a lock of a session --------------------------------------------------------------


class _SessionHold:
    """Keeps one connection for itself, outside any transaction."""

    def __init__(self, store: Store, me: Holder, part: Part) -> None:
        self._part = part
        self._store = store
        self._me = me
        self._connection: Connection | None = None
        self._take()

    def _take(self) -> None:
        with explained(self._store.shown):
            connection = self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            name = f"opsd {self._part.name} {self._me.pid} since {self._me.since} on {self._me.host}"
            connection.execute(text("SELECT set_config('application_name', :name, false)"), {"name": name})
            if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": self._part.key}):
                other = _session_holder(connection, self._part)
                _end(connection)
                raise _refusal(self._part, self._store.shown, other)
        self._connection = connection

    def keep(self) -> None:
        if self._connection is not None:
            try:
                with explained(self._store.shown):
                    self._connection.scalar(text("SELECT 1"))
            except StoreError:
                self.release()
                raise
            return
        self._take()

    def release(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            _end(connection)


def _end(connection: Connection) -> None:
    """End its session, and with it the lock: back in the pool it would keep both.

    The server notices an end a little later; whoever asks meanwhile must not be told of one that is gone.
    """
    if not connection.invalidated:
        with suppress(DBAPIError):  # then the session has ended already, and the lock with it
            connection.execute(text("SELECT pg_advisory_unlock_all()"))
    connection.invalidate()
    connection.close()


def _session_holder(connection: Connection, part: Part) -> Holder | None:
    found = connection.scalar(
        text(
            "SELECT activity.application_name"
            " FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid)"
            " WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1"
            " AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND held.classid = :high AND held.objid = :low"
        ),
        {"high": part.key >> 32, "low": part.key & 0xFFFFFFFF},
    )
    if found is None:
        return None
    said = _NAME.match(found)
    return Holder(int(said[1]), said[3], int(said[2])) if said else Holder(0, found or "?", 0)
