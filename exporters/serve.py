"""Serving a rendered page over HTTP.

Invariant: a request never waits for NVML, Slurm, SQL or a lock: it gets the bytes that were last rendered.
Listens on the loopback unless TLS with client certificates is configured (`exporters.web_config`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from exporters.page import CONTENT_TYPE, Rendered
from opsd.core.errors import BadInput, Refused

_IDLE_SECONDS = 30
_MOST_CONNECTIONS = 200  # far fewer than the 1,024 files a service may have open
_TEXT = "text/plain; charset=utf-8"


class Address(NamedTuple):
    """Where something listens. Port 0: the system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str = "--web.listen-address") -> Address:
    """`HOST:PORT`, `[V6]:PORT` or `:PORT` (the loopback).

    Raises:
        BadInput: it is not such an address.
    """
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not colon or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65_535:
        raise BadInput(f"{option} {text!r}: not an address: write 127.0.0.1:9750")
    return Address(host, int(port))


def require_loopback(address: Address, option: str = "--web.listen-address") -> None:
    """Refuse to show numbers to a network without TLS and authentication."""
    if address.host == "localhost":
        return
    try:
        inside = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise Refused(
            f"{option} {address}: not on the loopback: give a web configuration with TLS and client "
            "certificates (docs/install.md), or listen on 127.0.0.1"
        )


class Holder:
    """The last rendered page, or why there is none; swapping it is one assignment, so no reader ever waits."""

    def __init__(self, stale: Callable[[], str] = lambda: "") -> None:
        """`stale` says in words why the page is too old to be shown (empty: it is not); it must not wait."""
        self._page: Rendered | None = None
        self._reason = "nothing collected yet"
        self._stale = stale

    def put(self, page: Rendered) -> None:
        """What is served from now on."""
        self._page = page

    def take_away(self, reason: str) -> None:
        """Serve nothing from now on, and say why: absent beats wrong."""
        self._reason = reason
        self._page = None

    def get(self) -> Rendered | None:
        """What is served now; None while there is nothing that is true."""
        return None if self._stale() else self._page

    @property
    def reason(self) -> str:
        """Why there is no page, in words."""
        return self._stale() or self._reason


class Answer(NamedTuple):
    """A response."""

    status: int
    kind: str
    body: bytes
    encoding: str = ""


class PageServer:
    """Serves `/metrics`, `/healthz` and a landing page in threads of its own."""

    def __init__(
        self,
        address: Address,
        holder: Holder,
        *,
        title: str,
        healthy: Callable[[], bool] = lambda: True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Binds at once.

        Args:
            healthy: answers `/healthz`; must not wait for anything.

        Raises:
            BadInput: the address cannot be had.
            Refused: it is not on the loopback and there is no TLS.
        """
        if tls is None:
            require_loopback(address)
        self._tls = tls
        try:
            self._server = _Server(address, holder, title, healthy)
        except OSError as err:
            raise BadInput(f"{address} cannot be listened on: {err.strerror}: choose another port") from err
        if tls:  # the handshake is made in the request's own thread, so that a silent client hurts nobody
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    @property
    def address(self) -> Address:
        """Where it really listens."""
        host, port = self._server.server_address[:2]
        return Address(str(host), int(port))

    @property
    def url(self) -> str:
        """Its root."""
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; requests under way are not waited for."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Address, holder: Holder, title: str, healthy: Callable[[], bool]) -> None:
        self.holder, self.title, self.healthy = holder, title, healthy
        self._open: dict[socket.socket, None] = {}  # the oldest first
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        super().__init__((address.host, address.port), _Handler)

    def server_bind(self) -> None:
        # Without the name look-up of http.server: a slow resolver must not delay a start.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: object, client_address: object) -> None:
        """Whoever has been here longest makes room: a scrape takes milliseconds, so it is none."""
        assert isinstance(request, socket.socket)
        while len(self._open) >= _MOST_CONNECTIONS:
            oldest = next(iter(list(self._open)))
            self._open.pop(oldest, None)
            with suppress(OSError):  # TLS or not: its thread wakes up, and closes it
                socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        """Its room is free again."""
        assert isinstance(request, socket.socket)
        self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news; anything else is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def answer(self, path: str, encodings: str) -> Answer:
        """What is at a path."""
        if path == "/metrics":
            return _metrics(self.holder, encodings)
        if path == "/healthz":
            return Answer(200, _TEXT, b"ok\n") if self.healthy() else Answer(503, _TEXT, b"not well\n")
        if path == "/":
            return Answer(200, "text/html; charset=utf-8", _landing(self.title))
        return Answer(404, _TEXT, b"not found: try /metrics or /healthz\n")


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version = "opsd"
    sys_version = ""
    wbufsize = -1  # one write for head and body: two small ones cost 40 ms of delayed acknowledgement

    def do_GET(self) -> None:
        self._send(body=True)

    def do_HEAD(self) -> None:
        self._send(body=False)

    def _send(self, *, body: bool) -> None:
        encodings = self.headers.get("Accept-Encoding", "")
        found = self.server.answer(self.path.partition("?")[0], encodings)
        self.send_response(found.status)
        self.send_header("Content-Type", found.kind)
        self.send_header("Content-Length", str(len(found.body)))
        if found.encoding:
            self.send_header("Content-Encoding", found.encoding)
        self.end_headers()
        if body:
            self.wfile.write(found.body)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Scrapes are not logged."""


def _metrics(holder: Holder, encodings: str) -> Answer:
    page = holder.get()
    if page is None:
        return Answer(503, _TEXT, f"{holder.reason}\n".encode())
    if "gzip" in encodings:
        return Answer(200, CONTENT_TYPE, page.gzipped, "gzip")
    return Answer(200, CONTENT_TYPE, page.plain)


def _landing(title: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<h1>{title}</h1><p><a href="/metrics">metrics</a> · <a href="/healthz">health</a></p></html>\n'
    ).encode()
