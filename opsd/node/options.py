"""How an agent runs: the one value that its parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from opsd.core.errors import BadInput

_DEADLINE_SECONDS = 2.0
_MOST_GPUS = 64
_MOST_INTERVAL = 86_400


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
        if self.simulated is not None and not 0 < self.simulated <= _MOST_GPUS:
            raise BadInput(f"--simulated {self.simulated}: a node has 1 to {_MOST_GPUS} GPUs")
