"""One metrics page: samples in, bytes out.

Invariant: only what the catalogue lists can stand on a page, with exactly its labels; a family past its
ceiling loses series and says how many. Pages are rendered once per collection and served as bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from exporters import text
from exporters.catalogue import BY_NAME, METRICS

_GZIP_LEVEL = 3
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # with gzip's header, in which no time stands
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_END = b"# EOF\n"


class Rendered(NamedTuple):
    """A page as it goes over the wire; without OpenMetrics everybody gets the plain form."""

    plain: bytes
    gzipped: bytes
    openmetrics: bytes = b""
    openmetrics_gzipped: bytes = b""


class Page:
    """Samples of one moment, by family."""

    def __init__(self) -> None:
        self._series: dict[str, dict[tuple[str, ...], float]] = {}
        self._dropped: dict[str, int] = {}

    def add(self, name: str, value: float, /, **labels: str) -> None:
        """One sample; the same series again replaces it.

        Raises:
            KeyError: the catalogue has no such metric.
            ValueError: its labels are others.
        """
        metric = BY_NAME[name]
        if labels.keys() != set(metric.labels):
            raise ValueError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
        key = tuple(labels[label] for label in metric.labels)
        held = self._series.setdefault(name, {})
        if key not in held and len(held) >= metric.ceiling:
            self._dropped[name] = self._dropped.get(name, 0) + 1
            return
        held[key] = value

    def update(self, other: Page) -> None:
        """Add another page's samples."""
        for name, held in other._series.items():
            for key, value in held.items():
                self.add(name, value, **dict(zip(BY_NAME[name].labels, key, strict=True)))
        for name, count in other._dropped.items():
            self._dropped[name] = self._dropped.get(name, 0) + count

    def series(self, name: str) -> Mapping[tuple[str, ...], float]:
        """What stands under a name: label values, in the catalogue's order, to value."""
        return self._series.get(name, {})

    def render(self) -> Rendered:
        """Prometheus' text format 0.0.4 and OpenMetrics 1.0, families in the catalogue's order."""
        for name, count in self._dropped.items():
            self._series.setdefault("opsd_series_dropped", {})[(name,)] = count
        written = [text.family(BY_NAME[name], held) for name in _ORDER if (held := self._series.get(name))]
        return _rendered(
            "".join(family.plain + family.lines for family in written),
            "".join(family.openmetrics + family.lines for family in written),
        )


def _rendered(plain_text: str, open_text: str) -> Rendered:
    """What is not Unicode at all, which a name from outside may be, becomes a question mark."""
    plain, openmetrics = plain_text.encode(errors="replace"), open_text.encode(errors="replace")
    return Rendered(plain, _compressed(plain), openmetrics + _END, _compressed(openmetrics) + _END_GZIPPED)


def joined(pages: Iterable[Rendered]) -> Rendered:
    """Pages of different families on end; so are their compressed forms one (RFC 1952, section 2.2)."""
    pages = list(pages)
    plain, gzipped = b"".join(page.plain for page in pages), b"".join(page.gzipped for page in pages)
    if not all(page.openmetrics for page in pages):
        return Rendered(plain, gzipped)
    return Rendered(
        plain,
        gzipped,
        b"".join(page.openmetrics.removesuffix(_END) for page in pages) + _END,
        b"".join(page.openmetrics_gzipped.removesuffix(_END_GZIPPED) for page in pages) + _END_GZIPPED,
    )


def _compressed(plain: bytes) -> bytes:
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    return packer.compress(plain) + packer.flush()


_ORDER = tuple(metric.name for metric in METRICS)
_END_GZIPPED = _compressed(_END)
