"""How the agent's page compares with nvitop-exporter's, on the same GPUs, in one run.

Both programs run at once on one stand-in for NVIDIA's library (tests/fakes/nvml), collect once a second and
are scraped in turn, so that a busy machine hurts both; then one GPU hangs, then the driver as a whole, and
they are scraped again. Besides: an agent at its default interval left alone, and the cost of a collection
beside the same driver calls in a bare loop (floor.py).

    python tests/benchmarks/scrape.py [--scrapes N] [--gpus N] [--latency-us N] [--write]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fakes.nvml.build import FakeNvml, build  # noqa: E402

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- scrape: written by tests/benchmarks/scrape.py --write -->\n", "<!-- end of scrape -->"
HUNG = 3
SAMPLED = re.compile(r'^opsd_gpu_last_sample_timestamp_seconds\{gpu="(\d+)".*\} (\S+)$', re.MULTILINE)
HUNG_GPUS = re.compile(r'^opsd_gpu_hung\{gpu="(\d+)".*\} 1(?:\.0)?$', re.MULTILINE)
TICK = os.sysconf("SC_CLK_TCK")
FLOOR = Path(__file__).with_name("floor.py")
PEER_RATIO, PSS_MIB, CORE_PERCENT, HUNG_RATIO, MOST_INTERVALS = 1.0, 64.0, 0.5, 2.0, 2.0


COLUMNS = (
    "program",
    "GPUs",
    "p50 ms",
    "p99 ms",
    "series",
    "RSS MiB",
    "PSS MiB",
    "CPU per scrape ms",
    "CPU between scrapes %",
    "threads",
    "GPUs whose values move",
    "oldest value of a well GPU, intervals",
)
RATIOS = {"p50": "p50", "p99": "p99", "rss": "RSS", "pss": "PSS", "scrape_cpu_ms": "CPU per scrape"}


@dataclass
class Program:
    """One of the two, running."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    fresh: str  # a metric that moves, of a healthy GPU
    interval: float = 1.0
    start_seconds: float = 0.0
    oldest: float = 0.0  # seconds, of a value of a GPU that is not hung, in any page so far
    milliseconds: list[float] = field(default_factory=list)
    page: str = ""

    def scrape(self) -> None:
        """One scrape, as Prometheus makes it: a fresh connection costs both the same."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        self.page = answer.read().decode()
        connection.close()
        self.milliseconds.append((time.perf_counter() - started) * 1e3)
        assert answer.status == 200, answer.status
        self.oldest = max(self.oldest, self.age())

    def age(self) -> float:
        """How old the oldest value on the page is, of the GPUs that answer; 0 where nothing tells it."""
        sampled = re.findall(
            r'^opsd_gpu_last_sample_timestamp_seconds\{gpu="(\d+)".*\} (\S+)$', self.page, re.MULTILINE
        )
        hung = set(re.findall(r'^opsd_gpu_hung\{gpu="(\d+)".*\} 1\.0$', self.page, re.MULTILINE))
        return max((time.time() - float(at) for gpu, at in sampled if gpu not in hung), default=0.0)

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def memory_mib(self, what: str) -> float:
        """Rss or Pss."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        found = re.search(rf"^{what}:\s+(\d+) kB", text, re.MULTILINE)
        assert found
        return int(found[1]) / 1024

    def threads(self) -> int:
        """How many there are."""
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))

    def lines(self) -> list[str]:
        """Series on its last page."""
        return [line for line in self.page.splitlines() if line and not line.startswith("#")]

    def fresh_values(self) -> list[str]:
        """What the moving metric shows for all GPUs."""
        return [line for line in self.lines() if line.startswith(self.fresh)]


@dataclass(frozen=True)
class Row:
    """What was measured of one program in one state."""

    program: str
    state: str
    p50: float
    p99: float
    series: int
    rss: float
    pss: float
    idle_percent: float
    scrape_cpu_ms: float
    threads: int
    moving: int
    oldest: float


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(fake: FakeNvml, name: str, metric: str, words: list[str], interval: float) -> Iterator[Program]:
    """Start one on these GPUs, and stop it by its own id."""
    port = free_port()
    command = [sys.executable, *(word.replace("PORT", str(port)) for word in words)]
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=fake.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    program = Program(name, process, port, metric, interval)
    try:
        wait_for(program)
        program.start_seconds = time.monotonic() - started
        yield program
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def agent(jobs: Path, interval: str) -> list[str]:
    """The words that start opsd-node with all it can do."""
    return [
        *("-m", "opsd.node", "--web.listen-address=127.0.0.1:PORT", f"--interval={interval}"),
        *(f"--jobs.directory={jobs}", f"--spool.directory={jobs.parent / 'spool'}"),
    ]


PEER = ["-m", "nvitop_exporter", "--bind-address=127.0.0.1", "--port=PORT", "--interval=1"]


@contextlib.contextmanager
def both(fake: FakeNvml, jobs: Path) -> Iterator[list[Program]]:
    """Both programs on the same GPUs."""
    with (
        running(fake, "opsd-node", "opsd_gpu_energy_joules_total", agent(jobs, "1s"), 1.0) as ours,
        running(fake, "nvitop-exporter", "gpu_power_usage_W", PEER, 1.0) as theirs,
    ):
        yield [ours, theirs]


def wait_for(program: Program) -> None:
    """Until it shows its GPUs."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        assert program.process.poll() is None, f"{program.name} ended"
        with contextlib.suppress(OSError, AssertionError):
            program.scrape()
            if program.fresh_values():
                return
        time.sleep(0.1)
    raise AssertionError(f"{program.name} shows no GPUs")


def measure(programs: list[Program], state: str, scrapes: int) -> list[Row]:
    """Leave both alone for a while, then scrape them in turn."""
    before = [program.cpu_seconds() for program in programs]
    started = time.monotonic()
    time.sleep(10)
    passed = time.monotonic() - started
    idle = [(p.cpu_seconds() - b) / passed for p, b in zip(programs, before, strict=True)]
    for program in programs:
        program.scrape()
    seen = [program.fresh_values() for program in programs]
    before = [program.cpu_seconds() for program in programs]
    started = time.monotonic()
    for program in programs:
        program.milliseconds.clear()
        program.oldest = 0.0
    for _ in range(scrapes):
        for program in programs:
            program.scrape()
    passed = time.monotonic() - started
    rows = []
    for program, held, alone, earlier in zip(programs, before, idle, seen, strict=True):
        spent = program.cpu_seconds() - held - alone * passed
        times = sorted(program.milliseconds)
        rows.append(
            Row(
                program=program.name,
                state=state,
                p50=statistics.median(times),
                p99=times[int(len(times) * 0.99) - 1],
                series=len(program.lines()),
                rss=program.memory_mib("Rss"),
                pss=program.memory_mib("Pss"),
                idle_percent=alone * 100,
                scrape_cpu_ms=spent / scrapes * 1e3,
                threads=program.threads(),
                moving=len(set(program.fresh_values()) - set(earlier)),
                oldest=program.oldest / program.interval,
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """The rows, and how the two compare."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    lines += [
        f"| {row.program} | {row.state} | {row.p50:.2f} | {row.p99:.2f} | {row.series} | {row.rss:.1f} "
        f"| {row.pss:.1f} | {row.scrape_cpu_ms:.2f} | {row.idle_percent:.2f} | {row.threads} "
        f"| {row.moving} | {row.oldest:.1f} |"
        for row in rows
    ]
    lines.append("")
    for ours, theirs in zip(rows[::2], rows[1::2], strict=True):
        ratios = ", ".join(
            f"{what} {getattr(ours, name) / getattr(theirs, name):.2f}" for name, what in RATIOS.items()
        )
        lines += [f"{ours.state}, opsd-node's as a part of nvitop-exporter's: {ratios}.", ""]
    lines += [aim(*one) for one in aims(rows)]
    return "\n".join(lines)


def aims(rows: list[Row]) -> list[tuple[str, float, float]]:
    """What was aimed at, what was seen, and the limit."""
    ours = [row for row in rows if row.program == "opsd-node"]
    theirs = [row for row in rows if row.program != "opsd-node"]
    well, hung = ours[0], ours[1]
    p50s, p99s = (
        [getattr(a, p) / getattr(b, p) for a, b in zip(ours, theirs, strict=True)] for p in ("p50", "p99")
    )
    return [
        ("p50 of a scrape, as a part of nvitop-exporter's", max(p50s), PEER_RATIO),
        ("p99 of a scrape, as a part of nvitop-exporter's", max(p99s), PEER_RATIO),
        ("PSS of the agent's one process, MiB", max(row.pss for row in ours), PSS_MIB),
        ("p99 with a hung GPU, times that without", hung.p99 / well.p99, HUNG_RATIO),
        ("oldest value of the other GPUs, intervals", hung.oldest, MOST_INTERVALS),
    ]


def alone(fake: FakeNvml, jobs: Path) -> list[str]:
    """An agent at its default interval that nobody asks: what it costs, and how soon it is there."""
    words = agent(jobs, "5s")
    with running(fake, "opsd-node", "opsd_gpu_energy_joules_total", words, 5.0) as program:
        time.sleep(1)
        before, started = program.cpu_seconds(), time.monotonic()
        time.sleep(60)
        percent = 100 * (program.cpu_seconds() - before) / (time.monotonic() - started)
        series = len(program.lines())
        start_seconds = program.start_seconds
    with running(fake, "nvitop-exporter", "gpu_power_usage_W", PEER, 1.0) as peer:
        peer_seconds = peer.start_seconds
    return [
        (
            f"At its default interval of 5 s, with {series} series: from start to the first page "
            f"{start_seconds:.2f} s"
            f" (nvitop-exporter {peer_seconds:.2f} s)."
        ),
        "",
        f"CPU over a minute of that: {percent:.2f} % of a core, what the stand-in library spends included.",
        "",
        aim("CPU at an interval of 15 s (a third of it), % of a core", percent / 3, CORE_PERCENT),
    ]


def floor(fake: FakeNvml) -> str:
    """What a collection costs beside its bare calls."""
    command = [sys.executable, str(FLOOR)]
    ran = subprocess.run(command, env=fake.environment(), check=True, capture_output=True, text=True)
    found = json.loads(ran.stdout)
    return (
        f"A collection of {found['gpus']} GPUs makes {found['calls']} calls: "
        f"{found['collection_ms']:.2f} ms, "
        f"the same calls in a bare loop {found['floor_ms']:.2f} ms: "
        f"{found['collection_ms'] / found['floor_ms']:.1f} times the floor."
    )


def aim(what: str, seen: float, limit: float) -> str:
    """Met, or missed by how much."""
    verdict = "met" if seen < limit else f"missed by {100 * (seen / limit - 1):.0f} %"
    return f"- {what}: {seen:.2f}, aim under {limit:g}: {verdict}."


def main() -> None:
    """Measure, print, and with --write put it into the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--scrapes", type=int, default=1000)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--latency-us", type=int, default=0)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fake = FakeNvml(build(folder), folder / "control", {"gpus": given.gpus})
        if given.latency_us:
            fake.set(latency_us=given.latency_us)
        jobs = folder / "jobs"
        jobs.mkdir()
        (jobs / "1").write_text(f"job_id=1\naccount=a\nuser=u\ngpus=0,1,2,3\nstarted={int(time.time())}\n")
        with both(fake, jobs) as programs:
            rows = measure(programs, "all well", given.scrapes)
            fake.set(**{f"hang__{HUNG}": 1})
            time.sleep(3)
            rows += measure(programs, f"GPU {HUNG} hung", given.scrapes)
            fake.set(**{f"hang__{HUNG}": None, "driver_lock": 1, "hang__all": 1})
            time.sleep(3)
            rows += measure(programs, "driver hung", given.scrapes)
            fake.set(driver_lock=None, hang__all=None)
        more = [floor(fake), "", *alone(fake, jobs)]
    text = (
        f"\n{given.gpus} GPUs, {given.latency_us} µs a call, {given.scrapes} scrapes each. "
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"opsd {version('opsd-hpc')}, nvitop-exporter {version('nvitop-exporter')}.\n\n{table(rows)}\n\n"
        + "\n".join(more)
        + "\n\n"
    )
    print(text)
    if given.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        DOCUMENT.write_text(before + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
