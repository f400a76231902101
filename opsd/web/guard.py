"""What every request must be, and what every answer carries, whatever page it is.

Invariant: nothing but GET and HEAD from a browser that believes it talks to this host gets in, and no
answer goes out without the headers that keep a page to itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# A page may load its own style sheet and pictures: no script, no frame, nothing from elsewhere.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_METHODS = ("GET", "HEAD")


class Guard:
    """An application that is only reached by what may reach it."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']}: the portal speaks HTTP alone")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        if scope["method"] not in _METHODS:
            await _refuse(guarded, 405, b"only GET and HEAD are answered\n", (b"allow", b"GET, HEAD"))
        elif not is_ours(_host(scope)):
            await _refuse(guarded, 421, b"ask for localhost or 127.0.0.1: this page is for this machine\n")
        else:
            await self._app(scope, receive, guarded)


def _host(scope: Scope) -> str:
    """The one Host header; "" where there is none, or more than one."""
    found = [value for name, value in scope["headers"] if name == b"host"]
    return str(found[0].decode("latin-1")) if len(found) == 1 else ""


def is_ours(host: str) -> bool:
    """Whether a Host header names the loopback; the port may be that of a tunnel.

    A page of a stranger whose name was made to point here (DNS rebinding) carries its own name.
    """
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _refuse(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    fixed = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
