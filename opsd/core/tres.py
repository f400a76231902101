"""Trackable resources (TRES) of one allocation, as whole numbers.

Invariant: a `Tres` keeps every name it was given, known or not, and its canonical text is the same
for every order in which Slurm may print the entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

GPU = "gres/gpu"
GPU_TYPED = "gres/gpu:"
NO_GPU_CLASS = ""
UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True)
class Tres:
    """Counts by TRES name, sorted by name; `mem` is in MB, everything else is a plain count."""

    entries: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.entries]
        if names != sorted(set(names)):
            raise ValueError(f"TRES names must be sorted and distinct: {names}")
        if any(count < 0 for _, count in self.entries):
            raise ValueError(f"TRES counts must not be negative: {self.entries}")

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Tres:
        """Build from a mapping, in any order."""
        return cls(tuple(sorted(counts.items())))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self.entries)

    def get(self, name: str, default: int = 0) -> int:
        """The count under `name`."""
        for entry, count in self.entries:
            if entry == name:
                return count
        return default

    @property
    def text(self) -> str:
        """Canonical text: `cpu=4,gres/gpu=2,mem=8000,node=1` (mem in MB, no suffix)."""
        return ",".join(f"{name}={count}" for name, count in self.entries)

    @property
    def typed_gpus(self) -> dict[str, int]:
        """GPU counts by the type Slurm printed."""
        return {
            name.removeprefix(GPU_TYPED): count
            for name, count in self.entries
            if name.startswith(GPU_TYPED) and count
        }

    @property
    def gpus(self) -> int:
        """`gres/gpu` if present, else the sum of the typed entries: adding both would double."""
        for name, count in self.entries:
            if name == GPU:
                return count
        return sum(self.typed_gpus.values())

    @classmethod
    def from_canonical(cls, text: str) -> Tres:
        """The inverse of `text`; for stored values only, never for text from outside."""
        if not text:
            return cls()
        pairs = (entry.rpartition("=") for entry in text.split(","))
        return cls(tuple((name, int(count)) for name, _, count in pairs))
