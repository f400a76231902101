"""What jobs did with their GPUs, measured by an agent that is killed, restarted and has a bad disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from exporters.http_server import Request
from exporters.spool_file import CLOSED, OPEN
from opsd import node
from opsd.core.holders import Holders, Holding, Job
from opsd.core.measured import Measured, from_json
from opsd.core.telemetry import Gpu, Identity, Reading, Snapshot
from opsd.node import Agent, Options
from opsd.node.collection import Node
from opsd.node.measuring import Measuring
from tests.fakes.nvml import lasting
from tests.fakes.nvml.build import FakeNvml

PATIENCE_SECONDS = 60
T = 1_800_000_000


# ------------------------------------------------------------------------------------- a job of two hours


def lasting_agent(fake: FakeNvml, *arguments: object) -> subprocess.CompletedProcess[str]:
    """An agent whose clock runs ahead (tests/fakes/nvml/lasting.py)."""
    command = [sys.executable, "-m", "tests.fakes.nvml.lasting", *map(str, arguments)]
    return subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True)


def truth(fake: FakeNvml, expression: str) -> float:
    """What the stand-in itself says that GPU 0 did in the time of the job."""
    program = f"""
import pynvml
from tests.fakes.nvml.stepping import *
machine = Stepped()
machine.look()
handle = pynvml.nvmlDeviceGetHandleByIndex(0)
values = []
for second in ({lasting.BEGIN}, {lasting.END}):
    machine.at(second)
    values.append({expression})
print(values[1] - values[0])
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], env=fake.environment(), check=True, capture_output=True, text=True
    )
    return float(ran.stdout)


def now(fake: FakeNvml) -> int:
    """Where the clock of the stand-in stands."""
    knobs = dict(line.split("=", 1) for line in fake.control.read_text().splitlines())
    return int(knobs["frozen"])


@pytest.mark.slow
def test_a_job_of_two_hours(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Killed in the middle, away for 30 seconds, restarted once more: figures are right within 1 %."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "proc" / str(lasting.PID)).mkdir(parents=True)
    (tmp_path / "proc" / str(lasting.PID) / "cgroup").write_text(
        "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n"
    )
    fake_nvml.set(gpus=2)
    killed = lasting_agent(fake_nvml, tmp_path, 902, 9002, 4000)
    died = now(fake_nvml)
    ended = lasting_agent(fake_nvml, tmp_path, died + 30, 6002)
    last = lasting_agent(fake_nvml, tmp_path, 6002, 8252)

    assert [-signal.SIGKILL, 0, 0] == [killed.returncode, ended.returncode, last.returncode]
    assert 4000 - lasting.STEP <= died < 6000  # killed before it wrote the step down, or after
    assert [] == json.loads(ended.stdout)["records"]
    steady, idle = sorted(map(from_json, json.loads(last.stdout)["records"]), key=lambda record: record.uuid)
    for record in (steady, idle):
        assert (4711, lasting.BEGIN, "es-bio", "ana") == (
            record.job_id,
            record.started,
            record.account,
            record.user,
        )
        assert lasting.END <= record.ended <= lasting.END + lasting.STEP
        assert record.is_end_seen
        assert 7_200_000 == pytest.approx(record.allocated_ms, abs=5_000)
        # Not covered: the 30 seconds without an agent.
        assert 7_170_000 == pytest.approx(record.covered_ms, abs=10_000)
        assert not record.is_energy_estimated
    energy = truth(fake_nvml, "pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)")
    active = truth(fake_nvml, "1000 * sm_seconds(0)")
    assert energy == pytest.approx(steady.energy_mj, rel=0.01)
    assert active == pytest.approx(steady.sm_active_ms, rel=0.01)
    assert 6_200_000 == pytest.approx(steady.process_ms, rel=0.01)
    assert 0 == steady.idle_ms
    # A tenth of an hour and more that was held idle is found to within a sample.
    assert len(lasting.IDLE) * 1000 == pytest.approx(idle.idle_ms, abs=1000 * lasting.STEP)
    assert 0.4 * 6_200_000 == pytest.approx(idle.sm_active_ms, rel=0.01)
    assert 7_200_000 == pytest.approx(idle.process_ms, rel=0.01)


# ----------------------------------------------------------------------------------------- in an agent


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A job directory in which job 4711 holds GPU 1."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "4711").write_text(
        f"job_id=4711\naccount=es-bio\nuser=ana\ngpus=1\nstarted={int(time.time())}\n"
    )
    return folder


def simulated(jobs: Path, **more: object) -> Options:
    """Options of an agent with two GPUs that are not there."""
    given: dict[str, Any] = {"spool_directory": jobs.parent / "spool", **more}
    return Options(listen_address="127.0.0.1:0", interval=0.1, jobs_directory=jobs, simulated=2, **given)


@contextmanager
def started(options: Options) -> Iterator[Agent]:
    """An agent that serves."""
    agent = Agent(options, say=lambda _text: None)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def spooled(agent: Agent, is_there: Callable[[Any], bool], query: str = "") -> Any:
    """The first answer of its spool of which this holds; there is none before the folder was read."""

    def ask() -> Any:
        with suppress(urllib.error.HTTPError):
            with urllib.request.urlopen(f"{agent.url}/spool{query}", timeout=PATIENCE_SECONDS) as answer:
                tree = json.loads(answer.read())
            return tree if is_there(tree) else None

    return wait_for(ask)


def wait_for(ask: Callable[[], Any]) -> Any:
    """The first answer that is one."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if answer := ask():
            return answer
        time.sleep(0.02)
    raise AssertionError("never came")


def kept(folder: Path) -> Any:
    """The open records in a spool's folder."""
    path = folder / OPEN
    return json.loads(path.read_text())["state"]["records"] if path.exists() else None


def test_over_the_wire(jobs: Path) -> None:
    """A job that ends is in the spool, once; a second agent goes on with it, until it was fetched."""
    with started(simulated(jobs)) as agent:
        wait_for(lambda: kept(jobs.parent / "spool"))
        (jobs / "4711").unlink()
        first = spooled(agent, lambda tree: tree["records"])
    with started(simulated(jobs)) as agent:
        again = spooled(agent, lambda _tree: True)
        spooled(agent, lambda tree: tree["records"] == [], f"?after={again['cursor']}")
        left = spooled(agent, lambda tree: tree["records"] == [])

    assert (4711, os.uname().nodename) == (first["records"][0]["job_id"], first["node"])
    assert first == again
    assert (first["spool"], first["cursor"]) == (left["spool"], left["cursor"])


@pytest.mark.parametrize(
    "off",
    [
        {"spool_directory": None},
        {"collectors": Options().collectors - {"spool"}},
        {"collectors": Options().collectors - {"jobs"}},  # whose file tells who does anything
    ],
    ids=["folder", "switch", "jobs"],
)
def test_without_a_spool(jobs: Path, off: dict[str, object]) -> None:
    """There is nothing at /spool, nothing of it on the page, and nothing on the disk."""
    with started(simulated(jobs, **off)) as agent:
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"{agent.url}/spool", timeout=PATIENCE_SECONDS)
        refused.value.close()

    assert not (jobs.parent / "spool").exists()


def test_once_leaves_the_spool_alone(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page that is printed beside a running agent takes nothing away from it."""
    node.main(
        ["--once", "--simulated=2", f"--jobs.directory={jobs}", f"--spool.directory={jobs.parent / 'spool'}"]
    )

    assert "opsd_gpu_up" in capsys.readouterr().out
    assert not (jobs.parent / "spool").exists()


def test_a_job_directory_that_cannot_be_read(jobs: Path) -> None:
    """Nobody knows then whether a job is over: none is closed, and it is said."""
    said: list[str] = []
    agent = Node(simulated(jobs), lambda: T, said.append)
    agent.page()
    jobs.rename(jobs.with_name("away"))
    page = agent.page()
    assert agent.measuring is not None
    jobs.with_name("away").rename(jobs)
    agent.page()
    agent.close()

    assert 0 == page.series("opsd_node_collector_up")["spool",]
    assert ["spool: job files cannot be read: nothing is measured meanwhile", "spool: well again"] == [
        line for line in said if line.startswith("spool")
    ]
    assert 0 == agent.measuring.spool.records


def test_a_job_file_that_cannot_be_read(jobs: Path) -> None:
    """Its job is not closed."""
    agent = Node(simulated(jobs), lambda: T, lambda _text: None)
    agent.page()
    text = (jobs / "4711").read_text()
    (jobs / "4711").write_text("half of")
    agent.page()
    assert agent.measuring is not None
    assert 0 == agent.measuring.spool.records

    (jobs / "4711").write_text(text)
    agent.page()
    (jobs / "4711").unlink()
    agent.page()
    agent.close()
    assert 1 == agent.measuring.spool.records


# ------------------------------------------------------------------------------------------- a bad disk

GPU = Gpu(0, "up", Identity("GPU-a", 0), values={Reading("energy_joules_total"): 1.0})
SNAPSHOT = Snapshot((GPU,))


def take(measuring: Measuring, at: float, *job_ids: str, started: int = T) -> str:
    """A round in which these jobs share the GPU."""
    held = {Holding("GPU-a", one, "a", "u", "", started): 1 / len(job_ids) for one in job_ids}
    files = [Job(one, "a", "u", started=started) for one in job_ids]
    return measuring.take(T + at, SNAPSHOT, Holders(held), files)


def records(measuring: Measuring) -> list[Measured]:
    """What it hands out."""
    answer = measuring.spool.answer(Request("GET", "/spool", {}, {}))
    return [from_json(tree) for tree in json.loads(answer.body)["records"]]


@contextmanager
def measured(folder: Path) -> Iterator[Measuring]:
    """What an agent measures that reads every five seconds."""
    measuring = Measuring(folder, 5.0)
    try:
        yield measuring
    finally:
        measuring.close()


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """Records are kept in memory and handed out; every round is a failure, until it can be written to."""
    folder = tmp_path / "absent" / "spool"
    with measured(folder) as measuring:
        said = [take(measuring, 0, "7"), take(measuring, 5, "7"), take(measuring, 10)]
        assert [f"{folder}: No such file or directory: what jobs did is kept in memory only"] * 3 == said
        assert (3, [7]) == (measuring.failures, [record.job_id for record in records(measuring)])
        folder.parent.mkdir()
        assert "" == take(measuring, 15, "8")
        assert 3 == measuring.failures
    with measured(folder) as measuring:
        assert "" == take(measuring, 20)
        assert [(7, 10_000), (8, 20_000)] == [
            (record.job_id, record.allocated_ms) for record in records(measuring)
        ]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """Nothing is measured and nothing answered until it can be read."""
    (tmp_path / "spool").write_text("")
    with measured(tmp_path / "spool") as measuring:
        assert "Not a directory: nothing is measured until it can be read" in take(measuring, 0, "7")
        assert 503 == measuring.spool.answer(Request("GET", "/spool", {}, {})).status
        (tmp_path / "spool").unlink()
        assert ["", ""] == [take(measuring, 5, "7"), take(measuring, 10)]
        assert [7] == [record.job_id for record in records(measuring)]


def test_two_agents_with_one_folder(tmp_path: Path) -> None:
    """The second measures nothing, and says why, as long as the first runs."""
    with measured(tmp_path) as first, measured(tmp_path) as second:
        assert "" == take(first, 0, "7")
        assert "another agent uses it: give each a folder of its own" in take(second, 0, "7")
        first.close()
        assert "" == take(second, 5)
        assert [7] == [record.job_id for record in records(second)]


def test_a_kill_between_the_two_files(tmp_path: Path) -> None:
    """A record that was closed is not closed again by the next agent."""
    with measured(tmp_path) as measuring:
        take(measuring, 0, "7")
        take(measuring, 5, "7")
        state = (tmp_path / OPEN).read_bytes()
        take(measuring, 10)
    (tmp_path / OPEN).write_bytes(state)
    with measured(tmp_path) as measuring:
        take(measuring, 15)

        assert [T + 10] == [record.ended for record in records(measuring)]


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda text: text[:50], "open.json is damaged"),
        (lambda text: text.replace('"share":1.0', '"share":"x"'), "open records: ValueError"),
    ],
    ids=["cut", "changed"],
)
def test_a_state_that_is_damaged(tmp_path: Path, harm: Callable[[str], str], words: str) -> None:
    """It is said, and what runs begins anew, by its job file."""
    with measured(tmp_path) as measuring:
        take(measuring, 0, "7")
    (tmp_path / OPEN).write_text(harm((tmp_path / OPEN).read_text()))
    with measured(tmp_path) as measuring:
        assert ["", ""] == [take(measuring, 60, "7"), take(measuring, 65)]

        assert words in measuring.damage
        assert [(65_000, 5_000)] == [
            (record.allocated_ms, record.covered_ms) for record in records(measuring)
        ]


def test_a_disk_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds go on, and what jobs do is handed out; as soon as it answers, all is written."""
    with measured(tmp_path) as measuring:
        take(measuring, 0, "7")
        reader, writer = os.pipe()
        original = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: (os.read(reader, 1), original(descriptor)))
        monkeypatch.setattr("opsd.node.measuring._PATIENCE_SECONDS", 0.05)
        said = {take(measuring, at) for at in (5, 10, 15)}
        assert {"the disk does not answer: what jobs did is kept in memory only"} == said
        assert ([7], 3) == ([record.job_id for record in records(measuring)], measuring.failures)

        os.write(writer, b"1")
        monkeypatch.setattr("opsd.node.measuring._PATIENCE_SECONDS", 30.0)
        while measuring._worker.is_stuck:
            time.sleep(0.01)
        assert "" == take(measuring, 20)
        assert b'"job_id":7' in (tmp_path / CLOSED).read_bytes()
        os.close(reader)
        os.close(writer)


def test_an_error_that_nobody_foresaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs the measuring of that round, and is said with its place."""
    with measured(tmp_path) as measuring:
        take(measuring, 0, "7")
        with monkeypatch.context() as patched:
            patched.setattr("opsd.core.measuring.advance", lambda *_given: {}["x"])
            assert "unexpected KeyError: 'x' (test_measuring.py:" in take(measuring, 5, "7")
        assert "" == take(measuring, 10)

        assert [(10_000, 10_000)] == [
            (record.allocated_ms, record.covered_ms) for record in records(measuring)
        ]
