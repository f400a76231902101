"""A daemon's cycle at a size: its steps, its page, and scrapes of it.

Invariant: the steps are the daemon's own, of its own table; the page is served by its own server.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from collectors.protocol import AccountingText
from exporters.catalogue import BY_NAME
from exporters.page import Rendered, joined
from exporters.serve import Holder, PageServer, parse_address
from opsd.daemon.steps import Work, named
from opsd.pipeline.sources import ClusterSources
from opsd.store.engine import Store
from tests.benchmarks.generate import CLUSTER
from tests.benchmarks.scale_site import Slurm

STEPS = ("rebuild", "balances", "slurm", "efficiency")
SCRAPES = 200


class _Proven:
    """An accounting that is read no more: its runs are in the database."""

    def prove(self) -> str:
        return CLUSTER

    def changed(self, start: int, end: int) -> AccountingText:
        raise NotImplementedError

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Cycle:
    """What was seen."""

    seconds: dict[str, float]  # by step, the second time: caches are as they are in a daemon
    page: Rendered
    series: dict[str, int]  # by family
    dropped: int

    @property
    def fullest(self) -> list[tuple[str, int, int]]:
        """The families nearest to their ceilings: name, series, ceiling."""
        several = [name for name, count in self.series.items() if count > 1]
        near = sorted(several, key=lambda name: -self.series[name] / BY_NAME[name].ceiling)
        return [(name, self.series[name], BY_NAME[name].ceiling) for name in near[:6]]


def cycle(store: Store, slurm: Slurm, at: int) -> Cycle:
    """Run the steps twice."""
    one = ClusterSources(_Proven(), open_present=lambda _name: slurm)
    seconds: dict[str, float] = {}
    pages: dict[str, Rendered] = {}
    for now in (at, at + 60):
        for step in named(STEPS):
            began = time.perf_counter()
            done = step.run(Work(store, [one], now, lambda: None))
            seconds[step.name] = time.perf_counter() - began
            if done.failed:
                raise RuntimeError(f"step {step.name}: {done.failed}")
            if done.page is not None:
                pages[step.name] = done.page
    page = joined(pages.values())
    series = counted(page.plain.decode())
    return Cycle(seconds, page, series, series.get("opsd_series_dropped", 0))


def counted(text: str) -> dict[str, int]:
    """Series of a page by family."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name = line.partition("{")[0].partition(" ")[0]
            found[name] = found.get(name, 0) + 1
    return found


def scraped(page: Rendered) -> tuple[float, float]:
    """p50 and p99 of scrapes over HTTP, gzipped, in seconds."""
    holder = Holder()
    holder.put(page)
    server = PageServer(parse_address("127.0.0.1:0"), holder, title="opsd", version="0")
    server.start()
    try:
        taken = [_scrape(f"{server.url.rstrip('/')}/metrics") for _ in range(SCRAPES)]
    finally:
        server.stop()
    cuts = quantiles(taken, n=100)
    return cuts[49], cuts[98]


def _scrape(url: str) -> float:
    began = time.perf_counter()
    asked = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        answer.read()
    return time.perf_counter() - began
