"""The `opsd` command as an operator types it: a process of its own, in a folder and environment of its own.

Invariant: no command, however wrong, ends with a traceback.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import io
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from opsd.cli import main

WINDOW = ("--from", "1990-01-01", "--to", "2100-01-01")
_LONGEST = 120  # seconds a command may take before something is wrong

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_libc = ctypes.CDLL(None, use_errno=True)

Words = Sequence[str | Path]
Uses = dict[str, tuple[int, int]]  # account -> (runs, GPU-seconds)


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: bytes
    err: str


@dataclass(frozen=True)
class Terminal:
    """Where commands are typed."""

    folder: Path
    database: Path

    def command(self, words: Words, *, url: str | None = None) -> list[str]:
        """The command line; `url` names another database."""
        address = f"sqlite:///{self.database}" if url is None else url
        return [sys.executable, "-m", "opsd", "--db", address, *map(str, words)]

    def environment(self) -> dict[str, str]:
        """As little as a cron job gets."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        return kept | {"HOME": str(self.folder), "LC_ALL": "C.UTF-8", "COLUMNS": "200"}

    @contextlib.contextmanager
    def started(
        self, *words: str | Path, bound: bool = False, largest_file: int | None = None, **options: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A command in the background, ended with the block.

        Args:
            bound: whether file permissions hold for it even if the tests run as root.
            largest_file: how large a file it may write, in bytes: a disk with little space.
            options: for Popen.
        """

        def prepare() -> None:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # or it would be deaf wherever the tests are
            if bound:
                _obey_permissions()
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        command = options.pop("command", None) or self.command(words)
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            preexec_fn=prepare,  # noqa: PLW1509  # makes a few system calls
            **(pipes | options),
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

    def opsd(self, *words: str | Path, url: str | None = None, **options: Any) -> Ended:
        """Run a command to its end; see `started` for the options."""
        command = options.pop("command", None) or self.command(words, url=url)
        with self.started(command=command, **options) as process:
            return ended(process)

    def asked(self, *words: str | Path) -> tuple[int, str]:
        """Exit code and output of a question, asked in this process: a new one takes half a second."""
        output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
            code = main(["--db", f"sqlite:///{self.database}", *map(str, words)])
        output.seek(0)
        return code, output.read()

    def usage(self) -> Uses:
        """Runs and GPU-seconds of each account."""
        code, out = self.asked("usage", *WINDOW, "--by", "account", "--format", "csv")
        assert code == 0
        lines = csv.DictReader(io.StringIO(out))
        return {line["account"]: (int(line["runs"]), int(line["gpu_seconds"])) for line in lines}

    def quarantined(self) -> list[dict[str, Any]]:
        """What waits in quarantine."""
        code, out = self.asked("quarantine", "list", "--format", "json")
        rows: list[dict[str, Any]] = json.loads(out)
        assert code == (3 if rows else 0)
        return rows

    def raw(self, entry: dict[str, Any]) -> bytes:
        """The bytes of one quarantined record."""
        done = self.opsd("quarantine", "show", str(entry["id"]), "--raw")
        assert done.code == 0, done.err
        return done.out


def ended(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for a command; whatever it was, it must have no traceback to show."""
    out, err = process.communicate(timeout=_LONGEST)
    text = err.decode("utf-8", "backslashreplace")
    assert "Traceback" not in text, text
    assert "Exception ignored" not in text, text
    return Ended(process.returncode, out, text)


def _obey_permissions() -> None:
    """Root reads and writes what it likes; without two capabilities it is bound like anybody else."""
    if os.geteuid() != 0:
        return
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if _libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) != 1:
            continue
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "root cannot give up its right to ignore permissions")


def sql(database: Path, statement: str, *values: object) -> list[Any]:
    """Look into a database, or prepare it, without opsd."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def has_open(process: subprocess.Popen[bytes], file: Path) -> bool:
    """Whether a running process has opened a file."""
    for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if file.samefile(descriptor):
                return True
    return False


def peak_kib(process: subprocess.Popen[bytes]) -> int:
    """The most memory a running process has held so far (its rusage would count what it was forked from)."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def made(folder: Path, name: str, data: bytes) -> Path:
    """A file with these bytes."""
    path = folder / name
    path.write_bytes(data)
    return path
