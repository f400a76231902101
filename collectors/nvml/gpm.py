"""Activity of SMs, pipes and memory by GPM (GPU performance monitoring), on Hopper and later.

A value is the mean over the time between two samples: this collection's and the last one's, the anchor.
Invariant: two samples make a value only if they are of the same GPU or GPU instance, 100 ms to 10 minutes
apart and without an error in between; there are two at most of each, and none is left behind.

Source: NVIDIA's nvml.h; that a shorter time gives invalid values, DCGM's issue 310. GPM does not take the
profiler's unit, so users' profilers go on (DCGM's issue 62).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import LOST, UNSUPPORTED, Handle
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Reading

SHORTEST_SECONDS = 0.1
LONGEST_SECONDS = 600.0
FATAL = (*LOST, nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded)
_OVERSHOOT = 1.01  # a full pipe may come out at a little more than all: two counters are not read at once

_MIB = 2.0**20
_MOST_MIB = 2.0**20  # a second, ten times what PCIe 6 carries

Sample = object  # a buffer of the driver's


class Metric(NamedTuple):
    """A value of the one call: its number, and the reading it gives, in percent or, of bytes, in MiB/s."""

    number: int
    reading: Reading
    is_moved: bool = False


METRICS = (
    Metric(nvml.NVML_GPM_METRIC_SM_UTIL, Reading("sm_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_SM_OCCUPANCY, Reading("sm_occupancy_ratio")),
    Metric(nvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL, Reading("tensor_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_HMMA_TENSOR_UTIL, Reading("tensor_pipe_active_ratio", ("hmma",))),
    Metric(nvml.NVML_GPM_METRIC_IMMA_TENSOR_UTIL, Reading("tensor_pipe_active_ratio", ("imma",))),
    Metric(nvml.NVML_GPM_METRIC_DFMA_TENSOR_UTIL, Reading("tensor_pipe_active_ratio", ("dfma",))),
    Metric(nvml.NVML_GPM_METRIC_DMMA_TENSOR_UTIL, Reading("tensor_pipe_active_ratio", ("dmma",))),
    Metric(nvml.NVML_GPM_METRIC_DRAM_BW_UTIL, Reading("dram_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_FP64_UTIL, Reading("fp64_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_FP32_UTIL, Reading("fp32_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_FP16_UTIL, Reading("fp16_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_INTEGER_UTIL, Reading("integer_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_PCIE_TX_PER_SEC, Reading("pcie_transmit_bytes_total"), is_moved=True),
    Metric(nvml.NVML_GPM_METRIC_PCIE_RX_PER_SEC, Reading("pcie_receive_bytes_total"), is_moved=True),
)
MIG_METRICS = (
    Metric(nvml.NVML_GPM_METRIC_SM_UTIL, Reading("mig_sm_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_SM_OCCUPANCY, Reading("mig_sm_occupancy_ratio")),
    Metric(nvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL, Reading("mig_tensor_active_ratio")),
    Metric(nvml.NVML_GPM_METRIC_DRAM_BW_UTIL, Reading("mig_dram_active_ratio")),
)


class Means(NamedTuple):
    """Readings, and of how long a time they are the means; None: there are none this time."""

    values: dict[Reading, float]
    seconds: float | None


class Subject(NamedTuple):
    """Whose activity: a GPU's, or a GPU instance's, which `name` tells from another of that number."""

    handle: Handle
    name: str
    instance: int | None = None


@dataclass(slots=True)
class _Window:
    """What is kept of a subject from one collection to the next."""

    name: str
    anchor: Sample
    at: float
    spare: Sample | None = None


class Gpm:
    """The activity of one GPU and of its GPU instances, read again and again in the GPU's own thread."""

    def __init__(self, clock: Callable[[], float], sieve: Sieve) -> None:
        """Touches no driver yet; `clock`: one that is never set back, in seconds."""
        self._clock = clock
        self._sieve = sieve
        self._windows: dict[int | None, _Window] = {}
        self._wanted = {False: list(METRICS), True: list(MIG_METRICS)}  # by whether of an instance
        self._moved = {metric.reading: 0.0 for metric in METRICS if metric.is_moved}  # bytes so far
        self._is_asked = False
        self._refused: set[Reading] = set()

    def read(self, subject: Subject) -> Means:
        """The means since the last time.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        metrics = self._wanted[subject.instance is not None]
        try:
            return self._means(subject, metrics) if self._is_wanted(subject, metrics) else Means({}, None)
        except FATAL:
            raise
        except UNSUPPORTED:
            self._refuse(list(metrics), metrics)
        except nvml.NVMLError:
            self._sieve.fail(metric.reading for metric in metrics)
        self._drop(subject.instance)
        return Means({}, None)

    def keep_only(self, instances: Collection[int]) -> None:
        """Forget the GPU instances that are no more."""
        for instance in [one for one in self._windows if one is not None and one not in instances]:
            self._drop(instance)

    def forget(self) -> None:
        """Give all samples back: what comes next begins anew."""
        for instance in list(self._windows):
            self._drop(instance)

    @property
    def has_begun(self) -> bool:
        """Whether anything is kept from an earlier collection."""
        return bool(self._windows)

    def refused(self, *, is_mig: bool) -> frozenset[str]:
        """Readings that the GPU does not give; those of instances only where there can be any."""
        mine = {str(metric.reading) for metric in (*METRICS, *(MIG_METRICS if is_mig else ()))}
        return frozenset(mine & set(map(str, self._refused)))

    def _is_wanted(self, subject: Subject, metrics: list[Metric]) -> bool:
        """Whether there is anything to be had now; whether there is GPM at all is asked once."""
        if not self._is_asked:
            has_gpm = _has_gpm(subject.handle)
            self._is_asked = True
            for every in () if has_gpm else self._wanted.values():
                self._refuse(list(every), every)
        return bool(metrics) and self._is_time(subject)

    def _refuse(self, refused: list[Metric], metrics: list[Metric]) -> None:
        for metric in refused:
            metrics.remove(metric)
            self._refused.add(metric.reading)

    def _is_time(self, subject: Subject) -> bool:
        """Whether a sample is of use now; a window that can give nothing any more is dropped."""
        window = self._windows.get(subject.instance)
        if window is None:
            return True
        age = self._clock() - window.at
        if window.name != subject.name or not 0 <= age <= LONGEST_SECONDS:
            self._drop(subject.instance)
            return True
        return age >= SHORTEST_SECONDS

    def _means(self, subject: Subject, metrics: list[Metric]) -> Means:
        window = self._windows.get(subject.instance)
        sample = _taken(subject, window.spare if window else None)
        now = self._clock()
        if window is None:
            self._windows[subject.instance] = _Window(subject.name, sample, now)
            return Means({}, None)
        anchor, seconds = window.anchor, now - window.at
        window.anchor, window.spare, window.at = sample, anchor, now
        return Means(self._between((anchor, sample), seconds, metrics), seconds)

    def _between(
        self, samples: tuple[Sample, Sample], seconds: float, metrics: list[Metric]
    ) -> dict[Reading, float]:
        asked = nvml.c_nvmlGpmMetricsGet_t(version=nvml.NVML_GPM_METRICS_GET_VERSION)
        asked.numMetrics = len(metrics)
        asked.sample1, asked.sample2 = samples
        for place, metric in enumerate(metrics):
            asked.metrics[place].metricId = metric.number
        nvml.nvmlGpmMetricsGet(asked)
        found: dict[Reading, float] = {}
        for metric, answer in zip(list(metrics), asked.metrics, strict=False):
            if answer.nvmlReturn == nvml.NVML_SUCCESS:
                self._sieve.keep(metric.reading, self._value(metric, answer.value, seconds), found)
            elif answer.nvmlReturn in (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_INVALID_ARGUMENT):
                self._refuse([metric], metrics)  # an older driver does not know the number
            else:
                self._sieve.fail([metric.reading])
        return found

    def _value(self, metric: Metric, told: float, seconds: float) -> float:
        """A ratio, or how much it is in all; a rate that cannot be true is handed on, to be rejected."""
        if not metric.is_moved:
            return _ratio(told)
        if not 0 <= told <= _MOST_MIB:
            return -1.0
        self._moved[metric.reading] += told * _MIB * seconds
        return self._moved[metric.reading]

    def _drop(self, instance: int | None) -> None:
        window = self._windows.pop(instance, None)
        for sample in (window.anchor, window.spare) if window else ():
            if sample is not None:
                _free(sample)


def _has_gpm(handle: Handle) -> bool:
    try:
        return bool(nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
    except UNSUPPORTED:
        return False


def _taken(subject: Subject, spare: Sample | None) -> Sample:
    """A sample of now, in a buffer that was used before where there is one; it is the caller's to free."""
    sample = nvml.nvmlGpmSampleAlloc() if spare is None else spare
    try:
        if subject.instance is None:
            nvml.nvmlGpmSampleGet(subject.handle, sample)
        else:
            nvml.nvmlGpmMigSampleGet(subject.handle, subject.instance, sample)
    except Exception:
        if spare is None:
            _free(sample)
        raise
    return sample


def _free(sample: Sample) -> None:
    with contextlib.suppress(nvml.NVMLError):  # a driver that is gone takes nothing back
        nvml.nvmlGpmSampleFree(sample)


def _ratio(percent: float) -> float:
    ratio = percent / 100
    return 1.0 if 1 < ratio <= _OVERSHOOT else ratio
