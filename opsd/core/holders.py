"""Which job holds which device, and which job computes on it.

Invariant: a device is named by its UUID, never by its number alone: a GPU's, or a MIG device's. What cannot
be told is counted, never guessed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from opsd.core.telemetry import Gpu, Process

GRACE_SECONDS = 60  # a prolog may be slow before a job's directory is there, an epilog after it has gone


@dataclass(frozen=True, slots=True)
class Job:
    """A job on this node and the GPUs it was given: by UUID where those are known, else by minor number."""

    job_id: str
    account: str
    user: str
    minors: tuple[int, ...] = ()
    uuids: tuple[str, ...] = ()  # of GPUs or of MIG devices
    started: int = 0  # when its prolog ran: tells the runs of a requeued job apart
    sluid: str = ""  # Slurm 25.11 and later
    shards: int | None = None  # of all its GPUs together; None: Slurm has none, 0: it may hold some
    mps: int | None = None  # percent of its GPU's threads under CUDA MPS; None: no MPS, 0: not told
    restarts: int = 0

    @property
    def run(self) -> tuple[str, int]:
        """Which run of which job."""
        return self.job_id, self.started

    @property
    def is_sharing(self) -> bool:
        """Whether others may be on its GPU with it."""
        return self.shards is not None or self.mps is not None


class Holding(NamedTuple):
    """A job holds a device."""

    uuid: str
    job_id: str
    account: str
    user: str
    parent: str = ""  # the GPU of a MIG device
    started: int = 0
    sluid: str = ""


class Computing(NamedTuple):
    """What a job really runs on a device."""

    processes: int
    memory_bytes: int | None  # None: the driver does not tell it for all of them
    parent: str = ""


class Evidence(NamedTuple):
    """What a node tells of its jobs, apart from their files. A job is named by its number or its SLUID."""

    job_of: Mapping[int, str] = {}  # by process; missing: it belongs to no job, or cannot be read
    living: frozenset[str] = frozenset()  # jobs that have a control group now
    last_seen: Mapping[tuple[str, int], float] = {}  # when a run's control group was last seen
    is_complete: bool = False  # every job here has one from its first to its last second
    booted: float | None = None
    now: float = 0


NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True)
class Holders:
    """Who holds and who computes.

    `shares`: the part of its device that each holding is; those of one device add up to at most one.
    `computing`: by (device's UUID, job id), for holders, and for processes whose job is known also where it
    holds nothing; a device of which the processes are not known is not in it.
    `unresolved`: entries of job files that name no device of this node; `stale`: job files of jobs that
    are over; `strangers`: processes of which the job, or the device, is not known, None where the driver
    tells no processes; `disagreeing`: pairs in `computing` whose job holds no such device.
    """

    shares: Mapping[Holding, float] = field(default_factory=dict)
    computing: Mapping[tuple[str, str], Computing] = field(default_factory=dict)
    unresolved: int = 0
    stale: tuple[str, ...] = ()
    strangers: int | None = None
    disagreeing: int = 0


def resolve(jobs: Iterable[Job], gpus: Iterable[Gpu], evidence: Evidence = NO_EVIDENCE) -> Holders:
    """Who holds and who computes on these GPUs, by the job files and what else the node tells."""
    files, known = sorted(jobs, key=lambda job: job.run), [gpu for gpu in gpus if gpu.uuid]
    devices = _Devices(known)
    named = {job.run: devices.named(job) for job in files}
    stale = _stale(files, named, evidence)
    current = [job for job in files if job.run not in stale]
    shares = dict(_shares(current, named, devices.parents))
    found = _Computing(files, shares, evidence)
    for gpu in known:
        found.add(gpu, devices)
    return Holders(
        shares=shares,
        computing=found.by_pair,
        # A driver that shows no GPU at all tells nothing: no name is wrong then.
        unresolved=sum(named[job.run].count(None) for job in current if known),
        stale=tuple(job_id for job_id, _ in sorted(stale)),
        strangers=found.strangers,
        disagreeing=sum(
            seen.processes > 0 and pair not in found.holding for pair, seen in found.by_pair.items()
        ),
    )


class _Devices:
    """What the names in job files mean on this node."""

    def __init__(self, gpus: Sequence[Gpu]) -> None:
        self.parents: dict[str, str] = {}
        self._by_uuid: dict[str, str | None] = {}
        self._by_minor: dict[int, str | None] = {}
        for gpu in gpus:
            alone = _as_one(gpu)
            self._by_uuid[gpu.uuid] = alone
            self.parents[gpu.uuid] = ""
            if gpu.identity and gpu.identity.minor is not None:
                self._by_minor[gpu.identity.minor] = alone
            for part in gpu.slices:
                self._by_uuid[part.uuid] = part.uuid
                self.parents[part.uuid] = gpu.uuid

    def named(self, job: Job) -> list[str | None]:
        """The devices of a job; None for a name that is none here, or that may be several."""
        if job.uuids:
            return [self._by_uuid.get(uuid) for uuid in dict.fromkeys(job.uuids)]
        return [self._by_minor.get(minor) for minor in dict.fromkeys(job.minors)]


def _as_one(gpu: Gpu) -> str | None:
    """The one device that a GPU is; None for one of which a job can hold several parts."""
    if not gpu.slices:
        return gpu.uuid
    return gpu.slices[0].uuid if len(gpu.slices) == 1 else None


# ------------------------------------------------------------------------------- files of jobs that are over


def _stale(
    jobs: Sequence[Job], named: Mapping[tuple[str, int], Sequence[str | None]], evidence: Evidence
) -> set[tuple[str, int]]:
    """Runs that are over though their files are there: after a crash no epilog takes them away.

    A job that has a control group is not over. Where control groups tell nothing, the younger of two jobs
    that both claim all of a device is right: Slurm gives it to one at a time.
    """
    maybe = [job for job in jobs if not evidence.living & {job.job_id, job.sluid}]
    stale = {job.run for job in maybe if _is_over(job, evidence)}
    last: dict[str, int] = defaultdict(int)
    for job in jobs:
        if job.run not in stale and not job.is_sharing:
            for uuid in named[job.run]:
                if uuid is not None:
                    last[uuid] = max(last[uuid], job.started)
    followed = {
        job.run
        for job in maybe
        if any(uuid is not None and last[uuid] > job.started for uuid in named[job.run])
    }
    return stale | followed


def _is_over(job: Job, evidence: Evidence) -> bool:
    if evidence.booted is not None and job.started < evidence.booted:
        return True
    seen = evidence.last_seen.get(job.run)
    if seen is None and not evidence.is_complete:
        return False
    return evidence.now - max(job.started, seen or 0) > GRACE_SECONDS


# -------------------------------------------------------------------------------------------- who holds


def _shares(
    jobs: Sequence[Job],
    named: Mapping[tuple[str, int], Sequence[str | None]],
    parents: Mapping[str, str],
) -> Iterator[tuple[Holding, float]]:
    sharers: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        for uuid in dict.fromkeys(named[job.run]):
            if uuid is not None:
                sharers[uuid].append(job)
    for uuid, several in sharers.items():
        for job, part in zip(several, _parts(several, named), strict=True):
            parent = parents[uuid]
            yield Holding(uuid, job.job_id, job.account, job.user, parent, job.started, job.sluid), part


def _parts(jobs: Sequence[Job], named: Mapping[tuple[str, int], Sequence[str | None]]) -> list[float]:
    """By what each was given of the device where all tell, else evenly."""
    percents = [job.mps for job in jobs if job.mps]
    if len(percents) == len(jobs):
        whole = max(100, sum(percents))
        return [percent / whole for percent in percents]
    shards = [job.shards / len(named[job.run]) for job in jobs if job.shards]
    if len(shards) == len(jobs):
        return [count / sum(shards) for count in shards]
    return [1 / len(jobs)] * len(jobs)


# ------------------------------------------------------------------------------------------ who computes


class _Computing:
    """Processes, counted by device and job."""

    def __init__(self, files: Sequence[Job], held: Iterable[Holding], evidence: Evidence) -> None:
        self.by_pair: dict[tuple[str, str], Computing] = {}
        self.strangers: int | None = None
        self.holding = {(holding.uuid, holding.job_id) for holding in held}
        self._holders: dict[str, list[str]] = defaultdict(list)
        for uuid, job_id in sorted(self.holding):
            self._holders[uuid].append(job_id)
        self._job_of = evidence.job_of
        self._by_sluid = {job.sluid: job.job_id for job in files if job.sluid}
        self._are_sluids_known = all(job.sluid for job in files)

    def add(self, gpu: Gpu, devices: _Devices) -> None:
        """A GPU's processes, if the driver tells them."""
        if gpu.processes is None:
            return
        self.strangers = self.strangers or 0
        for uuid in [gpu.uuid, *(part.uuid for part in gpu.slices)]:
            for job_id in self._holders[uuid]:
                self._count(uuid, job_id, 0, 0, devices.parents[uuid])
        for process in gpu.processes:
            self._add_process(gpu, process, devices)

    def _add_process(self, gpu: Gpu, process: Process, devices: _Devices) -> None:
        uuid, job_id = _device_of(gpu, process), self._job(process.pid)
        if uuid is None or job_id is None:
            self.strangers = (self.strangers or 0) + 1
        if uuid is None:
            return
        if job_id is None and len(self._holders[uuid]) == 1:
            job_id = self._holders[uuid][0]  # nobody else may compute there
        if job_id is not None:
            self._count(uuid, job_id, 1, process.memory_bytes, devices.parents[uuid])

    def _count(self, uuid: str, job_id: str, processes: int, memory: int | None, parent: str) -> None:
        before = self.by_pair.get((uuid, job_id), Computing(0, 0))
        known = None if memory is None or before.memory_bytes is None else before.memory_bytes + memory
        self.by_pair[uuid, job_id] = Computing(before.processes + processes, known, parent)

    def _job(self, pid: int) -> str | None:
        """A process's job; one that no file names is known by its SLUID alone, if all files tell theirs."""
        name = self._job_of.get(pid)
        if name is None or name.isdigit():
            return name
        return self._by_sluid.get(name, name if self._are_sluids_known else None)


def _device_of(gpu: Gpu, process: Process) -> str | None:
    """The GPU or MIG device that a process runs on."""
    if process.instance is None:
        return _as_one(gpu)
    for part in gpu.slices:
        if part.instance == process.instance and process.compute_instance in (None, part.compute_instance):
            return part.uuid
    return None if gpu.is_mig else gpu.uuid
