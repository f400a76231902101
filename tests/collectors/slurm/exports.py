"""Small sacct exports for tests, and the one way to read them whole."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from collectors.slurm.framing import BadRecord
from collectors.slurm.sacct import SacctReader
from opsd.core.records import RunRecord

PLAIN = (
    "JobIDRaw", "JobID", "Cluster", "Account", "User", "Partition", "QOS", "State", "Submit", "Eligible",
    "Start", "End", "ElapsedRaw", "Suspended", "TimelimitRaw", "AllocTRES", "NodeList", "ReservationId",
    "AssocID", "DBIndex", "SLUID", "Flags",
)  # fmt: skip
FREE = (
    "JobIDRaw", "Cluster", "Account", "JobName", "State", "Submit", "Start", "End", "Comment", "Suspended",
    "AllocTRES",
)  # fmt: skip
T = 1_790_000_000
ORDINARY = {
    "JobIDRaw": "101", "JobID": "101", "Cluster": "mn5", "Account": "ehpc01", "User": "ana",
    "Partition": "acc", "QOS": "normal", "State": "COMPLETED", "Submit": str(T), "Eligible": str(T),
    "Start": str(T + 60), "End": str(T + 3660), "ElapsedRaw": "3600", "Elapsed": "01:00:00",
    "Suspended": "00:00:00", "TimelimitRaw": "120", "Timelimit": "02:00:00",
    "AllocTRES": "billing=20,cpu=80,gres/gpu:h100=4,gres/gpu=4,mem=512000M,node=1",
    "NodeList": "as01r1b[01-02]", "ReservationId": "", "AssocID": "7", "DBIndex": "55", "SLUID": "s0A1B2",
    "Flags": "SchedMain", "JobName": "train", "Comment": "", "WorkDir": "/gpfs",
}  # fmt: skip


def fields(columns: Sequence[str], **changes: str) -> list[str]:
    """The fields of an ordinary run with some columns changed."""
    return [{**ORDINARY, **changes}[name] for name in columns]


def line(columns: Sequence[str], delimiter: str = "|", **changes: str) -> bytes:
    """One record with its line end."""
    return delimiter.join(fields(columns, **changes)).encode("utf-8", "surrogateescape") + b"\n"


def export(columns: Sequence[str], rows: Iterable[Mapping[str, str]], delimiter: str = "|") -> bytes:
    """A header and a record for every row of changes."""
    header = delimiter.join(columns).encode() + b"\n"
    return header + b"".join(line(columns, delimiter, **row) for row in rows)


@dataclass
class Content:
    """All that a reader handed over."""

    runs: list[RunRecord] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    steps: int = 0
    rows: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def jobs(self) -> list[int]:
        """The job ids, in order."""
        return [run.job_id for run in self.runs]

    @property
    def reasons(self) -> str:
        """Why records are bad."""
        return "\n".join(bad.reason for bad in self.bad)


def read(data: bytes, size: int = 20_000, **options: Any) -> Content:
    """Read an export to its end."""
    reader = SacctReader(io.BytesIO(data), **options)
    found = Content(warnings=reader.warnings)
    for batch in reader.batches(size):
        found.runs += batch.runs
        found.bad += batch.bad
        found.steps += batch.steps
        found.rows += batch.rows
    return found
