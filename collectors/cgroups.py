"""Which job a process belongs to, and which jobs live on this node: by the control groups that Slurm makes.

The layouts, from Slurm's documentation and source (cgroup.conf, cgroup_v2.html, src/plugins/cgroup):

    v1        /slurm/uid_1000/job_4711/step_0/task_0                in each hierarchy, as /slurm_NODE/… with
                                                                    several slurmd on a machine
    v2        /system.slice/slurmstepd.scope/job_4711/step_0/user/task_0        or NODE_slurmstepd.scope
    26.05     /system.slice/slurmstepd.scope/sEKNKTV3WPV500/step_0/…            CgroupJobIdPaths=no

Invariant: nobody but root makes these directories, so the outermost one is the truth: whatever a job makes
lies below its own, and what a login session makes lies below user.slice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MOST_BYTES = 65_536
_V1 = r"slurm(?:_[^/]+)?/uid_\d+/job_(\d+)"
_V2 = r"(?:[^/]+_)?slurmstepd\.scope/(?:job_(\d+)|(s[0-9A-Z]{13}))"
_IN_PATH = re.compile(rf"/(?:{_V1}|{_V2})(?=/|$)")
_JOB = re.compile(r"job_(\d+)|(s[0-9A-Z]{13})")
_OF_USERS = "/user.slice/"
_EXTERN = "step_extern"


class Living(NamedTuple):
    """The jobs that have a control group: numbers or SLUIDs.

    `is_complete`: jobs have one as long as they last, as Slurm makes it under PrologFlags=Contain; without
    it a job has none where no step of it runs.
    """

    jobs: frozenset[str] = frozenset()
    is_complete: bool = False


def jobs_of(procfs: Path, pids: Iterable[int]) -> Mapping[int, str]:
    """The jobs of processes, by number or SLUID; a process that has ended or cannot be read is missing."""
    found: dict[int, str] = {}
    for pid in pids:
        name = job_in(_text(procfs / str(pid) / "cgroup"))
        if name:
            found[pid] = name
    return found


def job_in(text: str) -> str | None:
    """The job in a /proc/PID/cgroup file, a line per hierarchy."""
    for line in text.splitlines():
        path = line.partition(":")[2].partition(":")[2]
        found = _IN_PATH.search(path)
        if found and _OF_USERS not in path[: found.start() + 1]:
            return next(group for group in found.groups() if group)
    return None


def living(cgroupfs: Path) -> Living:
    """The jobs that have a control group on this node now."""
    jobs: set[str] = set()
    is_complete = False
    for folder in _job_folders(cgroupfs):
        named = _JOB.fullmatch(folder.name)
        if named:
            jobs.add(named[1] or named[2])
            is_complete = is_complete or (folder / _EXTERN).is_dir()
    return Living(frozenset(jobs), is_complete)


def _job_folders(cgroupfs: Path) -> Iterator[Path]:
    """Below slices (v2), and below each hierarchy's slurm folder (v1)."""
    for top in _folders(cgroupfs):
        for below in _folders(top):
            if top.name.endswith(".slice") and below.name.endswith("slurmstepd.scope"):
                yield from _folders(below)
            elif below.name == "slurm" or below.name.startswith("slurm_"):
                for user in _folders(below):
                    yield from _folders(user)


def _folders(path: Path) -> list[Path]:
    """What lies in a folder; nothing in one that has gone or is no folder."""
    with suppress(OSError), os.scandir(path) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def _text(path: Path) -> str:
    """The start of a file; empty for one that has gone or cannot be read."""
    with suppress(OSError), path.open("rb") as file:
        return file.read(_MOST_BYTES).decode(errors="replace")
    return ""
