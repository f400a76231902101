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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # started as a program: `tests` is beside `opsd`

from collectors.simulated.live import LiveFactory
from dashboards.alerts import ALERTS
from dashboards.build import boards
from dashboards.promql import DAEMON, NODE
from dashboards.recording import RECORDED
from opsd.cli import live_demo
from opsd.pipeline import demo
from opsd.store.engine import open_engine, sqlite_address
from tests.stack.blocks import Blocks, Labels, wanted
from tests.stack.past_daemon import PastDaemon
from tests.stack.past_nodes import PastNode, troubles
from tests.stack.past_rules import record

DAY, HOUR = 86_400, 3_600
DAYS, STEP = 30, 300
FINE_HOURS, FINE_STEP = 6, 30  # the last hours are finer: rates over minutes are drawn there
SEED = 1

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One that lives: where it is, and when it began."""

    folder: Path
    start: int
    seed: int = SEED

    def targets(self, name: str, job: str) -> list[dict[str, str]]:
        """The labels that Prometheus gives to each of its targets."""
        found = json.loads((self.folder / demo.TARGETS / f"{name}.json").read_text(encoding="utf-8"))
        return [
            {"job": job, "instance": address, **target["labels"]}
            for target in found
            for address in target["targets"]
        ]


def fill(tsdb: Path, told: Demonstration, days: float = DAYS, progress: Progress = print) -> int:
    """Write the blocks of the time before a living demonstration; how many samples."""
    begin = told.start - int(days * DAY)
    begin -= begin % STEP
    names = used()
    progress(f"history: {days:g} days, {len(names)} of the catalogue's families")
    daemon, nodes = _daemon(told, begin, progress), _nodes(told)
    made = Blocks(tsdb, names)
    shown = time.monotonic()
    for at in times(begin, told.start):
        for target, source in [*daemon, *nodes]:
            made.add_page(source.page(at), target, at)
            for name, value in SCRAPE.items():
                made.add(name, target, value, at)
        if time.monotonic() - shown > 5:
            shown = time.monotonic()
            progress(f"history: {(at - begin) / (told.start - begin):4.0%}, {made.samples:,} samples")
    progress(f"history: {made.samples:,} samples; making blocks")
    made.close()
    return made.samples + record(tsdb, _spans(begin, told.start), progress)


# What Prometheus says itself of each scrape.
SCRAPE = {"up": 1.0, "scrape_duration_seconds": 0.004, "scrape_samples_scraped": 620.0}


def used() -> set[str]:
    """The metrics that dashboards, alerts and recording rules ask for."""
    texts = [json.dumps(board) for board in boards().values()]
    return wanted([*texts, *(it.expr for it in RECORDED), *(it.expr for it in ALERTS)])


def times(begin: int, end: int) -> Iterator[int]:
    """The moments of which there are samples."""
    for first, last, step in _spans(begin, end):
        yield from range(first, last, step)


def _spans(begin: int, end: int) -> list[tuple[int, int, int]]:
    """[first, last) and the step in it."""
    fine = max(begin, end - FINE_HOURS * HOUR)
    fine += -fine % STEP
    return [(begin, fine, STEP), (fine, end, FINE_STEP)]


def _daemon(told: Demonstration, begin: int, progress: Progress) -> list[tuple[Labels, PastDaemon]]:
    progress("history: balances of past days")
    store = open_engine(sqlite_address(told.folder / demo.DATABASE))
    try:
        past = PastDaemon(store, begin, told.start)
    finally:
        store.close()
    return [(target, past) for target in told.targets("daemon", DAEMON)]


def _nodes(told: Demonstration) -> list[tuple[Labels, PastNode]]:
    targets = told.targets("nodes", NODE)
    factory = LiveFactory(told.start, told.seed)
    names = [target["node"] for target in targets]
    holdings = factory.past(told.start, names, told.start - live_demo.MEASURED_DAYS * DAY)
    found = troubles(told.start, names, holdings)
    return [
        (
            target,
            PastNode(
                [it for it in holdings if it.node == target["node"]], live_demo.GPUS, f"{told.seed}/{place}",
                [it for it in found if it.place == place],
            ),
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
    with live_demo.living(asked, folder, clock, print) as started:
        wait_for_page(started.daemon, "opsd_balances_as_of_timestamp_seconds")
        began = time.monotonic()
        count = fill(args.folder / "tsdb", Demonstration(folder, start), args.days)
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
