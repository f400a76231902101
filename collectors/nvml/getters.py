"""Which function of the driver gives which readings of a GPU, in which unit.

Invariant: no function stands here that sleeps inside the driver, such as PCIe throughput; one that takes a
millisecond or more stands under RARE.

Sources: NVIDIA's nvml.h; times measured on an H200 (driver 580.159.04).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import Handle
from opsd.core.telemetry import Reading

Values = Iterator[tuple[Reading, float]]

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
SEVERITIES = {
    "corrected": nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
    "uncorrected": nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
}
LIFETIMES = {"volatile": nvml.NVML_VOLATILE_ECC, "aggregate": nvml.NVML_AGGREGATE_ECC}
LOCATIONS = {
    "dram": nvml.NVML_MEMORY_LOCATION_DRAM,
    "sram": nvml.NVML_MEMORY_LOCATION_SRAM,
    "l1_cache": nvml.NVML_MEMORY_LOCATION_L1_CACHE,
    "l2_cache": nvml.NVML_MEMORY_LOCATION_L2_CACHE,
    "register_file": nvml.NVML_MEMORY_LOCATION_REGISTER_FILE,
    "texture_memory": nvml.NVML_MEMORY_LOCATION_TEXTURE_MEMORY,
    "texture_shm": nvml.NVML_MEMORY_LOCATION_TEXTURE_SHM,
    "cbu": nvml.NVML_MEMORY_LOCATION_CBU,
}
THRESHOLDS = {
    "shutdown": nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN,
    "slowdown": nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
    "memory_max": nvml.NVML_TEMPERATURE_THRESHOLD_MEM_MAX,
    "gpu_max": nvml.NVML_TEMPERATURE_THRESHOLD_GPU_MAX,
}
SRAM_SOURCES = {
    "l2": "aggregateUncBucketL2",
    "sm": "aggregateUncBucketSm",
    "pcie": "aggregateUncBucketPcie",
    "microcontroller": "aggregateUncBucketMcu",
    "other": "aggregateUncBucketOther",
}
AVAILABILITIES = ("max", "high", "partial", "low", "none")

_MHZ = 1e6
_MILLI = 1e-3
_PERCENT = 1e-2


class Getter(NamedTuple):
    """A driver call and the readings it gives."""

    name: str
    gives: tuple[str, ...]
    call: Callable[[Handle], Values]
    instead_of: str = ""  # only where that getter, or "field NUMBER", is unsupported


def _of_one(function: str, reading: Reading, unit: float, *arguments: int, name: str = "") -> Getter:
    """A function that gives one number. It is looked up at each call: what stands in for it is seen."""

    def call(handle: Handle) -> Values:
        yield reading, getattr(nvml, function)(handle, *arguments) * unit

    return Getter(name or f"{function} {arguments}", (str(reading),), call)


_UTILIZATION = (Reading("utilization_ratio"), Reading("memory_copy_utilization_ratio"))
_TOTAL, _USED, _FREE, _RESERVED = (
    Reading(f"memory_{part}_bytes") for part in ("total", "used", "free", "reserved")
)
_BAR1 = Reading("bar1_used_bytes")
_ENCODER, _DECODER = Reading("encoder_utilization_ratio"), Reading("decoder_utilization_ratio")
_ACTIVE = tuple((Reading("clock_event_active", (reason,)), bit) for reason, bit in REASONS.items())
_OTHER = Reading("clock_event_active", ("other",))
_KNOWN_REASONS = sum(REASONS.values())
_ECC_MODE, _ECC_PENDING = Reading("ecc_mode"), Reading("ecc_mode_pending")
_REPAIRS = tuple(Reading("repair_pending", (kind,)) for kind in ("channel", "tpc"))
_BANKS = tuple((Reading("row_remap_banks", (kind,)), kind) for kind in AVAILABILITIES)
_SRAM = tuple(
    (Reading("sram_uncorrected_errors_total", (source,)), name) for source, name in SRAM_SOURCES.items()
)
_SRAM_EXCEEDED = Reading("sram_threshold_exceeded")
_FABRIC = Reading("fabric_state")


def _utilization(handle: Handle) -> Values:
    rates = nvml.nvmlDeviceGetUtilizationRates(handle)
    yield _UTILIZATION[0], rates.gpu * _PERCENT
    yield _UTILIZATION[1], rates.memory * _PERCENT


def _memory(handle: Handle) -> Values:
    info = nvml.nvmlDeviceGetMemoryInfo(handle, nvml.nvmlMemory_v2)
    yield _TOTAL, info.total
    yield _USED, info.used
    yield _FREE, info.free
    yield _RESERVED, info.reserved


def _memory_v1(handle: Handle) -> Values:
    """Without the used part: this version counts what the driver reserves as used."""
    info = nvml.nvmlDeviceGetMemoryInfo(handle)
    yield _TOTAL, info.total
    yield _FREE, info.free


def _bar1(handle: Handle) -> Values:
    yield _BAR1, nvml.nvmlDeviceGetBAR1MemoryInfo(handle).bar1Used


def _encoder(handle: Handle) -> Values:
    yield _ENCODER, nvml.nvmlDeviceGetEncoderUtilization(handle)[0] * _PERCENT


def _decoder(handle: Handle) -> Values:
    yield _DECODER, nvml.nvmlDeviceGetDecoderUtilization(handle)[0] * _PERCENT


def _clock_events(handle: Handle) -> Values:
    return _active(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))


def _clock_events_v0(handle: Handle) -> Values:
    return _active(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _active(mask: int) -> Values:
    for reading, bit in _ACTIVE:
        yield reading, bool(mask & bit)
    yield _OTHER, bool(mask & ~_KNOWN_REASONS)


def _ecc_mode(handle: Handle) -> Values:
    now, pending = nvml.nvmlDeviceGetEccMode(handle)
    yield _ECC_MODE, now
    yield _ECC_PENDING, pending


def _repairs(handle: Handle) -> Values:
    yield from zip(_REPAIRS, nvml.nvmlDeviceGetRepairStatus(handle), strict=True)


def _banks(handle: Handle) -> Values:
    histogram = nvml.nvmlDeviceGetRowRemapperHistogram(handle)
    for reading, name in _BANKS:
        yield reading, getattr(histogram, name)


def _sram(handle: Handle) -> Values:
    """By reference: nvidia-ml-py hands this one on as it is, and the driver wants an address."""
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(handle, ctypes.byref(status))
    for reading, name in _SRAM:
        yield reading, getattr(status, name)
    yield _SRAM_EXCEEDED, status.bThresholdExceeded


def _fabric(handle: Handle) -> Values:
    """By reference, as above: by value this call ends the process."""
    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(handle, ctypes.byref(info))
    if info.state == nvml.NVML_GPU_FABRIC_STATE_NOT_SUPPORTED:
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    yield _FABRIC, info.state


_GPU_TEMPERATURE = Reading("temperature_celsius", ("gpu",))

GETTERS = (
    Getter("utilization", tuple(map(str, _UTILIZATION)), _utilization),
    Getter("encoder", (str(_ENCODER),), _encoder),
    Getter("decoder", (str(_DECODER),), _decoder),
    Getter("memory", tuple(map(str, (_TOTAL, _USED, _FREE, _RESERVED))), _memory),
    Getter("memory v1", (str(_TOTAL), str(_FREE)), _memory_v1, instead_of="memory"),
    Getter("bar1", (str(_BAR1),), _bar1),
    # The mean of a second on some Ampere boards; nothing else is told by drivers that lack the field.
    _of_one("nvmlDeviceGetPowerUsage", Reading("power_instant_watts"), _MILLI)._replace(
        instead_of=f"field {nvml.NVML_FI_DEV_POWER_INSTANT}"
    ),
    _of_one("nvmlDeviceGetEnforcedPowerLimit", Reading("power_limit_watts", ("enforced",)), _MILLI),
    _of_one("nvmlDeviceGetTemperatureV", _GPU_TEMPERATURE, 1, nvml.NVML_TEMPERATURE_GPU, name="temperature"),
    _of_one("nvmlDeviceGetTemperature", _GPU_TEMPERATURE, 1, nvml.NVML_TEMPERATURE_GPU)._replace(
        instead_of="temperature"
    ),
    _of_one("nvmlDeviceGetMarginTemperature", Reading("temperature_margin_celsius"), 1),
    _of_one("nvmlDeviceGetFanSpeed", Reading("fan_speed_ratio"), _PERCENT),
    *(
        _of_one("nvmlDeviceGetClockInfo", Reading("clock_hertz", (domain,)), _MHZ, number)
        for domain, number in DOMAINS.items()
    ),
    Getter("clock events", ("clock_event_active",), _clock_events),
    Getter("clock events v0", ("clock_event_active",), _clock_events_v0, instead_of="clock events"),
    *(
        _of_one(
            "nvmlDeviceGetTotalEccErrors", Reading("ecc_errors_total", (severity, lifetime)), 1, of, since
        )
        for severity, of in SEVERITIES.items()
        for lifetime, since in LIFETIMES.items()
    ),
    _of_one("nvmlDeviceGetCurrPcieLinkGeneration", Reading("pcie_link_generation"), 1),
    _of_one("nvmlDeviceGetCurrPcieLinkWidth", Reading("pcie_link_width_lanes"), 1),
)
RARE_GETTERS = (
    *(
        _of_one("nvmlDeviceGetMaxClockInfo", Reading("clock_max_hertz", (domain,)), _MHZ, number)
        for domain, number in DOMAINS.items()
    ),
    *(
        _of_one(
            "nvmlDeviceGetTemperatureThreshold", Reading("temperature_threshold_celsius", (kind,)), 1, number
        )
        for kind, number in THRESHOLDS.items()
    ),
    *(
        # One GPU has few of these places: the reading is missing only where it has none.
        _of_one(
            "nvmlDeviceGetMemoryErrorCounter",
            Reading("ecc_location_errors_total", (severity, lifetime, location)),
            1,
            of,
            since,
            where,
        )._replace(gives=("ecc_location_errors_total",))
        for severity, of in SEVERITIES.items()
        for lifetime, since in LIFETIMES.items()
        for location, where in LOCATIONS.items()
    ),
    Getter("sram", (*(str(reading) for reading, _ in _SRAM), str(_SRAM_EXCEEDED)), _sram),
    Getter("banks", ("row_remap_banks",), _banks),
    Getter("repairs", tuple(map(str, _REPAIRS)), _repairs),
    Getter("ecc mode", (str(_ECC_MODE), str(_ECC_PENDING)), _ecc_mode),
    _of_one("nvmlDeviceGetPersistenceMode", Reading("persistence_mode"), 1),
    _of_one("nvmlDeviceGetMaxPcieLinkGeneration", Reading("pcie_link_generation_max"), 1),
    _of_one("nvmlDeviceGetMaxPcieLinkWidth", Reading("pcie_link_width_max_lanes"), 1),
    Getter("fabric", (str(_FABRIC),), _fabric),
)
