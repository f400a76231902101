"""All GPUs of the node, sampled together within a deadline.

Invariant: a collection ends in time whatever the driver does. There is one thread per GPU, one for the
driver as a whole and one for XIDs; none is started anew for one that is stuck.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.gpu import GpuThread
from collectors.nvml.worker import Worker
from collectors.nvml.xids import XidListener
from opsd.core.telemetry import Driver, Snapshot, Xid

_RETRY_SECONDS = 60.0
_CLOSE_SECONDS = 1.5
_GONE = (nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded, nvml.NVMLError_LibRmVersionMismatch)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the driver as a whole said."""

    visible: int | None
    driver: Driver | None
    trouble: str = ""


class NvmlGpus:
    """The GPUs that NVML shows."""

    collector = "nvml"

    def __init__(
        self,
        *,
        deadline: float,
        clock: Callable[[], float],
        listens: bool = True,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        """Touches no driver yet.

        Args:
            deadline: seconds that a collection may take.
            listens: whether XIDs are listened for.
            retry_seconds: how long to wait before asking again for a driver that is not there.
        """
        self._deadline = deadline
        self._listens = listens
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._retry_at = 0.0
        self._is_open = False
        self._driver: Driver | None = None
        self._counted = Counted(None, None, "not asked yet")
        self._gpus: list[GpuThread] = []
        self._up: dict[int, str] = {}
        self._worker = Worker("driver", self._count)
        self._xids = XidListener(lambda: self._up, clock, deadline)

    def collect(self) -> Snapshot:
        """Sample every GPU."""
        until = time.monotonic() + self._deadline
        self._worker.ask()
        if not self._gpus:
            self._take_count(until)
        for gpu in self._gpus:
            gpu.worker.ask()
        states = tuple(gpu.state(until, self._xids_of(gpu)) for gpu in self._gpus)
        self._take_count(until)
        self._up = {state.index: state.uuid for state in states if state.condition == "up"}
        if self._up and self._listens:
            self._xids.start()
        counted = self._counted
        return Snapshot(states, self._driver, counted.visible, counted.trouble, self._xids.trouble())

    def close(self) -> None:
        """End the threads that can end, and leave the driver if nobody is stuck in it."""
        ended = self._xids.close(_CLOSE_SECONDS)
        for gpu in self._gpus:
            ended = not gpu.worker.is_stuck and gpu.worker.close(_CLOSE_SECONDS) and ended
        ended = not self._worker.is_stuck and self._worker.close(_CLOSE_SECONDS) and ended
        if ended and self._is_open:
            self._is_open = False
            leave = Worker("leave", _shut_down)  # it may hang like any other call
            leave.ask()
            leave.answer(time.monotonic() + self._deadline)

    def _take_count(self, until: float) -> None:
        answer = self._worker.answer(until)
        self._counted = answer or Counted(None, None, "the driver does not answer: a call does not return")
        for index in range(len(self._gpus), self._counted.visible or 0):
            self._gpus.append(GpuThread(index, self._clock))

    def _xids_of(self, gpu: GpuThread) -> dict[int, Xid]:
        return self._xids.counts(gpu.identity.uuid) if gpu.identity else {}

    def _count(self) -> Counted:
        """Runs in the driver's thread."""
        if not self._is_open and time.monotonic() < self._retry_at:
            return Counted(None, None, self._counted.trouble)
        try:
            self._open()
            return Counted(int(nvml.nvmlDeviceGetCount()), self._driver)
        except nvml.NVMLError as err:
            if isinstance(err, _GONE) and self._is_open:
                _shut_down()
                self._is_open = False
            if not self._is_open:
                self._retry_at = time.monotonic() + self._retry_seconds
            return Counted(None, None, _in_words(err))

    def _open(self) -> None:
        if self._is_open:
            return
        nvml.nvmlInit()
        self._is_open = True
        cuda = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
        self._driver = Driver(str(nvml.nvmlSystemGetDriverVersion()), f"{cuda // 1000}.{cuda % 1000 // 10}")


def _shut_down() -> None:
    try:
        nvml.nvmlShutdown()
    except nvml.NVMLError:
        return  # it was not open: that is where we want to be


def _in_words(err: Exception) -> str:
    if isinstance(err, nvml.NVMLError_LibraryNotFound):
        return "libnvidia-ml.so.1 is not found: install NVIDIA's driver on this node"
    return str(err)
