"""A Prometheus at a size, and what every dashboard asks of it, timed.

Invariant: series are those that pages and rules give, with their labels; only their past is made up, of the
present and a little noise. Queries are asked as Grafana does: its step, its variables, everything chosen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from collectors.simulated_gpus import SimulatedGpus, jobs_of
from dashboards.promql import DAEMON, NODE
from dashboards.recording import RECORDED
from exporters.catalogue import BY_NAME
from exporters.gpu import add_gpus
from exporters.holders import add_holders
from exporters.page import Page
from opsd.core.holders import Evidence, Job, resolve
from tests.benchmarks.generate import CLUSTER
from tests.benchmarks.scale_site import GPUS, Size, account, node_names
from tests.stack.asked import Query, names, queries
from tests.stack.blocks import Blocks, shown
from tests.stack.past_rules import ask, levels, server

MINUTE, HOUR, DAY = 60, 3_600, 86_400
FINE = (
    "opsd_gpu_utilization_ratio", "opsd_gpu_sm_active_ratio", "opsd_gpu_tensor_active_ratio",
    "opsd_gpu_dram_active_ratio", "opsd_gpu_power_average_watts", "opsd_gpu_memory_used_bytes",
    "opsd_gpu_energy_joules_total", "opsd_gpu_temperature_celsius", "opsd_gpu_clock_hertz",
    "opsd_gpu_processes", "opsd_gpu_up", "opsd_gpu_job_info",
)  # fmt: skip
FINE_STEP, FINE_SECONDS = 30, 6 * HOUR
RULE_STEP = 300
RECENT_SECONDS = 6 * MINUTE  # of everything else: enough for rates over five minutes
_VARIANTS = 61
DAEMON_TARGET = {"job": DAEMON, "instance": "opsd.example:9750"}

Series = tuple[str, float]  # name with labels, and its value now
Progress = Callable[[str], None]


class Timed(NamedTuple):
    """What a query took, in seconds, the first time and then."""

    first: float
    again: float
    series: int


def fill(
    tsdb: Path, size: Size, at: int, daemon: str, boards: Sequence[Mapping[str, Any]], progress: Progress
) -> dict[str, float]:
    """Blocks of the time before `at`.

    Args:
        daemon: the daemon's page, as text.

    Returns:
        Seconds that each recording rule takes, and "samples".
    """
    every = [*_nodes(size, at), *_of_text(daemon)]
    lengths = drawn(boards)
    made = Blocks(tsdb)
    progress(f"{len(every):,} series of pages")
    _spread(made, every, lengths, at, progress)
    made.close()
    samples, seconds = made.samples, dict[str, float]()
    for place, level in enumerate(levels(RECORDED)):
        progress(f"recording rules, round {place + 1}: {len(level)}")
        made = Blocks(tsdb)
        with server(tsdb) as url:
            outputs = [(rule.name, *_evaluated(url, rule.expr, at)) for rule in level]
        for name, took, found in outputs:
            seconds[name] = took
            series = [(f"{name}{shown(labels)}", value) for labels, value in found]
            _spread(made, series, {name: lengths.get(name, HOUR)}, at, progress)
        made.close()
        samples += made.samples
    return seconds | {"samples": samples}


def drawn(boards: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Over how long a time each name is drawn, itself or by way of a rule that is not stored."""
    found: dict[str, int] = {}
    for query in queries(boards):
        if query.is_range:
            for name in re.findall(r"\bopsd[_:][\w:]+", query.expr):
                found[name] = max(found.get(name, 0), query.seconds)
    return found


def _spread(
    made: Blocks,
    series: Sequence[Series],
    lengths: Mapping[str, int],
    at: int,
    progress: Progress,
    step: int = RULE_STEP,
) -> None:
    """The past of series: moment after moment, each by its own length and step."""
    groups: dict[tuple[int, int], list[tuple[str, list[str]]]] = {}
    for place, (text, value) in enumerate(series):
        name = text.partition("{")[0]
        if name in FINE:
            when = FINE_SECONDS, FINE_STEP
        elif name.startswith("opsd_gpu_") or name not in lengths:
            when = RECENT_SECONDS, MINUTE
        else:
            when = lengths[name], step
        groups.setdefault(when, []).append((f"{text} ", _values(name, value, place)))
    moments = sorted({moment for length, pause in groups for moment in range(at - length, at + 1, pause)})
    shown_at = time.monotonic()
    for moment in moments:
        for (length, pause), lines in groups.items():
            if moment >= at - length and (moment - at + length) % pause == 0:
                turn = moment // pause % _VARIANTS
                made.add_lines([f"{head}{values[turn]} {moment}\n" for head, values in lines], moment)
        if time.monotonic() - shown_at > 20:
            shown_at = time.monotonic()
            progress(f"  {made.samples:,} samples")


_KEPT: dict[tuple[str, float], list[str]] = {}


def _values(name: str, value: float, place: int) -> list[str]:
    """What a series shows in turn. What is no measurement does not move."""
    if name.endswith(("_info", "_timestamp_seconds", "_up", "_count", "_code")) or not value:
        return [repr(value)] * _VARIANTS
    key = name, round(value, 3) if abs(value) < 1e6 else place % 50
    if key not in _KEPT:
        dice = Random(place)
        _KEPT[key] = [repr(round(value * (0.9 + 0.2 * dice.random()), 3)) for _ in range(_VARIANTS)]
    return _KEPT[key]


def _nodes(size: Size, at: int) -> Iterator[Series]:
    """Every agent's page: a job on each node, on nine in ten."""
    for place, node in enumerate(node_names(size)):
        whose = place % size.projects
        job = Job(
            str(8_000_000 + place // 2), account(whose), f"u{whose:03}", tuple(range(GPUS)), started=at - HOUR
        )
        jobs = [job] if place < size.nodes * 9 // 10 else []
        target = {"job": NODE, "instance": f"{node}:9751", "cluster": CLUSTER, "node": node}
        yield f"up{shown(target)}", 1.0
        yield from _of_page(_agent(place, jobs, at), target)


def _agent(place: int, jobs: list[Job], at: int) -> Page:
    moment = at - 60.0
    gpus = SimulatedGpus(
        GPUS,
        f"scale/{place}",
        clock=lambda: moment,
        holders=lambda: {it: job.job_id for job in jobs for it in job.minors},
    )
    gpus.collect()
    moment = float(at)
    snapshot, page = gpus.collect(), Page()
    add_gpus(page, snapshot)
    add_holders(page, resolve(jobs, snapshot.gpus, Evidence(job_of=jobs_of(jobs))))
    page.add("opsd_page_timestamp_seconds", at)
    page.add("opsd_node_collector_up", 1, collector="nvml")
    return page


def _of_page(page: Page, target: Mapping[str, str]) -> Iterator[Series]:
    for name, metric in BY_NAME.items():
        for key, value in page.series(name).items():
            labels = dict(target) | {it: text for it, text in zip(metric.labels, key, strict=True) if text}
            yield f"{name}{shown(labels)}", float(value)


def _of_text(page: str) -> Iterator[Series]:
    """The daemon's, with its target's labels."""
    target = shown(DAEMON_TARGET)
    yield f"up{target}", 1.0
    for line in page.splitlines():
        if not line.startswith("#"):
            text, _, value = line.rpartition(" ")
            name, brace, labels = text.partition("{")
            yield f"{name}{target[:-1]}," + labels if brace else f"{name}{target}", float(value)


def _evaluated(url: str, expr: str, at: int) -> tuple[float, list[tuple[dict[str, str], float]]]:
    began = time.perf_counter()
    found = ask(url, "query", query=expr, time=at)["result"]
    took = time.perf_counter() - began
    return took, [
        ({name: text for name, text in one["metric"].items() if name != "__name__"}, float(one["value"][1]))
        for one in found
    ]


# ---------------------------------------------------------------------------------------------- queries


def timed(url: str, boards: Iterable[Mapping[str, Any]], at: int) -> Iterator[tuple[Query, Timed]]:
    """Every query, asked twice."""
    for board in boards:
        chosen = variables(url, board, at)
        for query in queries([board]):
            yield query, _timed(url, query, chosen, at)


def _timed(url: str, query: Query, chosen: Mapping[str, str], at: int) -> Timed:
    step = step_of(query.seconds)
    times = {"__rate_interval": max(4 * 15, step + 15), "__interval": step, "__range": query.seconds}
    expr = filled(query.expr, {**chosen, **{name: f"{seconds}s" for name, seconds in times.items()}})
    path, when = "query", dict[str, object](time=at)
    if query.is_range:
        path, when = "query_range", {"start": at - query.seconds, "end": at, "step": step}
    taken, found = [], []
    for _ in range(2):
        began = time.perf_counter()
        found = ask(url, path, query=expr, **when)["result"]
        taken.append(time.perf_counter() - began)
    return Timed(taken[0], taken[1], len(found))


def step_of(seconds: int) -> int:
    """Grafana's, of a panel a thousand points wide, at a scrape each 15 seconds."""
    return max(15, seconds // 1_000 // 15 * 15)


def filled(expr: str, chosen: Mapping[str, str]) -> str:
    """A query with its variables put in."""

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return found[0] if name.isdigit() else chosen[name]  # $1 is label_replace's own

    return re.sub(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})", value, expr)


def variables(url: str, board: Mapping[str, Any], at: int) -> dict[str, str]:
    """Everything chosen; where only one can be, the first; in the order in which they need each other."""
    chosen: dict[str, str] = {}
    for variable in board["templating"]["list"]:
        if variable["type"] != "query":
            continue
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        assert asked, variable
        match = {"match[]": filled(asked[1], chosen), "start": at - HOUR, "end": at}
        found = ask(url, f"label/{asked[2]}/values", **match)
        escaped = (re.sub(r"([\\^$.|?*+()\[\]{}])", r"\\\\\1", text) for text in found)
        whole = variable.get("allValue") or "(" + "|".join(escaped) + ")"
        chosen[variable["name"]] = whole if variable.get("includeAll") else str(found[-1])
    return chosen


def unknown(boards: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names that neither the catalogue nor the rules have: nothing of them would be found."""
    return names(query.expr for query in queries(boards)) - BY_NAME.keys() - {it.name for it in RECORDED}
