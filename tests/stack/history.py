"""Thirty days of the demonstration, as Prometheus' own blocks: something to draw dashboards from.

Run it:  python tests/stack/history.py FOLDER   then   prometheus --storage.tsdb.path=FOLDER/tsdb …
Invariant: the past is that of the demonstration which goes on from there: the same jobs on the same GPUs, the
same accounts, under the labels of the same targets, so that a graph goes on and nothing is there twice.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).parents[2]))  # started as a program: `tests` is beside `opsd`

from collectors.simulated.live import LiveFactory
from collectors.simulated.text import CLUSTER
from dashboards.alerts import ALERTS
from dashboards.build import boards
from dashboards.promql import DAEMON, NODE
from exporters.catalogue import BY_NAME
from exporters.page import Page
from opsd.cli import live_demo
from opsd.pipeline import demo
from opsd.store.engine import open_engine, sqlite_address
from opsd.store.waits import of_started
from tests.stack.asked import Asked, asked
from tests.stack.blocks import Blocks, Labels
from tests.stack.past_daemon import PastFigures, PastSteps
from tests.stack.past_nodes import PastNode, troubles
from tests.stack.past_rules import record
from tests.stack.past_slurm import PastSlurm

DAY, HOUR = 86_400, 3_600
DAYS, STEP = 30, 300
FINE_HOURS, FINE_STEP = 6, 30  # the last hours are finer: rates over minutes are drawn there
SEED = 1
PROGRESS_SECONDS = 5

Progress = Callable[[str], None]


class Source(Protocol):
    """A page of the past."""

    def page(self, at: int, names: Collection[str]) -> Page:
        """It at a moment, at least with these metrics."""


Span = tuple[int, int, int]  # [first, last) and the step in it
Target = tuple[Labels, Sequence[Source]]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One that lives: where it is, and when it began."""

    folder: Path
    start: int
    seed: int = SEED

    @property
    def daemon(self) -> str:
        """Where its daemon answers."""
        (target,) = self.targets("daemon", DAEMON)
        return f"http://{target['instance']}"

    def targets(self, name: str, job: str) -> list[dict[str, str]]:
        """The labels that Prometheus gives to each of its targets."""
        found = json.loads((self.folder / demo.TARGETS / f"{name}.json").read_text(encoding="utf-8"))
        return [
            {"job": job, "instance": address, **target["labels"]}
            for target in found
            for address in target["targets"]
        ]


def fill(
    tsdb: Path,
    told: Demonstration,
    days: float = DAYS,
    progress: Progress = print,
    clock: Callable[[], float] = time.time,
) -> int:
    """Write the blocks of the time before a living demonstration is looked at; how many samples."""
    begin = told.start - int(days * DAY)
    begin -= begin % STEP
    wanted = asked(boards().values(), [it.expr for it in ALERTS])
    progress(f"history: {days:g} days of {len(wanted.long)} names, a day of {len(wanted.short)} more")
    made, spans = Blocks(tsdb), _spans(begin, told.start)
    with _pages(told, begin, progress) as (daemon, factory):
        _write(made, spans, daemon, _nodes(told, factory, told.start), wanted, progress)
        unseen = (told.start + -told.start % FINE_STEP, int(clock()), FINE_STEP)  # it lives, and nobody asks
        if unseen[0] < unseen[1]:
            _write(made, [unseen], daemon, _nodes(told, factory, unseen[1]), wanted, progress)
    progress(f"history: {made.samples:,} samples; making blocks")
    made.close()
    return made.samples + record(tsdb, [*spans, unseen], progress, wanted.long)


def _write(
    made: Blocks,
    spans: Sequence[Span],
    daemon: Sequence[Target],
    nodes: Sequence[Target],
    wanted: Asked,
    progress: Progress,
) -> None:
    """Moment after moment; what is asked for now alone only of the last day."""
    lasting = [name for name in BY_NAME if name in wanted.long]
    everything = [name for name in BY_NAME if name in wanted.long | wanted.short]
    shown, (begin, _, _), (_, end, _) = time.monotonic(), spans[0], spans[-1]
    for at in (at for span in spans for at in range(*span)):
        names = everything if at >= end - DAY else lasting
        for target, sources in [*(daemon if at % STEP == 0 else ()), *nodes]:
            for source in sources:
                made.add_page(source.page(at, names), target, at, names)
            for name, value in SCRAPE.items():
                made.add(name, target, value, at)
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            progress(f"history: {(at - begin) / (end - begin):4.0%}, {made.samples:,} samples")


# What Prometheus says itself of each scrape.
SCRAPE = {"up": 1.0, "scrape_duration_seconds": 0.004, "scrape_samples_scraped": 620.0}


def _spans(begin: int, end: int) -> list[Span]:
    """The last hours are finer."""
    fine = max(begin, end - FINE_HOURS * HOUR)
    fine += -fine % STEP
    return [(begin, fine, STEP), (fine, end, FINE_STEP)]


@contextmanager
def _pages(told: Demonstration, begin: int, progress: Progress) -> Iterator[tuple[list[Target], LiveFactory]]:
    """The daemon as it was, and the factory."""
    progress("history: the factory and balances of past days")
    factory = LiveFactory(told.start, told.seed)
    store = open_engine(sqlite_address(told.folder / demo.DATABASE))
    try:
        with store.read() as connection:
            slurm = PastSlurm(
                factory, told.start, told.seed, begin, lambda span: of_started(connection, CLUSTER, span)
            )
            daemon = PastFigures(store, begin, told.start), PastSteps(told.start), slurm
            yield [(it, daemon) for it in told.targets("daemon", DAEMON)], factory
    finally:
        store.close()


def _nodes(told: Demonstration, factory: LiveFactory, until: int) -> list[Target]:
    """The nodes' agents up to a moment."""
    targets = told.targets("nodes", NODE)
    names = [target["node"] for target in targets]
    holdings = factory.past(until, names, told.start - live_demo.MEASURED_DAYS * DAY)
    found = troubles(told.start, names, holdings)
    return [
        (
            target,
            [PastNode(
                [it for it in holdings if it.node == target["node"]], live_demo.GPUS, f"{told.seed}/{place}",
                [it for it in found if it.place == place],
            )],
        )
        for place, target in enumerate(targets)
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Let a demonstration live for as long as its past is being written."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="gets tsdb/ and demo/")
    parser.add_argument("--days", type=float, default=DAYS, help=f"(default: {DAYS})")
    args = parser.parse_args(arguments)
    args.folder.mkdir(parents=True, exist_ok=True)
    folder, start = (args.folder / "demo").absolute(), int(time.time())
    asked = argparse.Namespace(
        db=sqlite_address(folder / demo.DATABASE), config=None, port=0, seed=SEED, dir=str(folder)
    )
    clock = live_demo.clock_from(start)
    with live_demo.living(asked, folder, clock, print):
        told, began = Demonstration(folder, start), time.monotonic()
        wait_for_page(told.daemon, "opsd_balances_as_of_timestamp_seconds")
        count = fill(args.folder / "tsdb", told, args.days)
        print(f"{count:,} samples in {time.monotonic() - began:.0f} s")
    return 0


def wait_for_page(daemon: str, name: str, seconds: float = 120) -> None:
    """Until the daemon shows a metric.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{daemon.rstrip('/')}/metrics", timeout=10) as answer:
            if f"\n{name}" in answer.read().decode():
                return
        time.sleep(0.5)
    raise TimeoutError(f"{daemon}: no {name} within {seconds:g} s")


if __name__ == "__main__":
    raise SystemExit(main())
