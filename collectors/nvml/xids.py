"""XID errors: what the driver reports about a GPU, counted since the agent started.

Invariant: the event set belongs to one thread, for it is not thread safe; a wait in it is half a second.
An XID that was reported before its GPU was registered is lost: the kernel's log has it.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Mapping

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.readings import UNSUPPORTED, Handle
from opsd.core.telemetry import Xid

_WAIT_MS = 500
_STUCK = "a driver call does not return"
_ENDED = "its thread has ended: restart the agent"


class XidListener:
    """Listens in a thread of its own; `up` tells which GPUs (index to UUID) can be listened to."""

    def __init__(
        self, up: Callable[[], Mapping[int, str]], clock: Callable[[], float], patience: float
    ) -> None:
        """Touches no driver yet; `patience`: seconds after which a driver call is late."""
        self._up = up
        self._clock = clock
        self._patience = patience + _WAIT_MS / 1_000
        self._trouble: str | None = ""
        self._passed = 0.0  # when the thread last had an answer, of whatever kind
        self._lock = threading.Lock()
        self._counts: dict[str, dict[int, Xid]] = {}
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
        """What was reported of a GPU so far."""
        with self._lock:
            return dict(self._counts.get(uuid, {}))

    def close(self, patience: float) -> bool:
        """Stop listening; whether the thread ended within so many seconds."""
        self._closed.set()
        if self._thread.ident is not None:
            self._thread.join(patience)
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
        if event.eventType == nvml.nvmlEventTypeXidCriticalError:
            self._count(self._uuid(event.device), int(event.eventData))

    def _register(self) -> None:
        if self._set is None:
            self._set = nvml.nvmlEventSetCreate()
        for index, uuid in self._up().items():
            if uuid not in self._registered:
                self._registered[uuid] = self._register_one(index)

    def _register_one(self, index: int) -> int | None:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        try:
            nvml.nvmlDeviceRegisterEvents(handle, nvml.nvmlEventTypeXidCriticalError, self._set)
        except UNSUPPORTED:
            return None
        return _address(handle)

    def _uuid(self, handle: Handle) -> str:
        address = _address(handle)
        known = next((uuid for uuid, at in self._registered.items() if at == address), None)
        return known or str(nvml.nvmlDeviceGetUUID(handle))

    def _count(self, uuid: str, xid: int) -> None:
        with self._lock:
            counts = self._counts.setdefault(uuid, {})
            before = counts.get(xid, Xid(0, 0.0))
            counts[xid] = Xid(before.times + 1, self._clock())

    def _forget(self) -> None:
        self._registered = {}
        held, self._set = self._set, None
        if held is not None:
            try:
                nvml.nvmlEventSetFree(held)
            except nvml.NVMLError:
                return  # the driver it belonged to is gone


def _address(handle: Handle) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value  # type: ignore[arg-type]
