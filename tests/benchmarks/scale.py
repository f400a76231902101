"""A daemon's cycle and every dashboard's queries at the size of a large machine: what they take.

Run it on a machine that does nothing else:  python -m tests.benchmarks.scale --write
Invariant: the figures that stand in docs/benchmarks.md are those of one run, with its size beside them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dashboards.build import boards
from tests.benchmarks import scale_daemon, scale_prometheus
from tests.benchmarks.import_rate import machine
from tests.benchmarks.scale_prometheus import Timed
from tests.benchmarks.scale_site import Size, Slurm, filled
from tests.stack.asked import Query
from tests.stack.past_rules import server

NUMBERS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
BEGIN = "<!-- scale: written by tests/benchmarks/scale.py --write -->"
END = "<!-- end of scale -->"
AIM_CYCLE_SECONDS, AIM_SCRAPE_SECONDS, AIM_QUERY_SECONDS, AIM_RULES_SECONDS = 10, 0.05, 2, 60
SHOWN = 12  # of the slowest


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, tell, and with --write put it into the documentation."""
    args = options(arguments)
    if missing := [it for it in ("promtool", "prometheus") if not shutil.which(it)]:
        print(f"make scale needs {' and '.join(missing)}: apt-get install prometheus", file=sys.stderr)
        return 1
    size, at = Size(args.nodes, args.queued, args.projects, args.runs), int(time.time()) // 300 * 300
    with tempfile.TemporaryDirectory(prefix="opsd-scale-", dir=args.folder) as folder:
        text = "\n".join(measured(Path(folder), size, at, only_daemon=args.only_daemon))
    print(text)
    if args.write:
        write(text)
    return 0


def options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    words = __doc__.partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=words)
    for name, default in (("nodes", 1_200), ("queued", 5_000), ("projects", 500), ("runs", 300_000)):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"(default: {default:,})")
    parser.add_argument("--folder", help="for some gigabytes of scratch files (default: the system's)")
    parser.add_argument("--only-daemon", action="store_true", help="without Prometheus")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    return parser.parse_args(arguments)


def measured(folder: Path, size: Size, at: int, *, only_daemon: bool) -> Iterator[str]:
    """The tables."""
    yield (
        f"{size.nodes:,} nodes, {size.gpus:,} GPUs, {size.queued:,} queued jobs, {size.projects:,} projects, "
        f"{size.runs:,} runs in the database. {machine()}"
    )
    say("a database with a year of runs")
    store = filled(folder, size, at)
    try:
        found = scale_daemon.cycle(store, Slurm(size, at), at)
    finally:
        store.close()
    yield from _of_daemon(found, scale_daemon.scraped(found.page))
    if not only_daemon:
        yield from _of_prometheus(folder, size, at, found.page.plain.decode())


def _of_daemon(found: scale_daemon.Cycle, scrapes: tuple[float, float]) -> Iterator[str]:
    whole = sum(found.seconds.values())
    steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.seconds.items())
    fullest = ", ".join(f"`{name}` {count:,} of {most:,}" for name, count, most in found.fullest)
    count = sum(found.series.values())
    yield from ("", "| of the daemon | seen | aim |", "| --- | --- | --- |")
    yield f"| a cycle: {steps} | {whole:.2f} s | {AIM_CYCLE_SECONDS} s |"
    plain, gzipped = (len(text) / 1e6 for text in (found.page.plain, found.page.gzipped))
    yield f"| its page | {plain:.2f} MB, {gzipped:.2f} MB gzipped | |"
    yield f"| series on it | {count:,}, {found.dropped:,} left out | none left out |"
    yield f"| families nearest to their ceilings | {fullest} | |"
    p50, p99, aim = map(_ms, (*scrapes, AIM_SCRAPE_SECONDS))
    yield f"| {scale_daemon.SCRAPES} scrapes, gzipped: p50, p99 | {p50}, {p99} | {aim} |"


def _of_prometheus(folder: Path, size: Size, at: int, page: str) -> Iterator[str]:
    built = list(boards().values())
    began = time.perf_counter()
    rules = scale_prometheus.fill(folder / "tsdb", size, at, page, built, say)
    samples, took = int(rules.pop("samples")), time.perf_counter() - began
    with server(folder / "tsdb") as url:
        say("every query, twice")
        asked = list(scale_prometheus.timed(url, built, at))
    for query, took in asked:  # all of them here; the slowest stand in the documentation
        say(f"{query.uid} {query.panel} {query.ref}: {took.first:.3f} s, again {took.again:.3f} s")
    yield from ("", f"{samples / 1e6:.1f} M samples, made into blocks in {took:.0f} s.")
    yield from ("", "| of Prometheus | seen | aim |", "| --- | --- | --- |")
    yield f"| all {len(rules)} recording rules, once | {sum(rules.values()):.2f} s | {AIM_RULES_SECONDS} s |"
    slow = [it for it in asked if it[1].first > AIM_QUERY_SECONDS]
    what = f"{len(asked)} queries of {len(built)} dashboards, of them over {AIM_QUERY_SECONDS} s"
    yield f"| {what} | {len(slow)} | 0 |"
    yield from _slowest(asked)
    yield from _slowest_rules(rules)


def _slowest(asked: Sequence[tuple[Query, Timed]]) -> Iterator[str]:
    yield from (
        "",
        "| the slowest queries | range | series | first s | again s |",
        "| --- | --- | --- | --- | --- |",
    )
    for query, took in sorted(asked, key=lambda it: -it[1].first)[:SHOWN]:
        over = f"{query.seconds // 3_600} h" if query.is_range else "now"
        where = f"{query.uid} {query.panel} {query.title}, {query.ref}"
        yield f"| {where} | {over} | {took.series:,} | {took.first:.2f} | {took.again:.2f} |"
    yield from ("", "| dashboard | queries | all first, s | all again, s |", "| --- | --- | --- | --- |")
    for uid in sorted({query.uid for query, _ in asked}):
        mine = [took for query, took in asked if query.uid == uid]
        first, again = sum(it.first for it in mine), sum(it.again for it in mine)
        yield f"| {uid} | {len(mine)} | {first:.2f} | {again:.2f} |"


def _slowest_rules(rules: Mapping[str, float]) -> Iterator[str]:
    yield from ("", "| the slowest recording rules | s |", "| --- | --- |")
    for name in sorted(rules, key=lambda name: -rules[name])[:SHOWN]:
        yield f"| `{name}` | {rules[name]:.2f} |"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def write(text: str) -> None:
    """Between the marks of the documentation."""
    before, _, rest = NUMBERS.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise SystemExit(f"{NUMBERS}: the marks {BEGIN} and {END} are not there")
    NUMBERS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
