"""What a node has measured, in a folder of its own: it survives a restart, a crash and a full disk.

`closed.jsonl` has a line of JSON per record, after a first line that names the spool; it is only added to,
and written anew when most of it was fetched. `open.json` has what goes on now, and is written anew each time,
under another name first. Invariant: whatever a kill or a full disk cuts short, what was whole before is still
read; a line that is cut is never added to.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from opsd.core.errors import BadText, Unavailable
from opsd.core.measured import from_json

VERSION = 1
CLOSED, OPEN, LOCK = "closed.jsonl", "open.json", "lock"
_SLACK_BYTES = 65_536  # so much that was fetched may lie in the file
_MODE = 0o600
_NUMBERS = ("last", "served", "safe")


class Entry(NamedTuple):
    """A closed record under its number, as a line of JSON without its end."""

    number: int
    line: bytes


class Contents(NamedTuple):
    """A spool."""

    name: str
    entries: tuple[Entry, ...] = ()
    last: int = 0  # the highest number so far
    served: int = 0  # the highest that was handed out
    safe: int = 0  # all up to this one were fetched
    state: object = None  # of what is open


class Found(NamedTuple):
    """What was read, and what of it could not be, in words."""

    contents: Contents
    faults: tuple[str, ...]


class SpoolFile:
    """The folder; of one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._lock: int | None = None
        self._length: int | None = None  # of the whole lines of closed.jsonl; None: it is to be written anew
        self._written = 0  # the highest number in it

    def read(self, name: str) -> Found:
        """What is there; a spool called `name` where there is none.

        Raises:
            Unavailable: the folder cannot be read, or is another agent's.
        """
        try:
            with suppress(OSError):  # where nothing can be written, nobody else writes
                self._take_lock()
            opened, fault = self._read_open()
            found, faults = self._read_closed()
        except OSError as err:
            raise Unavailable(
                f"{self._folder}: {err.strerror}: nothing is measured until it can be read"
            ) from err
        faults = [*([fault] if fault else []), *faults]
        safe = opened.get("safe", 0)
        last = max(found.last, opened.get("last", 0), safe)
        entries = tuple(entry for entry in found.entries if entry.number > safe)
        self._written = last
        return Found(
            Contents(
                name=found.name or opened.get("spool", name),
                entries=entries,
                last=last,
                served=min(opened.get("served", 0), last),
                safe=safe,
                state=opened.get("state"),
            ),
            tuple(faults),
        )

    def write(self, contents: Contents) -> None:
        """Bring the folder up to date.

        Raises:
            Unavailable: it cannot be written to; nothing that was whole is lost, and the next time may do.
        """
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._take_lock()
            self._write_closed(contents)
            self._write_open(contents)
        except OSError as err:
            if isinstance(err, FileNotFoundError):  # taken away while the agent ran
                self._length = None
            raise Unavailable(
                f"{self._folder}: {err.strerror}: what jobs did is kept in memory only"
            ) from err

    def close(self) -> None:
        """Let another process have it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # ---- one process at a time

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = os.open(self._folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            os.close(lock)
            raise Unavailable(
                f"{self._folder}: another agent uses it: give each a folder of its own"
            ) from err
        self._lock = lock

    # ---- reading

    def _read_open(self) -> tuple[dict[str, Any], str]:
        try:
            text = (self._folder / OPEN).read_bytes()
        except FileNotFoundError:
            return {}, ""
        tree = _tree(text)
        if tree is None or not isinstance(tree.get("spool"), str) or not _has_numbers(tree, _NUMBERS):
            return {}, f"{OPEN} is damaged: what jobs did before now is lost, unless they had ended"
        _require_version(tree, self._folder / OPEN)
        return tree, ""

    def _read_closed(self) -> tuple[Contents, list[str]]:
        try:
            text = (self._folder / CLOSED).read_bytes()
        except FileNotFoundError:
            self._length = None
            return Contents(""), []
        whole, _, rest = text.rpartition(b"\n")
        faults = [f"{CLOSED}: its last {len(rest)} bytes are no whole record: left out"] if rest else []
        head, _, lines = whole.partition(b"\n")
        header = _header(head, self._folder / CLOSED)
        if header is None:
            self._length = None
            lines = whole
            header = Contents("")
            faults.append(f"{CLOSED}: its first line is damaged: written anew")
        else:
            self._length = len(text) - len(rest)
        entries, damaged = _entries(lines)
        if damaged:
            self._length = None
            faults.append(f"{CLOSED}: {damaged} damaged records left out")
        last = max((entry.number for entry in entries), default=0)
        return header._replace(entries=tuple(entries), last=max(header.last, last)), faults

    # ---- writing

    def _write_closed(self, contents: Contents) -> None:
        lines = b"".join(_line(entry) for entry in contents.entries if entry.number > self._written)
        live = sum(len(entry.line) for entry in contents.entries)
        if self._length is None or self._length + len(lines) > 2 * live + _SLACK_BYTES:
            head = json.dumps({"version": VERSION, "spool": contents.name, "last": contents.last}).encode()
            body = b"".join([head, b"\n", *map(_line, contents.entries)])
            _replace(self._folder / CLOSED, body, is_lasting=True)
            self._length = len(body)
        elif lines:
            self._append(lines, self._length)
            self._length += len(lines)
        self._written = contents.last

    def _append(self, lines: bytes, length: int) -> None:
        """After the whole lines: what an earlier try left behind them is cut off."""
        descriptor = os.open(self._folder / CLOSED, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            if os.fstat(descriptor).st_size < length:
                raise FileNotFoundError(2, "closed.jsonl was cut by somebody else")
            os.ftruncate(descriptor, length)
            os.lseek(descriptor, length, os.SEEK_SET)
            _write_all(descriptor, lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write_open(self, contents: Contents) -> None:
        tree = {
            "version": VERSION,
            "spool": contents.name,
            "last": contents.last,
            "served": contents.served,
            "safe": contents.safe,
            "state": contents.state,
        }
        _replace(self._folder / OPEN, json.dumps(tree, separators=(",", ":")).encode(), is_lasting=False)


def _line(entry: Entry) -> bytes:
    return b'{"number":%d,"record":%b}\n' % (entry.number, entry.line)


def _entries(lines: bytes) -> tuple[list[Entry], int]:
    """The records of whole lines, in order, and how many lines are none."""
    entries: dict[int, Entry] = {}
    damaged = 0
    for line in lines.splitlines():
        tree = _tree(line)
        try:
            record = from_json((tree or {}).get("record"))
        except BadText:
            record = None
        if tree is None or record is None or not _has_numbers(tree, ["number"]):
            damaged += 1
        else:
            entries[tree["number"]] = Entry(tree["number"], as_line(record.as_json()))
    return [entries[number] for number in sorted(entries)], damaged


def _tree(text: bytes) -> dict[str, Any] | None:
    """An object of JSON; None for anything else."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def _has_numbers(tree: Mapping[str, Any], names: Iterable[str]) -> bool:
    return all(type(tree.get(name)) is int and tree[name] >= 0 for name in names)


def as_line(tree: object) -> bytes:
    """A record's JSON, as short as it goes."""
    return json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()


def _header(line: bytes, path: Path) -> Contents | None:
    """The name and the highest number of a spool; None for what is no first line of one."""
    tree = _tree(line)
    if tree is None or not isinstance(tree.get("spool"), str) or not _has_numbers(tree, ["last"]):
        return None
    _require_version(tree, path)
    return Contents(tree["spool"], last=tree["last"])


def _require_version(tree: Mapping[str, Any], path: Path) -> None:
    if tree.get("version") != VERSION:
        raise Unavailable(
            f"{path} is of version {tree.get('version')!r}, this opsd-node writes {VERSION}: "
            "give another folder, or start the opsd-node that wrote it"
        )


def _replace(path: Path, content: bytes, *, is_lasting: bool) -> None:
    """Write a file under another name first; `is_lasting`: also a power cut must not undo it."""
    written = path.with_name(f".{path.name}.new")
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    try:
        _write_all(descriptor, content)
        if is_lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    written.replace(path)
    if is_lasting:
        folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(descriptor: int, content: bytes) -> None:
    """All of it: a disk that fills up takes a part first."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
