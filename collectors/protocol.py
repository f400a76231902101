"""What an ingest reads, whoever answers: a Slurm asked by its commands, or the demo's simulated one.

Invariant: a source hands over whole answers only. Anything less (no rights, a time-out, a complaint on
stderr, a cut answer) is raised, so that no reader can take half an answer for all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class AccountingText:
    """One whole answer: what `sacct -a -D -X -P` prints, header first, its times as epoch seconds."""

    stream: BinaryIO  # at its start; whoever reads it closes it
    observed_at: int  # when the question was asked: nothing that happened later need be in it
    source: str  # where runs and bad records are traced back to


class AccountingSource(Protocol):
    """The accounting of one cluster."""

    def prove(self) -> str:
        """Make sure that answers will show everybody's runs; the name of the cluster they are about.

        Raises:
            Refused: the rights are missing, and what to do about it.
            Unavailable: Slurm could not be asked.
        """
        ...

    def changed(self, start: int, end: int) -> AccountingText:
        """Every run that was eligible before `end` and had not ended before `start`."""
        ...

    def runs(self, job_ids: Sequence[int]) -> AccountingText:
        """Every run of these jobs, whenever it was."""
        ...
