"""GPUs on the stand-in, read in this process, with a clock that stands still between steps.

For programs that a test starts with `FakeNvml.environment()`: nvidia-ml-py finds the stand-in at start alone.
Invariant: the driver's clock and the agent's tell the same.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

import pynvml  # type: ignore[import-untyped]

from collectors.nvml.inside import Wanted
from collectors.nvml.sampler import NvmlGpus
from opsd.core.telemetry import Gpu, Reading
from tests.fakes.nvml.build import LIBRARY, FakeNvml

WHOLE_GPU = 2**32 - 1


class Stepped:
    """All GPUs of the machine that the environment tells of."""

    def __init__(self, *, deadline: float = 20, **wanted: bool) -> None:
        control = Path(os.environ["FAKE_NVML"])
        lines = [line.partition("=") for line in control.read_text().splitlines()]
        knobs: dict[str, object] = {name: value for name, _, value in lines}
        self.fake = FakeNvml(Path(os.environ["LD_LIBRARY_PATH"]) / LIBRARY, control, knobs)
        self.now = 0.0
        self.gpus = NvmlGpus(
            deadline=deadline,
            clock=lambda: self.now,
            listens=False,
            wanted=Wanted(monotonic=lambda: self.now, **wanted),
        )
        self.at(100)

    def at(self, second: float, **knobs: object) -> None:
        """Let the clocks show this, and turn knobs at that moment."""
        self.now = second
        self.fake.set(frozen=second, **knobs)

    def look(self) -> tuple[Gpu, ...]:
        """Collect now."""
        return self.gpus.collect().gpus

    def look_at(self, second: float, **knobs: object) -> Gpu:
        """GPU 0 as collected then."""
        self.at(second, **knobs)
        return self.look()[0]


def named(values: Mapping[Reading, float]) -> dict[str, float]:
    """Activity by its readings' names."""
    endings = ("active_ratio", "occupancy_ratio")
    return {str(reading): value for reading, value in values.items() if reading.quantity.endswith(endings)}


def sm_seconds(gpu: int, instance: int = WHOLE_GPU) -> float:
    """The stand-in's own integral of SM activity so far."""
    count = pynvml.nvmlLib.fake_sm_seconds
    count.restype = ctypes.c_double
    return float(count(gpu, instance))


def samples() -> int:
    """How many samples the stand-in has given out and not taken back."""
    return int(pynvml.nvmlLib.fake_gpm_samples())


def counted(*names: str) -> list[str]:
    """From now on each call of these functions of nvidia-ml-py is noted in this list."""
    calls: list[str] = []
    for name in names:
        setattr(pynvml, name, _noted(name, calls))
    return calls


def _noted(name: str, calls: list[str]) -> object:
    original = getattr(pynvml, name)

    def call(*arguments: object) -> object:
        calls.append(name)
        return original(*arguments)

    return call
