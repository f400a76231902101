"""Building the stand-in for libnvidia-ml.so.1, and steering it while a program runs on it.

Invariant: the program under test is unmodified; all it sees is a library of that name on LD_LIBRARY_PATH.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = Path(__file__).parent / "nvml.c"
LIBRARY = "libnvidia-ml.so.1"


def build(folder: Path, *, without: Sequence[str] = ()) -> Path:
    """Compile it into a folder; `without`: functions that an older driver does not have."""
    library = folder / LIBRARY
    absent = [f"-D{name}=absent_{name}" for name in without]
    command = ["gcc", "-shared", "-fPIC", "-O1", *absent]
    command += [f"-Wl,-soname,{LIBRARY}", "-o", str(library), str(SOURCE), "-lm", "-lpthread"]
    built = subprocess.run(command, check=False, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return library


@dataclass
class FakeNvml:
    """One machine: a built library and the file that steers it."""

    library: Path
    control: Path
    knobs: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._write()

    def set(self, **knobs: object) -> None:
        """Turn knobs; a dot in a name is written `__`, None takes the knob away."""
        for name, value in knobs.items():
            self.knobs[name.replace("__", ".")] = value
        self._write()

    def environment(self) -> dict[str, str]:
        """The environment of a program that is to find this library."""
        return {**os.environ, "LD_LIBRARY_PATH": str(self.library.parent), "FAKE_NVML": str(self.control)}

    def _write(self) -> None:
        lines = [f"{name}={value}\n" for name, value in self.knobs.items() if value is not None]
        written = self.control.with_suffix(".new")
        written.write_text("".join(lines))
        written.replace(self.control)
