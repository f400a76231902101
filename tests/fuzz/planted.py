"""Bugs to plant in the readers, to see that the fuzzer finds them: `planted.py NAME -max_total_time=30`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])


def _lose_joined() -> None:
    """A record whose name holds the delimiter is dropped."""
    from collectors.slurm.assembly import Sorter

    def joined(self: Sorter, count: int) -> Iterator[None]:
        self._held = self._held[:-count]
        yield from ()

    Sorter._joined = joined  # type: ignore[method-assign, assignment]


def _swallow_neighbour() -> None:
    """Lines before a record that was joined from several are forgotten."""
    from collectors.slurm.assembly import Sorter

    settle = Sorter.settle

    def settled(self: Sorter) -> Iterator[object]:
        self._held = self._held[-1:]
        yield from settle(self)

    Sorter.settle = settled  # type: ignore[method-assign, assignment]


def _quick_suspension() -> None:
    """The quick way leaves out an hour of suspension; the careful one does not."""
    from collectors.slurm import readers

    column_readers = readers.column_readers

    def wrong(layout: object) -> list[tuple[str, str, object]]:
        table = column_readers(layout)  # type: ignore[arg-type]
        return [(name, field, _less(read) if name == "Suspended" else read) for name, field, read in table]

    def _less(
        read: Callable[[object], tuple[list[int], object]],
    ) -> Callable[[object], tuple[list[int], object]]:
        def less(texts: object) -> tuple[list[int], object]:
            values, canonical = read(texts)
            return [value % 3600 for value in values], canonical

        return less

    from collectors.slurm import fast

    fast.column_readers = wrong  # type: ignore[attr-defined]


def _endless_limit() -> None:
    """A limit that is infinite is read as one that is not set."""
    from collectors.slurm import json_job

    json_job._INFINITE = "Partition_Limit"


def _lose_at_the_seam() -> None:
    """A job that lies across two pieces of the input is passed over."""
    from collectors.slurm.json_document import Document

    item = Document._item

    def lossy(self: Document) -> object:
        before = self._base
        found = item(self)
        return item(self) if self._base != before and self._take(b",", b"]") == b"," else found

    Document._item = lossy  # type: ignore[method-assign, assignment]


# name -> (the fuzzer that must find it, how it is planted)
BUGS: dict[str, tuple[str, Callable[[], None]]] = {
    "lose-joined": ("text", _lose_joined),
    "swallow-neighbour": ("text", _swallow_neighbour),
    "quick-suspension": ("text", _quick_suspension),
    "endless-limit": ("json", _endless_limit),
    "lose-at-the-seam": ("json", _lose_at_the_seam),
}


def plant(name: str) -> None:
    """Put the bug in."""
    BUGS[name][1]()


if __name__ == "__main__":
    from tests.fuzz.harness import fuzz

    chosen = sys.argv.pop(1)
    fuzz(BUGS[chosen][0], plant=chosen)
