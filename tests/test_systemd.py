"""Words to systemd: sent to either kind of socket, and to nobody without one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from opsd.systemd import notify, watchdog_seconds


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_state_arrives(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state reaches the socket that systemd names, be it a path or in the abstract namespace."""
    name = f"{tmp_path}/s" if kind == "path" else f"@opsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if kind == "abstract" else name)
        monkeypatch.setenv("NOTIFY_SOCKET", name)

        assert notify("READY=1")
        assert b"READY=1" == manager.recv(100)


@pytest.mark.parametrize("address", [None, "", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started by hand, or after the manager went away, nobody is told and nothing fails."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)

    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("limit", "process", "expected"),
    [
        ("3000000", "ours", 3.0),
        ("1500000", None, 1.5),
        ("3000000", "1", None),
        ("0", None, None),
        ("soon", None, None),
        (None, None, None),
    ],
)
def test_the_watchdogs_patience(
    limit: str | None, process: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog's limit counts when it is meant for this process."""
    for name, value in (("WATCHDOG_USEC", limit), ("WATCHDOG_PID", process)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(os.getpid()) if value == "ours" else value)

    assert expected == watchdog_seconds()
