"""Serving a page: the bytes last rendered, on the loopback or with certificates."""

from __future__ import annotations

import gzip
import http.client
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporters.page import CONTENT_TYPE, Rendered
from exporters.serve import Address, Holder, PageServer, parse_address
from exporters.web_config import read
from opsd.core.errors import BadInput, Refused

LOCAL = Address("127.0.0.1", 0)
WEB = """tls_server_config: {cert_file: server.crt, key_file: server.key,
  client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}
"""


@pytest.fixture
def holder() -> Holder:
    """What is to be served; nothing yet."""
    return Holder()


@pytest.fixture
def server(holder: Holder) -> Iterator[PageServer]:
    """A running server."""
    running = PageServer(LOCAL, holder, title="a <title>")
    running.start()
    yield running
    running.stop()


def ask(
    server: PageServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request."""
    connection = http.client.HTTPConnection(*server.address, timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def test_the_last_page_is_served(server: PageServer, holder: Holder) -> None:
    """Before the first page 503, then always the last one; compressed for whoever takes that."""
    assert 503 == ask(server, "/metrics")[0]
    for text in (b"one 1\n", b"two 2\n"):
        holder.put(Rendered(text, gzip.compress(text)))
        status, headers, body = ask(server, "/metrics?collect[]=all")
        assert (200, text, CONTENT_TYPE) == (status, body, headers["Content-Type"])

    _, headers, body = ask(server, "/metrics", Accept_Encoding="gzip, deflate")
    assert ("gzip", b"two 2\n") == (headers["Content-Encoding"], gzip.decompress(body))


def test_other_paths(server: PageServer, holder: Holder) -> None:
    """A landing page, a health page, and 404 that says what there is; HEAD has no body."""
    assert (200, b"ok\n") == ask(server, "/healthz")[::2]
    assert b"/metrics" in ask(server, "/")[2]
    assert 404 == ask(server, "/etc/passwd")[0]
    holder.put(Rendered(b"one 1\n", b""))
    status, headers, body = ask(server, "/metrics", "HEAD")
    assert (200, "6", b"") == (status, headers["Content-Length"], body)


def test_ill_health_is_503(holder: Holder) -> None:
    """What the service says about itself is its health."""
    server = PageServer(LOCAL, holder, title="t", healthy=lambda: False)
    server.start()
    try:
        assert 503 == ask(server, "/healthz")[0]
    finally:
        server.stop()


def test_a_silent_client_holds_nobody_up(server: PageServer, holder: Holder) -> None:
    """While one connection says nothing, another is answered."""
    holder.put(Rendered(b"one 1\n", b""))
    with socket.create_connection(server.address):
        assert 200 == ask(server, "/metrics")[0]


def test_many_silent_clients_take_neither_files_nor_time(server: PageServer, holder: Holder) -> None:
    """However many hold a connection, the oldest are let go, and whoever asks is answered."""
    holder.put(Rendered(b"one 1\n", b""))
    with ExitStack() as held:
        silent = [held.enter_context(socket.create_connection(server.address)) for _ in range(210)]
        assert 200 == ask(server, "/metrics")[0]
        silent[0].settimeout(30)
        assert b"" == silent[0].recv(1)
        silent[-1].sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert silent[-1].makefile("rb").readline().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.org"])
def test_without_tls_it_stays_on_the_loopback(host: str, holder: Holder) -> None:
    """Numbers are not shown to a network without knowing who asks."""
    with pytest.raises(Refused, match="not on the loopback"):
        PageServer(Address(host, 0), holder, title="t")


def test_a_taken_port_is_named(server: PageServer, holder: Holder) -> None:
    """Two servers cannot have one port."""
    with pytest.raises(BadInput, match=f"127.0.0.1:{server.address.port} cannot be listened on"):
        PageServer(server.address, holder, title="t")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9750", Address("127.0.0.1", 9750)),
        (":9750", Address("127.0.0.1", 9750)),
        ("[::1]:80", Address("::1", 80)),
        ("node1:80", Address("node1", 80)),
    ],
)
def test_addresses(text: str, expected: Address) -> None:
    """Host and port, of either family."""
    assert expected == parse_address(text)


@pytest.mark.parametrize("text", ["", "9750", "host:", "host:http", "host:70000", "host:²"])
def test_what_is_no_address(text: str) -> None:
    """It is said which option was wrong, and how it is written."""
    with pytest.raises(BadInput, match=r"--web\.listen-address .* write 127\.0\.0\.1:9750"):
        parse_address(text)


@pytest.fixture
def secure(certificates: Path, holder: Holder) -> Iterator[PageServer]:
    """A server that knows its clients."""
    (certificates / "web.yml").write_text(WEB)
    holder.put(Rendered(b"one 1\n", b""))
    running = PageServer(LOCAL, holder, title="t", web=read(certificates / "web.yml"))
    running.start()
    yield running
    running.stop()


def client(certificates: Path, name: str | None) -> ssl.SSLContext:
    """A client that trusts our authority and shows a certificate, or none."""
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    if name:
        context.load_cert_chain(certificates / f"{name}.crt", certificates / f"{name}.key")
    return context


def test_a_known_client_is_answered(secure: PageServer, certificates: Path) -> None:
    """With a certificate of our authority the page is there."""
    assert secure.url.startswith("https://127.0.0.1:")
    with urllib.request.urlopen(
        f"{secure.url}/metrics", context=client(certificates, "client"), timeout=30
    ) as answer:
        assert b"one 1\n" == answer.read()


@pytest.mark.parametrize("name", [None, "stranger"])
def test_a_stranger_is_not(secure: PageServer, certificates: Path, name: str | None) -> None:
    """Without a certificate, or with another authority's, nothing is shown."""
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        urllib.request.urlopen(f"{secure.url}/metrics", context=client(certificates, name), timeout=30)


def test_plain_http_gets_nothing(secure: PageServer, certificates: Path) -> None:
    """Nor does a client that does not speak TLS; and a client that says nothing holds nobody up."""
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(secure, "/metrics")
    with socket.create_connection(secure.address):
        test_a_known_client_is_answered(secure, certificates)
