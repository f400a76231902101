"""One GPU's readings, again and again.

Invariant: what a GPU or driver does not support is asked once and then remembered (nvidia-ml-py looks
a missing symbol up each time). What rarely changes, or takes the driver a millisecond, is read once a minute
and shown in between; none of it outlives an error.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import FATAL, UNSUPPORTED, Handle
from collectors.nvml.fields import FIELDS, RARE_FIELDS, Batch
from collectors.nvml.getters import GETTERS, RARE_GETTERS, Getter
from collectors.nvml.links import Links
from collectors.nvml.processes import NUMBER, Processes
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Process, Reading

RARELY_SECONDS = 60.0


class Reader:
    """Reads one GPU, and remembers what it cannot give."""

    def __init__(
        self, *, nvlink_links: bool = False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Touches no driver yet.

        Args:
            nvlink_links: each link of NVLink by itself, too.
            monotonic: by which a minute is told, in seconds.
        """
        self.processes: tuple[Process, ...] | None = None  # None: the driver does not tell
        self._sieve = Sieve()
        self._monotonic = monotonic
        self._unsupported: set[str] = set()
        self._getters = GETTERS
        self._rare_getters = RARE_GETTERS
        self._plan()
        self._fields = Batch(FIELDS, self._sieve)
        self._rare_fields = Batch(RARE_FIELDS, self._sieve)
        self._links = Links(self._sieve, each=nvlink_links)
        self._listed = Processes(self._sieve)
        self._kept: dict[Reading, float] | None = None
        self._kept_since = 0.0

    def read(self, handle: Handle) -> dict[Reading, float]:
        """Every reading that the GPU gives now.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        self.processes = None
        try:
            return self._read(handle)
        except nvml.NVMLError:
            self.forget()
            raise

    def forget(self) -> None:
        """The GPU did not answer: nothing that was read before is shown again."""
        self._kept = None

    @property
    def rejected(self) -> Counter[str]:
        """Readings that cannot be true, counted."""
        return self._sieve.rejected

    @property
    def failed(self) -> Counter[str]:
        """Readings that the driver failed to give, counted."""
        return self._sieve.failed

    @property
    def unsupported(self) -> frozenset[str]:
        """Readings that nothing gives."""
        getters = (*GETTERS, *RARE_GETTERS)
        batches = (self._fields, self._rare_fields)
        given = {name for getter in getters if self._is_wanted(getter) for name in getter.gives}
        given |= {name for batch in batches for name in batch.given}
        every = {name for getter in getters for name in getter.gives}
        every |= {name for batch in batches for name in batch.every}
        lacking = every - given | self._links.unsupported
        return frozenset(lacking if self._listed.is_supported else {*lacking, str(NUMBER)})

    def _read(self, handle: Handle) -> dict[Reading, float]:
        found = dict(self._rare(handle))
        self._fields.read(handle, found)
        self._unsupported |= self._fields.refused
        self._call_all(self._getters, handle, found)
        self._links.read(handle, found)
        self.processes = self._listed.read(handle)
        if self.processes is not None:
            self._sieve.keep(NUMBER, len(self.processes), found)
        return found

    def _rare(self, handle: Handle) -> dict[Reading, float]:
        now = self._monotonic()
        if self._kept is None or not 0 <= now - self._kept_since < RARELY_SECONDS:
            found: dict[Reading, float] = {}
            self._call_all(self._rare_getters, handle, found)
            self._rare_fields.read(handle, found)
            self._links.read_rarely(handle, found)
            self._kept, self._kept_since = found, now
        return self._kept

    def _call_all(self, getters: tuple[Getter, ...], handle: Handle, found: dict[Reading, float]) -> None:
        refusals = len(self._unsupported)
        for getter in getters:
            if not getter.instead_of or getter.instead_of in self._unsupported:
                self._call(getter, handle, found)
        if len(self._unsupported) > refusals:
            self._plan()

    def _call(self, getter: Getter, handle: Handle, found: dict[Reading, float]) -> None:
        try:
            for reading, value in getter.call(handle):
                self._sieve.keep(reading, value, found)
        except FATAL:
            raise
        except UNSUPPORTED:
            self._unsupported.add(getter.name)
        except nvml.NVMLError:
            self._sieve.fail_names(getter.gives)

    def _plan(self) -> None:
        """Leave out what is known to be unsupported."""
        self._getters = tuple(one for one in GETTERS if one.name not in self._unsupported)
        self._rare_getters = tuple(one for one in RARE_GETTERS if one.name not in self._unsupported)

    def _is_wanted(self, getter: Getter) -> bool:
        if getter.name in self._unsupported:
            return False
        return not getter.instead_of or getter.instead_of in self._unsupported
