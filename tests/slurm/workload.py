"""Jobs of every kind that one hour of a real cluster may hold, and what happens to them on the way.

No resize and no reservation: with those, Slurm's own report counts what no run used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.slurm.cluster import Slurm

GPU = ("-p", "gpu")
# (user, options of sbatch): jobs that nobody touches once they are submitted.
LEFT_ALONE = (
    ("games", ("-n1", "--wrap", "sleep 12")),
    ("games", ("-A", "pt-ml", "-n2", "--wrap", "sleep 9")),
    ("news", ("-n4", "-c2", "--mem=3000", "--wrap", "sleep 15")),
    ("mail", ("-n1", "--wrap", "true")),
    ("news", ("-N2", "-n6", "--wrap", "sleep 6")),
    ("mail", (*GPU, "-N3", "--ntasks-per-node=2", "--gres=gpu:h100:1", "--wrap", "sleep 8")),
    ("mail", (*GPU, "-n2", "--gres=gpu:h100:2", "--wrap", "sleep 11")),
    ("list", (*GPU, "-n1", "--gres=gpu:1", "--wrap", "sleep 14")),
    ("list", (*GPU, "-n1", "--gpus=3", "--wrap", "sleep 10")),
    ("games", ("-A", "pt-ml", *GPU, "-N2", "-n2", "--gpus-per-node=h100:1", "--wrap", "sleep 7")),
    (
        "list",
        ("--array=0-5%3", "--wrap", "sleep $((2 + SLURM_ARRAY_TASK_ID)); [ $SLURM_ARRAY_TASK_ID != 4 ]"),
    ),
    ("news", ("-n1", "--wrap", "sleep 2; exit 3")),
    ("list", (*GPU, "-n3", "-t60", "--gres=gpu:h100:2", "--wrap", "sleep 900")),  # still runs at the end
    ("games", ("-n1", "-t60", "--wrap", "sleep 900")),
)


def run(slurm: Slurm) -> bool:
    """Submit everything, and return when all that was to be done to jobs is done.

    Returns:
        Whether the hour had not ended before: a suspension across its edge is another test's.
    """
    for user, options in LEFT_ALONE:
        slurm.submit(user, *options)
    stories: tuple[Callable[[Slurm], None], ...] = (
        _requeued, _suspended, _suspended_with_gpu, _cancelled_running, _cancelled_pending,
    )  # fmt: skip
    with ThreadPoolExecutor(len(stories) + 1) as pool:
        slowest = pool.submit(_timed_out, slurm)
        for story in [pool.submit(story, slurm) for story in stories]:
            story.result()
        in_time = time.time() < slurm.hour_ends
        slowest.result()
    return in_time


def _timed_out(slurm: Slurm) -> None:
    """Slurm looks at time limits twice a minute. Its record may reach slurmdbd a moment later."""
    job = slurm.submit("mail", *GPU, "-n2", "-t1", "--gres=gpu:h100:1", "--wrap", "sleep 900")
    slurm.wait_for(job, "TIMEOUT")
    while "TIMEOUT" not in slurm.run("sacct", "-X", "-n", "-j", str(job), "-o", "State"):
        time.sleep(0.5)


def _requeued(slurm: Slurm) -> None:
    job = slurm.submit("list", *GPU, "-n1", "--gres=gpu:h100:1", "--requeue", "--wrap", "sleep 10")
    slurm.wait_for(job, "RUNNING")
    time.sleep(4)
    slurm.run("scontrol", "requeue", str(job))
    slurm.wait_for(job, "PENDING")
    slurm.wait_for(job, "COMPLETED")


def _suspended(slurm: Slurm) -> None:
    job = slurm.submit("news", "-n2", "--wrap", "sleep 16")
    _suspend(slurm, job, 3, 8)
    _suspend(slurm, job, 3, 5)
    slurm.wait_for(job, "COMPLETED")


def _suspended_with_gpu(slurm: Slurm) -> None:
    job = slurm.submit("games", "-A", "pt-ml", *GPU, "-n2", "--gres=gpu:h100:1", "--wrap", "sleep 14")
    _suspend(slurm, job, 3, 9)
    slurm.wait_for(job, "COMPLETED")


def _suspend(slurm: Slurm, job: int, before: float, seconds: float) -> None:
    slurm.wait_for(job, "RUNNING")
    time.sleep(before)
    slurm.run("scontrol", "suspend", str(job))
    time.sleep(seconds)
    slurm.run("scontrol", "resume", str(job))


def _cancelled_running(slurm: Slurm) -> None:
    job = slurm.submit("mail", "-n1", "--wrap", "sleep 900")
    slurm.wait_for(job, "RUNNING")
    time.sleep(5)
    slurm.run("scancel", str(job), user="mail")
    slurm.wait_for(job, "CANCELLED")


def _cancelled_pending(slurm: Slurm) -> None:
    job = slurm.submit("news", "-N2", "--exclusive", "--nice=1000", "--wrap", "sleep 900")
    time.sleep(2)
    assert "PENDING" == slurm.state(job)
    slurm.run("scancel", str(job))
    slurm.wait_for(job, "CANCELLED")
