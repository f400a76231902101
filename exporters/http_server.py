"""The standard library's HTTP server, as pages need it: requests without a body, answers of known length.

Invariant: a client costs one thread, and at most `MOST_CONNECTIONS` have one: whoever has been here longest
makes room, so that many silent ones keep out nobody who asks.
"""

from __future__ import annotations

import socket
import socketserver
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

MOST_CONNECTIONS = 200  # far fewer than the 1,024 files a service may have open
TICK_SECONDS = 5.0
TEXT = "text/plain; charset=utf-8"
_MOST_PARAMETERS = 50


class Request(NamedTuple):
    """What a client asks; the names of headers are in small letters, of a parameter the last value stands."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """A response. `seconds`: what it may take to send it; None: the server's own limit."""

    status: int
    kind: str
    body: bytes
    encoding: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float | None = None


_FAULT = Answer(500, TEXT, b"a fault of this server: its log tells more\n")


class Limits(NamedTuple):
    """How long a client may take, in seconds."""

    idle: float = 90.0  # to say something; scrapes come every minute at most
    handshake: float = 10.0
    body: float = 30.0  # to take an answer


class HttpServer(ThreadingHTTPServer):
    """Answers in a thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Request], Answer],
        *,
        wrap: Callable[[socket.socket], socket.socket] = lambda connection: connection,
        admit: Callable[[socket.socket], bool] = lambda _connection: True,
        tick: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
    ) -> None:
        """Binds at once.

        Args:
            wrap: makes TLS of a connection; the handshake comes later, in the connection's own thread.
            admit: whether a client may go on after the handshake.
            tick: called every few seconds by the thread that takes connections in; must not wait.
        """
        self.answer, self._wrap, self._admit, self._tick = answer, wrap, admit, tick
        self.limits = limits or Limits()
        self._ticked = time.monotonic()
        self._open: dict[socket.socket, None] = {}  # the oldest first
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    @property
    def connections(self) -> int:
        """How many are connected."""
        return len(self._open)

    def server_bind(self) -> None:
        """Without the name look-up of http.server: a slow resolver must not delay a start."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, with TLS around it where there is any."""
        connection, address = super().get_request()
        assert isinstance(connection, socket.socket)
        return self._wrap(connection), address

    def process_request(self, request: object, client_address: object) -> None:
        """Whoever has been here longest makes room: a scrape takes milliseconds, so it is none."""
        assert isinstance(request, socket.socket)
        while len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(list(self._open)))
            self._open.pop(oldest, None)
            with suppress(OSError):  # TLS or not: its thread wakes up, and closes it
                socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        self._open[request] = None
        super().process_request(request, client_address)

    def finish_request(self, request: object, client_address: object) -> None:
        """Talk to a client, in its own thread."""
        assert isinstance(request, socket.socket)
        request.settimeout(self.limits.handshake)
        if hasattr(request, "do_handshake"):
            request.do_handshake()
        if self._admit(request):
            super().finish_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        """Its room is free again."""
        assert isinstance(request, socket.socket)
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """What is done between two looks for new clients."""
        if time.monotonic() - self._ticked >= TICK_SECONDS:
            self._ticked = time.monotonic()
            self._tick()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or does not speak TLS, is no news; anything else is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: HttpServer
    protocol_version = "HTTP/1.1"
    default_request_version = "HTTP/1.0"  # of what is no request: a client of today wants a status line
    disable_nagle_algorithm = True  # head and body are two writes: together they would cost 40 ms

    def setup(self) -> None:
        """Time-outs are the server's."""
        super().setup()
        self.connection.settimeout(self.server.limits.idle)

    def version_string(self) -> str:
        """Not which Python."""
        return "opsd"

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever is asked for)
        """Every method is answered, GET or not: what it gets is the owner's business."""
        if name.startswith("do_"):
            return self._respond
        raise AttributeError(name)

    def _respond(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body would be read as the next request
        try:
            self._send(self.server.answer(self._request()))
        except OSError:
            raise
        except Exception:
            self.close_connection = True
            self._send(_FAULT)
            raise

    def _request(self) -> Request:
        target = urlsplit(self.path)
        try:
            query = dict(parse_qsl(target.query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
        except ValueError:  # more parameters than anything here takes
            query = {}
        headers = {name.lower(): value for name, value in reversed(self.headers.items())}
        return Request(self.command, target.path, query, headers)

    def _send(self, answer: Answer) -> None:
        """All of it in the time it may take, however slowly it is read."""
        limit = self.server.limits.body
        self.connection.settimeout(min(limit, answer.seconds or limit))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.encoding:
            self.send_header("Content-Encoding", answer.encoding)
        for name, value in answer.headers:
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.connection.sendall(answer.body)
        self.connection.settimeout(self.server.limits.idle)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Scrapes are not logged."""
