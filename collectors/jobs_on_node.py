"""Which jobs run on this node with which GPUs: the files that Slurm's prolog drops and its epilog takes away.

One file per job in one folder, named by the job id, KEY=VALUE lines, written under another name and renamed:

    job_id=4711
    account=es-bio
    user=ana
    gpus=0,1                 minor numbers (SLURM_JOB_GPUS)
    uuids=GPU-…,MIG-…        where Slurm knows them: they count, not the numbers
    shards=2                 of all its GPUs together; 0: it may hold some, for the cluster has shards
    mps=40                   percent of its GPU's threads under CUDA MPS; 0: Slurm does not tell
    sluid=sEKNKTV3WPV500     Slurm 25.11 and later
    restarts=1               where Slurm tells
    started=1764280000

Invariant: a file is read whole or counted as unreadable; a name that starts with a dot is being written.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from opsd.core.errors import BadInput, BadText
from opsd.core.holders import Job

_MOST_BYTES = 65_536
_HIGHEST_MINOR = 4_095
_NUMBERS = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*")
_JOB_ID = re.compile(r"[1-9][0-9]{0,9}")  # Slurm's has 32 bits
_SLUID = re.compile(r"[0-9A-Za-z]{1,32}")
_MOST_DIGITS = 12
_KEYS = (
    "job_id", "account", "user", "gpus", "uuids", "started", "shards", "mps", "sluid", "restarts",
)  # fmt: skip
_NEEDED = ("job_id", "user", "gpus", "started")


class Found(NamedTuple):
    """The jobs of this node, what is wrong with files that could not be read, and the names of those."""

    jobs: tuple[Job, ...]
    faults: tuple[str, ...]
    unreadable: tuple[str, ...] = ()


def read(folder: Path) -> Found:
    """Every job file of a folder.

    Raises:
        BadInput: the folder itself cannot be read.
    """
    try:
        names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as err:
        remedy = "create it" if isinstance(err, FileNotFoundError) else "the agent must be able to read it"
        raise BadInput(f"job directory {folder}: {err.strerror}: {remedy} (docs/install.md)") from err
    jobs, faults, unreadable = [], [], []
    for name in names:
        try:
            jobs.append(parse(name, _text(folder / name)))
        except FileNotFoundError:
            continue  # the job has just ended
        except BadText as err:
            faults.append(str(err))
            unreadable.append(name)
    return Found(tuple(jobs), tuple(faults), tuple(unreadable))


def parse(name: str, text: str) -> Job:
    """One file.

    Raises:
        BadText: it is not such a file.
    """
    entries = _entries(name, text)
    missing = [key for key in _NEEDED if key not in entries]
    if missing:
        raise BadText(f"job file {name}: needs {missing[0]}", text)
    if entries["job_id"] != name:
        raise BadText(f"job file {name}: holds another job", entries["job_id"])
    if not _JOB_ID.fullmatch(name):
        raise BadText(f"job file {name[:40]}: job_id is not a job's number", name)
    return Job(
        job_id=name,
        account=entries.get("account", ""),
        user=entries["user"],
        minors=_numbers(name, entries["gpus"]),
        uuids=tuple(uuid for uuid in entries.get("uuids", "").split(",") if uuid),
        started=_number(name, entries, "started") or 0,
        sluid=_sluid(name, entries.get("sluid", "")),
        shards=_number(name, entries, "shards"),
        mps=_number(name, entries, "mps"),
        restarts=_number(name, entries, "restarts") or 0,
    )


def _entries(name: str, text: str) -> Mapping[str, str]:
    entries: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if not equals or key not in _KEYS or key in entries:
            raise BadText(f"job file {name}: not one of {', '.join(_KEYS)}, each once", line)
        entries[key] = value
    return entries


def _number(name: str, entries: Mapping[str, str], key: str) -> int | None:
    text = entries.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise BadText(f"job file {name}: {key} is not a number", text)
    return int(text)


def _sluid(name: str, text: str) -> str:
    if text and not _SLUID.fullmatch(text):
        raise BadText(f"job file {name}: sluid is not of letters and digits", text)
    return text


def _numbers(name: str, text: str) -> tuple[int, ...]:
    """`0,1` or `0-3`: both stand in SLURM_JOB_GPUS."""
    if not text:
        return ()
    if not _NUMBERS.fullmatch(text) or len(text) > 400:
        raise BadText(f"job file {name}: gpus are not numbers", text)
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if not first <= last <= _HIGHEST_MINOR:
            raise BadText(f"job file {name}: gpus are not numbers of GPUs", part)
        found += range(first, last + 1)
    return tuple(found)


def _text(path: Path) -> str:
    """A file's text, without ever waiting for it: a pipe or a link is no job file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as err:
        raise BadText(f"job file {path.name}: {err.strerror}", str(path)) from err
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BadText("job file: not a file", str(path))
        content = os.read(descriptor, _MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _MOST_BYTES:
        raise BadText("job file: too long", str(path))
    try:
        return content.decode()
    except UnicodeDecodeError as err:
        raise BadText(f"job file {path.name}: not UTF-8", repr(content)) from err
