"""GPUs that are not there, for demonstrations and tests of what lies behind the agent.

Invariant: a value follows from the seed, the GPU and the time, and from whether a job holds the GPU now;
energy is the integral of the power shown since the agent started.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Collection

from opsd.core.telemetry import Driver, Gpu, Identity, Reading, Snapshot

_GIB = 2.0**30
_MEMORY = 80 * _GIB
_RESERVED = 0.6 * _GIB
_LIMIT_WATTS = 700.0
_IDLE_WATTS = 72.0
_HIGHEST = {"graphics": 1.98e9, "sm": 1.98e9, "memory": 2.619e9, "video": 1.545e9}
_REASONS = ("gpu_idle", "sw_power_cap", "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown")


class SimulatedGpus:
    """As many GPUs as asked for; `busy` tells the minor numbers that jobs hold."""

    collector = "simulated"

    def __init__(
        self,
        count: int,
        seed: str,
        *,
        clock: Callable[[], float],
        busy: Callable[[], Collection[int]],
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._identities = [_identity(seed, index) for index in range(count)]
        self._phases = [_phase(seed, index) for index in range(count)]
        self._joules = [0.0] * count
        self._at: float | None = None

    def collect(self) -> Snapshot:
        """All of them, now."""
        now = self._clock()
        passed = max(0.0, now - self._at) if self._at is not None else 0.0
        self._at = now
        held = set(self._busy())
        gpus = tuple(self._gpu(index, now, passed, held=index in held) for index in range(len(self._phases)))
        return Snapshot(gpus, Driver("simulated", "simulated"), len(gpus))

    def close(self) -> str:
        """Nothing is open, so nothing is in it."""
        return ""

    def _gpu(self, index: int, now: float, passed: float, *, held: bool) -> Gpu:
        load = _load(self._phases[index], now) if held else 0.0
        watts = _IDLE_WATTS + load * (0.94 * _LIMIT_WATTS - _IDLE_WATTS)
        self._joules[index] += watts * passed
        return Gpu(
            index=index,
            condition="up",
            identity=self._identities[index],
            values=_values(load, watts, self._joules[index], held=held),
            sampled_at=now,
            sample_seconds=0.0,
            failures={"hung": 0, "lost": 0, "error": 0},
        )


def _load(phase: float, now: float) -> float:
    """How hard a held GPU works: a slow swing of minutes, a faster one of seconds."""
    return 0.82 + 0.12 * math.sin(now / 97 + phase) + 0.06 * math.sin(now / 7.3 + 3 * phase)


def _values(load: float, watts: float, joules: float, *, held: bool) -> dict[Reading, float]:
    used = _MEMORY * (0.35 + 0.5 * load) if held else 0.0
    clock = 0.345e9 + load * 1.6e9
    active = {"gpu_idle": not held, "sw_power_cap": load > 0.95}
    plain = {
        "utilization_ratio": round(load, 2),
        "memory_copy_utilization_ratio": round(0.4 * load, 2),
        "memory_total_bytes": _MEMORY,
        "memory_used_bytes": float(int(used)),
        "memory_free_bytes": float(int(_MEMORY - _RESERVED - used)),
        "memory_reserved_bytes": float(int(_RESERVED)),
        "power_average_watts": round(watts, 3),
        "power_instant_watts": round(watts, 3),
        "energy_joules_total": round(joules, 3),
        "processes": float(held),
    }
    values = {Reading(name): value for name, value in plain.items()}
    for kind in ("enforced", "default"):
        values[Reading("power_limit_watts", (kind,))] = _LIMIT_WATTS
    values[Reading("temperature_celsius", ("gpu",))] = float(round(31 + 38 * load))
    values[Reading("temperature_celsius", ("memory",))] = float(round(36 + 46 * load))
    for domain, highest in _HIGHEST.items():
        now = highest if domain == "memory" else min(highest, clock)
        values[Reading("clock_hertz", (domain,))] = float(round(now, -6))
        values[Reading("clock_max_hertz", (domain,))] = highest
    for reason in _REASONS:
        values[Reading("clock_event_active", (reason,))] = float(active.get(reason, False))
    for severity in ("corrected", "uncorrected"):
        for lifetime in ("volatile", "aggregate"):
            values[Reading("ecc_errors_total", (severity, lifetime))] = 0.0
    return values


def _identity(seed: str, index: int) -> Identity:
    name = uuid.uuid5(uuid.NAMESPACE_OID, f"opsd simulated {seed} {index}")
    return Identity(f"GPU-{name}", index, "Simulated GPU", pci=f"00000000:{0x10 + index:02X}:00.0")


def _phase(seed: str, index: int) -> float:
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 * math.tau
