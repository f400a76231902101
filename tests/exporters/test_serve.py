"""Serving a page: the bytes last rendered, on the loopback, or to whoever has proved who he is."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from exporters import http_server, web_config
from exporters.page import CONTENT_TYPE, OPENMETRICS, Page, Rendered
from exporters.serve import Address, Answer, Holder, PageServer, Request, parse_address
from exporters.web_config import read
from opsd.core.errors import BadInput, Refused
from tests.fakes.certificates import make as make_certificates
from tests.stack.programs import free_port, prometheus, require

LOCAL = Address("127.0.0.1", 0)
SECRET = "correct horse"
USERS = "basic_auth_users: {ana: $2b$04$abcdefghijklmnopqrstueX9pG3ytJqukehDfcEnpiWgbOCi86RXS}\n"  # of SECRET
ANA = "Basic " + b64encode(f"ana:{SECRET}".encode()).decode()
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
NOT_LOADED = {"bcrypt", "yaml"}
IF_GIVEN = "VerifyClientCertIfGiven"
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


# ------------------------------------------------------------------------------------ what is at a path


@contextmanager
def serving(holder: Holder, address: Address = LOCAL, **more: object) -> Iterator[PageServer]:
    """A running server of a kind of its own."""
    running = PageServer(address, holder, title="opsd-node", **more)  # type: ignore[arg-type]
    running.start()
    try:
        yield running
    finally:
        running.stop()


def a_page() -> Rendered:
    """A gauge and a counter."""
    page = Page()
    page.add("opsd_page_timestamp_seconds", 1)
    page.add("opsd_gpu_energy_joules_total", 12.5, gpu="0", uuid="GPU-a")
    return page.render()


def test_openmetrics_for_whoever_asks(server: PageServer, holder: Holder) -> None:
    """All four forms are those that were rendered, and a cache is told what they depend on."""
    page = a_page()
    holder.put(page)
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"

    _, headers, body = ask(server, "/metrics", Accept=accept)
    assert (OPENMETRICS, page.openmetrics) == (headers["Content-Type"], body)
    assert "Accept, Accept-Encoding" == headers["Vary"]
    _, headers, body = ask(server, "/metrics", Accept=accept, Accept_Encoding="gzip")
    assert (OPENMETRICS, "gzip") == (headers["Content-Type"], headers["Content-Encoding"])
    assert page.openmetrics_gzipped == body
    _, headers, body = ask(server, "/metrics", Accept="*/*")
    assert (CONTENT_TYPE, page.plain) == (headers["Content-Type"], body)
    holder.put(Rendered(b"one 1\n", b""))
    assert CONTENT_TYPE == ask(server, "/metrics", Accept=accept)[1]["Content-Type"]


def test_a_page_can_be_taken_away(server: PageServer, holder: Holder) -> None:
    """Who asks is told why, until there is another one; so is he when the page is too old."""
    holder.put(a_page())
    holder.withhold("the driver was released")
    assert (503, b"the driver was released\n") == ask(server, "/metrics")[::2]
    holder.put(a_page())
    assert 200 == ask(server, "/metrics")[0]
    old = Holder(lambda: "no collection has ended for 20 seconds")
    old.put(a_page())
    with serving(old) as other:
        assert (503, b"no collection has ended for 20 seconds\n") == ask(other, "/metrics")[::2]


def test_routes_of_the_owner(holder: Holder) -> None:
    """They get the parameters and headers of the request; the landing page names them, and so does a 404."""

    def spool(request: Request) -> Answer:
        said = {"after": request.query.get("after"), "agent": request.headers["user-agent"]}
        return Answer(200, "application/json", json.dumps(said).encode())

    with serving(holder, routes={"/spool": spool}, version="1.2") as server:
        status, headers, body = ask(server, "/spool?after=7&limit=", User_Agent="me")
        assert (200, "application/json") == (status, headers["Content-Type"])
        assert {"after": "7", "agent": "me"} == json.loads(body)
        landing = ask(server, "/")[2].decode()
        assert "<h1>opsd-node 1.2</h1>" in landing
        assert {'href="/metrics"', 'href="/healthz"', 'href="/spool"'} <= set(
            landing.replace(">", " ").split()
        )
        assert b"not found: try /metrics, /healthz, /, /spool\n" == ask(server, "/spoo")[2]


def test_a_title_is_text(server: PageServer) -> None:
    """Nothing in it becomes an element of the page."""
    assert b"<h1>a &lt;title></h1>" in ask(server, "/")[2]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"])
def test_other_methods(method: str, server: PageServer) -> None:
    """They are not answered, and it is said which are."""
    status, headers, _ = ask(server, "/metrics", method)
    assert (405, "GET, HEAD") == (status, headers["Allow"])


def test_headers_that_keep_a_page_to_itself(server: PageServer, tmp_path: Path, holder: Holder) -> None:
    """No answer is guessed at, framed or kept; the configuration may say otherwise."""
    for path in ("/", "/metrics", "/absent"):
        headers = ask(server, path)[1]
        assert ("nosniff", "deny", "no-store") == (
            headers["X-Content-Type-Options"], headers["X-Frame-Options"], headers["Cache-Control"]
        )  # fmt: skip
        assert "default-src 'none'; frame-ancestors 'none'" == headers["Content-Security-Policy"]
    (tmp_path / "web.yml").write_text("http_server_config: {headers: {X-Frame-Options: sameorigin}}\n")
    with serving(holder, web=read(tmp_path / "web.yml")) as other:
        headers = ask(other, "/")[1]
        assert "sameorigin" == headers["X-Frame-Options"]


# ------------------------------------------------------------------------------------- who may look


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9751", "127.0.0.1", "127.3.2.1:80", "[::1]:9751"])
def test_a_host_that_is_this_machine(host: str, server: PageServer) -> None:
    """Whatever the port: it may be that of a tunnel."""
    assert 200 == ask(server, "/healthz", Host=host)[0]


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.0.2.1:9751", "", "127.0.0.1.nip"]
)
def test_a_host_that_is_not(host: str, server: PageServer, holder: Holder) -> None:
    """A browser led here under another's name (DNS rebinding) is shown nothing."""
    holder.put(a_page())
    status, _, body = ask(server, "/metrics", Host=host)
    assert (403, b"ask for localhost or 127.0.0.1: this page is for this machine\n") == (status, body)


def test_passwords(holder: Holder, tmp_path: Path) -> None:
    """Nothing is shown without one, not even whether there is a page; with one, under any host name."""
    (tmp_path / "web.yml").write_text(USERS)
    holder.put(a_page())
    with serving(holder, web=read(tmp_path / "web.yml")) as server:
        for path in ("/metrics", "/healthz", "/", "/absent"):
            status, headers, _ = ask(server, path)
            assert (401, 'Basic realm="opsd", charset="UTF-8"') == (status, headers["WWW-Authenticate"])
        wrong = "Basic " + b64encode(b"ana:wrong").decode()
        assert 401 == ask(server, "/metrics", Authorization=wrong)[0]
        assert 401 == ask(server, "/metrics", "POST", Authorization=wrong)[0]
        assert 200 == ask(server, "/metrics", Authorization=ANA, Host="node1:9751")[0]


@pytest.mark.parametrize("text", ["", USERS, TLS, TLS.replace("}", ", client_auth_type: RequestClientCert}"),
                                  WEB.replace("RequireAndVerifyClientCert", IF_GIVEN)])  # fmt: skip
def test_off_the_loopback_both_are_needed(text: str, certificates: Path, holder: Holder) -> None:
    """Passwords in clear, or TLS with anybody, are not enough."""
    (certificates / "web.yml").write_text(text)
    with pytest.raises(Refused, match="not on the loopback"):
        PageServer(Address("0.0.0.0", 0), holder, title="t", web=read(certificates / "web.yml"))


def test_tls_and_passwords_leave_the_loopback(certificates: Path, holder: Holder) -> None:
    """TLS for the way, a password for who: the page is there over the network."""
    (certificates / "web.yml").write_text(TLS + USERS)
    holder.put(a_page())
    with serving(holder, Address("0.0.0.0", 0), web=read(certificates / "web.yml")) as server:
        url = f"https://127.0.0.1:{server.address.port}/metrics"
        asked = urllib.request.Request(url, headers={"Authorization": ANA})
        with urllib.request.urlopen(asked, context=client(certificates, None), timeout=30) as answer:
            assert a_page().plain == answer.read()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(url, context=client(certificates, None), timeout=30)


@pytest.mark.parametrize(
    ("names", "expected"), [("[other, 127.0.0.1]", True), ("[other]", False), ("[]", False)]
)
def test_clients_by_name(names: str, expected: bool, certificates: Path, holder: Holder) -> None:
    """A certificate of our authority is not enough when its names are listed."""
    (certificates / "web.yml").write_text(WEB.replace("}", f", client_allowed_sans: {names}}}"))
    holder.put(a_page())
    with serving(holder, web=read(certificates / "web.yml")) as server:
        try:
            context = client(certificates, "client")
            with urllib.request.urlopen(f"{server.url}/metrics", context=context, timeout=30) as answer:
                shown = answer.read() == a_page().plain
        except (OSError, http.client.HTTPException):
            shown = False
        assert expected == shown


def test_a_handshake_that_never_ends(secure: PageServer, certificates: Path) -> None:
    """However many begin one and stop, others are answered, and the oldest are let go."""
    with ExitStack() as held:
        halves = [held.enter_context(socket.create_connection(secure.address)) for _ in range(205)]
        for half in halves:
            half.sendall(b"\x16\x03\x01\x02\x00\x01")
        test_a_known_client_is_answered(secure, certificates)
        halves[0].settimeout(30)
        assert b"" == halves[0].recv(1)


# ------------------------------------------------------------------------------------- read again


def copied(certificates: Path, folder: Path, text: str) -> Path:
    """A configuration with certificates of its own."""
    for name in ("ca.crt", "server.crt", "server.key", "client.crt", "client.key"):
        shutil.copy(certificates / name, folder / name)
    (folder / "web.yml").write_text(text)
    return folder / "web.yml"


def test_a_changed_password_is_taken_over(holder: Holder, tmp_path: Path) -> None:
    """On demand the file is read again; a broken one leaves what was, and says so."""
    file = tmp_path / "web.yml"
    file.write_text(USERS)
    holder.put(a_page())
    with serving(holder, web=read(file)) as server:
        file.write_text(USERS.replace("ana", "bob"))
        server.reload()
        assert 401 == ask(server, "/metrics", Authorization=ANA)[0]
        file.write_text("basic_auth_user: {}\n")
        with pytest.raises(BadInput, match="did you mean 'basic_auth_users'"):
            server.reload()
        bob = "Basic " + b64encode(f"bob:{SECRET}".encode()).decode()
        assert 200 == ask(server, "/metrics", Authorization=bob)[0]


def test_what_a_server_must_not_lose(certificates: Path, holder: Holder, tmp_path: Path) -> None:
    """A file that would open it to everybody is refused while it runs too; so is another protocol."""
    file = copied(certificates, tmp_path, TLS + USERS)
    with serving(holder, Address("0.0.0.0", 0), web=read(file)) as server:
        file.write_text(TLS)
        with pytest.raises(Refused, match="not on the loopback"):
            server.reload()
    file.write_text(TLS)
    with serving(holder, web=read(file)) as server:
        file.write_text(USERS)
        with pytest.raises(Refused, match="TLS comes or goes with a restart only"):
            server.reload()
    with serving(holder) as server:
        server.reload()  # nothing to read again


def test_a_renewed_certificate_is_taken_over(
    certificates: Path, holder: Holder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a signal; one half of a pair is told and waited out, new connections get the new one."""
    monkeypatch.setattr(web_config, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(http_server, "TICK_SECONDS", 0.05)
    file = copied(certificates, tmp_path, TLS)
    said: list[str] = []
    new = tmp_path / "new"
    new.mkdir()
    make_certificates(new)

    def shown(server: PageServer) -> str:
        return ssl.get_server_certificate(server.address, timeout=30)

    holder.put(a_page())
    with serving(holder, web=read(file), say=said.append) as server:
        assert (certificates / "server.crt").read_text().strip() in shown(server).strip()
        shutil.copy(new / "server.crt", tmp_path / "server.crt")
        _wait_for(lambda: len(said) > 0)
        assert "cannot be loaded" in said[0]
        assert said[0].endswith("; the old one stays in use")
        shutil.copy(new / "server.key", tmp_path / "server.key")
        _wait_for(lambda: len(said) > 1)
        assert [f"web configuration {file}: read again"] == said[1:]
        assert (new / "server.crt").read_text().strip() in shown(server).strip()


def _wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---------------------------------------------------------------------------------------- scrapers


@pytest.mark.parametrize("word", ["0.6", "0.6, 0.7", "", "soon", "nan", "inf", "-3", "0.2", "1e400"])
def test_a_scraper_that_has_given_up(word: str, server: PageServer, holder: Holder) -> None:
    """A page goes on for as long as the scraper listens, less half a second; what is no time is ignored."""
    holder.put(Rendered(b"x" * 50_000_000, b""))
    with socket.create_connection(server.address) as scraper:
        scraper.settimeout(30)
        header = f"X-Prometheus-Scrape-Timeout-Seconds: {word}"
        scraper.sendall(f"GET /metrics HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode())
        assert b"H" == scraper.recv(1, socket.MSG_PEEK)
        if word == "0.6":
            _wait_for(lambda: server._server.connections == 0)
        got = 0
        try:
            while got < 50_000_000 and (piece := scraper.recv(1_000_000)):
                got += len(piece)
        except ConnectionResetError:
            assert word == "0.6"
        assert (got >= 50_000_000) == (word != "0.6")


@pytest.mark.prometheus
def test_prometheus_itself(certificates: Path, holder: Holder, tmp_path: Path) -> None:
    """Over TLS and with a password it scrapes OpenMetrics, and knows a counter as one."""
    require("prometheus")
    (certificates / "web.yml").write_text(TLS + USERS)
    holder.put(a_page())
    port = free_port()
    (tmp_path / "password").write_text(SECRET)
    with serving(holder, web=read(certificates / "web.yml")) as server:
        (tmp_path / "prometheus.yml").write_text(
            "scrape_configs: [{job_name: node, scheme: https, scrape_interval: 1s, scrape_timeout: 1s,\n"
            f"  tls_config: {{ca_file: {certificates}/ca.crt}},\n"
            f"  basic_auth: {{username: ana, password_file: {tmp_path}/password}},\n"
            f"  static_configs: [{{targets: ['{server.address}']}}]}}]\n"
        )
        with prometheus(tmp_path / "prometheus.yml", tmp_path / "data", port) as url:

            def value() -> list[str]:
                query = f"{url}/api/v1/query?query=opsd_gpu_energy_joules_total"
                with urllib.request.urlopen(query, timeout=30) as answer:
                    return [row["value"][1] for row in json.load(answer)["data"]["result"]]

            _wait_for(lambda: value() == ["12.5"])
            with urllib.request.urlopen(f"{url}/api/v1/targets/metadata", timeout=30) as answer:
                kinds = {row["metric"]: row["type"] for row in json.load(answer)["data"]}
    # Prometheus knows an OpenMetrics counter's family by its name without the ending.
    assert ("counter", "gauge") == (kinds["opsd_gpu_energy_joules"], kinds["opsd_page_timestamp_seconds"])


def test_what_is_not_configured_is_not_loaded() -> None:
    """A server on the loopback has no bcrypt or YAML in memory."""
    program = (
        "import sys\n"
        "from exporters.page import Page\n"
        "from exporters.serve import Address, Holder, PageServer\n"
        "server = PageServer(Address('127.0.0.1', 0), Holder(), title='t')\n"
        "server.start(); server.stop(); Page().render()\n"
        f"print(sorted({NOT_LOADED} & set(sys.modules)))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "[]\n" == ran.stdout
