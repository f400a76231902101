"""What a reader of Slurm accounting offers, whatever form the accounting came in.

Invariant: everything a source holds comes out of `batches` once: as a run, as a counted step, or as a
`BadRecord` that `layout` says how to read again; what breaks the source off is raised after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from collectors.slurm.sacct import Batch


class RecordLayout(Protocol):
    """How the bytes of one record are to be read."""

    def steady(self, line: bytes) -> bytes:
        """A record without what grows while its run is open."""
        ...

    def to_json(self) -> str:
        """Text from which the layout comes back."""
        ...


class RecordReader(Protocol):
    """One source of accounting, read once from front to back."""

    name: str
    warnings: list[str]

    @property
    def layout(self) -> RecordLayout:
        """How its records are to be read."""
        ...

    def batches(self, size: int = ...) -> Iterator[Batch]:
        """The records, in batches of about `size` rows."""
        ...
