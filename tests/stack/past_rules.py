"""What Prometheus would have kept of the recording rules in the past.

Invariant: Prometheus itself computes them from the same expressions, by range queries over the raw blocks;
what a rule needs of another is there before it is asked.
"""

from __future__ import annotations

import json
import re
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dashboards.recording import RECORDED, Recorded
from tests.stack import programs
from tests.stack.blocks import BLOCK_SECONDS, Blocks

DAY, STEP = 86_400, 300  # rules are evaluated every five minutes; each block ends at such a moment
KEPT = "--storage.tsdb.retention.time=10y"
_PATIENT = ("--query.timeout=10m", "--query.max-samples=200000000")

Sample = tuple[dict[str, str], int, float]
Span = tuple[int, int, int]  # [first, last), and the step of the raw samples in it


def record(
    tsdb: Path,
    spans: Sequence[Span],
    progress: Callable[[str], None],
    long: Collection[str],
    rules: Sequence[Recorded] = RECORDED,
) -> int:
    """Add the rules' blocks to raw ones; how many samples.

    Args:
        long: the names that are computed from the beginning; the others are for the last day.
    """
    count, day = 0, spans[-1][1] - DAY
    day += -day % STEP
    for place, level in enumerate(levels(rules)):
        progress(f"history: recording rules, round {place + 1}: {len(level)}")
        made = Blocks(tsdb)
        for span in spans:
            with server(tsdb, lookback=span[2] - 1) as url:
                for first, last in pieces(span):
                    for rule in level:
                        begin = first if rule.name in long else max(first, day)
                        for labels, at, value in ranged(url, rule.expr, begin, last):
                            made.add(rule.name, labels, value, at)
        made.close()
        count += made.samples
    return count


def levels(rules: Sequence[Recorded]) -> list[list[Recorded]]:
    """Rules that need none of the others first, then those that need these, and so on."""
    depth: dict[str, int] = {}
    for rule in rules:  # a rule names rows above it alone
        needs = [depth[name] for name in re.findall(r"\bopsd:[\w:]+", rule.expr)]
        depth[rule.name] = 1 + max(needs, default=-1)
    found: list[list[Recorded]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for rule in rules:
        found[depth[rule.name]].append(rule)
    return found


def pieces(span: Span) -> Iterator[tuple[int, int]]:
    """When rules are evaluated in a span, cut where a block ends: blocks are made one after the other."""
    begin, last, _ = span
    begin += -begin % STEP
    while begin < last:
        end = min(last, (begin // BLOCK_SECONDS + 1) * BLOCK_SECONDS)
        yield begin, end
        begin = end


def ranged(url: str, expr: str, first: int, last: int) -> Iterator[tuple[dict[str, str], int, str]]:
    """Samples of an expression in [first, last)."""
    if first >= last:
        return
    for series in ask(url, "query_range", query=expr, start=first, end=last - 1, step=STEP)["result"]:
        labels = {name: text for name, text in series["metric"].items() if name != "__name__"}
        for at, value in series["values"]:
            yield labels, int(at), float(value)


def ask(url: str, path: str, **query: object) -> Any:
    """The data of an answer of Prometheus' API."""
    asked = urllib.parse.urlencode(query)
    is_long = path.startswith("query")  # only there a body is taken, and only there it may be needed
    address = f"{url}/api/v1/{path}" if is_long else f"{url}/api/v1/{path}?{asked}"
    try:
        with urllib.request.urlopen(address, asked.encode() if is_long else None, timeout=600) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as err:
        raise RuntimeError(f"{path} {query}: {err.read().decode(errors='replace')}") from err


@contextmanager
def server(tsdb: Path, *, lookback: int = STEP) -> Iterator[str]:
    """A Prometheus that scrapes nothing.

    Args:
        lookback: how many seconds a sample stands for. A block made of text has no marks where series end, so
            that in any longer time a job that is over would hold its GPU beside the next one.
    """
    with tempfile.TemporaryDirectory(prefix="opsd-rules-") as scratch:
        config = Path(scratch) / "nothing.yml"
        config.write_text("scrape_configs: []\n", encoding="utf-8")
        options = (KEPT, *_PATIENT, f"--query.lookback-delta={lookback}s")
        log = Path(scratch) / "tsdb"  # its log lies beside what it is told is its folder
        log.symlink_to(tsdb.absolute())
        with programs.prometheus(config, log, programs.free_port(), *options) as url:
            yield url
