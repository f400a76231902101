"""XID errors from the kernel's log, joined to those that the driver told.

Invariant: where the log may not be read nothing is missing but its XIDs, and that is said once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from collectors.kernel_log import KernelLog, place
from opsd.core.telemetry import Snapshot, Xid, merged
from opsd.node.options import Options


class KernelXids:
    """The kernel's log of this node, if it may be read; simulated GPUs have none."""

    def __init__(self, options: Options, clock: Callable[[], float], say: Callable[[str], None]) -> None:
        """Opens the log, so that what is in it by now counts as old."""
        self._log: KernelLog | None = None
        if options.simulated is not None or "kernel-log" not in options.collectors:
            return
        log = KernelLog(options.kernel_log, clock=clock, uptime=time.monotonic)
        try:
            log.open()
            self._log = log
        except OSError as err:
            say(f"kernel_log: {options.kernel_log}: {err.strerror}: XIDs are heard from the driver alone")

    def read(self) -> str | None:
        """Why the log could not be read now; empty: it was, None: it is not there to be read."""
        if self._log is None:
            return None
        try:
            self._log.read()
        except OSError as err:
            return f"cannot be read any more: {err.strerror or err}"
        return ""

    def joined(self, seen: Snapshot) -> Snapshot:
        """The same GPUs, with what the log knows of them, too."""
        told = self._told(seen)
        if not told:
            return seen
        gpus = (
            replace(gpu, xids=merged(gpu.xids, told[gpu.uuid])) if gpu.uuid in told else gpu
            for gpu in seen.gpus
        )
        return replace(seen, gpus=tuple(gpus))

    def strays(self, seen: Snapshot) -> Mapping[str, Mapping[int, Xid]]:
        """By UUID, XIDs of GPUs that the driver does not show: they fell off the bus before it was asked."""
        shown = {gpu.uuid for gpu in seen.gpus}
        return {uuid: xids for uuid, xids in self._told(seen).items() if uuid not in shown}

    def close(self) -> None:
        """Leave the log."""
        if self._log is not None:
            self._log.close()

    def _told(self, seen: Snapshot) -> dict[str, dict[int, Xid]]:
        """By UUID; the log gives one itself, when it tells of a GPU for the first time."""
        if self._log is None:
            return {}
        identities = [gpu.identity for gpu in seen.gpus if gpu.identity]
        places = {where: known.uuid for known in identities if (where := place(known.pci))}
        told = self._log.by_uuid(places)
        told.pop("", None)
        return told
