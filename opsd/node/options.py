"""How an agent runs: the one value that its parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from opsd.core.errors import BadInput

_DEADLINE_SECONDS = 2.0
_MOST_GPUS = 64
_MOST_INTERVAL = 86_400


class Switch(NamedTuple):
    """A part of the agent that can be switched off, or on: --collector.NAME, --no-collector.NAME."""

    name: str
    is_on: bool
    help: str


SWITCHES = (
    Switch("nvml", True, "GPUs, by NVIDIA's library"),
    Switch("gpm", True, "activity of SMs, tensor cores and memory (Hopper and later)"),
    Switch("mig", True, "MIG instances"),
    Switch("processes", True, "which job computes on which GPU"),
    Switch("xids", True, "XID errors, by the driver's events"),
    Switch("kernel-log", True, "XID errors, by the kernel's log, where it can be read"),
    Switch("nvlink-links", False, "NVLink by link: 18 times the series"),
    Switch("jobs", True, "which job holds which GPU, by the prolog's files"),
    Switch("spool", True, "what each job did with its GPUs, kept until the daemon fetches it"),
)
DEFAULT = frozenset(switch.name for switch in SWITCHES if switch.is_on)


@dataclass(frozen=True, slots=True)
class Options:
    """How an agent runs; times in seconds.

    Raises:
        BadInput: on construction, where a value makes no sense.
    """

    listen_address: str = "127.0.0.1:9751"
    web_config: Path | None = None
    interval: float = 5.0
    deadline: float = 0.0  # 0: two seconds, or half the interval if that is less
    jobs_directory: Path = Path("/run/opsd/jobs")
    spool_directory: Path | None = None  # None: nothing is kept
    procfs: Path = Path("/proc")
    cgroupfs: Path = Path("/sys/fs/cgroup")
    kernel_log: Path = Path("/dev/kmsg")
    collectors: frozenset[str] = DEFAULT
    expected_gpus: int | None = None
    simulated: int | None = None
    simulated_seed: str = "0"

    def __post_init__(self) -> None:
        if self.interval <= 0:
            raise BadInput(f"--interval {self.interval}: must be more than nothing")
        if self.interval > _MOST_INTERVAL:
            raise BadInput(f"--interval {self.interval:g}s: must be a day at most")
        if not self.deadline:
            object.__setattr__(self, "deadline", min(_DEADLINE_SECONDS, self.interval / 2))
        if not 0 < self.deadline < self.interval:
            raise BadInput(f"--deadline {self.deadline:g}s: must be less than --interval {self.interval:g}s")
        if self.expected_gpus is not None and not 0 < self.expected_gpus <= _MOST_GPUS:
            raise BadInput(f"--gpus.expected {self.expected_gpus}: a node has 1 to {_MOST_GPUS} GPUs")
        if self.simulated is not None and not 0 < self.simulated <= _MOST_GPUS:
            raise BadInput(f"--simulated {self.simulated}: a node has 1 to {_MOST_GPUS} GPUs")

    @property
    def keeps_spool(self) -> bool:
        """Whether what jobs do is measured and kept: without job files nobody does anything."""
        return self.spool_directory is not None and {"jobs", "spool"} <= self.collectors
