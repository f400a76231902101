"""What a client takes, by its headers Accept and Accept-Encoding.

Invariant: a client that does not ask for OpenMetrics or gzip by name, or asks in a way that cannot be read,
gets plain text in Prometheus' own format.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

_OPENMETRICS = "application/openmetrics-text"
_VERSIONS = ("", "1.0.0")  # no version: the client takes the newest


class _Choice(NamedTuple):
    name: str
    version: str
    quality: float


@lru_cache(maxsize=32)  # a scraper sends the same words every time
def takes_openmetrics(accept: str) -> bool:
    """Whether OpenMetrics 1.0 is named, and at least as welcome as plain text."""
    choices = list(_choices(accept))
    asked = [c.quality for c in choices if c.name == _OPENMETRICS and c.version in _VERSIONS]
    return bool(asked) and max(asked) > 0 and max(asked) >= _plain(choices)


@lru_cache(maxsize=32)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether gzip is named, or anything is welcome, and not with quality 0."""
    qualities = {choice.name: choice.quality for choice in _choices(accept_encoding)}
    return qualities.get("gzip", qualities.get("x-gzip", qualities.get("*", 0.0))) > 0


def _plain(choices: list[_Choice]) -> float:
    """How welcome plain text is: what names it best decides."""
    for name in ("text/plain", "text/*", "*/*"):
        found = [choice.quality for choice in choices if choice.name == name]
        if found:
            return max(found)
    return 0.0


def _choices(header: str) -> Iterator[_Choice]:
    for part in header.lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        given = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        try:
            quality = float(given.get("q", "1"))
        except ValueError:
            continue
        if name and 0 <= quality <= 1:
            yield _Choice(name, given.get("version", "").strip('"'), quality)
