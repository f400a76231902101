"""What goes on inside one GPU: its activity, and the MIG devices it is cut into.

Invariant: what was refused is asked again after the MIG mode changed, for under MIG a GPU refuses what it
gives otherwise; what fails here costs itself alone, unless the GPU or the driver is gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pynvml as nvml  # type: ignore[import-untyped]

from collectors.nvml.driver import Handle
from collectors.nvml.gpm import FATAL, Gpm, Subject
from collectors.nvml.mig import MIG_READINGS, Mig
from collectors.nvml.sieve import Sieve
from opsd.core.telemetry import Reading, Slice

_SETTLE_SECONDS = 0.12
_LONG_BESIDE_SETTLING = 4
_MODE = Reading("mig_mode")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at inside a GPU.

    Args:
        gpm: activity.
        mig: MIG devices.
        nvlink_links: each link of NVLink by itself.
        settles: wait a moment for the first values of activity, which are of two samples.
        monotonic: by which the time between two samples is told, in seconds.
    """

    gpm: bool = True
    mig: bool = True
    nvlink_links: bool = False
    settles: bool = False
    monotonic: Callable[[], float] = time.monotonic

    def within(self, deadline: float) -> Wanted:
        """Where so many seconds leave no time to wait, the first values are not waited for."""
        return replace(self, settles=self.settles and deadline > _LONG_BESIDE_SETTLING * _SETTLE_SECONDS)


@dataclass(frozen=True, slots=True)
class Inside:
    """What was found besides readings of the whole GPU."""

    is_mig: bool = False
    slices: tuple[Slice, ...] = ()
    gpm_seconds: float | None = None

    def bare(self) -> Inside:
        """Without what was read at that moment."""
        return Inside(self.is_mig, tuple(replace(one, values={}, gpm_seconds=None) for one in self.slices))


EVERYTHING = Wanted()
NOTHING = Inside()


@dataclass(slots=True)
class Insides:
    """Looks into one GPU again and again, in the GPU's own thread."""

    wanted: Wanted
    found: Inside = NOTHING
    sieve: Sieve = field(default_factory=Sieve)
    _mode: bool | None = None
    _mig: Mig = field(init=False)
    _gpm: Gpm = field(init=False)

    def __post_init__(self) -> None:
        self._mig = Mig(self.sieve)
        self._gpm = Gpm(self.wanted.monotonic, self.sieve)

    def has_changed(self, handle: Handle) -> bool:
        """Whether MIG was switched on or off since the last time.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        if not self.wanted.mig:
            return False
        before = self._mode
        try:
            self._mode = self._mig.is_on(handle)
        except FATAL:
            raise
        except nvml.NVMLError:
            self.sieve.fail([_MODE])
        return before is not None and self._mode is not None and self._mode != before

    def read(self, handle: Handle) -> dict[Reading, float]:
        """What is read of the whole GPU; `found` tells the rest.

        Raises:
            NVMLError: the GPU or the driver is gone.
        """
        is_first = not self._gpm.has_begun
        values = self._look(handle)
        if self.wanted.settles and is_first and self._gpm.has_begun:
            time.sleep(_SETTLE_SECONDS)
            values = self._look(handle)
        return values

    def begin_anew(self) -> None:
        """Another GPU, another driver, or another MIG mode: what was refused may not be any more."""
        self._gpm.forget()
        self.sieve = Sieve()
        self._gpm = Gpm(self.wanted.monotonic, self.sieve)
        self._mig = Mig(self.sieve)

    def fail(self) -> None:
        """The GPU did not answer: what comes next is no continuation."""
        self._gpm.forget()
        self.found = self.found.bare()

    def forget(self) -> None:
        """Give the driver's memory back."""
        self._gpm.forget()

    @property
    def refused(self) -> frozenset[str]:
        """Readings that nothing gives."""
        mig = self._mig.refused if self.wanted.mig else frozenset()
        return mig | self._gpm.refused(is_mig=self.found.is_mig)

    def _look(self, handle: Handle) -> dict[Reading, float]:
        values: dict[Reading, float] = {}
        seconds = None
        if self.wanted.gpm:
            means = self._gpm.read(Subject(handle, "", None))
            values, seconds = means.values, means.seconds
        if self._mode is not None:
            values[_MODE] = float(self._mode)
        self.found = Inside(bool(self._mode), self._slices(handle) if self._mode else (), seconds)
        return values

    def _slices(self, handle: Handle) -> tuple[Slice, ...]:
        try:
            return self._mig.slices(handle, self._gpm if self.wanted.gpm else None)
        except FATAL:
            raise
        except nvml.NVMLError:
            self.sieve.fail(MIG_READINGS)
            return self.found.bare().slices
