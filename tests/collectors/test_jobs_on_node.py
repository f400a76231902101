"""Job files: what the prolog writes is what the agent reads; anything else is counted, never guessed."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from collectors.jobs_on_node import parse, read
from opsd.core.errors import BadInput, BadText
from opsd.core.holders import Job

SCRIPTS = Path(__file__).parents[2] / "systemd" / "slurm"
GOOD = "job_id=4711\naccount=es-bio\nuser=ana\ngpus=0,2-3\nstarted=1764280000\n"


# What Slurm 22.05.8's slurmd was seen to give both scripts, less the paths.
SEEN = {
    "CUDA_VISIBLE_DEVICES": "0,1",
    "GPU_DEVICE_ORDINAL": "0,1",
    "ROCR_VISIBLE_DEVICES": "0,1",
    "SLURMD_NODENAME": "n1",
    "SLURM_CLUSTER_NAME": "lab",
    "SLURM_JOBID": "31",
    "SLURM_JOB_ACCOUNT": "es-bio",
    "SLURM_JOB_CPUS_PER_NODE": "1",
    "SLURM_JOB_GID": "0",
    "SLURM_JOB_GPUS": "0,1",
    "SLURM_JOB_ID": "31",
    "SLURM_JOB_NUM_NODES": "1",
    "SLURM_JOB_PARTITION": "gpu",
    "SLURM_JOB_UID": "5",
    "SLURM_JOB_USER": "ana",
    "SLURM_NODELIST": "n1",
    "SLURM_UID": "5",
    "ZE_AFFINITY_MASK": "0,1",
}


def slurm(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script as slurmd does: in an environment of its own."""
    environment = {"PATH": "/usr/bin:/bin", "OPSD_JOBS_DIRECTORY": str(folder), "SLURM_CONF": "/dev/null"}
    environment |= variables
    return subprocess.run(
        [SCRIPTS / script], env=environment, check=False, capture_output=True, text=True, timeout=30
    )


def timeless(folder: Path) -> tuple[Job, ...]:
    """The jobs that lie there, without when they began; nothing else may lie there."""
    found = read(folder)
    assert ((), ()) == found[1:]
    return tuple(replace(job, started=0) for job in found.jobs)


def names(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_job_file() -> None:
    """Numbers may be single or ranges."""
    assert Job("4711", "es-bio", "ana", minors=(0, 2, 3), started=1764280000) == parse("4711", GOOD)


def test_all_that_a_job_file_may_hold() -> None:
    """UUIDs, parts of GPUs, Slurm's own identifier and how often the job began."""
    more = "uuids=GPU-a,MIG-b\nshards=2\nmps=40\nsluid=sEKNKTV3WPV500\nrestarts=1\n"

    assert Job(
        job_id="4711",
        account="es-bio",
        user="ana",
        minors=(0, 2, 3),
        uuids=("GPU-a", "MIG-b"),
        started=1764280000,
        sluid="sEKNKTV3WPV500",
        shards=2,
        mps=40,
        restarts=1,
    ) == parse("4711", GOOD + more)


def test_prolog_and_epilog(tmp_path: Path) -> None:
    """The prolog's file tells job, account, user and GPUs; the epilog takes it away."""
    began = slurm("opsd-prolog", tmp_path, **SEEN)

    assert (0, "", "") == (began.returncode, began.stdout, began.stderr)
    assert (Job("31", "es-bio", "ana", minors=(0, 1)),) == timeless(tmp_path)
    assert ["31"] == names(tmp_path)

    ended = slurm("opsd-epilog", tmp_path, **SEEN)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert [] == names(tmp_path)


def test_the_prolog_keeps_uuids(tmp_path: Path) -> None:
    """Newer Slurm gives UUIDs in the prolog; without an account or a name there is still a job."""
    slurm(
        "opsd-prolog",
        tmp_path,
        SLURM_JOB_ID="5",
        SLURM_JOB_UID="1001",
        SLURM_JOB_GPUS="0,1",
        CUDA_VISIBLE_DEVICES="GPU-a,GPU-b",
    )

    assert (Job("5", "", "1001", minors=(0, 1), uuids=("GPU-a", "GPU-b")),) == timeless(tmp_path)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # 26.05 (env_uuid), and MIG devices at any time
        ({"SLURM_JOB_GPUS": "GPU-a"}, {"uuids": ("GPU-a",)}),
        ({"SLURM_JOB_GPUS": "0", "CUDA_VISIBLE_DEVICES": "MIG-a"}, {"minors": (0,), "uuids": ("MIG-a",)}),
        ({"CUDA_VISIBLE_DEVICES": "MIG-a"}, {"uuids": ("MIG-a",)}),
        # before 25.11 a whole GPU beside a MIG device
        (
            {"SLURM_JOB_GPUS": "0,1", "CUDA_VISIBLE_DEVICES": "0,MIG-a"},
            {"minors": (0, 1), "uuids": ("0", "MIG-a")},
        ),
        ({"SLURM_JOB_GPUS": "0", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "40"}, {"minors": (0,), "mps": 40}),
        ({"SLURM_JOB_GPUS": "0", "SLURM_SHARDS_ON_NODE": "2"}, {"minors": (0,), "shards": 2}),
        (
            {"SLURM_JOB_GPUS": "0", "SLURM_JOB_SLUID": "sEKNKTV3WPV500"},
            {"minors": (0,), "sluid": "sEKNKTV3WPV500"},
        ),
        ({"SLURM_JOB_GPUS": "0", "SLURM_JOB_RESTART_COUNT": "3"}, {"minors": (0,), "restarts": 3}),
    ],
)
def test_what_slurm_may_tell_the_prolog(
    told: dict[str, str], expected: dict[str, object], tmp_path: Path
) -> None:
    """Of the variables that depend on its version and on the job, by Slurm's documentation and source."""
    ran = slurm("opsd-prolog", tmp_path, SLURM_JOB_ID="5", SLURM_JOB_USER="ana", **told)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert (Job("5", "", "ana", **expected),) == timeless(tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "expected"),
    [("GresTypes=gpu,shard", 0), ("  grestypes = Shard,mps", 0), ("#GresTypes=shard", None), ("", None)],
)
def test_where_a_cluster_has_shards_a_job_may_hold_some(
    line: str, expected: int | None, tmp_path: Path
) -> None:
    """Slurm tells the prolog the GPU alone, so that a job on shards looks like one that holds all of it."""
    conf, jobs = tmp_path / "slurm.conf", tmp_path / "jobs"
    conf.write_text(f"ClusterName=lab\n{line}\n")
    slurm("opsd-prolog", jobs, **SEEN, SLURM_CONF=str(conf))

    assert (expected,) == tuple(job.shards for job in read(jobs).jobs)


def test_when_a_job_began_is_its_prologs_time(tmp_path: Path) -> None:
    """In epoch seconds, for that tells the runs of a requeued job apart."""
    before = int(time.time())
    slurm("opsd-prolog", tmp_path, **SEEN)

    assert before <= read(tmp_path).jobs[0].started <= time.time()


def test_a_job_without_gpus_leaves_nothing(tmp_path: Path) -> None:
    """There is nothing to say about it."""
    assert 0 == slurm("opsd-prolog", tmp_path, SLURM_JOB_ID="5", SLURM_JOB_USER="ana").returncode
    assert [] == names(tmp_path)


@pytest.mark.parametrize("script", ["opsd-prolog", "opsd-epilog"])
@pytest.mark.parametrize("job", ["", "12a", "../etc/passwd"])
def test_scripts_never_fail_a_job(script: str, job: str, tmp_path: Path) -> None:
    """A strange environment is complained about on stderr, with exit code 0."""
    ran = slurm(script, tmp_path, SLURM_JOB_ID=job, SLURM_JOB_GPUS="0")

    assert 0 == ran.returncode
    assert "SLURM_JOB_ID is not a number" in ran.stderr
    assert [] == names(tmp_path)


def test_a_folder_that_cannot_be_written_fails_no_job(tmp_path: Path) -> None:
    """What is in the way is said on stderr, with exit code 0."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    (tmp_path / "5").mkdir()
    variables = {"SLURM_JOB_ID": "5", "SLURM_JOB_USER": "ana", "SLURM_JOB_GPUS": "0"}

    began = slurm("opsd-prolog", blocked, **variables)
    ended = slurm("opsd-epilog", tmp_path, **variables)

    assert (0, True) == (began.returncode, "cannot be made" in began.stderr)
    assert (0, True) == (ended.returncode, "cannot be removed" in ended.stderr)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs job_id"),
        (GOOD.replace("user=ana\n", ""), "needs user"),
        (GOOD.replace("4711", "4712"), "holds another job"),
        (GOOD.replace("0,2-3", "0;2"), "gpus are not numbers"),
        (GOOD.replace("0,2-3", "3-2"), "gpus are not numbers of GPUs"),
        (GOOD.replace("0,2-3", "0-99999"), "gpus are not numbers of GPUs"),
        (GOOD.replace("1764280000", "now"), "started is not a number"),
        (GOOD + "mps=-1\n", "mps is not a number"),
        (GOOD + "shards=\n", "shards is not a number"),
        (GOOD + "restarts=9999999999999\n", "restarts is not a number"),
        (GOOD + "sluid=s/../1\n", "sluid is not of letters and digits"),
        (GOOD + "user=eva\n", "each once"),
        (GOOD + "colour=red\n", "each once"),
        (GOOD + "half a li", "each once"),
    ],
)
def test_a_file_that_is_none(text: str, words: str) -> None:
    """What cannot be read is said with its name."""
    with pytest.raises(BadText, match=words) as refused:
        parse("4711", text)
    assert "4711" in str(refused.value)


@pytest.mark.parametrize("name", ["0", "007", "²", "٣", "12345678901", "-1", "core"])
def test_a_name_that_is_no_job_s_number(name: str) -> None:
    """It is refused here, not where the job's record is to be closed."""
    with pytest.raises(BadText, match="is not a job's number"):
        parse(name, GOOD.replace("4711", name))


def test_what_else_lies_in_the_folder(tmp_path: Path) -> None:
    """A file being written is not looked at; pipes, links, folders and nonsense are faults, no obstacles."""
    (tmp_path / "4711").write_text(GOOD)
    (tmp_path / ".4712.99").write_text("job_id=47")
    (tmp_path / "4713").write_bytes(b"\xff\xfe")
    (tmp_path / "4714").mkdir()
    (tmp_path / "4715").symlink_to(tmp_path / "4711")
    (tmp_path / "4716").write_text("x" * 70_000)
    (tmp_path / "README").write_text(GOOD)
    os.mkfifo(tmp_path / "4717")

    found = read(tmp_path)

    assert ["4711"] == [job.job_id for job in found.jobs]
    assert 6 == len(found.faults)
    assert ("4713", "4714", "4715", "4716", "4717", "README") == found.unreadable
    assert all("471" in fault or "README" in fault for fault in found.faults)


def test_without_the_folder_it_says_so(tmp_path: Path) -> None:
    """A missing folder is not an empty one."""
    with pytest.raises(BadInput, match="job directory"):
        read(tmp_path / "absent")
