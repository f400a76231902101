"""Processes that compute on a GPU, also those that do so through an MPS server.

Invariant: an empty list is knowledge; where the driver does not tell, there is none.
"""

from __future__ import annotations

from typing import Protocol

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import FATAL, UNSUPPORTED, Handle
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Process, Reading

NUMBER = Reading("processes")
_NO_INSTANCE = 0xFFFFFFFF  # of a process on a GPU that is not cut
_MOST_BYTES = 2**45  # a blank is near 2^63 or 2^64


class Listed(Protocol):
    """What nvidia-ml-py says of a process."""

    pid: int
    usedGpuMemory: int | None  # noqa: N815 (NVML's names)
    gpuInstanceId: int  # noqa: N815
    computeInstanceId: int  # noqa: N815


COMPUTE: tuple[str, ...] = (
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetComputeRunningProcesses_v2",
)
MPS: tuple[str, ...] = (
    "nvmlDeviceGetMPSComputeRunningProcesses_v3",
    "nvmlDeviceGetMPSComputeRunningProcesses_v2",
)


class Processes:
    """Lists them again and again, and remembers which call the driver has."""

    def __init__(self, sieve: Sieve) -> None:
        self._sieve = sieve
        self._calls = {COMPUTE: COMPUTE, MPS: MPS}

    def read(self, handle: Handle) -> tuple[Process, ...] | None:
        """Them now, each once; None: the driver does not tell.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        listed = self._listed(COMPUTE, handle)
        if listed is None:
            return None
        seen = {process.pid for process in listed}
        clients = self._listed(MPS, handle) or ()
        return listed + tuple(process for process in clients if process.pid not in seen)

    @property
    def is_supported(self) -> bool:
        """Whether the driver has any such call, as far as is known."""
        return bool(self._calls[COMPUTE])

    def _listed(self, which: tuple[str, ...], handle: Handle) -> tuple[Process, ...] | None:
        while calls := self._calls[which]:
            try:
                return tuple(_process(one) for one in getattr(nvml, calls[0])(handle))
            except FATAL:
                raise
            except UNSUPPORTED:
                self._calls[which] = calls[1:]
            except nvml.NVMLError as err:
                if getattr(err, "value", None) == nvml.NVML_SUCCESS:  # so it may say "no process"
                    return ()
                self._sieve.fail([NUMBER])
                return None
        return None


def _process(one: Listed) -> Process:
    memory = one.usedGpuMemory
    if memory is not None and memory > _MOST_BYTES:
        memory = None
    return Process(one.pid, memory, _instance(one.gpuInstanceId), _instance(one.computeInstanceId))


def _instance(number: int) -> int | None:
    return None if number == _NO_INSTANCE else number
