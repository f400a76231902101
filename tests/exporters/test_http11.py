"""The server of pages against clients that are slow, silent, many, or do not speak HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters import http_server
from exporters.http11 import TEXT, Answer, Malformed, Request, date, parse
from exporters.http_server import HttpServer, Limits

QUICK = Limits(idle=0.2, handshake=0.2, head=0.2, body=0.2, linger=0.2)
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
        b"HTTP/1.1 200 OK\r\nServer: opsd\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 27\r\nConnection: close\r\n\r\nGET /a {'x': '2', 'y': ''}\n"
    ) == said


def test_the_date_of_an_answer() -> None:
    """It is the clock's, in English."""
    assert "Sun, 06 Nov 1994 08:49:37 GMT" == date(784_111_777.9)


def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Three at once, with an empty line between two of them: three answers, and HEAD's has no body."""
    with serving() as server:
        said = told(
            server, GET + b"\r\n" + b"HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n" + GET.replace(b"/a", b"/c")
        )
    assert [200, 200, 200] == statuses(said)
    assert [b"GET /a {}\n", b"GET /c {}\n"] == [line + b"\n" for line in said.split(b"\n") if b"GET" in line]


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, b"hello\r\n\r\n"),
        (400, b"GET /a\r\n\r\n"),
        (400, b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET a HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, "GET /ä HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
        (400, b"GET /a HTTP/1.1\r\n\r\n"),
        (400, b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        (400, b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n"),
        (400, b"GET /a HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n"),
        (400, b"GET /a HTTP/1.1\r\nHost: x\x00\r\n\r\n"),
        (400, b"GET /a HTTP/1.1\r\nHost: x\rX: y\r\n\r\n"),
        (400, b"GET /a HTTP/1.1\nHost: x\n\n"),
        (400, b"GET /?" + b"&".join(b"a=1" for _ in range(51)) + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        (431, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
        (431, b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n"),
        (431, b"GET /a HTTP/1.1\r\nHost: x\r\nX: " + b" " * 50_000),
        (505, b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n"),
    ],
)
def test_what_is_no_request(status: int, sent: bytes) -> None:
    """It is told so once, and the connection ends: what comes after cannot be trusted."""
    with serving() as server:
        assert [status] == statuses(told(server, sent + GET))


def test_a_body_is_not_read_as_a_request() -> None:
    """After a request with a body the connection ends, or the body would be the next request."""
    smuggled = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GET)
    chunked = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving() as server:
        assert [200] == statuses(told(server, smuggled + GET))
        assert [200] == statuses(told(server, chunked + GET))


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a?b#c", "/a"),
        ("http://x:1/a?b", "/a"),
        ("HTTPS://x", "/"),
        ("//a", "//a"),
        ("/%2e%2e/", "/%2e%2e/"),
    ],
)
def test_targets(target: str, path: str) -> None:
    """Also as a proxy is asked; a path is compared as it was sent."""
    request, goes_on = parse(f"GET {target} HTTP/1.1\r\nHost: x".encode())
    assert (path, True) == (request.path, goes_on)


def test_headers_of_one_name_are_one() -> None:
    """Names in small letters, spaces at the ends gone; the old protocol is answered once."""
    request, goes_on = parse(b"GET / HTTP/1.0\r\nACCEPT:\t a \r\nAccept: b\r\nX:")
    assert ({"accept": "a, b", "x": ""}, False) == (request.headers, goes_on)


@pytest.mark.parametrize("name", ["Content-Length", "Transfer-Encoding", "Authorization"])
def test_headers_that_may_stand_once(name: str) -> None:
    """Two of them would mean one thing here and another elsewhere."""
    with pytest.raises(Malformed, match=f"two headers {name.lower()}"):
        parse(f"GET / HTTP/1.1\r\nHost: x\r\n{name}: 0\r\n{name}: 1".encode())


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", GET])
def test_who_says_no_more_is_let_go(sent: bytes) -> None:
    """Before a request, within one, or after one: the connection ends, without a word of complaint."""
    with serving(limits=QUICK) as server, connected(server) as client:
        client.sendall(sent)
        said = everything(client)
        assert ([200] if sent == GET else []) == statuses(said)


def test_a_byte_now_and_then_does_not_keep_a_connection() -> None:
    """The time for a head is for all of it: who sends on and on is cut off within it."""
    with serving(limits=QUICK._replace(idle=30)) as server, connected(server) as client:
        with suppress(OSError):
            for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000:
                client.send(bytes([byte]))
                time.sleep(0.01)
            pytest.fail("it took 20 seconds of bytes")
        until_empty(server)


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


def test_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections past the bound are closed at once, and those before it still served."""
    monkeypatch.setattr(http_server, "MOST_THREADS", 3)
    with serving() as server, ExitStack() as held:
        clients = [held.enter_context(connected(server)) for _ in range(5)]
        assert [b"", b""] == [client.recv(1) for client in clients[3:]]
        clients[0].sendall(GET)
        assert clients[0].makefile("rb").readline().startswith(b"HTTP/1.1 200")
        for client in clients:
            client.close()
        until_empty(server)
        assert [200] == statuses(told(server, GET))


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


PIECES = st.sampled_from(
    [*rb"GET / ?a=1& http:// HTTP/1.1 Host : Content-Length %".split(), b"\x00", b"\xff", b" ", b"\r\n"]
)


@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=20).map(b"".join)))
def test_anything_is_a_request_or_malformed(head: bytes) -> None:
    """Whatever is sent, it is read or answered with a reason; nothing else is raised."""
    try:
        is_sound = parse(head)[0].path.startswith("/")
    except Malformed as wrong:
        is_sound = wrong.answer.status in {400, 431, 505}
    assert is_sound
