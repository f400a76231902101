"""Values that the driver gives many of in one call, by their numbers.

Invariant: a field that is refused is not asked for again; one value's failure costs that value alone.

Sources: numbers, units and scopes from NVIDIA's nvml.h and nvidia-ml-py. What each costs was measured on an
H200 (driver 580.159.04): most take microseconds, energy 3 ms. PCIe's error counters take 0.2 ms each, so
these are asked for rarely. Its byte counters (197, 198) have 32 bits and pass through all of them in less
than a tenth of a second, so they are not used: GPM tells what went over PCIe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import FATAL, UNSUPPORTED, Handle
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Reading

ALL_LINKS = 0xFFFFFFFF
_OF_MEMORY = 2  # nvml.h: NVML_POWER_SCOPE_MEMORY
_KIB = 1024.0
_MILLI = 1e-3
_NANO = 1e-9
_NOT_HERE = (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_INVALID_ARGUMENT)  # the latter: an older driver
_GONE = {nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_UNINITIALIZED}

Key = tuple[int, int]  # number and scope, as nvidia-ml-py takes them


class Field(NamedTuple):
    """One value: its number, the reading it gives, what a unit of it is."""

    number: int
    reading: Reading
    unit: float = 1.0
    scope: int = 0
    instead_of: Key | None = None  # only where that one is refused

    @property
    def key(self) -> Key:
        """How it is asked for."""
        return self.number, self.scope


class Answer(Protocol):
    """One value, as nvidia-ml-py gives it."""

    nvmlReturn: int  # noqa: N815 (NVML's names)
    valueType: int  # noqa: N815
    value: object


_CLOCK_EVENTS = {
    "sw_power_cap": nvml.NVML_FI_DEV_PERF_POLICY_POWER,
    "thermal": nvml.NVML_FI_DEV_PERF_POLICY_THERMAL,
    "sync_boost": nvml.NVML_FI_DEV_PERF_POLICY_SYNC_BOOST,
    "board_limit": nvml.NVML_FI_DEV_PERF_POLICY_BOARD_LIMIT,
    "low_utilization": nvml.NVML_FI_DEV_PERF_POLICY_LOW_UTILIZATION,
    "reliability": nvml.NVML_FI_DEV_PERF_POLICY_RELIABILITY,
    "application_clocks": nvml.NVML_FI_DEV_PERF_POLICY_TOTAL_APP_CLOCKS,
    "base_clocks": nvml.NVML_FI_DEV_PERF_POLICY_TOTAL_BASE_CLOCKS,
    "sw_thermal_slowdown": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_SW_THERM_SLOWDOWN,
    "hw_thermal_slowdown": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_THERM_SLOWDOWN,
    "hw_power_brake_slowdown": nvml.NVML_FI_DEV_CLOCKS_EVENT_REASON_HW_POWER_BRAKE_SLOWDOWN,
}
_LIMITS = {
    "min": nvml.NVML_FI_DEV_POWER_MIN_LIMIT,
    "max": nvml.NVML_FI_DEV_POWER_MAX_LIMIT,
    "default": nvml.NVML_FI_DEV_POWER_DEFAULT_LIMIT,
    "requested": nvml.NVML_FI_DEV_POWER_REQUESTED_LIMIT,
}
_MARGINS = {
    "shutdown": nvml.NVML_FI_DEV_TEMPERATURE_SHUTDOWN_TLIMIT,
    "slowdown": nvml.NVML_FI_DEV_TEMPERATURE_SLOWDOWN_TLIMIT,
    "memory_max": nvml.NVML_FI_DEV_TEMPERATURE_MEM_MAX_TLIMIT,
    "gpu_max": nvml.NVML_FI_DEV_TEMPERATURE_GPU_MAX_TLIMIT,
}
_PCIE_ERRORS = {
    "correctable": nvml.NVML_FI_DEV_PCIE_COUNT_CORRECTABLE_ERRORS,
    "naks_received": nvml.NVML_FI_DEV_PCIE_COUNT_NAKS_RECEIVED,
    "receiver": nvml.NVML_FI_DEV_PCIE_COUNT_RECEIVER_ERROR,
    "bad_tlp": nvml.NVML_FI_DEV_PCIE_COUNT_BAD_TLP,
    "naks_sent": nvml.NVML_FI_DEV_PCIE_COUNT_NAKS_SENT,
    "bad_dllp": nvml.NVML_FI_DEV_PCIE_COUNT_BAD_DLLP,
    "non_fatal": nvml.NVML_FI_DEV_PCIE_COUNT_NON_FATAL_ERROR,
    "fatal": nvml.NVML_FI_DEV_PCIE_COUNT_FATAL_ERROR,
    "unsupported_request": nvml.NVML_FI_DEV_PCIE_COUNT_UNSUPPORTED_REQ,
    "lcrc": nvml.NVML_FI_DEV_PCIE_COUNT_LCRC_ERROR,
    "lane": nvml.NVML_FI_DEV_PCIE_COUNT_LANE_ERROR,
}
_SENT = nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX
_RECEIVED = nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX


def _kinds(quantity: str, numbers: dict[str, int], unit: float = 1.0) -> Iterator[Field]:
    for kind, number in numbers.items():
        yield Field(number, Reading(quantity, (kind,)), unit)


def nvlink_traffic(sent: Reading, received: Reading, scope: int) -> Iterator[Field]:
    """Bytes over NVLink: up to NVLink 4 by one pair of fields, on NVLink 5 by another."""
    yield Field(_SENT, sent, _KIB, scope)
    yield Field(_RECEIVED, received, _KIB, scope)
    yield Field(nvml.NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES, sent, 1.0, scope, (_SENT, scope))
    yield Field(nvml.NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES, received, 1.0, scope, (_RECEIVED, scope))


_ROWS = (nvml.NVML_FI_DEV_REMAPPED_COR, 0)  # which came with Ampere; before it pages were retired

FIELDS = (
    Field(nvml.NVML_FI_DEV_POWER_AVERAGE, Reading("power_average_watts"), _MILLI),
    Field(nvml.NVML_FI_DEV_POWER_AVERAGE, Reading("power_memory_average_watts"), _MILLI, _OF_MEMORY),
    Field(nvml.NVML_FI_DEV_POWER_INSTANT, Reading("power_instant_watts"), _MILLI),
    Field(nvml.NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, Reading("energy_joules_total"), _MILLI),
    Field(nvml.NVML_FI_DEV_MEMORY_TEMP, Reading("temperature_celsius", ("memory",))),
    *_kinds("clock_event_seconds_total", _CLOCK_EVENTS, _NANO),
    Field(nvml.NVML_FI_DEV_REMAPPED_COR, Reading("remapped_rows", ("corrected",))),
    Field(nvml.NVML_FI_DEV_REMAPPED_UNC, Reading("remapped_rows", ("uncorrected",))),
    Field(nvml.NVML_FI_DEV_REMAPPED_PENDING, Reading("row_remap_pending")),
    Field(nvml.NVML_FI_DEV_REMAPPED_FAILURE, Reading("row_remap_failure")),
    Field(nvml.NVML_FI_DEV_RETIRED_SBE, Reading("retired_pages", ("single_bit",)), instead_of=_ROWS),
    Field(nvml.NVML_FI_DEV_RETIRED_DBE, Reading("retired_pages", ("double_bit",)), instead_of=_ROWS),
    Field(nvml.NVML_FI_DEV_RETIRED_PENDING, Reading("retired_pages_pending"), instead_of=_ROWS),
    Field(nvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, Reading("recovery_action")),
    *nvlink_traffic(Reading("nvlink_transmit_bytes_total"), Reading("nvlink_receive_bytes_total"), ALL_LINKS),
)
RARE_FIELDS = (
    *_kinds("power_limit_watts", _LIMITS, _MILLI),
    *_kinds("temperature_margin_threshold_celsius", _MARGINS),
    Field(nvml.NVML_FI_DEV_PCIE_REPLAY_COUNTER, Reading("pcie_replays_total")),
    *_kinds("pcie_errors_total", _PCIE_ERRORS),
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


class Batch:
    """Fields that are asked for together, again and again."""

    def __init__(self, fields: Iterable[Field], sieve: Sieve) -> None:
        self._every = tuple(fields)
        self._sieve = sieve
        self._refused: set[Key] = set()
        self._wanted: tuple[Field, ...] = ()
        self._keys: list[Key] = []
        self._plan()

    def read(self, handle: Handle, found: dict[Reading, float]) -> None:
        """Add what the GPU gives now.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        before = self._wanted
        if not before:
            return
        refusals = len(self._refused)
        self._ask(handle, before, self._keys, found)
        if len(self._refused) > refusals:
            self._plan()
            instead = tuple(field for field in self._wanted if field not in before)
            if instead:
                self._ask(handle, instead, [field.key for field in instead], found)
                self._plan()

    @property
    def refused(self) -> frozenset[str]:
        """Fields that the GPU does not have, by the names that getters know them by."""
        return frozenset(f"field {number}" for number, scope in self._refused if not scope)

    @property
    def given(self) -> frozenset[str]:
        """Readings that may come."""
        return frozenset(str(field.reading) for field in self._wanted)

    @property
    def every(self) -> frozenset[str]:
        """Readings that a GPU of this kind could have."""
        return frozenset(str(field.reading) for field in self._every if self._is_due(field))

    def _plan(self) -> None:
        self._wanted = tuple(
            field for field in self._every if field.key not in self._refused and self._is_due(field)
        )
        self._keys = [field.key for field in self._wanted]

    def _is_due(self, field: Field) -> bool:
        return field.instead_of is None or field.instead_of in self._refused

    def _ask(
        self, handle: Handle, fields: tuple[Field, ...], keys: list[Key], found: dict[Reading, float]
    ) -> None:
        try:
            answers = nvml.nvmlDeviceGetFieldValues(handle, keys)
        except FATAL:
            raise
        except UNSUPPORTED:
            self._refused.update(field.key for field in self._every)
            return
        except nvml.NVMLError:
            self._sieve.fail(field.reading for field in fields)
            return
        for field, answer in zip(fields, answers, strict=True):
            self._take(field, answer, found)

    def _take(self, field: Field, answer: Answer, found: dict[Reading, float]) -> None:
        code = answer.nvmlReturn
        if code == nvml.NVML_SUCCESS:
            raw = getattr(answer.value, _TYPES.get(answer.valueType, "ullVal"))
            self._sieve.keep(field.reading, raw * field.unit, found)
        elif code in _NOT_HERE:
            self._refused.add(field.key)
        elif code in _GONE:
            raise nvml.NVMLError(code)
        else:
            self._sieve.fail([field.reading])
