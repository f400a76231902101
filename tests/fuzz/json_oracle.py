"""Holds the reader of JSON against a writer that knows what it wrote.

Invariant: `check` passes on every input or the reader is wrong.
"""

from __future__ import annotations

import io
from unittest import mock

from collectors.slurm import json_document
from collectors.slurm.framing import BadRecord
from collectors.slurm.json_reader import JsonReader
from opsd.core.errors import BadInput
from opsd.core.records import RunRecord
from tests.fuzz.choices import Choices
from tests.fuzz.json_writer import Answer, Part, Writer

_TAKEN_IN = 4  # times that a byte may be taken in, however the jobs lie in the pieces


def check(data: bytes) -> None:
    """Write what the bytes decide, read it, compare."""
    answer = Writer(Choices(data)).answer()
    taken: list[int] = []
    more = json_document.Document._more

    def counted(self: json_document.Document) -> bool:
        found = more(self)
        taken.append(len(self._held))
        return found

    with (
        mock.patch.object(json_document, "_CHUNK", answer.chunk),
        mock.patch.object(json_document.Document, "_more", counted),
    ):
        runs, bad, steps, broken = _read(answer)
    whole = [part for part in answer.parts if part.record]
    _bad_is_the_input(answer, bad)
    _good_came_back(answer, whole, runs, bad, broken)
    if answer.is_valid:
        assert broken is None, broken
        assert len(answer.parts) == len(runs) + len(bad), "jobs were lost or made up"
        assert sum(part.steps for part in whole) <= steps
    longest = max(len(part.data) for part in answer.parts)
    pieces = len(answer.data) // answer.chunk + 1
    assert sum(taken) <= _TAKEN_IN * len(answer.data) + pieces * (answer.chunk + longest) + 2 * answer.chunk


def _read(answer: Answer) -> tuple[list[RunRecord], list[BadRecord], int, str | None]:
    runs: list[RunRecord] = []
    bad: list[BadRecord] = []
    steps = 0
    try:
        for batch in JsonReader(io.BytesIO(answer.packed)).batches(answer.size):
            runs += batch.runs
            bad += batch.bad
            steps += batch.steps
            assert batch.rows == len(batch.runs) + len(batch.bad) + batch.steps
    except BadInput as err:
        return runs, bad, steps, str(err)
    return runs, bad, steps, None


def _bad_is_the_input(answer: Answer, bad: list[BadRecord]) -> None:
    """In order, nothing twice, byte for byte, at the line it says."""
    at = 0
    for found in bad:
        assert at <= found.position, "set aside twice, or out of order"
        assert found.data == answer.data[found.position : found.position + found.length], "other bytes"
        assert found.line == answer.data[: found.position].count(b"\n") + 1, "another line"
        at = found.position + found.length


def _good_came_back(
    answer: Answer, whole: list[Part], runs: list[RunRecord], bad: list[BadRecord], broken: str | None
) -> None:
    """Each good job as written; behind a damaged one it may be part of what was set aside or not read."""
    left = iter(runs)
    first = min((part.position for part in answer.parts if not part.record), default=len(answer.data))
    for part in whole:
        is_behind = not answer.is_valid and part.position > first
        if is_behind and (broken or any(one.position < part.end <= one.position + one.length for one in bad)):
            return
        assert part.record in left, f"lost or changed: {part.data!r} should be {part.record}, of {runs}"
