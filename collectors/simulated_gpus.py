"""GPUs that are not there, for demonstrations and tests of what lies behind the agent.

What a job does with its GPUs is its habit: most compute, some do so half of the time, some hold a GPU with
a process that waits, or with none at all. Invariant: a value follows from the seed, the GPU, the time and the
jobs that hold the GPU; energy and activity are exact integrals of the load since the agent last looked, so
that they come to the same however often it looks, and to what `measured` says of the whole run.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Literal, NamedTuple

from opsd.core.holders import Job
from opsd.core.measured import Measured
from opsd.core.telemetry import Driver, Gpu, Identity, Process, Reading, Snapshot

_GIB = 2.0**30
_MEMORY = 80 * _GIB
_RESERVED = 0.6 * _GIB
_LIMIT_WATTS = 700.0
_IDLE_WATTS, _WAITING_WATTS = 72.0, 116.0  # without a process, and with one that does nothing
_FULL_WATTS = 0.94 * _LIMIT_WATTS
_HIGHEST = {"graphics": 1.98e9, "sm": 1.98e9, "memory": 2.619e9, "video": 1.545e9}
_REASONS = ("gpu_idle", "sw_power_cap", "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown")

# What a full load makes of each activity; of every kind of pipe where it has kinds.
_ACTIVE = {
    Reading("sm_active_ratio"): 0.93,
    Reading("sm_occupancy_ratio"): 0.41,
    Reading("tensor_active_ratio"): 0.52,
    Reading("tensor_pipe_active_ratio", ("hmma",)): 0.50,
    Reading("tensor_pipe_active_ratio", ("imma",)): 0.02,
    Reading("dram_active_ratio"): 0.38,
    Reading("fp64_active_ratio"): 0.0,
    Reading("fp32_active_ratio"): 0.17,
    Reading("fp16_active_ratio"): 0.06,
    Reading("integer_active_ratio"): 0.13,
}

# Bytes that a second of full load moves, and for how long it, or a second without work, holds clocks down.
_MOVED = {
    Reading(f"{link}_bytes_total"): a_second
    for link, a_second in (
        ("pcie_transmit", 1.4e9), ("pcie_receive", 3.9e9),
        ("nvlink_transmit", 7.0e10), ("nvlink_receive", 6.6e10),
    )
}  # fmt: skip
_HELD_DOWN = {"sw_power_cap": (0.2, 0.0), "low_utilization": (0.0, 1.0), "hw_thermal_slowdown": (0.0, 0.0)}
_SM, _TENSOR = Reading("sm_active_ratio"), Reading("tensor_active_ratio")

_CONSTANT = {
    Reading("memory_total_bytes"): _MEMORY,
    Reading("memory_reserved_bytes"): float(int(_RESERVED)),
    Reading("mig_mode"): 0.0,
    Reading("ecc_mode"): 1.0,
    Reading("persistence_mode"): 1.0,
    Reading("recovery_action"): 0.0,
    Reading("row_remap_pending"): 0.0,
    Reading("row_remap_failure"): 0.0,
    **{Reading("remapped_rows", (cause,)): 0.0 for cause in ("corrected", "uncorrected")},
    Reading("pcie_link_generation"): 5.0,
    Reading("pcie_link_generation_max"): 5.0,
    Reading("pcie_link_width_lanes"): 16.0,
    Reading("pcie_link_width_max_lanes"): 16.0,
    Reading("pcie_replays_total"): 0.0,
    Reading("nvlink_links_active"): 18.0,
    **{Reading("power_limit_watts", (kind,)): _LIMIT_WATTS for kind in ("enforced", "default")},
    **{Reading("clock_max_hertz", (domain,)): highest for domain, highest in _HIGHEST.items()},
    **{
        Reading("ecc_errors_total", (severity, lifetime)): 0.0
        for severity in ("corrected", "uncorrected")
        for lifetime in ("volatile", "aggregate")
    },
}

Habit = Literal["busy", "half", "waiting", "empty"]
_HABITS: tuple[tuple[float, Habit], ...] = ((0.72, "busy"), (0.88, "half"), (0.95, "waiting"), (1.0, "empty"))
TURN_SECONDS = 420  # a job of which half is work turns so often from work to waiting and back


@cache
def habit(job_id: str) -> Habit:
    """What a job does with all GPUs that it holds, on whichever node."""
    chance = _chance(f"habit {job_id}")
    return next(name for most, name in _HABITS if chance < most)


def is_idle(job_id: str, at: float) -> bool:
    """Whether a job does nothing with its GPUs at a moment."""
    return not _doing(job_id).works(at)


def jobs_of(jobs: Iterable[Job]) -> dict[int, str]:
    """Whose the processes are that these jobs would run here: process -> job id."""
    return {_pid(job.job_id, minor): job.job_id for job in jobs for minor in job.minors}


def identity(seed: str, minor: int) -> Identity:
    """Who a node's GPU is."""
    name = uuid.uuid5(uuid.NAMESPACE_OID, f"opsd simulated {seed} {minor}")
    return Identity(f"GPU-{name}", minor, "Simulated GPU", pci=f"00000000:{0x10 + minor:02X}:00.0")


def measured(seed: str, job: Job, minor: int, until: float) -> Measured:
    """What an agent would have measured of a job on a GPU from its start, with no round missed.

    Args:
        seed: the node's.
        job: one that holds whole GPUs.
        minor: which of them.
        until: when it gave them back, or now.
    """
    doing, phase = _doing(job.job_id), _phase(seed, minor)
    seconds, worked = until - job.started, _work(doing, phase, job.started, until)
    idle = seconds - sum(end - begin for begin, end in _turns(doing, job.started, until))
    peak = max(_used(doing, load) for load in (0.0, _MOST_LOAD * (worked > 0)))
    return Measured(
        job_id=int(job.job_id),
        uuid=identity(seed, minor).uuid,
        started=job.started,
        ended=int(until),
        account=job.account,
        user=job.user,
        allocated_ms=round(1000 * seconds),
        covered_ms=round(1000 * seconds),
        process_ms=round(1000 * seconds) if doing.has_process else 0,
        idle_ms=round(1000 * idle),
        gpm_ms=round(1000 * seconds),
        sm_active_ms=round(1000 * _ACTIVE[_SM] * worked),
        tensor_active_ms=round(1000 * _ACTIVE[_TENSOR] * worked),
        energy_mj=round(1000 * (doing.base_watts * seconds + doing.span_watts * worked)),
        memory_peak_bytes=int(peak),
    )


class SimulatedGpus:
    """As many GPUs as asked for; `holders` tells which job holds which minor number."""

    collector = "simulated"

    def __init__(
        self,
        count: int,
        seed: str,
        *,
        clock: Callable[[], float],
        holders: Callable[[], Mapping[int, str]],
    ) -> None:
        self._clock = clock
        self._holders = holders
        self._identities = [identity(seed, index) for index in range(count)]
        self._phases = [_phase(seed, index) for index in range(count)]
        self._joules = [0.0] * count
        self._worked = [0.0] * count  # seconds of full load
        self._rested = [0.0] * count
        self._at: float | None = None
        self._held: Mapping[int, str] = {}  # since the last look

    def collect(self) -> Snapshot:
        """All of them, now."""
        now = self._clock()
        since = now if self._at is None else min(self._at, now)
        held = dict(self._holders())
        gpus = tuple(self._gpu(index, since, now, held) for index in range(len(self._phases)))
        self._at, self._held = now, held
        return Snapshot(gpus, Driver("simulated", "simulated"), len(gpus))

    def close(self) -> str:
        """Nothing is open, so nothing is in it."""
        return ""

    def _gpu(self, index: int, since: float, now: float, held: Mapping[int, str]) -> Gpu:
        phase, seconds = self._phases[index], now - since
        before, at_work = (_doing(holders.get(index)) for holders in (self._held, held))
        worked = _work(before, phase, since, now)
        self._joules[index] += before.base_watts * seconds + before.span_watts * worked
        self._worked[index] += worked
        self._rested[index] += max(0.0, seconds - worked)
        values = _values(at_work, at_work.load(phase, now), self._joules[index])
        values |= _counted(self._worked[index], self._rested[index])
        if seconds:
            values |= {name: round(part * worked / seconds, 6) for name, part in _ACTIVE.items()}
        used = int(values[Reading("memory_used_bytes")])
        process = Process(_pid(at_work.job_id, index), used)
        return Gpu(
            index=index,
            condition="up",
            identity=self._identities[index],
            values=values,
            sampled_at=now,
            sample_seconds=0.0,
            failures={"hung": 0, "lost": 0, "error": 0},
            gpm_seconds=seconds or None,
            processes=(process,) if at_work.has_process else (),
        )


class _Doing(NamedTuple):
    """What goes on on a GPU; nobody's job is empty."""

    job_id: str
    habit: Habit

    @property
    def has_process(self) -> bool:
        return self.habit != "empty"

    @property
    def base_watts(self) -> float:
        return _WAITING_WATTS if self.has_process else _IDLE_WATTS

    @property
    def span_watts(self) -> float:
        return _FULL_WATTS - self.base_watts

    def works(self, at: float) -> bool:
        """Whether it is at work at a moment."""
        return self.habit == "busy" or (self.habit == "half" and at // TURN_SECONDS % 2 == 0)

    def load(self, phase: float, at: float) -> float:
        return _load(phase, at) if self.works(at) else 0.0


def _doing(job_id: str | None) -> _Doing:
    return _Doing(job_id, habit(job_id)) if job_id else _Doing("", "empty")


_MOST_LOAD = 1.0


def _load(phase: float, now: float) -> float:
    """How hard a working GPU works: a slow swing of minutes, a faster one of seconds."""
    return 0.82 + 0.12 * math.sin(now / 97 + phase) + 0.06 * math.sin(now / 7.3 + 3 * phase)


def _load_until(phase: float, now: float) -> float:
    """An integral of `_load` over time."""
    slow = 0.12 * 97 * math.cos(now / 97 + phase)
    return 0.82 * now - slow - 0.06 * 7.3 * math.cos(now / 7.3 + 3 * phase)


def _turns(doing: _Doing, since: float, until: float) -> Iterator[tuple[float, float]]:
    """When it works in [since, until)."""
    if doing.habit == "busy":
        yield since, until
    while doing.habit == "half" and since < until:
        end = min(until, (since // TURN_SECONDS + 1) * TURN_SECONDS)
        if doing.works(since):
            yield since, end
        since = end


def _work(doing: _Doing, phase: float, since: float, until: float) -> float:
    """The integral of the load over [since, until), in seconds of full load."""
    turns = _turns(doing, since, until)
    return math.fsum(_load_until(phase, end) - _load_until(phase, begin) for begin, end in turns)


def _used(doing: _Doing, load: float) -> float:
    """Bytes of memory that its process holds: one that waits for work has all of a model loaded."""
    if not doing.has_process:
        return 0.0
    return _MEMORY * (0.86 if doing.habit == "waiting" else 0.35 + 0.5 * load)


def _values(doing: _Doing, load: float, joules: float) -> dict[Reading, float]:
    used = _used(doing, load)
    watts = doing.base_watts + doing.span_watts * load
    plain = {
        "utilization_ratio": round(load, 2),
        "memory_copy_utilization_ratio": round(0.4 * load, 2),
        "memory_used_bytes": float(int(used)),
        "memory_free_bytes": float(int(_MEMORY - _RESERVED - used)),
        "power_average_watts": round(watts, 3),
        "power_instant_watts": round(watts, 3),
        "energy_joules_total": round(joules, 3),
        "processes": float(doing.has_process),
    }
    values = _CONSTANT | {Reading(name): value for name, value in plain.items()}
    values[Reading("temperature_celsius", ("gpu",))] = float(round(31 + 38 * load))
    values[Reading("temperature_celsius", ("memory",))] = float(round(36 + 46 * load))
    return values | _clocks(load)


def _counted(worked: float, rested: float) -> dict[Reading, float]:
    """What it moved, and for how long clocks were held down, since it was first looked at."""
    values = {name: float(int(a_second * worked)) for name, a_second in _MOVED.items()}
    for reason, (of_work, of_rest) in _HELD_DOWN.items():
        values[Reading("clock_event_seconds_total", (reason,))] = of_work * worked + of_rest * rested
    return values


def _clocks(load: float) -> dict[Reading, float]:
    """How fast it goes, and what holds it back."""
    values: dict[Reading, float] = {}
    clock = 0.345e9 + load * 1.6e9
    active = {"gpu_idle": not load, "sw_power_cap": load > 0.95}
    for domain, highest in _HIGHEST.items():
        now = highest if domain == "memory" else min(highest, clock)
        values[Reading("clock_hertz", (domain,))] = float(round(now, -6))
    for reason in _REASONS:
        values[Reading("clock_event_active", (reason,))] = float(active.get(reason, False))
    return values


def _phase(seed: str, minor: int) -> float:
    return math.tau * _chance(f"{seed}/{minor}")


@cache
def _pid(job_id: str, minor: int) -> int:
    return 1_000 + int(4_000_000 * _chance(f"process {job_id}/{minor}"))


def _chance(text: str) -> float:
    """A number in [0, 1) that is always the same for a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
