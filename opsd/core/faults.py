"""What is wrong with a file from outside, all of it at once, each at its line.

Invariant: a `BadFile` names every fault found, in the order of the file, so that one round of
corrections is enough.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from opsd.core.errors import BadInput

SHOWN = 50  # further faults are counted, not printed


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong at one line (0: nowhere in particular)."""

    line: int
    message: str


class BadFile(BadInput):
    """A file cannot be taken as it is; `faults` says why, line by line."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.name = name
        self.faults = tuple(sorted(faults))
        rows = [f"{place(name, fault.line)}: {fault.message}" for fault in self.faults[:SHOWN]]
        if len(self.faults) > SHOWN:
            rows.append(f"{name}: and {len(self.faults) - SHOWN} more")
        super().__init__("\n".join(rows))


def place(name: str, line: int) -> str:
    """`file:line`, or the file alone."""
    return f"{name}:{line}" if line else name
