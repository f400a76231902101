"""One GPU's readings: which driver function gives which, in which unit.

Invariant: what a GPU or driver does not support is asked once and then remembered (nvidia-ml-py looks
a missing symbol up each time); no function is called that sleeps inside the driver, such as PCIe throughput.

Source: NVIDIA's nvml.h; field numbers from nvidia-ml-py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

import pynvml as nvml  # type: ignore[import-untyped]

from opsd.core.telemetry import Process, Reading, is_possible

Handle = object  # what the driver calls a GPU
Values = Iterator[tuple[Reading, float | tuple[Process, ...]]]  # processes are listed, and counted

UNSUPPORTED = (
    nvml.NVMLError_NotSupported,
    nvml.NVMLError_FunctionNotFound,
    nvml.NVMLError_ArgumentVersionMismatch,
    nvml.NVMLError_NoPermission,
    nvml.NVMLLibraryMismatchError,  # no NVMLError, so `except NVMLError` lets it through
)
LOST = (nvml.NVMLError_GpuIsLost, nvml.NVMLError_GpuNotFound)
_NO_INSTANCE = 0xFFFFFFFF  # of a process on a GPU that is not cut
_FATAL = (*LOST, nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded)

DOMAINS = {
    "graphics": nvml.NVML_CLOCK_GRAPHICS,
    "sm": nvml.NVML_CLOCK_SM,
    "memory": nvml.NVML_CLOCK_MEM,
    "video": nvml.NVML_CLOCK_VIDEO,
}
REASONS = {
    "gpu_idle": nvml.nvmlClocksEventReasonGpuIdle,
    "applications_clocks_setting": nvml.nvmlClocksEventReasonApplicationsClocksSetting,
    "sw_power_cap": nvml.nvmlClocksEventReasonSwPowerCap,
    "hw_slowdown": nvml.nvmlClocksEventReasonHwSlowdown,
    "sync_boost": nvml.nvmlClocksEventReasonSyncBoost,
    "sw_thermal_slowdown": nvml.nvmlClocksEventReasonSwThermalSlowdown,
    "hw_thermal_slowdown": nvml.nvmlClocksEventReasonHwThermalSlowdown,
    "hw_power_brake_slowdown": nvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    "display_clock_setting": nvml.nvmlClocksEventReasonDisplayClockSetting,
}
_KNOWN_REASONS = sum(REASONS.values())
SEVERITIES = {
    "corrected": nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
    "uncorrected": nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
}
LIFETIMES = {"volatile": nvml.NVML_VOLATILE_ECC, "aggregate": nvml.NVML_AGGREGATE_ECC}

_MHZ = 1e6
_MILLI = 1e-3


class Getter(NamedTuple):
    """A driver call and the readings it gives."""

    name: str
    gives: tuple[str, ...]
    call: Callable[[Handle], Values]
    instead_of: str = ""  # only while that getter is unsupported


class Field(NamedTuple):
    """A value of the one batched call: its number, and what a unit of it is."""

    number: int
    reading: Reading
    unit: float


FIELDS = (
    Field(nvml.NVML_FI_DEV_POWER_AVERAGE, Reading("power_average_watts"), _MILLI),
    Field(nvml.NVML_FI_DEV_POWER_INSTANT, Reading("power_instant_watts"), _MILLI),
    Field(nvml.NVML_FI_DEV_POWER_DEFAULT_LIMIT, Reading("power_limit_watts", ("default",)), _MILLI),
    Field(nvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, Reading("energy_joules_total"), _MILLI),
    Field(nvml.NVML_FI_DEV_MEMORY_TEMP, Reading("temperature_celsius", ("memory",)), 1.0),
)
_TYPES = {
    nvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    nvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
    nvml.NVML_VALUE_TYPE_SIGNED_INT: "siVal",
    nvml.NVML_VALUE_TYPE_UNSIGNED_SHORT: "usVal",
}


class ProcessAnswer(Protocol):
    """What nvidia-ml-py says of a process."""

    pid: int
    usedGpuMemory: int | None  # noqa: N815 (NVML's names)
    gpuInstanceId: int  # noqa: N815
    computeInstanceId: int  # noqa: N815


class FieldAnswer(Protocol):
    """One value of the batched call, as nvidia-ml-py gives it."""

    nvmlReturn: int  # noqa: N815 (NVML's name)
    valueType: int  # noqa: N815 (NVML's name)
    value: object


def _utilization(handle: Handle) -> Values:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    yield Reading("utilization_ratio"), rates.gpu / 100
    yield Reading("memory_copy_utilization_ratio"), rates.memory / 100


def _memory(handle: Handle) -> Values:
    info = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    yield Reading("memory_total_bytes"), info.total
    yield Reading("memory_used_bytes"), info.used
    yield Reading("memory_free_bytes"), info.free
    yield Reading("memory_reserved_bytes"), info.reserved


def _memory_v1(handle: Handle) -> Values:
    """Without the used part: this version counts what the driver reserves as used."""
    info = nvml.nvmlDeviceGetMemoryInfo(handle)
    yield Reading("memory_total_bytes"), info.total
    yield Reading("memory_free_bytes"), info.free


def _power_limit(handle: Handle) -> Values:
    yield (
        Reading("power_limit_watts", ("enforced",)),
        nvml.nvmlDeviceGetEnforcedPowerLimit(handle) * _MILLI,
    )


def _temperature(handle: Handle) -> Values:
    celsius = nvml.nvmlDeviceGetTemperatureV(handle, nvml.NVML_TEMPERATURE_GPU)
    yield Reading("temperature_celsius", ("gpu",)), celsius


def _temperature_v0(handle: Handle) -> Values:
    celsius = nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)
    yield Reading("temperature_celsius", ("gpu",)), celsius


def _clock(domain: str) -> Getter:
    reading = Reading("clock_hertz", (domain,))

    def call(handle: Handle) -> Values:
        yield reading, nvml.nvmlDeviceGetClockInfo(handle, DOMAINS[domain]) * _MHZ

    return Getter(f"clock {domain}", (str(reading),), call)


def _clock_max(domain: str) -> Getter:
    reading = Reading("clock_max_hertz", (domain,))

    def call(handle: Handle) -> Values:
        yield reading, nvml.nvmlDeviceGetMaxClockInfo(handle, DOMAINS[domain]) * _MHZ

    return Getter(f"highest clock {domain}", (str(reading),), call)


def _ecc(severity: str, lifetime: str) -> Getter:
    reading = Reading("ecc_errors_total", (severity, lifetime))

    def call(handle: Handle) -> Values:
        errors = nvml.nvmlDeviceGetTotalEccErrors(handle, SEVERITIES[severity], LIFETIMES[lifetime])
        yield reading, errors

    return Getter(f"ecc {severity} {lifetime}", (str(reading),), call)


def _clock_events(handle: Handle) -> Values:
    return _active_reasons(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))


def _clock_events_v0(handle: Handle) -> Values:
    return _active_reasons(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _active_reasons(mask: int) -> Values:
    for reason, bit in REASONS.items():
        yield Reading("clock_event_active", (reason,)), bool(mask & bit)
    yield Reading("clock_event_active", ("other",)), bool(mask & ~_KNOWN_REASONS)


def _processes(handle: Handle) -> Values:
    yield Reading("processes"), _listed(nvml.nvmlDeviceGetComputeRunningProcesses_v3(handle))


def _processes_v2(handle: Handle) -> Values:
    yield Reading("processes"), _listed(nvml.nvmlDeviceGetComputeRunningProcesses_v2(handle))


def _listed(found: Iterable[ProcessAnswer]) -> tuple[Process, ...]:
    return tuple(
        Process(one.pid, one.usedGpuMemory, _instance(one.gpuInstanceId), _instance(one.computeInstanceId))
        for one in found
    )


def _instance(number: int) -> int | None:
    return None if number == _NO_INSTANCE else number


_MEMORY = ("memory_total_bytes", "memory_used_bytes", "memory_free_bytes", "memory_reserved_bytes")

GETTERS = (
    Getter("utilization", ("utilization_ratio", "memory_copy_utilization_ratio"), _utilization),
    Getter("memory", _MEMORY, _memory),
    Getter("memory v1", ("memory_total_bytes", "memory_free_bytes"), _memory_v1, instead_of="memory"),
    Getter("power limit", ("power_limit_watts.enforced",), _power_limit),
    Getter("temperature", ("temperature_celsius.gpu",), _temperature),
    Getter("temperature v0", ("temperature_celsius.gpu",), _temperature_v0, instead_of="temperature"),
    *(_clock(domain) for domain in DOMAINS),
    *(_clock_max(domain) for domain in DOMAINS),
    Getter("clock events", ("clock_event_active",), _clock_events),
    Getter("clock events v0", ("clock_event_active",), _clock_events_v0, instead_of="clock events"),
    *(_ecc(severity, lifetime) for severity in SEVERITIES for lifetime in LIFETIMES),
    Getter("processes", ("processes",), _processes),
    Getter("processes v2", ("processes",), _processes_v2, instead_of="processes"),
)


class Reader:
    """Reads one GPU again and again, and remembers what it cannot give."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.processes: tuple[Process, ...] | None = None  # None: the driver does not tell
        self._unsupported: set[str] = set()
        self._fields = list(FIELDS)

    def read(self, handle: Handle) -> dict[Reading, float]:
        """Every reading that the GPU gives now.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        found: dict[Reading, float] = {}
        self.processes = None
        for getter in GETTERS:
            if self._is_wanted(getter):
                self._call(getter, handle, found)
        self._read_fields(handle, found)
        return found

    @property
    def unsupported(self) -> frozenset[str]:
        """Readings that nothing gives."""
        given = {name for getter in GETTERS if self._is_wanted(getter) for name in getter.gives}
        given |= {str(field.reading) for field in self._fields}
        every = {name for getter in GETTERS for name in getter.gives}
        return frozenset((every | {str(field.reading) for field in FIELDS}) - given)

    def _is_wanted(self, getter: Getter) -> bool:
        if getter.name in self._unsupported:
            return False
        return not getter.instead_of or getter.instead_of in self._unsupported

    def _call(self, getter: Getter, handle: Handle, found: dict[Reading, float]) -> None:
        try:
            for reading, value in getter.call(handle):
                self._keep(reading, value, found)
        except _FATAL:
            raise
        except UNSUPPORTED:
            self._unsupported.add(getter.name)
        except nvml.NVMLError as err:
            if getattr(err, "value", None) != nvml.NVML_SUCCESS:  # nvidia-ml-py raises 0 for "no process"
                self.failed.update(getter.gives)

    def _keep(
        self, reading: Reading, value: float | tuple[Process, ...], found: dict[Reading, float]
    ) -> None:
        if isinstance(value, tuple):
            self.processes = value
            value = len(value)
        if is_possible(reading, value):
            found[reading] = float(value)
        else:
            self.rejected[str(reading)] += 1

    def _read_fields(self, handle: Handle, found: dict[Reading, float]) -> None:
        if not self._fields:
            return
        try:
            answers = nvml.nvmlDeviceGetFieldValues(handle, [field.number for field in self._fields])
        except _FATAL:
            raise
        except UNSUPPORTED:
            self._fields = []
            return
        except nvml.NVMLError:
            self.failed.update(str(field.reading) for field in self._fields)
            return
        for field, answer in zip(list(self._fields), answers, strict=True):
            self._take_field(field, answer, found)

    def _take_field(self, field: Field, answer: FieldAnswer, found: dict[Reading, float]) -> None:
        if answer.nvmlReturn == nvml.NVML_SUCCESS:
            raw = getattr(answer.value, _TYPES.get(answer.valueType, "ullVal"))
            self._keep(field.reading, raw * field.unit, found)
        elif answer.nvmlReturn in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_INVALID_ARGUMENT):
            self._fields.remove(field)  # an older driver does not know the number
        elif answer.nvmlReturn == nvml.NVML_ERROR_GPU_IS_LOST:
            raise nvml.NVMLError(nvml.NVML_ERROR_GPU_IS_LOST)
        else:
            self.failed[str(field.reading)] += 1
