"""The one place that starts processes: an argument list, a time-out, a whole answer or an error.

Invariant: however the call ends, no process it started, nor any of that one's children in its group, goes
on; and what it printed lies in a spool that was written without error, however large it is. Only if opsd
itself is killed (SIGKILL, no memory) does nobody end them: one that prints ends by that, since nobody
reads its pipe; one that hangs stays until its service is cleaned up (systemd does, with the whole cgroup)
or a person ends it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO

from opsd.core.errors import TooWide, Unavailable

_PIECE = 1 << 18
_STDERR_KEPT = 1 << 16
_running: set[subprocess.Popen[bytes]] = set()  # adding and discarding are atomic


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process that ended by itself left behind."""

    stdout: BinaryIO  # a file without a name, at its start; whoever reads it closes it
    stderr: str
    code: int  # its exit code; negative: the signal that ended it


def run(
    arguments: Sequence[str],
    *,
    timeout_seconds: float,
    environment: Mapping[str, str],
    without: Sequence[str] = (),
) -> Answer:
    """Run a program to its end.

    Args:
        environment: what it finds set, beside what this process found.
        without: starts of names that it must not find, however they are set here.

    Raises:
        Unavailable: it cannot be started, or its output cannot be kept.
        TooWide: it takes too long.
    """
    name = arguments[0]
    kept = {key: value for key, value in os.environ.items() if not key.startswith(tuple(without))}
    spool = _spool(name)
    try:
        process = _start(arguments, kept | dict(environment))
        with process:
            try:
                _running.add(process)
                stderr = _listen(name, process, spool, timeout_seconds)
            finally:
                _end_group(process)
                _running.discard(process)
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return Answer(spool, stderr, process.returncode)


def end_all() -> None:
    """End what other threads have running: a service that stops does not wait for Slurm."""
    for process in list(_running):
        _end_group(process)


def found(*names: str) -> dict[str, str]:
    """Which of these are set in the environment, and to what."""
    return {name: os.environ[name] for name in names if name in os.environ}


def _spool(name: str) -> BinaryIO:
    try:
        return tempfile.TemporaryFile(prefix="opsd-", buffering=0)
    except OSError as err:
        raise _not_kept(name, err) from err


def _start(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            arguments, env=environment, cwd="/", start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except FileNotFoundError as err:
        raise Unavailable(
            f"{arguments[0]}: no such program here: install it, or set [slurm] bin to its folder"
        ) from err
    except OSError as err:
        raise Unavailable(
            f"{arguments[0]}: {err.strerror}: it could not be started: check its permissions"
        ) from err


def _listen(name: str, process: subprocess.Popen[bytes], spool: BinaryIO, timeout_seconds: float) -> str:
    """Keep what it prints until it ends; its stderr."""
    deadline = time.monotonic() + timeout_seconds
    complaints = bytearray()
    with selectors.DefaultSelector() as waiting:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            waiting.register(stream, selectors.EVENT_READ)
        while waiting.get_map():
            for key, _ in waiting.select(max(0.0, deadline - time.monotonic())):
                data = os.read(key.fd, _PIECE)
                if not data:
                    waiting.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    _keep(name, spool, data)
                elif len(complaints) < _STDERR_KEPT:
                    complaints += data
            if time.monotonic() > deadline:
                raise _too_slow(name, timeout_seconds)
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as err:
        raise _too_slow(name, timeout_seconds) from err
    return complaints.decode("utf-8", "backslashreplace").strip()


def _keep(name: str, spool: IO[bytes], data: bytes) -> None:
    """Written by this process, not by the program: many a program prints on a full disk and ends with 0."""
    try:
        view = memoryview(data)
        while view:
            view = view[spool.write(view) :]
    except OSError as err:
        raise _not_kept(name, err) from err


def _not_kept(name: str, err: OSError) -> Unavailable:
    return Unavailable(
        f"{name}: its output does not fit into the folder {tempfile.gettempdir()}: {err.strerror}: "
        "free some space, or point TMPDIR at a larger disk"
    )


def _too_slow(name: str, timeout_seconds: float) -> TooWide:
    return TooWide(
        f"{name}: no whole answer within {timeout_seconds:g} s: it was stopped; "
        "[slurm] timeout_seconds allows more"
    )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Its children may hold the pipes, or hang as it did."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
