"""Holds the reader of text against a writer that knows what it wrote.

Invariant: `check` passes on every input or the reader is wrong.
"""

from __future__ import annotations

import io
from typing import Any

from collectors.slurm import assembly
from collectors.slurm.framing import BadRecord
from collectors.slurm.sacct import SacctReader
from opsd.core.records import RunRecord
from tests.fuzz.choices import Choices
from tests.fuzz.text_writer import Entry, Export, Kind, Writer

_AMBIGUOUS = "readable in more than one way"
_TWICE = "an hour that happens twice"
_LOOKS = 4  # times that a piece of a line may be looked at, whatever the lines before it


def check(data: bytes) -> None:
    """Write what the bytes decide, read it, compare."""
    assembly._shapes.cache_clear()  # it counts its work
    export = Writer(Choices(data)).export()
    reader = _reader(export)
    runs: list[RunRecord] = []
    bad: list[BadRecord] = []
    steps = rows = 0
    for batch in reader.batches(export.options["size"]):
        assert batch.rows == len(batch.runs) + len(batch.bad) + batch.steps
        runs += batch.runs
        bad += batch.bad
        steps += batch.steps
        rows += batch.rows
    _bad_is_the_input(export, bad)
    accepted = [entry for entry in export.entries if not _is_set_aside(entry, bad, export)]
    _good_came_back(accepted, runs)
    _all_is_accounted_for(export, accepted, bad, len(runs), steps)
    _work_is_bounded(export, reader)


class _Careful:
    """In the place of the quick way: leaves every line to the careful one."""

    def parse(self, lines: list[str]) -> tuple[list[None], list[int]]:
        """Nothing is ordinary."""
        return [None] * len(lines), list(range(len(lines)))


def _reader(export: Export) -> SacctReader:
    options = {name: export.options[name] for name in ("fields", "delimiter", "zone", "cluster")}
    reader = SacctReader(io.BytesIO(export.packed), **options)
    if export.options["careful"]:
        careful: Any = _Careful()
        reader._fast = careful
    return reader


def _bad_is_the_input(export: Export, bad: list[BadRecord]) -> None:
    """In order, nothing twice, byte for byte, at the line it says."""
    at = export.header
    for found in sorted(bad, key=lambda one: one.position):
        assert at <= found.position, "set aside twice"
        assert found.data == export.data[found.position : found.position + found.length], "other bytes"
        assert found.line == export.data[: found.position].count(b"\n") + 1, "another line"
        at = found.position + found.length
    assert at <= len(export.data)


def _is_set_aside(entry: Entry, bad: list[BadRecord], export: Export) -> bool:
    """Whether a good record was set aside by itself, for a reason the documentation names."""
    if entry.kind is not Kind.RUN:
        return False
    for found in bad:
        if found.position == entry.position and found.data == entry.data:
            allowed = _AMBIGUOUS if not entry.is_tame else _TWICE
            is_allowed = allowed in found.reason or (_TWICE in found.reason and export.options["zone"])
            assert is_allowed, f"a good record was refused: {found.reason}"
            return True
    return False


def _good_came_back(accepted: list[Entry], runs: list[RunRecord]) -> None:
    left = iter(runs)
    for entry in accepted:
        if entry.kind is Kind.RUN:
            assert entry.record in left, (
                f"lost or changed: {entry.data!r} should be {entry.record}, of {runs}"
            )


def _all_is_accounted_for(
    export: Export, accepted: list[Entry], bad: list[BadRecord], runs: int, steps: int
) -> None:
    """Header, runs, steps, bad records and the last blank lines are all the bytes there are."""
    good = [entry for entry in accepted if entry.kind is not Kind.DAMAGED]
    assert steps >= sum(entry.kind is Kind.STEP for entry in good), "a step was not counted"
    more = runs + steps - len(good)
    rest = len(export.data) - export.header - sum(len(entry.data) for entry in good)
    rest -= sum(found.length for found in bad)
    assert more >= 0
    assert rest >= 0, "more came out than there is"
    if not more:
        assert rest in (0, export.blanks) or rest <= _blank_tail(export), f"{rest} bytes are nowhere"
    else:
        assert rest > 0, "a record came out of nothing"


def _blank_tail(export: Export) -> int:
    return len(export.data) - len(export.data.rstrip(b"\r\n")) - 1


def _work_is_bounded(export: Export, reader: SacctReader) -> None:
    """Each piece is looked at a fixed number of times."""
    if (joiner := reader._sorter._joiner) is not None:
        pieces = export.data.count(reader.layout.delimiter.encode()) + export.data.count(b"\n") + 1
        assert joiner.shapes.work <= _LOOKS * pieces, "more work than the input is long"
