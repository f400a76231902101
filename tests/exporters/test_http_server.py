"""The server of pages against clients that are slow, silent, many, or do not speak HTTP."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from exporters.http_server import TEXT, Answer, HttpServer, Limits, Request

QUICK = Limits(idle=0.2, handshake=0.2, body=0.2)
GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def echo(request: Request) -> Answer:
    """What was asked for."""
    return Answer(200, TEXT, f"{request.method} {request.path} {dict(request.query)}\n".encode())


@contextmanager
def serving(answer: Callable[[Request], Answer] = echo, limits: Limits | None = None) -> Iterator[HttpServer]:
    """A running server."""
    server = HttpServer(("127.0.0.1", 0), answer, limits=limits)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def connected(server: HttpServer) -> socket.socket:
    """A client."""
    host, port = server.server_address[:2]
    return socket.create_connection((str(host), int(port)), timeout=30)


def everything(client: socket.socket) -> bytes:
    """What comes until the server closes, or cuts the connection."""
    pieces = []
    with suppress(ConnectionResetError):
        while piece := client.recv(1_000_000):
            pieces.append(piece)
    return b"".join(pieces)


def told(server: HttpServer, sent: bytes) -> bytes:
    """Everything that comes back."""
    with connected(server) as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        return everything(client)


def until_empty(server: HttpServer) -> None:
    """Wait until nobody is connected any more."""
    while server.connections:
        time.sleep(0.01)


def statuses(said: bytes) -> list[int]:
    """The status of each answer."""
    return [int(line[9:12]) for line in said.split(b"\n") if line.startswith(b"HTTP/1.1 ")]


def test_an_answer_to_the_letter() -> None:
    """Head and body as HTTP/1.1 has them; nothing that was not asked for."""
    with serving() as server:
        said = told(server, b"GET /a?x=1&x=2&y= HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (
        b"HTTP/1.1 200 OK\r\nServer: opsd\r\nDate: ...\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 27\r\nConnection: close\r\n\r\nGET /a {'x': '2', 'y': ''}\n"
    ) == re.sub(rb"Date: [^\r]+", b"Date: ...", said)


def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Three at once: three answers, and HEAD's has no body."""
    with serving() as server:
        said = told(server, GET + b"HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n" + GET.replace(b"/a", b"/c"))
    assert [200, 200, 200] == statuses(said)
    assert [b"GET /a {}\n", b"GET /c {}\n"] == [line + b"\n" for line in said.split(b"\n") if b"GET" in line]


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, b"GET\r\n\r\n"),
        (400, b"GET / FTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.x\r\n\r\n"),
        (505, b"GET / HTTP/2.0\r\n\r\n"),
        (414, b"GET /" + b"a" * 70_000),
        (431, b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000),
        (431, b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n"),
    ],
    ids=["short", "other", "unnumbered", "second", "long", "header", "headers"],
)
def test_what_is_no_request(status: int, sent: bytes) -> None:
    """It is refused, and the connection ends."""
    with serving() as server:
        assert b" %d " % status in told(server, sent)[:60]


def test_a_body_is_not_read_as_a_request() -> None:
    """A request with a body is answered, and nothing that follows it."""
    with serving() as server:
        said = told(server, b"GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + GET)
    assert [200] == statuses(said)


def test_headers_of_one_name() -> None:
    """The first of them counts, under its name in small letters."""
    with serving(lambda asked: Answer(200, TEXT, asked.headers["authorization"].encode())) as server:
        said = told(server, b"GET / HTTP/1.1\r\nAuthorization: one\r\nauthorization: two\r\n\r\n")
    assert said.endswith(b"\r\n\r\none")


def test_more_parameters_than_anything_takes() -> None:
    """A flood of them is none."""
    with serving() as server:
        said = told(server, b"GET /a?" + b"x=1&" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert said.endswith(b"GET /a {}\n")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", GET])
def test_who_says_no_more_is_let_go(sent: bytes) -> None:
    """Before a request, within one, or after one: the connection ends, without a word of complaint."""
    with serving(limits=QUICK) as server, connected(server) as client:
        client.sendall(sent)
        said = everything(client)
        assert ([200] if sent == GET else []) == statuses(said)


def test_who_does_not_read_is_let_go() -> None:
    """An answer that is not taken in its time ends the connection, and so its thread; others are answered."""
    large = Answer(200, TEXT, b"x" * 50_000_000, seconds=0.1)
    with (
        serving(lambda asked: large if asked.path == "/a" else echo(asked)) as server,
        connected(server) as client,
    ):
        client.sendall(GET)
        assert [200] == statuses(told(server, GET.replace(b"/a", b"/b")))
        until_empty(server)
        assert len(everything(client)) < len(large.body)


def test_an_answer_takes_no_longer_than_the_server_allows() -> None:
    """Whatever time the answer has by itself: the shorter one counts."""
    large = Answer(200, TEXT, b"x" * 50_000_000, seconds=3600)
    with serving(lambda _: large, limits=QUICK) as server, connected(server) as client:
        client.sendall(GET)
        assert b"H" == client.recv(1, socket.MSG_PEEK)
        until_empty(server)
        assert len(everything(client)) < len(large.body)


def test_a_fault_in_an_answer_costs_one_connection(capsys: pytest.CaptureFixture[str]) -> None:
    """A bug is told to the log with its place, and the server answers on."""

    def faulty(request: Request) -> Answer:
        if request.path == "/a":
            raise RuntimeError("a bug")
        return echo(request)

    with serving(faulty) as server:
        assert [500] == statuses(told(server, GET + GET))
        assert [200] == statuses(told(server, GET.replace(b"/a", b"/b")))
    assert "RuntimeError: a bug" in capsys.readouterr().err
