"""Listening for XIDs, without a driver."""

from __future__ import annotations

import ctypes
import itertools
import threading
from typing import NamedTuple

import pynvml as nvml  # type: ignore[import-untyped]
import pytest

from collectors.nvml.xids import Heard, XidListener
from opsd.core.telemetry import Xid


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_listener_that_broke_costs_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw ends its thread; whoever starts it again at each collection goes on."""

    def breaks() -> None:
        raise AttributeError

    monkeypatch.setattr(nvml, "nvmlEventSetCreate", breaks)
    listener = XidListener(dict, lambda: 0.0, 30)
    assert listener.trouble() is None
    listener.start()
    listener._thread.join(30)  # nobody can wait for it otherwise without ending it

    listener.start()
    assert {} == listener.counts("GPU-1")
    assert listener.trouble() == "its thread has ended: restart the agent"


class Handle(ctypes.c_void_p):
    """A GPU's handle."""


class Event(NamedTuple):
    """One that the driver delivers."""

    device: Handle
    eventType: int  # noqa: N815 (NVML's name)
    eventData: int  # noqa: N815 (NVML's name)


def test_newer_events_are_heard_where_the_driver_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only types that it supports are registered; each is counted by its name, XIDs by their number."""
    handle, moment = Handle(4096), itertools.count(100)
    supported = nvml.nvmlEventTypeXidCriticalError | nvml.nvmlEventTypeGpuRecoveryAction
    registered: list[int] = []
    events = [
        Event(handle, nvml.nvmlEventTypeGpuRecoveryAction, 1),
        Event(handle, nvml.nvmlEventTypeXidCriticalError, 154),
        Event(handle, nvml.nvmlEventTypeGpuRecoveryAction, 2),
        Event(handle, nvml.nvmlEventTypePState, 0),
    ]
    ended = threading.Event()

    def wait(_set: object, _milliseconds: int) -> Event:
        if events:
            return events.pop(0)
        ended.set()
        raise nvml.NVMLError(nvml.NVML_ERROR_TIMEOUT)

    monkeypatch.setattr(nvml, "nvmlEventSetCreate", lambda: "set")
    monkeypatch.setattr(nvml, "nvmlEventSetFree", lambda _set: None)
    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByIndex", lambda _index: handle)
    monkeypatch.setattr(nvml, "nvmlDeviceGetSupportedEventTypes", lambda _handle: supported | 1)
    monkeypatch.setattr(nvml, "nvmlDeviceRegisterEvents", lambda _h, kinds, _s: registered.append(kinds))
    monkeypatch.setattr(nvml, "nvmlEventSetWait_v2", wait)
    heard = Heard()
    listener = XidListener(lambda: {0: "GPU-1"}, lambda: float(next(moment)), 30, heard)
    listener.start()
    assert ended.wait(30)
    assert listener.close(30)

    assert [supported] == registered
    assert {154: Xid(1, 101)} == heard.xids("GPU-1") == listener.counts("GPU-1")
    assert {"recovery_action_changed": Xid(2, 102)} == heard.events("GPU-1")
    assert {} == heard.xids("GPU-2") == heard.events("GPU-2")
