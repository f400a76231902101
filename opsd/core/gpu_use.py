"""What was really done with GPUs, summed: over devices, over runs, and over the parts of a run.

Invariant: the parts of any cut of a run add up to the run's, in every measure; and what nothing tells adds
nothing to a measure and nothing to what that measure is a share of, so it is never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from opsd.core.usage import spread

MS = 1000


class Use(NamedTuple):
    """Sums over measured records, in GPU-milliseconds and millijoules.

    What is told of only some records stands beside the covered time of just those: `process_of` is the
    covered time of the records that tell `process`.
    """

    allocated: int = 0
    covered: int = 0
    process: int = 0
    process_of: int = 0
    idle: int = 0
    idle_of: int = 0
    sm_active: int = 0
    sm_active_of: int = 0  # of the time with figures of GPM
    tensor_active: int = 0
    tensor_active_of: int = 0
    energy: int = 0
    energy_of: int = 0
    energy_estimated: int = 0  # of `energy`: a GPU's, divided by shares or by slices
    uncounted: int = 0  # of `allocated`: of runs, on shards, for which Slurm counts no GPU
    uncounted_covered: int = 0  # the same of `covered`

    @property
    def counted(self) -> int:
        """Allocated, of runs for which Slurm counts GPUs."""
        return self.allocated - self.uncounted

    @property
    def counted_covered(self) -> int:
        """Covered, of the same: what coverage is told by."""
        return self.covered - self.uncounted_covered

    def plus(self, other: Sequence[int]) -> Use:
        """The sum."""
        return Use(*(a + b for a, b in zip(self, other, strict=True)))

    def part(self, begin: int, finish: int, a: int, b: int) -> Use:
        """What falls to [a, b) of a run of [begin, finish), evenly, so that every cut adds up."""
        if a <= begin < b and finish <= b:
            return self  # most runs lie in one cell
        return Use(*[spread(measure, begin, finish, a, b) if measure else 0 for measure in self])

    def told(self, name: str) -> int | None:
        """A measure; None where no record tells it."""
        value: int = getattr(self, name)
        return value if value or getattr(self, f"{name}_of") else None


PARTLY = ("process", "idle", "sm_active", "tensor_active", "energy")  # what not every record tells


def seconds(ms: int | None) -> Fraction | None:
    """GPU-seconds, or joules, of thousandths."""
    return None if ms is None else Fraction(ms, MS)


def share(part: int | None, whole: int) -> str:
    """`0.9731`: a part of a whole, never rounded to all or to nothing; empty where there is no whole."""
    if whole <= 0 or part is None:
        return ""
    rounded = (2 * 10_000 * part + whole) // (2 * whole)
    if rounded == 10_000 and part != whole:
        rounded += 1 if part > whole else -1
    if rounded == 0 and part > 0:
        rounded = 1
    return f"{rounded // 10_000}.{rounded % 10_000:04}"
