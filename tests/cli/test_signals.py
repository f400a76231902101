"""Signals that end a service reach whoever waits, whenever they come."""

from __future__ import annotations

import os
import signal
import threading

from opsd.cli import signals


def test_a_signal_is_waited_for_with_looks_in_between() -> None:
    """The wait wakes up again and again, and gives the first signal's name, also one that came before."""
    signals._LOOK_SECONDS, before = 0.01, signals._LOOK_SECONDS
    try:
        with signals.told() as names:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
            assert "SIGTERM" == signals.wait(names)
            os.kill(os.getpid(), signal.SIGINT)
            assert "SIGINT" == signals.wait(names)
    finally:
        signals._LOOK_SECONDS = before
