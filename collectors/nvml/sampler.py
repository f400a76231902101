"""All GPUs of the node, sampled together within a deadline.

Invariant: a collection ends in time whatever the driver does. There is one thread per GPU, one for the
driver as a whole and one for XIDs; none is started anew for one that is stuck.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.gpu import GpuThread
from collectors.nvml.inside import EVERYTHING, Wanted
from collectors.nvml.worker import Worker
from collectors.nvml.xids import Heard, XidListener
from opsd.core.telemetry import Driver, Snapshot

_RETRY_SECONDS = 60.0
_CLOSE_SECONDS = 1.5
_STUCK = "a call does not return"
_GONE = (nvml.NVMLError_Uninitialized, nvml.NVMLError_DriverNotLoaded, nvml.NVMLError_LibRmVersionMismatch)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the driver as a whole said."""

    visible: int | None
    driver: Driver | None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Terms:
    """What holds for every opening of the driver."""

    deadline: float
    clock: Callable[[], float]
    listens: bool
    retry_seconds: float
    heard: Heard
    wanted: Wanted


class NvmlGpus:
    """The GPUs that NVML shows. The driver is opened by `collect`, left by `close`, as often as one likes."""

    collector = "nvml"

    def __init__(
        self,
        *,
        deadline: float,
        clock: Callable[[], float],
        listens: bool = True,
        retry_seconds: float = _RETRY_SECONDS,
        wanted: Wanted = EVERYTHING,
    ) -> None:
        """Touches no driver yet.

        Args:
            deadline: seconds that a collection may take.
            listens: whether XIDs are listened for.
            retry_seconds: how long to wait before asking again for a driver that is not there.
            wanted: what is looked at inside each GPU.
        """
        self._terms = _Terms(deadline, clock, listens, retry_seconds, Heard(), wanted)
        self._session: _Session | None = None

    def collect(self) -> Snapshot:
        """Sample every GPU."""
        if self._session is None:
            self._session = _Session(self._terms)
        return self._session.collect()

    def close(self) -> str:
        """Leave the driver, and forget all that was looked up in it.

        Returns:
            What is still in it, in words; empty: nothing. While something is, nothing is closed: try again.
        """
        stuck = self._session.close() if self._session else ""
        if not stuck:
            self._session = None
        return stuck


class _Session:
    """All that is known between opening the driver and leaving it."""

    def __init__(self, terms: _Terms) -> None:
        self._terms = terms
        self._retry_at = 0.0
        self._is_open = False
        self._openings = 0
        self._driver: Driver | None = None
        self._counted = Counted(None, None, "not asked yet")
        self._gpus: list[GpuThread] = []
        self._up: dict[int, str] = {}
        self._worker = Worker("driver", self._count)
        self._leaver: Worker[str] | None = None
        self._xids = self._listener()

    def collect(self) -> Snapshot:
        until = time.monotonic() + self._terms.deadline
        self._worker.ask()
        if not self._gpus:
            self._take_count(until)
        for gpu in self._gpus:
            gpu.worker.ask()
        states = tuple(gpu.state(until, self._terms.heard) for gpu in self._gpus)
        self._take_count(until)
        self._up = {state.index: state.uuid for state in states if state.condition == "up"}
        self._listen()
        counted = self._counted
        return Snapshot(states, self._driver, counted.visible, counted.trouble, self._xids.trouble())

    def close(self) -> str:
        """Nothing is ended before everything can be: what is stuck may come back, and is then used again."""
        stuck = [] if self._xids.close(_CLOSE_SECONDS) else ["xids"]
        workers: list[Worker[Any]] = [self._worker, *(gpu.worker for gpu in self._gpus)]
        stuck += [worker.name for worker in workers if worker.is_stuck]
        trouble = f"{', '.join(stuck)}: {_STUCK}" if stuck else self._leave()
        if trouble:
            return trouble
        for worker in (*workers, self._leaver):
            if worker is not None:
                worker.close(_CLOSE_SECONDS)
        return ""

    def _leave(self) -> str:
        """Shut the driver down, which may hang like any other call; why it is not, in words."""
        if not self._is_open:
            return ""
        if self._leaver is None:
            self._leaver = Worker("leave", self._hand_back)
        self._leaver.ask()
        answer = self._leaver.answer(time.monotonic() + self._terms.deadline)
        return f"driver: {_STUCK}" if answer is None else answer

    def _hand_back(self) -> str:
        """Runs in a thread that may hang in it, while no other does anything."""
        for gpu in self._gpus:
            gpu.forget()
        return self._shut_down()

    def _shut_down(self) -> str:
        """Runs in a thread that may hang in it; why the driver is not left, in words."""
        try:
            nvml.nvmlShutdown()
        except nvml.NVMLError_Uninitialized:
            self._is_open = False  # it was not open: that is where we want to be
        except nvml.NVMLError as err:
            return f"driver: {err}"
        self._is_open = False
        return ""

    def _listener(self) -> XidListener:
        return XidListener(lambda: self._up, self._terms.clock, self._terms.deadline, self._terms.heard)

    def _listen(self) -> None:
        if self._xids.is_closed:  # the driver was to be left, and could not be
            self._xids = self._listener()
        if self._up and self._terms.listens:
            self._xids.start()

    def _take_count(self, until: float) -> None:
        silent = self._worker.broke or f"the driver does not answer: {_STUCK}"
        self._counted = self._worker.answer(until) or Counted(None, None, silent)
        for index in range(len(self._gpus), self._counted.visible or 0):
            self._gpus.append(GpuThread(index, self._terms.clock, lambda: self._openings, self._terms.wanted))

    def _count(self) -> Counted:
        """Runs in the driver's thread."""
        if not self._is_open and time.monotonic() < self._retry_at:
            return Counted(None, None, self._counted.trouble)
        try:
            self._open()
            return Counted(int(nvml.nvmlDeviceGetCount()), self._driver)
        except nvml.NVMLError as err:
            if isinstance(err, _GONE) and self._is_open:
                self._shut_down()
            if not self._is_open:
                self._retry_at = time.monotonic() + self._terms.retry_seconds
            return Counted(None, None, _in_words(err))

    def _open(self) -> None:
        if not self._is_open:
            nvml.nvmlInit()
            self._is_open = True
            self._openings += 1
            self._driver = None
        if self._driver is None:
            cuda = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
            version = str(nvml.nvmlSystemGetDriverVersion())
            library = str(nvml.nvmlSystemGetNVMLVersion())
            self._driver = Driver(version, f"{cuda // 1000}.{cuda % 1000 // 10}", library)


def _in_words(err: Exception) -> str:
    if isinstance(err, nvml.NVMLError_LibraryNotFound):
        return "libnvidia-ml.so.1 is not found: install NVIDIA's driver on this node"
    if isinstance(err, nvml.NVMLError_LibRmVersionMismatch):
        return f"{err}: the driver was replaced while the agent ran: restart opsd-node"
    return str(err)
