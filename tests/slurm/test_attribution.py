"""Whose GPU it is beside a real Slurm: what the agents say equals what each job wrote down itself.

Real: slurmctld, three slurmd with the prolog and epilog of a site, the jobs, their processes and the agents.
Stood in for: the driver (which lists the processes that jobs say they started on a GPU) and, since this
machine's Slurm has no control groups, a tree of /proc/PID/cgroup files for just those processes.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from collectors.jobs_on_node import parse
from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.running import RunningAgent, Scraped, running
from tests.slurm import cluster
from tests.slurm.configuration import GPUS
from tests.slurm.conftest import NO_SLURM
from tests.slurm.gpu_nodes import NODES, SlurmOfGpus

SHARES_OF_MPS = ((40, "uses"), (25, "holds"))
UUID = "GPU-{}0000000-0000-4000-8000-{:012d}"
# Slurm 22.05 sets the second variable alone for a job on shards.
WORK = """\
for gpu in $(echo "${CUDA_VISIBLE_DEVICES:-$GPU_DEVICE_ORDINAL}" | tr , ' '); do
    if [ "$1" = uses ]; then sleep 600 & fi
    echo "$SLURM_JOB_ID ${SLURM_RESTART_COUNT:-0} $SLURMD_NODENAME $gpu ${!:-0}" >>"$2/.$SLURM_JOB_ID"
done
mv "$2/.$SLURM_JOB_ID" "$2/$SLURM_JOB_ID"
sleep 600
"""

pytestmark = pytest.mark.slurm


class Line(NamedTuple):
    """What a job wrote down about one GPU that it had, and its process there; 0 if none."""

    job: str
    restarts: int
    node: str
    gpu: int
    pid: int


class Nodes:
    """The nodes' agents, each with a driver and a /proc of its own, and what the jobs wrote."""

    def __init__(
        self, slurm: SlurmOfGpus, drivers: dict[str, FakeNvml], agents: dict[str, RunningAgent]
    ) -> None:
        self.slurm, self.drivers, self.agents = slurm, drivers, agents
        self.written = slurm.folder / "written"

    def submit(self, user: str, account: str, node: str, gres: str, how: str = "uses", *more: str) -> int:
        """A job that writes down what it has, and uses it or only holds it."""
        where = ("-A", account, "-p", "gpu", "-w", node, "-n1", f"--gres={gres}", *more)
        return self.slurm.submit(user, *where, str(self.slurm.folder / "work"), how, str(self.written))

    def lines(self, *jobs: int) -> list[Line]:
        """What these jobs wrote, once all have."""
        paths = [self.written / str(job) for job in jobs]
        until(lambda: all(path.exists() for path in paths), f"jobs {jobs} wrote nothing")
        return [
            Line(job, int(restarts), node, int(gpu), int(pid))
            for path in paths
            for job, restarts, node, gpu, pid in map(str.split, path.read_text().splitlines())
        ]

    def show(self, lines: list[Line]) -> None:
        """Let each node's driver and /proc show the processes that jobs say they have there."""
        for node, driver in self.drivers.items():
            mine = [line for line in lines if line.node == node and line.pid]
            for line in mine:
                folder = self.slurm.folder / f"proc-{node}" / str(line.pid)
                folder.mkdir(exist_ok=True)
                step = f"system.slice/{node}_slurmstepd.scope/job_{line.job}/step_batch/user/task_0"
                (folder / "cgroup").write_text(f"0::/{step}\n")
            driver.set(
                **{
                    f"set.pids.{gpu}": ",".join(str(line.pid) for line in mine if line.gpu == gpu)
                    for gpu in range(GPUS)
                }
            )

    def said(self, node: str) -> dict[tuple[str, str], tuple[float, float | None]]:
        """Each holder on a node's page: its share and its processes, by job and UUID."""
        page = self.agents[node].pages(2)
        assert [0, 0, 0, 0] == [
            page.value(f"opsd_gpu_{name}")
            for name in ("job_unresolved", "job_files_stale", "processes_unknown", "job_disagreements")
        ]
        return {
            (job, uuid): (share, page.value("opsd_gpu_job_processes", jobid=job, uuid=uuid))
            for (job, uuid), share in holders(page).items()
        }

    def agree(self, *jobs: int) -> None:
        """What the agents say is what these jobs, and no others, wrote."""
        lines = self.lines(*jobs)
        self.show(lines)
        for place, node in enumerate(NODES):
            mine = [line for line in lines if line.node == node]
            on: dict[int, int] = defaultdict(int)
            for line in mine:
                on[line.gpu] += 1
            expected = {
                (line.job, UUID.format("abc"[place], line.gpu)): (1 / on[line.gpu], float(line.pid > 0))
                for line in mine
            }
            assert expected == self.said(node), node

    def end(self, *jobs: int) -> None:
        """End jobs, and wait until their epilogs are through."""
        self.slurm.run("scancel", *map(str, jobs))
        for job in jobs:
            self.slurm.wait_for(job, "CANCELLED")

    def clear(self) -> None:
        """End all jobs, and forget what they wrote."""
        self.slurm.run("scancel", "--partition=gpu")
        until(lambda: not self.slurm.run("squeue", "-h"), "jobs do not end")
        shutil.rmtree(self.written)
        self.written.mkdir()
        self.written.chmod(0o777)


def holders(page: Scraped) -> dict[tuple[str, str], float]:
    """Shares by job and UUID."""
    return {
        (dict(labels)["jobid"], dict(labels)["uuid"]): share
        for (name, labels), share in page._values.items()
        if name == "opsd_gpu_job_info"
    }


def until(is_so: Callable[[], bool], otherwise: str) -> None:
    """Wait for something that takes a moment."""
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[SlurmOfGpus]:
    """Three real GPU nodes."""
    if lacking := cluster.missing():
        pytest.skip(f"{NO_SLURM}{lacking}")
    found = SlurmOfGpus(Path(tempfile.mkdtemp(prefix="opsd-gpus-")))
    try:
        found.up()
        yield found
    finally:
        found.down()


@pytest.fixture(scope="module")
def nodes(three_nodes: SlurmOfGpus, nvml_library: Path) -> Iterator[Nodes]:
    """An agent for each of them."""
    folder = three_nodes.folder
    (folder / "written").mkdir()
    (folder / "written").chmod(0o777)
    (folder / "work").write_text(f"#!/bin/bash\n{WORK}")
    drivers, agents = {}, {}
    with contextlib.ExitStack() as stack:
        for node, seed in zip(NODES, "abc", strict=True):
            (folder / f"proc-{node}").mkdir()
            shutil.copy("/proc/uptime", folder / f"proc-{node}")
            drivers[node] = FakeNvml(nvml_library, folder / f"nvml-{node}", {"gpus": GPUS, "seed": seed})
            flags = [f"--jobs.directory={folder}/jobs-{node}", f"--path.procfs={folder}/proc-{node}"]
            flags += [f"--path.cgroupfs={folder}/none"]
            agents[node] = stack.enter_context(running(drivers[node].environment(), *flags))
        yield Nodes(three_nodes, drivers, agents)


def test_agents_say_what_jobs_wrote(nodes: Nodes, subtests: pytest.Subtests) -> None:
    """Whatever becomes of jobs, each holds and runs on its GPUs what it says it had, and nobody else does."""
    for story in (beside_each_other, an_array, on_shards_and_mps, requeued):
        with subtests.test(msg=story.__name__):
            try:
                story(nodes)
            finally:
                nodes.clear()
            nodes.agree()


def beside_each_other(nodes: Nodes) -> None:
    """Two jobs on a node, one of which holds a GPU and uses nothing; one ends, and one has another node."""
    busy = nodes.submit("games", "es-bio", "n1", "gpu:2")
    idle = nodes.submit("mail", "pt-ml", "n1", "gpu:1", "holds")
    elsewhere = nodes.submit("mail", "pt-ml", "n2", "gpu:1")
    nodes.agree(busy, idle, elsewhere)
    nodes.end(busy)
    nodes.agree(idle, elsewhere)


def an_array(nodes: Nodes) -> None:
    """Each task is a job of its own number, on the same node as its siblings."""
    array = nodes.submit("list", "tr-llm", "n1", "gpu:1", "uses", "--array=0-2")
    tasks: set[int] = set()

    def are_running() -> bool:
        tasks.update(
            map(int, nodes.slurm.run("squeue", "-h", "-t", "R", "-j", str(array), "-o", "%A").split())
        )
        return len(tasks) == 3

    until(are_running, "the array does not run")
    nodes.agree(*tasks)


def on_shards_and_mps(nodes: Nodes) -> None:
    """Jobs that share a GPU hold equal parts of it, for Slurm tells no more; a whole one is whole."""
    shards = [nodes.submit("games", "es-bio", "n2", f"shard:{count}") for count in (1, 2)]
    mps = [nodes.submit("games", "es-bio", "n3", f"mps:{percent}", how) for percent, how in SHARES_OF_MPS]
    whole = [nodes.submit("mail", "pt-ml", node, "gpu:1") for node in ("n2", "n3")]
    lines = nodes.lines(*shards, *mps)
    assert {("n2", GPUS - 1), ("n3", GPUS - 1)} == {(line.node, line.gpu) for line in lines}
    nodes.agree(*shards, *mps, *whole)


def requeued(nodes: Nodes) -> None:
    """It holds nothing while it waits, and its second run is another one, by its file."""
    job = nodes.submit("news", "es-cfd", "n1", "gpu:1", "uses", "--requeue")
    other = nodes.submit("games", "es-bio", "n1", "gpu:1", "holds")
    nodes.agree(job, other)
    folder = nodes.slurm.folder / "jobs-n1"
    first = parse(str(job), (folder / str(job)).read_text())
    (nodes.written / str(job)).unlink()
    nodes.slurm.run("scontrol", "requeue", str(job))
    nodes.slurm.wait_for(job, "PENDING")
    nodes.agree(other)
    nodes.agree(job, other)
    second = parse(str(job), (folder / str(job)).read_text())
    assert [1] == [line.restarts for line in nodes.lines(job)]
    assert (0, 1) == (first.restarts, second.restarts)
    assert first.started < second.started
