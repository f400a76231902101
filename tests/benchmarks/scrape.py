"""How the agent's page compares with nvitop-exporter's, on the same GPUs, in one run.

Both programs run at once on one stand-in for NVIDIA's library (tests/fakes/nvml), collect once a second and
are scraped in turn, so that a busy machine hurts both; then one GPU hangs, and they are scraped again.

    python tests/benchmarks/scrape.py [--scrapes N] [--gpus N] [--latency-us N] [--write]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
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
TICK = os.sysconf("SC_CLK_TCK")
P99_MS, RSS_MIB, CORE_PERCENT = 5.0, 40.0, 0.5


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
)
RATIOS = {"p50": "p50", "p99": "p99", "rss": "RSS", "pss": "PSS", "scrape_cpu_ms": "CPU per scrape"}


@dataclass
class Program:
    """One of the two, running."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    fresh: str  # a metric that moves, of a healthy GPU
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


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def both(fake: FakeNvml, jobs: Path) -> Iterator[list[Program]]:
    """Start both programs on the same GPUs, and stop them by their own ids."""
    ports = free_port(), free_port()
    commands = {
        "opsd-node": [
            *("-m", "opsd.node", f"--web.listen-address=127.0.0.1:{ports[0]}", "--interval=1s"),
            f"--jobs.directory={jobs}",
        ],
        "nvitop-exporter": [
            *("-m", "nvitop_exporter", "--bind-address=127.0.0.1", f"--port={ports[1]}", "--interval=1"),
        ],
    }
    moving = ("opsd_gpu_energy_joules_total", "gpu_power_usage_W")
    programs = []
    try:
        for (name, command), port, metric in zip(commands.items(), ports, moving, strict=True):
            process = subprocess.Popen(
                [sys.executable, *command],
                env=fake.environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            programs.append(Program(name, process, port, metric))
        for program in programs:
            wait_for(program)
        yield programs
    finally:
        for program in programs:
            program.process.terminate()
        for program in programs:
            try:
                program.process.wait(10)
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()


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
            )
        )
    return rows


def table(rows: list[Row]) -> str:
    """The rows, and how the two compare."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    lines += [
        f"| {row.program} | {row.state} | {row.p50:.2f} | {row.p99:.2f} | {row.series} | {row.rss:.1f} "
        f"| {row.pss:.1f} | {row.scrape_cpu_ms:.2f} | {row.idle_percent:.2f} | {row.threads} | {row.moving} |"
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
    return [
        ("p99 of a scrape, ms", max(row.p99 for row in ours), P99_MS),
        ("RSS, MiB", max(row.rss for row in ours), RSS_MIB),
        (
            "CPU between scrapes at the default interval of 5 s (a fifth of the above), % of a core",
            max(row.idle_percent for row in ours) / 5,
            CORE_PERCENT,
        ),
    ]


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
        (jobs / "1").write_text("job_id=1\naccount=a\nuser=u\ngpus=0,1,2,3\nstarted=1\n")
        with both(fake, jobs) as programs:
            rows = measure(programs, "all well", given.scrapes)
            fake.set(**{f"hang__{HUNG}": 1})
            time.sleep(3)
            rows += measure(programs, f"GPU {HUNG} hung", given.scrapes)
    text = (
        f"\n{given.gpus} GPUs, {given.latency_us} µs a call, {given.scrapes} scrapes each. "
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"opsd {version('opsd-hpc')}, nvitop-exporter {version('nvitop-exporter')}.\n\n{table(rows)}\n\n"
    )
    print(text)
    if given.write:
        before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        DOCUMENT.write_text(before + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
