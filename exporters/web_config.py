"""TLS, passwords and headers of metrics pages, from a file in the form of Prometheus' own web configuration.

Invariant: anything in the file that is not known is refused, never ignored: a password that nobody checks
would be worse than none.

Source: the exporter toolkit's documentation of web configuration files.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exporters.http_server import TEXT, Answer, Request
from opsd.core.errors import BadInput
from opsd.core.names import nearest

if TYPE_CHECKING:
    import socket

    from exporters.passwords import Passwords
    from exporters.tls import Tls

_SECTIONS = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_LOOK_SECONDS = 60
_MOST_BURST = 1_000_000
_MOST_INTERVAL = 86_400
_UNAUTHORIZED = Answer(
    401, TEXT, b"a user and a password, please\n",
    headers=(("WWW-Authenticate", 'Basic realm="opsd", charset="UTF-8"'),),
)  # fmt: skip
_BUSY = Answer(503, TEXT, b"too many passwords to check: come back\n", headers=(("Retry-After", "1"),))
_TOO_MANY = Answer(429, TEXT, b"more requests than rate_limit allows\n")

Stamp = tuple[int, int, int]


class Limiter:
    """Requests as they may come: `burst` at once, then one per interval."""

    def __init__(self, interval: float, burst: int) -> None:
        self._interval, self._burst = interval, burst
        self._left = float(burst)
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def allows(self) -> bool:
        """Whether one more is within bounds."""
        with self._lock:
            now = time.monotonic()
            self._left = min(self._burst, self._left + (now - self._looked) / self._interval)
            self._looked = now
            is_allowed = self._left >= 1
            self._left -= is_allowed
            return is_allowed


@dataclass(slots=True, eq=False)
class Web:
    """A web configuration as it was read."""

    path: Path
    tls: Tls | None
    passwords: Passwords | None
    limiter: Limiter | None
    headers: Mapping[str, str]
    stamps: Mapping[Path, Stamp | None]
    _looked: float = field(default_factory=time.monotonic)
    _complaint: str = ""

    @property
    def knows_clients(self) -> bool:
        """Whether nobody is answered without a certificate or a password."""
        return self.passwords is not None or (self.tls is not None and self.tls.knows_clients)

    def wrap(self, connection: socket.socket) -> socket.socket:
        """TLS around a connection, where there is any."""
        return self.tls.wrap(connection) if self.tls else connection

    def admits(self, connection: socket.socket) -> bool:
        """Whether a client may go on after its handshake."""
        return self.tls is None or self.tls.admits(connection)

    def refusal(self, request: Request) -> Answer | None:
        """Why a request is not answered; None: it may be."""
        if self.limiter and not self.limiter.allows():
            return _TOO_MANY
        if self.passwords is None:
            return None
        verdict = self.passwords.check(request.headers.get("authorization", "")).value
        return {"known": None, "busy": _BUSY}.get(verdict, _UNAUTHORIZED)

    def again(self) -> Web:
        """The same file, read anew."""
        return read(self.path)

    def is_changed(self) -> bool:
        """Whether one of its files is another one now; looks once a minute."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return False
        self._looked = now
        return any(stamp != _stamp(file) for file, stamp in self.stamps.items())

    def complain(self, trouble: str) -> bool:
        """Whether a trouble with reading it again is news."""
        is_news = trouble != self._complaint
        self._complaint = trouble
        return is_news


def read(path: Path) -> Web:
    """A web configuration; the paths in it are relative to the file.

    Raises:
        BadInput: it cannot be read, or asks for something that is not there.
    """
    stamps = {path: _stamp(path)}
    try:
        tree = _tree(path)
        section = _section(tree, "tls_server_config")
        names = [section[key] for key in ("cert_file", "key_file", "client_ca_file") if key in section]
        stamps |= {file: _stamp(file) for file in (path.parent / str(name) for name in names)}
        tls = _tls(section, path.parent) if section else None
        return Web(path, tls, _passwords(tree), _limiter(tree), _headers(tree), stamps)
    except BadInput as err:
        raise BadInput(f"web configuration {path}: {err}") from err


def _stamp(file: Path) -> Stamp | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML's would take the last without a word."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise BadInput(f"key {key!r}: must be text: put it in quotes")
        if key in found:
            raise BadInput(f"{key!r} stands twice")
        found[key] = loader.construct_object(value_node, deep=True)
    return found


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def _tree(path: Path) -> Mapping[str, Any]:
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 (a safe loader)
    except OSError as err:
        raise BadInput(f"{err.strerror}: check the path") from err
    except (yaml.YAMLError, ValueError, RecursionError) as err:  # such as the 99th day of a month
        raise BadInput(f"not YAML: {err}") from err
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise BadInput(f"needs sections: {', '.join(_SECTIONS)}")
    for key in tree:
        if key not in _SECTIONS:
            raise BadInput(
                f"unknown section {key!r}{nearest(key, _SECTIONS, 'known: ' + ', '.join(_SECTIONS))}"
            )
    return tree


def _section(tree: Mapping[str, Any], name: str, keys: tuple[str, ...] = ()) -> Mapping[str, Any]:
    section: Any = tree.get(name)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise BadInput(f"{name}: must be a section of keys and values")
    for key in section:
        if keys and key not in keys:
            raise BadInput(f"{name}: unknown key {key!r}{nearest(key, keys)}")
    return section


def _tls(section: Mapping[str, Any], folder: Path) -> Tls:
    from exporters import tls

    return tls.read(section, folder)


def _passwords(tree: Mapping[str, Any]) -> Passwords | None:
    users = _section(tree, "basic_auth_users")
    for user, text in users.items():
        if not isinstance(text, str) or ":" in user:
            raise BadInput(
                f"basic_auth_users: {user!r}: must be a name without a colon, and a hash of bcrypt"
            )
    if not users:
        return None
    from exporters.passwords import Passwords

    return Passwords(users)


def _headers(tree: Mapping[str, Any]) -> Mapping[str, str]:
    section = _section(tree, "http_server_config", ("http2", "headers"))
    if not isinstance(section.get("http2", True), bool):  # either way HTTP/1.1 is spoken, as every client can
        raise BadInput(f"http_server_config: http2 {section['http2']!r}: must be true or false")
    given = _section(section, "headers", tuple(_HEADERS))
    for name, value in given.items():
        allowed = _HEADERS[name]
        if not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]*", value):
            raise BadInput(f"header {name} {value!r}: must be one line of ASCII text")
        if allowed and value not in allowed:
            raise BadInput(f"header {name} {value!r}: write {' or '.join(allowed)}")
    return {name: value for name, value in given.items() if value}


def _limiter(tree: Mapping[str, Any]) -> Limiter | None:
    section = _section(tree, "rate_limit", ("interval", "burst"))
    interval, burst = _seconds(section.get("interval", 0)), section.get("burst", 0)
    if isinstance(burst, bool) or not isinstance(burst, int) or not 0 <= burst <= _MOST_BURST:
        raise BadInput(f"rate_limit: burst {burst!r}: must be a whole number up to {_MOST_BURST}")
    if interval and not burst:
        raise BadInput("rate_limit: with burst 0 nobody would ever be answered: write burst: 20")
    return Limiter(interval, burst) if interval else None


def _seconds(text: object) -> float:
    """A duration as Go writes it: `500ms`, `1m30s`, 0."""
    if text in (0, "0") and not isinstance(text, bool):
        return 0.0
    if not isinstance(text, str) or not re.fullmatch(f"(?:{_PART})+", text):
        raise BadInput(f"rate_limit: interval {text!r}: not a duration: write 1s, 500ms or 1m30s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    if seconds > _MOST_INTERVAL:
        raise BadInput(f"rate_limit: interval {text!r}: must be a day at most")
    return seconds
