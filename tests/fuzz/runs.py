"""Runs made up from decisions: every value legal, as odd as Slurm lets it be.

Invariant: what a run means is known here without any reader: values first, then their texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from collectors.slurm.content import content_hash
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from opsd.core.tres import Tres
from tests.fuzz.choices import Choices

# The autumn hour that happens twice in Madrid (2026-10-25), the spring one that never does, plain days.
_STARTS = (1_790_000_000, 1_792_888_200, 1_774_746_000, 631_152_000, 4_000_000_000)
_LENGTHS = (3600, 0, 1, 59, 86_400, 90_061, 3_000_000)
STATES = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL", "REQUEUED", "RESIZING", "HIBERNATED", "TIMEOUT")
_NAMES = ("ehpc01", "a", "", "é", "a b", "x-y_z.1", "\N{PILE OF POO}", "None", "5", "a,b", "UNLIMITED")
_NODES = ("as01r1b[01-02]", "n1", "n[1-3,7],m2", "")
_TRES = ("cpu", "mem", "node", "billing", "gres/gpu", "gres/gpu:h100", "gres/gpu:a100_3g.20gb", "fs/disk")
_COUNTS = (1, 0, 4, 512_000, 2**40)
_LIMITS = (7200, 0, 60, UNLIMITED, PARTITION_LIMIT)


@dataclass(frozen=True)
class Made:
    """A run, and what its texts need besides."""

    record: RunRecord  # with every column carried, without its hash
    counts: dict[str, int]
    array: tuple[int, int] | None = None
    het: tuple[int, int] | None = None


def expected(record: RunRecord, **not_carried: None) -> RunRecord:
    """A record without the columns a source lacks, with its hash."""
    found = record._replace(**not_carried)  # type: ignore[arg-type]
    return found._replace(hash=content_hash(found))


def _moments(choices: Choices) -> tuple[int, int, int | None, int | None, int, int]:
    """submit, eligible, start, end, elapsed, suspended."""
    submit = choices.pick(_STARTS) + choices.number(7_300)
    eligible = 0 if choices.odd() else submit + choices.pick((0, 5))
    if choices.odd():
        return submit, eligible, None, None, 0, 0
    start = submit + choices.pick((5, 60, 3_000))
    length = choices.pick(_LENGTHS)
    suspended = length // 2 if choices.odd() else 0
    end = None if choices.odd() else start + length
    return submit, eligible, start, end, length - suspended, suspended


def run(choices: Choices, number: int) -> Made:
    """The run of that job number."""
    submit, eligible, start, end, elapsed, suspended = _moments(choices)
    counts = {choices.pick(_TRES): choices.pick(_COUNTS) for _ in range(choices.number(4))}
    array = (number, choices.number(9)) if choices.odd() else None
    het = (max(1, number - 1), 1) if not array and choices.odd() else None
    label = f"{array[0]}_{array[1]}" if array else f"{het[0]}+{het[1]}" if het else None
    record = RunRecord(
        cluster=choices.pick(("mn5", "lumi-g", "é")),
        job_id=number,
        submit=submit,
        start=start,
        end=end,
        state=choices.pick(STATES),
        account=choices.pick(_NAMES),
        tres=Tres.of(counts).text,
        user=choices.pick(_NAMES),
        partition=choices.pick(_NAMES),
        qos=choices.pick(_NAMES),
        eligible=eligible,
        elapsed=elapsed,
        suspended=suspended,
        limit=choices.pick(_LIMITS),
        nodes=choices.pick(_NODES),
        label=label,
        reservation_id=choices.pick((0, 3)),
        assoc_id=choices.pick((7, 12)),
        db_index=choices.pick((55, 2**40)),
        sluid=choices.pick(("s3TV2V9JJT0G00", "sA")),
        flags=choices.pick(("SchedMain,StartRecieved", "SchedBackfill,StartRecieved", "StartRecieved")),
    )
    return Made(record, counts, array, het)
