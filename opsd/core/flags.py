"""What was unusual about a run, as bits kept with it.

Invariant: a bit never changes its meaning or its number; stored runs carry them for years.
"""

from __future__ import annotations

from enum import IntFlag


class Flag(IntFlag):
    """One bit per oddity; a run without any is plain."""

    NONE = 0
    UNKNOWN_STATE = 1
    SUSPENDED_CAPPED = 2
    SUSPENDED_UNPLACED = 4
    GPU_CLASS_DISAGREES = 8
    GPU_UNCLASSIFIED = 16
    NO_GPU_TRES = 32
    TWO_SLUIDS = 64
    ENDED_WITHOUT_END = 128
    NO_ALLOCATION = 256
    START_BEFORE_SUBMIT = 512
    MIXED_NODE_CLASS = 1024


# Runs that a person must hear about: their usage may be wrong until someone has looked.
NEEDS_EYES = Flag.UNKNOWN_STATE | Flag.NO_GPU_TRES | Flag.TWO_SLUIDS | Flag.ENDED_WITHOUT_END

MEANINGS: dict[Flag, str] = {
    Flag.UNKNOWN_STATE: "a state opsd does not know, counted because it has a start and an allocation",
    Flag.SUSPENDED_CAPPED: "more suspended seconds than the run lasted; cut to its length",
    Flag.SUSPENDED_UNPLACED: "suspended seconds known only as a total, spread evenly over the run",
    Flag.GPU_CLASS_DISAGREES: "GPU types printed by Slurm contradict its GPU count or the node inventory",
    Flag.GPU_UNCLASSIFIED: "GPUs whose class neither Slurm nor the node inventory tells",
    Flag.NO_GPU_TRES: "on nodes with GPUs, but Slurm recorded no GPU entry for it",
    Flag.TWO_SLUIDS: "two Slurm ids under one job id and submit time; one of them counts",
    Flag.ENDED_WITHOUT_END: "an ended state without an end time",
    Flag.NO_ALLOCATION: "started, but Slurm recorded nothing allocated",
    Flag.START_BEFORE_SUBMIT: "starts before it was submitted; counted from its submission",
    Flag.MIXED_NODE_CLASS: "on nodes of more than one class, or partly outside the inventory",
}


def meanings(flags: int) -> list[str]:
    """The meanings of every bit set, lowest bit first; unknown bits are named by number."""
    known = [text for flag, text in MEANINGS.items() if flags & flag]
    rest = flags & ~int(sum(MEANINGS))
    return [*known, f"unknown flag bits {rest}"] if rest else known
