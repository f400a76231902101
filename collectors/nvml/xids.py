"""XID errors and the driver's other events about a GPU, counted since the agent started.

Invariant: the event set belongs to one thread, for it is not thread safe; a wait in it is half a second.
An event that was reported before its GPU was registered is lost: the kernel's log has its XIDs. A GPU is
registered only when it has just answered: one that hangs in that very call would deafen all, which is said.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import UNSUPPORTED, Handle
from opsd.core.telemetry import Xid

_Key = TypeVar("_Key")

_WAIT_MS = 500
_STUCK = "a driver call does not return"
_ENDED = "its thread has ended: restart the agent"

# ECC errors one by one, clocks and power states are left out: they are read, or come by the hundred.
EVENTS = {
    nvml.nvmlEventTypeSingleBitEccErrorStorm: "single_bit_ecc_storm",
    nvml.nvmlEventTypeDramRetirementEvent: "dram_retirement",
    nvml.nvmlEventTypeDramRetirementFailure: "dram_retirement_failure",
    nvml.nvmlEventTypeNonFatalPoisonError: "non_fatal_poison",
    nvml.nvmlEventTypeFatalPoisonError: "fatal_poison",
    nvml.nvmlEventTypeGpuUnavailableError: "gpu_unavailable",
    nvml.nvmlEventTypeGpuRecoveryAction: "recovery_action_changed",
}
_WANTED = nvml.nvmlEventTypeXidCriticalError | sum(EVENTS)


class Heard:
    """What was reported of each GPU so far; outlives the listeners that hear it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._xids: dict[str, dict[int, Xid]] = {}
        self._events: dict[str, dict[str, Xid]] = {}

    def count(self, uuid: str, kind: int, data: int, at: float) -> None:
        """One more event of a GPU; a kind that is not known is none of ours."""
        with self._lock:
            if kind == nvml.nvmlEventTypeXidCriticalError:
                _once_more(self._xids.setdefault(uuid, {}), data, at)
            elif kind in EVENTS:
                _once_more(self._events.setdefault(uuid, {}), EVENTS[kind], at)

    def xids(self, uuid: str) -> dict[int, Xid]:
        """XIDs of a GPU, by number."""
        with self._lock:
            return dict(self._xids.get(uuid, {}))

    def events(self, uuid: str) -> dict[str, Xid]:
        """Other events of a GPU, by name."""
        with self._lock:
            return dict(self._events.get(uuid, {}))


class XidListener:
    """Listens in a thread of its own; `up` tells which GPUs (index to UUID) can be listened to."""

    def __init__(
        self,
        up: Callable[[], Mapping[int, str]],
        clock: Callable[[], float],
        patience: float,
        heard: Heard | None = None,
    ) -> None:
        """Touches no driver yet; `patience`: seconds after which a driver call is late."""
        self._up = up
        self._clock = clock
        self._patience = patience + _WAIT_MS / 1_000
        self._heard = heard or Heard()
        self._trouble: str | None = ""
        self._passed = 0.0  # when the thread last had an answer, of whatever kind
        self._closed = threading.Event()
        self._set: object = None
        self._registered: dict[str, int | None] = {}  # UUID to the handle's address; None: has no events
        self._thread = threading.Thread(target=self._run, name="xids", daemon=True)

    def start(self) -> None:
        """Begin, once the driver answers; a thread that ended is not started a second time."""
        if self._thread.ident is None and not self._closed.is_set():
            self._passed = time.monotonic()
            self._thread.start()

    def trouble(self) -> str | None:
        """Why events cannot be waited for; empty: they can, None: there is no GPU that has any."""
        if self._thread.ident is None:
            return None
        if not self._thread.is_alive():
            return _ENDED
        return _STUCK if time.monotonic() - self._passed > self._patience else self._trouble

    def counts(self, uuid: str) -> dict[int, Xid]:
        """The XIDs that were reported of a GPU so far."""
        return self._heard.xids(uuid)

    @property
    def is_closed(self) -> bool:
        """Whether it was told to end, and has."""
        return self._closed.is_set() and not self._thread.is_alive()

    def close(self, patience: float) -> bool:
        """Stop listening; whether the thread ended within so many seconds, which are given it once."""
        is_new = not self._closed.is_set()
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(patience if is_new else 0)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen()
                self._trouble = "" if any(self._registered.values()) else None
            except nvml.NVMLError as err:  # a GPU of the set is lost, or the driver went: begin again
                self._trouble = str(err)
                self._forget()
                self._closed.wait(_WAIT_MS / 1_000)
            self._passed = time.monotonic()
        self._forget()

    def _listen(self) -> None:
        self._register()
        if not any(self._registered.values()):
            self._closed.wait(_WAIT_MS / 1_000)
            return
        try:
            event = nvml.nvmlEventSetWait_v2(self._set, _WAIT_MS)
        except nvml.NVMLError_Timeout:
            return
        uuid = self._uuid(event.device)
        self._heard.count(uuid, int(event.eventType), int(event.eventData), self._clock())

    def _register(self) -> None:
        if self._set is None:
            self._set = nvml.nvmlEventSetCreate()
        for index, uuid in self._up().items():
            if uuid not in self._registered:
                self._registered[uuid] = self._register_one(index)

    def _register_one(self, index: int) -> int | None:
        """Only what the driver says it has: with a type it does not know it would refuse them all."""
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        try:
            kinds = _WANTED & int(nvml.nvmlDeviceGetSupportedEventTypes(handle))
            if not kinds:
                return None
            nvml.nvmlDeviceRegisterEvents(handle, kinds, self._set)
        except UNSUPPORTED:
            return None
        return _address(handle)

    def _uuid(self, handle: Handle) -> str:
        address = _address(handle)
        known = next((uuid for uuid, at in self._registered.items() if at and at == address), None)
        return known or str(nvml.nvmlDeviceGetUUID(handle))

    def _forget(self) -> None:
        self._registered = {}
        held, self._set = self._set, None
        if held is not None:
            try:
                nvml.nvmlEventSetFree(held)
            except nvml.NVMLError:
                return  # the driver it belonged to is gone


def _once_more(held: dict[_Key, Xid], key: _Key, at: float) -> None:
    held[key] = Xid(held.get(key, Xid(0, 0.0)).times + 1, at)


def _address(handle: Handle) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value  # type: ignore[arg-type]
