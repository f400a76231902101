"""One metrics page: samples in, bytes out.

Invariant: only what the catalogue lists can stand on a page, with exactly its labels; a family past its
ceiling loses series and says how many. Pages are rendered once per collection and served as bytes.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from exporters.catalogue import BY_NAME, METRICS

_GZIP_LEVEL = 3
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Rendered(NamedTuple):
    """A page as it goes over the wire."""

    plain: bytes
    gzipped: bytes


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

    def collect(self) -> list[Metric]:
        """Families in the catalogue's order, as prometheus-client wants them."""
        for name, count in self._dropped.items():
            self._series.setdefault("opsd_series_dropped", {})[(name,)] = count
        return [_family(name, held) for name in _ORDER if (held := self._series.get(name))]

    def render(self) -> Rendered:
        """Prometheus' text format 0.0.4."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Ready(self.collect()))
        plain = generate_latest(registry)
        return Rendered(plain, gzip.compress(plain, _GZIP_LEVEL, mtime=0))


_ORDER = tuple(metric.name for metric in METRICS)


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
        family.add_metric(key, value)
    return family
