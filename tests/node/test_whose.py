"""Whose the GPUs are, over several rounds, on a tree of processes and control groups as Slurm makes them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from opsd.core.holders import Computing, Job
from opsd.core.telemetry import Gpu, Identity, Process
from opsd.node.options import DEFAULT, Options
from opsd.node.whose import Whose

SCOPE = "system.slice/slurmstepd.scope"
BOOTED, NOW = 1_000, 100_000


class Machine:
    """A node's /proc and control groups, a clock, and one GPU per process."""

    def __init__(self, root: Path) -> None:
        self.proc, self.cgroups, self.now = root / "proc", root / "cgroup", float(NOW)
        self.proc.mkdir()
        self.cgroups.mkdir()
        self.options = Options(procfs=self.proc, cgroupfs=self.cgroups)
        self.pass_seconds(0)

    def whose(self, **other: object) -> Whose:
        """An agent's part that starts now."""
        return Whose(replace(self.options, **other), lambda: self.now)  # type: ignore[arg-type]

    def pass_seconds(self, seconds: float) -> None:
        """Let time go by."""
        self.now += seconds
        (self.proc / "uptime").write_text(f"{self.now - BOOTED:.2f} 5.00\n")

    def begin(self, name: str, pid: int = 0, *, step: str = "step_0") -> None:
        """A job's directory, and a process in it."""
        (self.cgroups / SCOPE / name / step).mkdir(parents=True)
        if pid:
            (self.proc / str(pid)).mkdir()
            (self.proc / str(pid) / "cgroup").write_text(f"0::/{SCOPE}/{name}/{step}/user/task_0\n")

    def end(self, name: str, pid: int = 0) -> None:
        """Both go."""
        shutil.rmtree(self.cgroups / SCOPE / name)
        if pid:
            shutil.rmtree(self.proc / str(pid))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine on which nothing runs."""
    return Machine(tmp_path)


def gpus(*pids: int) -> list[Gpu]:
    """A GPU for each process."""
    return [
        Gpu(number, "up", Identity(f"GPU-{number}", number), processes=(Process(pid, 100),))
        for number, pid in enumerate(pids)
    ]


def job(number: int, *minors: int, started: int = NOW, sluid: str = "") -> Job:
    """A job that holds GPUs."""
    return Job(str(number), "a", "u", minors, started=started, sluid=sluid)


def test_processes_are_their_jobs(machine: Machine) -> None:
    """By number, or by the SLUID that the job's file tells; what has no group is a stranger."""
    machine.begin("job_1", 11)
    machine.begin("sEKNKTV3WPV500", 12)

    found = machine.whose().holders(
        [job(1, 0, 2), job(2, 1, 2, sluid="sEKNKTV3WPV500")], gpus(11, 12, 13), faults=2
    )

    assert {
        ("GPU-0", "1"): Computing(1, 100),
        ("GPU-1", "2"): Computing(1, 100),
        ("GPU-2", "1"): Computing(0, 0),
        ("GPU-2", "2"): Computing(0, 0),
    } == found.computing
    assert (1, 0, 2, ()) == (found.strangers, found.disagreeing, found.unresolved, found.stale)


def test_a_process_number_given_anew_is_read_anew(machine: Machine) -> None:
    """Nothing is kept about a process from one round to the next."""
    whose, jobs = machine.whose(), [job(1, 0), job(2, 0)]
    machine.begin("job_1", 11)
    first = whose.holders(jobs, gpus(11))
    machine.end("job_1", 11)
    machine.begin("job_2", 11)

    assert ("GPU-0", "1") in first.computing
    assert 0 == whose.holders(jobs, gpus(11)).computing["GPU-0", "1"].processes
    assert 1 == whose.holders(jobs, gpus(11)).computing["GPU-0", "2"].processes


def test_a_file_from_before_the_boot(machine: Machine) -> None:
    """By the uptime, so that a clock set since does not matter; without an uptime nothing is said."""
    old = [job(1, 0, started=BOOTED - 1), job(2, 1, started=BOOTED + 1)]

    assert ("1",) == machine.whose().holders(old, gpus(11, 12)).stale
    (machine.proc / "uptime").write_text("strange")
    assert () == machine.whose().holders(old, gpus(11, 12)).stale


def test_a_job_whose_group_went(machine: Machine) -> None:
    """A minute later its file is stale, unless the epilog has taken it away; nothing of it is kept then."""
    whose, jobs = machine.whose(), [job(1, 0, started=NOW - 5_000)]
    machine.begin("job_1", 11)
    assert () == whose.holders(jobs, gpus(11)).stale
    machine.end("job_1", 11)
    machine.pass_seconds(59)
    assert () == whose.holders(jobs, gpus(11)).stale
    machine.pass_seconds(2)
    assert ("1",) == whose.holders(jobs, gpus(11)).stale
    whose.holders([], gpus(11))
    assert {} == whose._last_seen


def test_a_job_that_never_had_a_group(machine: Machine) -> None:
    """Where Slurm makes groups for steps alone it may hold all the same; with extern steps it is over."""
    whose, jobs = machine.whose(), [job(1, 0, started=NOW - 5_000), job(2, 1)]
    machine.begin("job_2", 12)
    assert () == whose.holders(jobs, gpus(11, 12)).stale
    machine.begin("job_2", step="step_extern")
    assert ("1",) == whose.holders(jobs, gpus(11, 12)).stale
    machine.end("job_2", 12)
    assert ("1",) == whose.holders(jobs[:1], gpus(11, 12)).stale  # remembered while the node is idle


def test_without_processes_nothing_is_looked_up(machine: Machine) -> None:
    """Holding is told all the same."""
    machine.begin("job_1", 11)

    found = machine.whose(collectors=DEFAULT - {"processes"}).holders([job(1, 0)], gpus(11))

    assert ["1"] == [holding.job_id for holding in found.shares]
    assert ({}, None) == (found.computing, found.strangers)


def test_a_simulated_node_has_nothing_to_do_with_this_one(machine: Machine) -> None:
    """Its clock may be another, and its jobs have no groups here."""
    machine.begin("job_9", 11, step="step_extern")

    assert () == machine.whose(simulated=1).holders([job(1, 0, started=1)], gpus(11)).stale
