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
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from dashboards.recording import RECORDED, Recorded
from tests.stack import programs
from tests.stack.blocks import BLOCK_SECONDS, Blocks

DAY = 86_400
KEPT = "--storage.tsdb.retention.time=10y"
_PATIENT = ("--query.timeout=10m", "--query.max-samples=200000000")

Sample = tuple[dict[str, str], int, float]
Spans = Sequence[tuple[int, int, int]]


def record(
    tsdb: Path,
    spans: Spans,
    progress: Callable[[str], None],
    long: Collection[str],
    rules: Sequence[Recorded] = RECORDED,
) -> int:
    """Add the rules' blocks to raw ones; how many samples.

    Args:
        long: the names that are computed from the beginning; the others are for the last day.
    """
    count, day = 0, spans[-1][1] - DAY
    for place, level in enumerate(levels(rules)):
        progress(f"history: recording rules, round {place + 1}: {len(level)}")
        made = Blocks(tsdb)
        with tempfile.TemporaryDirectory(prefix="opsd-rules-") as scratch, server(tsdb, Path(scratch)) as url:
            for first, last, step in pieces(spans):
                for rule in level:
                    begin = first if rule.name in long else max(first, day + -(day - first) % step)
                    for labels, at, value in ranged(url, rule.expr, begin, last, step):
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


def pieces(spans: Spans) -> Iterator[tuple[int, int, int]]:
    """Spans cut where a block ends, so that blocks can be made one after the other."""
    for first, last, step in spans:
        begin = first
        while begin < last:
            end = min(last, (begin // BLOCK_SECONDS + 1) * BLOCK_SECONDS)
            yield begin, end, step
            begin = end + (first - end) % step


def ranged(
    url: str, expr: str, first: int, last: int, step: int
) -> Iterator[tuple[dict[str, str], int, str]]:
    """Samples of an expression in [first, last)."""
    if first >= last:
        return
    for series in ask(url, "query_range", query=expr, start=first, end=last - 1, step=step)["result"]:
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


def server(tsdb: Path, scratch: Path) -> AbstractContextManager[str]:
    """A Prometheus that scrapes nothing."""
    config = scratch / "nothing.yml"
    config.write_text("scrape_configs: []\n", encoding="utf-8")
    return programs.prometheus(config, tsdb, programs.free_port(), KEPT, *_PATIENT)
