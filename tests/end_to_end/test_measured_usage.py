"""What jobs do with GPUs, from agents on three nodes through the daemon to usage, beside Slurm's account."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from opsd.core.telemetry import Gpu, Identity, Process, Reading, Snapshot
from opsd.node import Agent, Options
from opsd.store.engine import sqlite_address

INTERVAL = 5
UNTIL = 360
NODES = ("gpu1", "gpu2", "gpu3")
IDLE_WATTS, BUSY_WATTS = 100, 500


class Part(NamedTuple):
    """A job's part on one node: in [begin, finish), with a process, idle on `idle_minor` from a second on."""

    job: int
    node: str
    minors: tuple[int, ...]
    begin: int
    finish: int
    idle_minor: int = -1
    idle_from: int = 0

    def is_active(self, minor: int, second: int) -> bool:
        """Whether it computes on a GPU of its node in a second."""
        is_here = minor in self.minors and self.begin <= second < self.finish
        return is_here and not (minor == self.idle_minor and second >= self.idle_from)


# 101 leaves a GPU idle for half of its time; 102 is requeued; 103 has two nodes; 105 goes on.
PARTS = (
    Part(101, "gpu1", (0, 1), 12, 212, 1, 112),
    Part(102, "gpu2", (0,), 7, 91),
    Part(102, "gpu3", (1,), 161, 298),
    Part(103, "gpu2", (1,), 33, 288, 1, 33),
    Part(103, "gpu3", (0,), 33, 288),
    Part(105, "gpu2", (0,), 231, 10_000),
    Part(106, "gpu1", (0,), 213, 331),
)
ACCOUNT = {101: "es-a", 102: "pt-a", 103: "es-b", 105: "pt-a", 106: "es-a"}
RUNS = (  # job, submit, begin, finish, GPUs, nodes
    (101, 0, 12, 212, 2, "gpu1"), (102, 0, 7, 91, 1, "gpu2"), (102, 91, 161, 298, 1, "gpu3"),
    (103, 0, 33, 288, 2, "gpu[2-3]"), (105, 0, 231, None, 1, "gpu2"), (106, 0, 213, 331, 1, "gpu1"),
)  # fmt: skip


class Machine:
    """Three nodes of two GPUs with their agents, and a clock that the test moves."""

    def __init__(self, folder: Path, start: int, agents: ExitStack) -> None:
        self.folder, self.start, self.second = folder, start, 0
        self.agents: dict[str, Agent] = {}
        self._stack = agents
        for node in NODES:
            (folder / node / "jobs").mkdir(parents=True)
            self.begin(node)
        for number, part in enumerate(PARTS, start=1):
            process = folder / part.node / "proc" / str(number)
            process.mkdir(parents=True)
            (process / "cgroup").write_text(f"0::/system.slice/slurmstepd.scope/job_{part.job}/step_0/user\n")

    def begin(self, node: str) -> None:
        """Start a node's agent, on another port than the last."""
        place = self.folder / node
        options = Options(
            listen_address="127.0.0.1:0", interval=INTERVAL, jobs_directory=place / "jobs",
            spool_directory=place / "spool", procfs=place / "proc", cgroupfs=place / "none",
            kernel_log=place / "none",
        )  # fmt: skip
        gpus = Gpus(node, lambda: self.second)
        agent = Agent(options, lambda: self.start + self.second, lambda _text: None, gpus=gpus)
        agent.start()
        self._stack.callback(agent.stop)
        self.agents[node] = agent

    def end(self, node: str) -> None:
        """Stop it."""
        self.agents.pop(node).stop()

    def run(self, until: int) -> None:
        """Let time pass: Slurm starts and ends jobs, each agent looks at its interval."""
        while self.second < until:
            self.second += INTERVAL
            for part in PARTS:
                self._job_file(part)
            for agent in self.agents.values():
                agent.resume()

    def _job_file(self, part: Part) -> None:
        path = self.folder / part.node / "jobs" / str(part.job)
        if part.begin <= self.second < part.finish:
            gpus = ",".join(map(str, part.minors))
            path.write_text(
                f"job_id={part.job}\naccount={ACCOUNT[part.job]}\nuser=ana\ngpus={gpus}\n"
                f"started={self.start + part.begin}\n"
            )
        elif part.finish <= self.second < part.finish + INTERVAL:
            path.unlink()

    def targets(self) -> str:
        """The list of agents, as Prometheus has it."""
        return json.dumps(
            [
                {
                    "targets": [agent.url.removeprefix("http://").rstrip("/")],
                    "labels": {"cluster": "mn5", "node": node},
                }
                for node, agent in self.agents.items()
            ]
        )


class Gpus:
    """A node's GPUs, second by second."""

    collector = "nvml"

    def __init__(self, node: str, clock: Callable[[], int]) -> None:
        self._node, self._clock = node, clock

    def collect(self) -> Snapshot:
        """Both of them."""
        return Snapshot(tuple(self._gpu(minor, self._clock()) for minor in range(2)))

    def close(self) -> str:
        """Nothing is open."""
        return ""

    def _gpu(self, minor: int, now: int) -> Gpu:
        active = sum(is_active(self._node, minor, second) for second in range(now - INTERVAL, now))
        values = {
            Reading("sm_active_ratio"): 0.8 * active / INTERVAL,
            Reading("tensor_active_ratio"): 0.4 * active / INTERVAL,
            Reading("energy_joules_total"): float(joules(self._node, minor, 0, now)),
        }
        here = (
            Process(number, 2**30)
            for number, part in enumerate(PARTS, start=1)
            if part.node == self._node and minor in part.minors and part.begin <= now < part.finish
        )
        who = Identity(f"GPU-{self._node}-{minor}", minor)
        return Gpu(minor, "up", who, values=values, gpm_seconds=float(INTERVAL), processes=tuple(here))


def is_active(node: str, minor: int, second: int) -> bool:
    """Whether any job computes on a GPU in a second."""
    return any(part.node == node and part.is_active(minor, second) for part in PARTS)


def joules(node: str, minor: int, begin: int, finish: int) -> int:
    """What a GPU consumed in [begin, finish)."""
    busy = sum(is_active(node, minor, second) for second in range(begin, finish))
    return IDLE_WATTS * (finish - begin) + (BUSY_WATTS - IDLE_WATTS) * busy


class Site:
    """An opsd with a database and its list of agents."""

    def __init__(self, folder: Path, start: int) -> None:
        self._config = folder / "opsd.toml"
        self.list = folder / "nodes.json"
        self._window = ("--from", f"@{start}", "--to", f"@{start + 3_600}", "--timezone", "UTC")
        self._config.write_text(
            f'[database]\nurl = "{sqlite_address(folder / "opsd.db")}"\n[nodes]\nfile = "{self.list}"\n'
        )
        header = "JobIDRaw|Cluster|Account|User|State|Submit|Eligible|Start|End|AllocTRES|NodeList\n"
        rows = (
            f"{job}|mn5|{ACCOUNT[job]}|ana|{'RUNNING' if finish is None else 'COMPLETED'}|{start + submit}|"
            f"{start + submit}|{start + begin}|{'Unknown' if finish is None else start + finish}|"
            f"cpu=20,gres/gpu={gpus},node={1 + (',' in nodes or '-' in nodes)}|{nodes}\n"
            for job, submit, begin, finish, gpus, nodes in RUNS
        )
        (folder / "sacct").write_text(header + "".join(rows))
        self.opsd("import", "sacct", str(folder / "sacct"))

    def opsd(self, *words: str) -> str:
        """A command that succeeds: its output."""
        command = [sys.executable, "-m", "opsd", "--config", str(self._config), *words]
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert 0 == ran.returncode, ran.stderr
        return ran.stdout

    def fetch(self, machine: Machine) -> None:
        """The daemon's step."""
        self.list.write_text(machine.targets())
        self.opsd("daemon", "--once", "fetch")

    def usage(self) -> dict[str, dict[str, Any]]:
        """What was measured, by account."""
        rows = json.loads(
            self.opsd("usage", *self._window, "--by", "account", "--measured", "--format", "json")
        )
        return {row["account"]: row for row in rows}

    def compared(self) -> dict[str, Any]:
        """The whole comparison."""
        words = ("--against", "telemetry", "--by", "account", *self._window, "--format", "json")
        found: dict[str, Any] = json.loads(self.opsd("reconcile", *words))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Nodes whose past is an hour ago."""
    with ExitStack() as agents:
        yield Machine(tmp_path, int(time.time()) // 60 * 60 - 3_600, agents)


def parts_of(account: str) -> Sequence[Part]:
    """Parts of jobs that have ended."""
    return [part for part in PARTS if ACCOUNT[part.job] == account and part.finish < UNTIL]


def test_from_agents_to_usage(machine: Machine, tmp_path: Path) -> None:
    """Held, computing, idle and energy to within an interval; the same totals however they are fetched."""
    machine.run(150)
    machine.end("gpu1")
    machine.run(170)
    machine.begin("gpu1")
    machine.run(250)
    site = Site(tmp_path, machine.start)
    site.fetch(machine)
    machine.run(UNTIL)
    site.fetch(machine)
    usage, compared = site.usage(), site.compared()

    for account in ("es-a", "es-b", "pt-a"):
        parts, found = parts_of(account), usage[account]
        devices = [(part, minor) for part in parts for minor in part.minors]
        held = sum(part.finish - part.begin for part, _ in devices)
        unseen = 20 if account == "es-a" else 0  # by each of two GPUs, while the agent was away
        idle = sum(
            part.finish - max(part.begin, part.idle_from)
            for part, minor in devices
            if minor == part.idle_minor
        )
        consumed = sum(joules(part.node, minor, part.begin, part.finish) for part, minor in devices)
        near = INTERVAL * len(devices)
        assert held - 2 * unseen == pytest.approx(float(found["measured_gpu_seconds"]), abs=near)
        assert held - 2 * unseen == pytest.approx(float(found["process_gpu_seconds"]), abs=near)
        assert idle - unseen == pytest.approx(float(found["idle_gpu_seconds"]), abs=near)
        assert 0.8 * (held - unseen - idle) == pytest.approx(float(found["sm_active_gpu_seconds"]), abs=near)
        assert consumed == pytest.approx(float(found["energy_joules"]), abs=BUSY_WATTS * near)
    lines = {line["account"]: line for line in compared["lines"]}
    assert [518, 510, 221] == [
        lines[account]["gpu_seconds"] - lines[account]["running_gpu_seconds"] for account in sorted(lines)
    ]
    for line in lines.values():
        assert 0 == sum(line[f"{why}_gpu_seconds"] for why in ("not_fetched", "agent_failed", "no_record"))
        assert abs(float(line["difference_gpu_seconds"])) <= INTERVAL * 3
    assert ([], [], False) == (
        compared["drift"]["runs"], compared["without_run"]["nodes"], compared["needs_eyes"],
    )  # fmt: skip
    assert 40 == pytest.approx(float(lines["es-a"]["gaps_gpu_seconds"]), abs=10)

    runs = json.loads(site.opsd("explain", "run", "102", "--format", "json"))["tables"]["measured"]["rows"]
    assert [("gpu2", "GPU-gpu2-0"), ("gpu3", "GPU-gpu3-1")] == [(row["node"], row["device"]) for row in runs]
    assert {""} == {row["notes"] or "" for row in runs}

    site.fetch(machine)
    assert (usage, compared) == (site.usage(), site.compared())
    machine.end("gpu2")
    shutil.rmtree(tmp_path / "gpu2" / "spool")
    machine.begin("gpu2")  # at another address, with another spool
    machine.run(UNTIL + 20)
    site.fetch(machine)
    assert (usage, compared) == (site.usage(), site.compared())
