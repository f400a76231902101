"""XID errors in the kernel's log, a second source beside the driver's events, which miss some.

Invariant: reading never waits, and a record is counted once: what was in the log before it was first read
to its end gives the time of an error, and counts as none.

Source: the kernel's Documentation/ABI/testing/dev-kmsg; NVIDIA's "Xid Errors" for the driver's lines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from opsd.core.telemetry import Xid

_RECORD_BYTES = 16_384  # the kernel gives one record a read, and refuses a room that is too small for it
_MOST_RECORDS = 20_000  # a round: a log that is written without end must not hold it up
_MICROSECONDS = 1e6
_KERNEL = 0  # facility; whoever else may write into the log is another

# priority,sequence,microseconds since boot,flags;text
_RECORD = re.compile(rb"(\d+),(\d+),(\d+),[^;]*;(.*)")
_PLACE = rb"(?:PCI:)?([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.[0-9a-fA-F])?"
_XID = re.compile(rb"NVRM: Xid \(" + _PLACE + rb"(?: [^)]*)?\): (\d+)\b")
_GPU = re.compile(rb"NVRM: GPU at " + _PLACE + rb": (GPU-[0-9a-f-]{36})")
_BUS = re.compile(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.[0-9a-fA-F])?")

Opener = Callable[[Path], int]
Clock = Callable[[], float]


class Place(NamedTuple):
    """Where a GPU is on the PCI bus: domain, bus, device."""

    domain: int
    bus: int
    device: int

    def __str__(self) -> str:
        return f"PCI:{self.domain:04x}:{self.bus:02x}:{self.device:02x}"


def place(bus_id: str) -> Place | None:
    """Where a bus id such as `00000000:3B:00.0` is; None: it is no bus id."""
    found = _BUS.fullmatch(bus_id)
    return Place(*(int(part, 16) for part in found.groups())) if found else None


def open_without_waiting(path: Path) -> int:
    """A file descriptor of the log, at its oldest record."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


class KernelLog:
    """Reads the log a little at a time, and remembers which XIDs it told of."""

    collector = "kernel_log"

    def __init__(
        self, path: Path, *, clock: Clock, uptime: Clock, opener: Opener = open_without_waiting
    ) -> None:
        """Opens nothing yet; `uptime`: seconds since boot, by the clock that dates the records."""
        self._path = path
        self._clock = clock
        self._uptime = uptime
        self._opener = opener
        self._file: int | None = None
        self._is_caught_up = False
        self._sequence = -1
        self._xids: dict[Place, dict[int, Xid]] = {}
        self._uuids: dict[Place, str] = {}

    def open(self) -> None:
        """Open it, unless it is.

        Raises:
            OSError: it is not there, or may not be read.
        """
        if self._file is None:
            self._file = self._opener(self._path)
            os.set_blocking(self._file, False)

    def read(self) -> None:
        """Take in what is new.

        Raises:
            OSError: it can no longer be read; the next time it is opened anew, and nothing is counted twice.
        """
        self.open()
        try:
            self._drain()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Leave the log; what it told stays known."""
        held, self._file = self._file, None
        if held is not None:
            os.close(held)

    def by_uuid(self, places: Mapping[Place, str]) -> dict[str, dict[int, Xid]]:
        """XIDs by UUID; `places`: where the driver says that GPUs are, which beats what the log says.

        A GPU that neither names is under an empty UUID, if there is one.
        """
        known = {**self._uuids, **places}
        found: dict[str, dict[int, Xid]] = {}
        for where, xids in self._xids.items():
            found.setdefault(known.get(where, ""), {}).update(xids)
        return found

    def _drain(self) -> None:
        for _ in range(_MOST_RECORDS):
            try:
                data = self._next()
            except BlockingIOError:
                break
            if not data:
                break
            for line in data.splitlines():
                self._take(line)
        else:
            return  # there is more: next time
        self._is_caught_up = True

    def _next(self) -> bytes:
        assert self._file is not None
        while True:
            try:
                return os.read(self._file, _RECORD_BYTES)
            except BrokenPipeError:
                continue  # records were overwritten before they were read: go on with the oldest there is

    def _take(self, line: bytes) -> None:
        record = _RECORD.match(line)
        if record is None:  # a continuation line, with details of a device
            return
        priority, sequence, microseconds = (int(part) for part in record.groups()[:3])
        if sequence <= self._sequence:
            return
        self._sequence = sequence
        if priority >> 3 == _KERNEL:
            self._take_text(record[4], microseconds / _MICROSECONDS)

    def _take_text(self, text: bytes, since_boot: float) -> None:
        if told := _GPU.search(text):
            self._uuids[_place(told)] = told[4].decode()
        elif xid := _XID.search(text):
            xids = self._xids.setdefault(_place(xid), {})
            before = xids.get(int(xid[4]), Xid(0, 0.0))
            now = self._clock()  # the clock of the records may run a little fast
            at = min(now, now - self._uptime() + since_boot)
            xids[int(xid[4])] = Xid(before.times + self._is_caught_up, max(before.last, at))


def _place(found: re.Match[bytes]) -> Place:
    return Place(*(int(part, 16) for part in found.groups()[:3]))
