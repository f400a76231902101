"""Telling systemd how a service is: ready, alive, stopping.

Invariant: without $NOTIFY_SOCKET nothing happens, so a service runs the same by hand.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket

_MICROSECONDS = 1_000_000


def notify(state: str) -> bool:
    """Send a state, such as `READY=1`; whether systemd was there to hear it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:  # a manager that is gone must not take the service with it
            return False
    return True


def watchdog_seconds() -> float | None:
    """How long systemd waits for a `WATCHDOG=1` before it restarts this process; None: it does not watch."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    watched = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not limit.isdigit() or int(limit) == 0 or watched != str(os.getpid()):
        return None
    return int(limit) / _MICROSECONDS
