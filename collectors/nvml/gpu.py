"""One GPU and the thread that reads it.

Invariant: the handle is looked up within the deadline, too, for a look-up can hang like any other call;
what comes back after the deadline is not used.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import LOST, UNSUPPORTED, Handle
from collectors.nvml.inside import EVERYTHING, NOTHING, Inside, Insides, Wanted
from collectors.nvml.readings import Reader
from collectors.nvml.worker import Worker
from collectors.nvml.xids import Heard
from opsd.core.telemetry import FAILURES, Condition, Gpu, Identity, Process, Reading


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one run of a GPU's thread gave."""

    condition: Condition
    identity: Identity | None
    trouble: str
    values: Mapping[Reading, float]
    at: float
    seconds: float
    rejected: Mapping[str, int]
    failed: Mapping[str, int]
    unsupported: frozenset[str]
    inside: Inside
    processes: tuple[Process, ...] | None


class GpuThread:
    """Samples one GPU, by its index, when asked."""

    def __init__(
        self,
        index: int,
        clock: Callable[[], float],
        openings: Callable[[], int] = lambda: 0,
        wanted: Wanted = EVERYTHING,
    ) -> None:
        """Touches no driver yet; `openings`: how often the driver was opened so far."""
        self._index = index
        self._clock = clock
        self._openings = openings
        self._opening = 0
        self._wanted = wanted
        self._reader = self._new_reader()
        self._insides = Insides(wanted)
        self._was_late = False  # since the last run began
        self._identity: Identity | None = None
        self._good: Sampled | None = None
        self._last: Sampled | None = None
        self._failures: Counter[str] = Counter(dict.fromkeys(FAILURES, 0))
        self.worker = Worker(f"gpu {index}", self._sample)

    @property
    def identity(self) -> Identity | None:
        """Who it is; None before the driver first told it."""
        return self._good.identity if self._good else None

    def forget(self) -> None:
        """Give back what is kept in the driver's memory; only while the thread does nothing."""
        self._insides.forget()

    def state(self, until: float, heard: Heard) -> Gpu:
        """The GPU now, given time until then (monotonic) to answer, with what was heard of it."""
        answer = self.worker.answer(until)
        self._was_late |= answer is None
        self._last = answer or self._last
        if answer and answer.condition == "up":
            self._good = answer
        broke = self.worker.broke
        condition: Condition = answer.condition if answer else "error" if broke else "hung"
        if condition != "up":
            self._failures[condition] += 1
        uuid = self.identity.uuid if self.identity else ""
        inside = answer.inside if answer else self._last.inside.bare() if self._last else NOTHING
        return Gpu(
            index=self._index,
            condition=condition,
            identity=self.identity,
            trouble=answer.trouble if answer else broke or "a driver call does not return",
            values=answer.values if answer else {},
            sampled_at=self._good.at if self._good else None,
            sample_seconds=self._good.seconds if self._good else None,
            failures=dict(self._failures),
            rejected=self._last.rejected if self._last else {},
            failed=self._last.failed if self._last else {},
            unsupported=self._last.unsupported if self._last else frozenset(),
            is_mig=inside.is_mig,
            slices=inside.slices,
            gpm_seconds=inside.gpm_seconds,
            processes=answer.processes if answer else None,
            xids=heard.xids(uuid),
            events=heard.events(uuid),
        )

    def _sample(self) -> Sampled:
        """Runs in the thread."""
        started = time.monotonic()
        if self._was_late:
            self._was_late = False
            self._reader.forget()
        values: Mapping[Reading, float] = {}
        condition: Condition = "up"
        trouble = ""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(self._index)
            self._begin_anew_if_reopened()
            self._identify(handle)
            if self._insides.has_changed(handle):
                self._begin_anew()
            values = self._reader.read(handle)
            values.update(self._insides.read(handle))
        except nvml.NVMLError as err:
            gone = isinstance(err, LOST) or self._is_no_longer_counted(err)
            condition, trouble = ("lost" if gone else "error"), str(err)
            values = {}
            self._reader.forget()
            self._insides.fail()
        return Sampled(
            condition=condition,
            identity=self._identity,
            trouble=trouble,
            values=values,
            at=self._clock(),
            seconds=time.monotonic() - started,
            rejected=dict(self._reader.rejected + self._insides.sieve.rejected),
            failed=dict(self._reader.failed + self._insides.sieve.failed),
            unsupported=self._reader.unsupported | self._insides.refused,
            inside=self._insides.found,
            processes=self._reader.processes if condition == "up" else None,
        )

    def _begin_anew_if_reopened(self) -> None:
        """A driver that was loaded anew may be another one, with other abilities."""
        opening = self._openings()
        if self._opening and self._opening != opening:
            self._begin_anew()
        self._opening = opening

    def _new_reader(self) -> Reader:
        return Reader(nvlink_links=self._wanted.nvlink_links, monotonic=self._wanted.monotonic)

    def _begin_anew(self) -> None:
        self._reader = self._new_reader()
        self._insides.begin_anew()

    def _identify(self, handle: Handle) -> None:
        """A new UUID at this index is another GPU, with other abilities."""
        uuid = str(nvml.nvmlDeviceGetUUID(handle))
        if self._identity is not None and self._identity.uuid == uuid:
            return
        if self._identity is not None:
            self._begin_anew()
        self._identity = _identity(uuid, handle)

    def _is_no_longer_counted(self, err: Exception) -> bool:
        return self._identity is not None and isinstance(err, nvml.NVMLError_InvalidArgument)


def _identity(uuid: str, handle: Handle) -> Identity:
    return Identity(
        uuid=uuid,
        minor=_minor(handle),
        name=_text(nvml.nvmlDeviceGetName, handle),
        serial=_text(nvml.nvmlDeviceGetSerial, handle),
        pci=_text(_bus_id, handle),
        vbios=_text(nvml.nvmlDeviceGetVbiosVersion, handle),
    )


def _bus_id(handle: Handle) -> object:
    return nvml.nvmlDeviceGetPciInfo_v3(handle).busId


def _minor(handle: Handle) -> int | None:
    try:
        return int(nvml.nvmlDeviceGetMinorNumber(handle))
    except UNSUPPORTED:
        return None


def _text(call: Callable[[Handle], object], handle: Handle) -> str:
    """A part of the identity; empty where the board has none."""
    try:
        found = call(handle)
    except UNSUPPORTED:
        return ""
    return found.decode() if isinstance(found, bytes) else str(found)
