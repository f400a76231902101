"""A server of HTTP/1.1 for pages.

Written here because the standard library's loads TLS, e-mail and its random numbers, six megabytes that
every GPU node would carry, and waits for a slow header as long as a byte comes now and then.
Invariant: whatever a client sends or leaves unsent, it costs one thread, a few kilobytes and a bounded
time; the longest connected make room for new ones.
"""

from __future__ import annotations

import errno
import selectors
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from exporters.http11 import TEXT, Answer, Malformed, Request, head_of, parse

MOST_CONNECTIONS = 200  # far fewer than the 1,024 files a service may have open
MOST_THREADS = 2 * MOST_CONNECTIONS  # those who were let go take a moment to leave
MOST_HEAD = 16_384
TICK_SECONDS = 5.0
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ROOM_SECONDS = 0.1
_FAULT = Answer(500, TEXT, b"a fault of this server: its log tells more\n")


class Limits(NamedTuple):
    """How long a client may take, in seconds."""

    idle: float = 90.0  # between two requests; scrapes come every minute at most
    handshake: float = 10.0
    head: float = 10.0  # all of it, from its first byte
    body: float = 30.0  # to take an answer
    linger: float = 1.0  # to hear why it was refused


class HttpServer(socketserver.ThreadingTCPServer):
    """Answers in a thread per connection."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    timeout = 0  # of `handle_request`, which is called when somebody is there

    def __init__(
        self,
        address: tuple[str, int],
        answer: Callable[[Request], Answer],
        *,
        wrap: Callable[[socket.socket], socket.socket] = lambda connection: connection,
        admit: Callable[[socket.socket], bool] = lambda _connection: True,
        tick: Callable[[], None] = lambda: None,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Binds at once.

        Args:
            wrap: makes TLS of a connection; the handshake comes later, in the connection's own thread.
            admit: whether a client may go on after the handshake.
            tick: called every few seconds by the thread that takes connections in; must not wait.
            clock: epoch seconds, for the header Date; without one there is none.
        """
        self._answer, self._wrap, self._admit, self._tick = answer, wrap, admit, tick
        self._limits = limits or Limits()
        self._clock = clock
        self._open: dict[socket.socket, None] = {}  # the oldest first
        self._room = threading.BoundedSemaphore(MOST_THREADS)
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._ear, self._mouth = socket.socketpair()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, socketserver.BaseRequestHandler)
        self.socket.setblocking(False)  # a client that is gone before it is taken in must hold up nobody

    @property
    def connections(self) -> int:
        """How many are connected."""
        return len(self._open)

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, with TLS around it where there is any."""
        try:
            connection, address = super().get_request()
        except OSError as err:
            if err.errno in _NO_ROOM:  # the one who waits is still there: do not spin meanwhile
                time.sleep(_ROOM_SECONDS)
            raise
        assert isinstance(connection, socket.socket)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._wrap(connection), address

    def process_request(self, request: object, client_address: object) -> None:
        """Whoever has been here longest makes room: a scrape takes milliseconds, so it is none."""
        assert isinstance(request, socket.socket)
        if not self._room.acquire(blocking=False):
            super().shutdown_request(request)
            return
        while len(self._open) >= MOST_CONNECTIONS:
            oldest = next(iter(list(self._open)))
            self._open.pop(oldest, None)
            with suppress(OSError):  # TLS or not: its thread wakes up, and closes it
                socket.socket.shutdown(oldest, socket.SHUT_RDWR)
        self._open[request] = None
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: object, client_address: object) -> None:
        """One connection, from its first byte to its last."""
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._room.release()

    def finish_request(self, request: object, client_address: object) -> None:
        """Talk to a client until one of the two has enough."""
        del client_address
        assert isinstance(request, socket.socket)
        request.settimeout(self._limits.handshake)
        if hasattr(request, "do_handshake"):
            request.do_handshake()
        if self._admit(request):
            _Conversation(request, self._answer, self._limits, self._clock).run()

    def shutdown_request(self, request: object) -> None:
        """Its room is free again."""
        assert isinstance(request, socket.socket)
        self._open.pop(request, None)
        super().shutdown_request(request)

    def serve_forever(self, poll_interval: float = TICK_SECONDS) -> None:
        """Take connections in until `shutdown`, which need not wait for the next look at the clock."""
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.socket, selectors.EVENT_READ)
            waiting.register(self._ear, selectors.EVENT_READ)
            while not self._stopping.is_set():
                ready = waiting.select(poll_interval)
                if any(key.fileobj is self.socket for key, _ in ready):
                    self.handle_request()
                self._tick()
        self._ended.set()

    def shutdown(self) -> None:
        """End `serve_forever`."""
        self._stopping.set()
        self._mouth.send(b"!")
        self._ended.wait()

    def server_close(self) -> None:
        """Give the address back."""
        super().server_close()
        self._ear.close()
        self._mouth.close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or does not speak TLS, is no news; anything else is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Conversation:
    """The requests of one connection, one after the other; what was sent ahead waits in the buffer."""

    def __init__(
        self,
        connection: socket.socket,
        answer: Callable[[Request], Answer],
        limits: Limits,
        clock: Callable[[], float] | None,
    ) -> None:
        self._connection, self._answer, self._limits, self._clock = connection, answer, limits, clock
        self._buffer = b""

    def run(self) -> None:
        goes_on = True
        while goes_on:
            request = None
            try:
                head = self._head()
                if not head:
                    return
                request, goes_on = parse(head)
                answer = self._answer(request)
            except Malformed as wrong:
                answer, goes_on = wrong.answer, False
            except Exception:
                self._send(_FAULT, goes_on=False, is_body_wanted=True)
                raise
            is_body_wanted = request is None or request.method != "HEAD"
            self._send(answer, goes_on=goes_on, is_body_wanted=is_body_wanted)
        self._linger()

    def _head(self) -> bytes:
        """Request line and headers; nothing: the client is done, or too slow."""
        deadline = None
        while True:
            self._buffer = self._buffer.lstrip(b"\r\n") if deadline is None else self._buffer
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if end and len(head) <= MOST_HEAD:
                self._buffer = rest
                return head
            if len(self._buffer) > MOST_HEAD:
                raise Malformed(431, f"more than {MOST_HEAD} bytes of request line and headers")
            if b"\n\n" in self._buffer:
                raise Malformed(400, "lines end with CR LF")
            if self._buffer and deadline is None:
                deadline = time.monotonic() + self._limits.head
            seconds = self._limits.idle if deadline is None else deadline - time.monotonic()
            piece = self._receive(seconds)
            if not piece:
                return b""
            self._buffer += piece

    def _receive(self, seconds: float) -> bytes:
        if seconds <= 0:
            return b""
        self._connection.settimeout(seconds)
        try:
            return self._connection.recv(MOST_HEAD)
        except TimeoutError:
            return b""

    def _send(self, answer: Answer, *, goes_on: bool, is_body_wanted: bool) -> None:
        """One write for head and body: two small ones cost 40 ms of delayed acknowledgement."""
        now = self._clock() if self._clock else None
        head = head_of(answer, now, goes_on=goes_on)
        waiting = memoryview(head + answer.body if is_body_wanted else head)
        seconds = min(self._limits.body, answer.seconds or self._limits.body)
        deadline = time.monotonic() + seconds
        while waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the client takes too long to read")
            self._connection.settimeout(left)
            waiting = waiting[self._connection.send(waiting) :]

    def _linger(self) -> None:
        """Read on a little: closing over unread bytes would reset the answer on its way."""
        with suppress(OSError):
            socket.socket.shutdown(self._connection, socket.SHUT_WR)
            deadline = time.monotonic() + self._limits.linger
            while self._receive(deadline - time.monotonic()):
                pass
