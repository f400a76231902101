"""Programs of Debian that tests start: found, or the test is left out loudly.

Invariant: what is started is stopped by its own process, also when the test fails.
"""

from __future__ import annotations

import ctypes
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PACKAGES = {
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
START_DEADLINE_SECONDS = 30
STOP_DEADLINE_SECONDS = 15


def require(name: str) -> str:
    """The path of a program; the test is left out where it is missing."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"Prometheus tests left out: {name} was not found; install the package {PACKAGES[name]}")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(config: Path, data: Path, port: int, *options: str) -> Iterator[str]:
    """A Prometheus on the loopback; its address."""
    command = [
        shutil.which("prometheus") or "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        *options,
    ]
    with running(command, data.parent / "prometheus.log", f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def alertmanager(config: Path, data: Path, port: int) -> Iterator[str]:
    """An Alertmanager on the loopback, alone; its address."""
    command = [
        shutil.which("prometheus-alertmanager") or "prometheus-alertmanager",
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with running(command, data.parent / "alertmanager.log", f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def running(command: list[str], log: Path, url: str) -> Iterator[str]:
    """A server that has said that it is ready."""
    with started(command, log) as process:
        _wait_until_ready(process, log, url)
        yield url


@contextmanager
def started(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, so that a Ctrl-C meets whoever started it, and nobody twice."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 (makes one system call)
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with suppress(OSError, urllib.error.HTTPError), urllib.request.urlopen(f"{url}/-/ready", timeout=5):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args}: did not start:\n{log.read_text(errors='replace')}")


def _end_with_parent() -> None:
    """Ask Linux to stop it when whoever started it is killed: nobody else would."""
    pr_set_pdeathsig = 1
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
