"""A node with MIG under Slurm 26.05, as its documentation has it: the agent on the stand-in driver."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.running import Scraped

GPU = "GPU-a0000000-0000-4000-8000-{:012d}"
MIG = "MIG-a000000{}-0000-4000-8000-{:04d}{:04d}{:04d}"
FIRST, SECOND = MIG.format(0, 0, 1, 0), MIG.format(0, 0, 2, 0)
SLUID = "sEKNKTV3WPV500"


def write_job(folder: Path, job: int, **keys: object) -> None:
    """A job file as the prolog leaves it."""
    folder.mkdir(exist_ok=True)
    entries = {"job_id": job, "account": "es", "user": "ana", "gpus": "", "started": int(time.time()), **keys}
    (folder / str(job)).write_text("".join(f"{key}={value}\n" for key, value in entries.items()))


def test_jobs_on_mig_devices(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Each holds its slice by UUID and computes there by SLUID; what stays unsaid is counted."""
    jobs, proc = tmp_path / "jobs", tmp_path / "proc"
    fake_nvml.set(gpus=2, mig__0="1:0:3g.40gb,2:0:3g.40gb")
    fake_nvml.set(**{"set.pids.0": "71@1/0,72@2/0", "set.pids.1": "73"})
    write_job(jobs, 5, uuids=FIRST, sluid=SLUID)
    write_job(jobs, 6, uuids=SECOND, gpus="0", sluid="s0000000000006")
    write_job(jobs, 7, gpus="0", sluid="s0000000000007")  # on which slice?
    write_job(jobs, 8, gpus="1", uuids=GPU.format(1), sluid="s0000000000008")
    for pid, sluid in ((71, SLUID), (73, "s0000000000009")):
        (proc / str(pid)).mkdir(parents=True)
        path = f"/system.slice/slurmstepd.scope/{sluid}/step_0/user/task_0"
        (proc / str(pid) / "cgroup").write_text(f"0::{path}\n")

    command = [
        sys.executable,
        "-m",
        "opsd.node",
        "--once",
        f"--jobs.directory={jobs}",
        f"--path.procfs={proc}",
    ]
    command.append(f"--path.cgroupfs={tmp_path / 'none'}")
    ran = subprocess.run(
        command, env=fake_nvml.environment(), check=True, capture_output=True, text=True, timeout=60
    )

    page = Scraped(ran.stdout)
    held = {5: (FIRST, GPU.format(0)), 6: (SECOND, GPU.format(0)), 8: (GPU.format(1), "")}
    for job, (uuid, parent) in held.items():
        assert [1] == page.values("opsd_gpu_job_info", jobid=job, uuid=uuid, parent=parent), job
    assert len(held) == len(page.values("opsd_gpu_job_info"))
    # Process 72 cannot be read, and counts for the only holder; 73 is a job that no file names.
    assert {"5": 1, "6": 1, "8": 0, "s0000000000009": 1} == {
        job: page.value("opsd_gpu_job_processes", jobid=job) for job in ("5", "6", "8", "s0000000000009")
    }
    assert 1 == page.value("opsd_gpu_job_unresolved")
    assert 1 == page.value("opsd_gpu_job_disagreements")
    assert 1 == page.value("opsd_gpu_processes_unknown")
