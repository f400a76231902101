"""Listening for XIDs, without a driver."""

from __future__ import annotations

import pynvml as nvml  # type: ignore[import-untyped]
import pytest

from collectors.nvml.xids import XidListener


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
