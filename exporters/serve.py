"""Serving a rendered page over HTTP.

Invariant: a request never waits for NVML, Slurm, SQL or a lock that they hold: it gets the bytes that were
last rendered. Off the loopback nobody is answered without TLS and a proof of who asks, and on it no
browser that was led here under a strange name.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from exporters.http_server import TEXT, Answer, HttpServer, Request
from exporters.negotiation import takes_gzip, takes_openmetrics
from exporters.page import CONTENT_TYPE, OPENMETRICS, Rendered
from opsd.core.errors import BadInput, Refused

if TYPE_CHECKING:
    from exporters.web_config import Web

__all__ = ["Address", "Answer", "Holder", "PageServer", "Request", "parse_address", "require_loopback"]

Route = Callable[[Request], Answer]
_METHODS = ("GET", "HEAD")
_TIMEOUT = "x-prometheus-scrape-timeout-seconds"
_MARGIN_SECONDS = 0.5  # Prometheus' own for the way there and back
_VARY = (("Vary", "Accept, Accept-Encoding"),)
_HEADERS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "deny", "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}  # fmt: skip


class Address(NamedTuple):
    """Where something listens. Port 0: the system chooses."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return _names_loopback(self.host)


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
    if not address.is_loopback:
        raise Refused(
            f"{option} {address}: not on the loopback: give a web configuration with TLS and with client "
            "certificates or passwords (docs/install.md), or listen on 127.0.0.1"
        )


class Holder:
    """The last rendered page; swapping it is one assignment, so no reader ever waits."""

    def __init__(self, stale: Callable[[], str] = lambda: "") -> None:
        """`stale` says in words why the page is too old to be shown (empty: it is not); it must not wait."""
        self._now: tuple[Rendered | None, str] = (None, "nothing collected yet")
        self._stale = stale

    def put(self, page: Rendered) -> None:
        """What is served from now on."""
        self._now = (page, "")

    def withhold(self, reason: str) -> None:
        """Nothing is served until the next `put`; who asks is told why, with status 503."""
        self._now = (None, reason)

    def get(self) -> Rendered | None:
        """What is served now; None before the first, and while it is withheld or stale."""
        return self.look()[0]

    def look(self) -> tuple[Rendered | None, str]:
        """What is served now, or why there is nothing."""
        stale = self._stale()
        return (None, stale) if stale else self._now


class PageServer:
    """Serves `/metrics`, `/healthz`, a landing page and routes of its owner, in threads of its own."""

    def __init__(
        self,
        address: Address,
        holder: Holder,
        *,
        title: str,
        version: str = "",
        healthy: Callable[[], bool] = lambda: True,
        web: Web | None = None,
        routes: Mapping[str, Route] | None = None,
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Binds at once.

        Args:
            address: where to listen.
            holder: what `/metrics` shows.
            title: of the landing page.
            version: of the program, for the landing page.
            healthy: answers `/healthz`; must not wait for anything.
            web: TLS, passwords and headers (`exporters.web_config`).
            routes: what is at other paths: GET and HEAD of who may see the page; must not wait for anything.
            say: told when a changed web configuration is taken over, or cannot be.

        Raises:
            BadInput: the address cannot be had.
            Refused: it is not on the loopback, and anybody could look.
        """
        self._address, self._holder, self._healthy, self._say = address, holder, healthy, say
        self._routes: dict[str, Route] = {
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/": _landing(title, version, sorted(routes or ())),
            **(routes or {}),
        }
        self._require_guard(web)
        self._web = web
        try:
            self._server = HttpServer(
                (address.host, address.port),
                self._answer,
                wrap=self._wrap,
                admit=self._admit,
                tick=self._refresh,
            )
        except OSError as err:
            raise BadInput(f"{address} cannot be listened on: {err.strerror}: choose another port") from err
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)

    @property
    def address(self) -> Address:
        """Where it really listens."""
        host, port = self._server.server_address[:2]
        return Address(str(host), int(port))

    @property
    def url(self) -> str:
        """Its root."""
        return f"{'https' if self._web and self._web.tls else 'http'}://{self.address}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; requests under way are not waited for."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def reload(self) -> None:
        """Read the web configuration and its certificates again; connections that are open stay.

        Raises:
            BadInput, Refused: it cannot be used any more; the old one stays.
        """
        if self._web is not None:
            again = self._web.again()
            self._require_guard(again)
            if (again.tls is None) != (self._web.tls is None):
                raise Refused(f"web configuration {again.path}: TLS comes or goes with a restart only")
            self._web = again

    def _require_guard(self, web: Web | None) -> None:
        if web is None or not web.tls or not web.knows_clients:
            require_loopback(self._address)

    # ---- a connection

    def _wrap(self, connection: socket.socket) -> socket.socket:
        return self._web.wrap(connection) if self._web else connection

    def _admit(self, connection: socket.socket) -> bool:
        return self._web is None or self._web.admits(connection)

    def _refresh(self) -> None:
        """Certificates that were renewed are taken over within a minute, also without a signal."""
        web = self._web
        if web is None or not web.is_changed():
            return
        try:
            self.reload()
        except Exception as err:  # noqa: BLE001 (the thread that takes clients in must not end)
            known = isinstance(err, BadInput | Refused)
            trouble = str(err) if known else f"web configuration {web.path}: {type(err).__name__}: {err}"
            if web.complain(trouble):
                self._say(f"{trouble}; the old one stays in use")
        else:
            self._say(f"web configuration {web.path}: read again")

    # ---- a request

    def _answer(self, request: Request) -> Answer:
        web = self._web
        answer = (web.refusal(request) if web else None) or self._routed(request, web)
        own = web.headers if web else {}
        fixed = tuple({**_HEADERS, **own}.items())
        return answer._replace(headers=answer.headers + fixed, seconds=_patience(request))

    def _routed(self, request: Request, web: Web | None) -> Answer:
        if request.method not in _METHODS:
            words = b"only GET and HEAD are answered\n"
            return Answer(405, TEXT, words, headers=(("Allow", ", ".join(_METHODS)),))
        if not (web and web.knows_clients) and not self._is_ours(request.headers.get("host")):
            return Answer(403, TEXT, b"ask for localhost or 127.0.0.1: this page is for this machine\n")
        route = self._routes.get(request.path)
        if route is None:
            return Answer(404, TEXT, f"not found: try {', '.join(self._routes)}\n".encode())
        return route(request)

    def _is_ours(self, host: str | None) -> bool:
        """Whether a Host header names this machine; the port may be that of a tunnel.

        A page of a stranger whose name was made to point here (DNS rebinding) carries its own name.
        Without the header it is no browser.
        """
        if host is None:
            return True
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        return _names_loopback(name) or name.lower() == self._address.host.lower()

    def _metrics(self, request: Request) -> Answer:
        page, reason = self._holder.look()
        if page is None:
            return Answer(503, TEXT, f"{reason}\n".encode())
        is_open = bool(page.openmetrics) and takes_openmetrics(request.headers.get("accept", ""))
        kind = OPENMETRICS if is_open else CONTENT_TYPE
        if takes_gzip(request.headers.get("accept-encoding", "")):
            body = page.openmetrics_gzipped if is_open else page.gzipped
            return Answer(200, kind, body, "gzip", _VARY)
        return Answer(200, kind, page.openmetrics if is_open else page.plain, headers=_VARY)

    def _health(self, _request: Request) -> Answer:
        return Answer(200, TEXT, b"ok\n") if self._healthy() else Answer(503, TEXT, b"not well\n")


def _names_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _patience(request: Request) -> float | None:
    """For how long the scraper still listens, by its own word; what is no such word is ignored."""
    try:
        seconds = float(request.headers.get(_TIMEOUT, "")) - _MARGIN_SECONDS
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None


def _landing(title: str, version: str, routes: list[str]) -> Route:
    known = {
        "/metrics": "metrics, as Prometheus' text or OpenMetrics",
        "/healthz": "200 while it is well, else 503",
    }
    rows = "".join(
        f'<li><a href="{_escaped(path)}">{_escaped(path)}</a>: {_escaped(known.get(path, "JSON"))}</li>'
        for path in (*known, *routes)
    )
    name = _escaped(f"{title} {version}".rstrip())
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f"<h1>{name}</h1><ul>{rows}</ul></html>\n"
    ).encode()
    return lambda _request: Answer(200, "text/html; charset=utf-8", body)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
