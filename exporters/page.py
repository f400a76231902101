"""One metrics page: samples in, bytes out.

Invariant: only what the catalogue lists can stand on a page, with exactly its labels; a family past its
ceiling loses series and says how many. Pages are rendered once per collection and served as bytes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

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
        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            _Ready([_family(name, held) for name in _ORDER if (held := self._series.get(name))])
        )
        plain = generate_latest(registry)
        openmetrics = _HEAD.sub(_open_head, plain)
        return Rendered(
            plain, _compressed(plain), openmetrics + _END, _compressed(openmetrics) + _END_GZIPPED
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A collector that has its answer already."""

    families: list[Metric]

    def collect(self) -> list[Metric]:
        return self.families

    def describe(self) -> list[Metric]:
        return []


def _family(name: str, held: Mapping[tuple[str, ...], float]) -> Metric:
    metric = BY_NAME[name]
    family = (CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily)(
        name, metric.help, labels=metric.labels
    )
    for key, value in held.items():
        family.add_metric([_text(label) for label in key], value)
    return family


def _text(label: str) -> str:
    """What is not Unicode at all, which a name from outside may be, becomes a question mark."""
    return label if label.isascii() else label.encode(errors="replace").decode()


# The two formats differ in the lines above a family alone, so OpenMetrics is not rendered a second time:
# there a counter's family has no _total, and quotes in its help are escaped.
_HEAD = re.compile(rb"^# (HELP|TYPE) (\S+)(.*)$", re.MULTILINE)


def _open_head(found: re.Match[bytes]) -> bytes:
    name, words = found[2].removesuffix(b"_total"), found[3]
    return b"# " + found[1] + b" " + name + (words.replace(b'"', rb"\"") if found[1] == b"HELP" else words)


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
