"""The portal as a server: where it listens, how it starts and ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from opsd.config import Settings, Web
from opsd.core.errors import BadInput, Refused
from opsd.web import WebServer
from tests.web.world import NOW, build, empty


def settings(address: str) -> Settings:
    """Settings in which only the address matters."""
    return Settings("", "test", web=Web(address))


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """On the port the system chose; afterwards nobody answers there."""
    store = build(tmp_path)
    server = WebServer(store, settings("127.0.0.1:0"), clock=lambda: NOW)
    server.start()
    with urllib.request.urlopen(f"{server.url}/", timeout=30) as answer:
        text = answer.read().decode()
    where = server.address
    server.stop()
    store.close()

    assert "<h1>November 2026</h1>" in text
    assert not server.alive
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(where, timeout=5)


@pytest.mark.parametrize("address", ["0.0.0.0:8750", "10.1.2.3:8750", "[::]:8750", "portal.example:8750"])
def test_it_listens_on_this_machine_only(tmp_path: Path, address: str) -> None:
    """Nobody signs in yet, so nobody else may look."""
    store = empty(tmp_path)
    with pytest.raises(Refused, match="not on the loopback"):
        WebServer(store, settings(address), clock=lambda: NOW)
    store.close()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """With what to do."""
    store = empty(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(BadInput, match=f"{address}.*choose another port"):
            WebServer(store, settings(address), clock=lambda: NOW)
    store.close()


def test_stopping_before_starting_frees_the_port(tmp_path: Path) -> None:
    """As where something else failed to start."""
    store = empty(tmp_path)
    server = WebServer(store, settings("127.0.0.1:0"), clock=lambda: NOW)
    where = server.address
    server.stop()
    with socket.create_server(where):
        pass
    store.close()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_cleanly_when_told(tmp_path: Path, told: signal.Signals) -> None:
    """It makes its database, says where it is (systemd hears of it), answers, and ends with 0."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    command = [sys.executable, "-m", "opsd", "web", "--web.listen-address", "127.0.0.1:0"]
    environ = {**os.environ, "OPSD_DB": f"sqlite:///{tmp_path / 'new' / 'opsd.db'}"}
    environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
    with heard, subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stderr
            url = process.stderr.readline().split()[-1]
            with urllib.request.urlopen(url, timeout=30) as answer:
                text = answer.read().decode()
            process.send_signal(told)
            _, rest = process.communicate(timeout=30)
            heard.setblocking(False)
            states = [heard.recv(64), heard.recv(64)]
        finally:
            process.kill()

    assert "Nothing has been read yet" in text
    assert (0, "") == (process.returncode, rest)
    assert [b"READY=1", b"STOPPING=1"] == states


def test_the_command_refuses_the_network(tmp_path: Path) -> None:
    """One line on stderr, exit code 1; the configuration file is no way around."""
    file = tmp_path / "opsd.toml"
    file.write_text('[web]\nlisten_address = "0.0.0.0:8750"\n', encoding="utf-8")
    command = [sys.executable, "-m", "opsd", "web", "--config", str(file)]
    environ = {**os.environ, "OPSD_DB": f"sqlite:///{tmp_path / 'opsd.db'}"}
    ran = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=60)

    assert 1 == ran.returncode
    assert ran.stderr.startswith("opsd: --web.listen-address 0.0.0.0:8750: not on the loopback")
    assert 1 == ran.stderr.count("\n")
