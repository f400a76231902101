"""Requests and answers of HTTP/1.1, as far as pages need them: GET without a body, answers of known length.

Invariant: what could mean one thing here and another elsewhere is no request; bytes become a request, or
an answer that says why they are none, and nothing else.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl

MOST_FIELDS = 100
MOST_PARAMETERS = 50

TEXT = "text/plain; charset=utf-8"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])")
_NAME = re.compile(_TOKEN)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ONCE = ("host", "content-length", "transfer-encoding", "authorization")  # two of them would be a riddle


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


class Malformed(Exception):
    """A request that cannot be answered, with the answer that says why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.answer = Answer(status, TEXT, f"{why}\n".encode())


def parse(head: bytes) -> tuple[Request, bool]:
    """A request, and whether another may follow it.

    Raises:
        Malformed: it is none.
    """
    line, *rows = head.split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(line)
    if not found:
        raise Malformed(400, "not a request line of HTTP/1.1")
    method, target, major, minor = found.groups()
    if major != b"1":
        raise Malformed(505, "this server speaks HTTP/1.1")
    headers = _headers(rows)
    if minor != b"0" and "host" not in headers:
        raise Malformed(400, "a request of HTTP/1.1 needs one header Host")
    path, query = _target(target.decode("ascii"))
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    asks_to_close = "close" in headers.get("connection", "").lower()
    return (
        Request(method.decode("ascii"), path, query, headers),
        minor != b"0" and not has_body and not asks_to_close,
    )


def _headers(rows: list[bytes]) -> dict[str, str]:
    if len(rows) > MOST_FIELDS:
        raise Malformed(431, f"more than {MOST_FIELDS} headers")
    headers: dict[str, str] = {}
    for row in rows:
        key, colon, value = row.partition(b":")
        if not colon or not _NAME.fullmatch(key) or _CONTROL.search(value):
            raise Malformed(400, "not a header")
        name, text = key.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
        if name in headers and name in _ONCE:
            raise Malformed(400, f"two headers {name}")
        headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _target(target: str) -> tuple[str, Mapping[str, str]]:
    for scheme in ("http://", "https://"):  # as a proxy is asked
        if target.lower().startswith(scheme):
            target = "/" + target[len(scheme) :].partition("/")[2]
    if not target.startswith("/"):
        raise Malformed(400, "what is asked for begins with /")
    path, _, query = target.partition("?")
    try:
        return path, dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_PARAMETERS))
    except ValueError as err:
        raise Malformed(400, f"more than {MOST_PARAMETERS} parameters") from err


def head_of(answer: Answer, now: float | None, *, goes_on: bool) -> bytes:
    """All of an answer but its body. `now`: for the header Date; `goes_on`: whether the connection stays."""
    fields = [
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
        "Server: opsd",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
    ]
    if now is not None:
        fields.append(f"Date: {date(now)}")
    if answer.encoding:
        fields.append(f"Content-Encoding: {answer.encoding}")
    fields += [f"{name}: {value}" for name, value in answer.headers]
    if not goes_on:
        fields.append("Connection: close")
    return ("\r\n".join(fields) + "\r\n\r\n").encode("latin-1")


def date(seconds: float) -> str:
    """As HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`, whatever the locale."""
    at = time.gmtime(seconds)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year} "
        f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"
    )
