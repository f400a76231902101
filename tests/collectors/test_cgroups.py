"""From a process to its job, on trees built from the layouts that Slurm documents; none was seen live here.

Layouts: cgroup.conf(5), cgroup_v2.html, and src/plugins/cgroup of SchedMD/slurm (22.05 to 26.05).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.cgroups import Living, job_in, jobs_of, living

SCOPE = "system.slice/slurmstepd.scope"
V1 = """\
12:freezer:/slurm/uid_1000/job_4711/step_0
11:memory:/slurm/uid_1000/job_4711/step_0/task_0
10:cpuset:/slurm/uid_1000/job_4711/step_0
1:name=systemd:/system.slice/slurmd.service
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (V1, "4711"),
        ("5:devices:/slurm_acc01/uid_0/job_12/step_extern\n", "12"),  # several slurmd on a machine
        (f"0::/{SCOPE}/job_4711/step_0/user/task_0\n", "4711"),
        (f"0::/{SCOPE}/job_4711/step_batch/slurm\n", "4711"),
        (f"0::/{SCOPE}/job_4711\n", "4711"),
        ("0::/system.slice/acc01_slurmstepd.scope/job_4711/step_extern/user/task_special\n", "4711"),
        (f"0::/{SCOPE}/sEKNKTV3WPV500/step_0/user/task_0\n", "sEKNKTV3WPV500"),  # 26.05
        # a container of the job, and one in which slurmd itself runs
        (f"0::/{SCOPE}/job_4711/step_0/user/task_0/libpod-ab12.scope/container\n", "4711"),
        (f"0::/kubepods.slice/pod7.slice/cri-containerd-ab12.scope/{SCOPE}/job_4711/step_0/user\n", "4711"),
        # a job may build below its own group what it likes
        (f"0::/{SCOPE}/job_4711/step_0/user/task_0/{SCOPE}/job_1/step_0\n", "4711"),
        # and so may a login session
        (f"0::/user.slice/user-1000.slice/user@1000.service/{SCOPE}/job_4711/step_0\n", None),
        ("0::/user.slice/user-1000.slice/slurm/uid_1000/job_4711\n", None),
        ("0::/system.slice/slurmd.service\n", None),
        (f"0::/{SCOPE}/system\n", None),
        (f"0::/{SCOPE}/job_47x/step_0\n", None),
        (f"0::/{SCOPE}/sEKNKTV3WPV50/step_0\n", None),
        ("0::/myslurm/uid_1/job_2\n", None),
        ("0::/\n", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_the_job_of_a_process(text: str, expected: str | None) -> None:
    """Its number, or the SLUID by which Slurm names the directory; nothing for what is no job's."""
    assert expected == job_in(text)


def test_processes_that_cannot_be_read_are_missing(tmp_path: Path) -> None:
    """One that has ended, one behind hidepid, one whose file is strange: not errors, only unknown."""
    for pid, text in (
        (1, f"0::/{SCOPE}/job_7/step_0\n".encode()),
        (2, b"\xff\xfe"),
        (3, b"0::/init.scope\n"),
    ):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_bytes(text)
    (tmp_path / "4" / "cgroup").mkdir(parents=True)

    assert {1: "7"} == jobs_of(tmp_path, [1, 2, 3, 4, 5])


def made(root: Path, *paths: str) -> Path:
    """A tree of folders."""
    for path in paths:
        (root / path).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((f"{SCOPE}/job_1/step_0", f"{SCOPE}/job_2/step_batch", f"{SCOPE}/system"), Living(frozenset("12"))),
        ((f"{SCOPE}/job_1/step_extern", f"{SCOPE}/job_2/step_0"), Living(frozenset("12"), True)),
        (("system.slice/acc01_slurmstepd.scope/job_1",), Living(frozenset("1"))),
        ((f"{SCOPE}/sEKNKTV3WPV500/step_extern",), Living(frozenset({"sEKNKTV3WPV500"}), True)),
        (
            (
                "freezer/slurm/uid_1/job_1/step_0",
                "memory/slurm/uid_2/job_2/step_extern",
                "memory/slurm/system",
            ),
            Living(frozenset("12"), True),
        ),
        (("cpuset/slurm_acc01/uid_1/job_1",), Living(frozenset("1"))),
        (("system.slice/slurmd.service", "user.slice/user-1.slice/job_3"), Living()),
        ((), Living()),
    ],
)
def test_the_jobs_that_live_here(paths: tuple[str, ...], expected: Living, tmp_path: Path) -> None:
    """By their directories; with an extern step every job has one from the start."""
    assert expected == living(made(tmp_path, *paths))


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    """A folder that is not there tells nothing."""
    assert Living() == living(tmp_path / "absent")
