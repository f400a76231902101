"""Made-up sacct exports, byte for byte: every run holds four GPUs for an hour and has its own account."""

from __future__ import annotations

COLUMNS = (
    "JobIDRaw", "Cluster", "Account", "User", "Partition", "QOS", "State", "Submit", "Start", "End",
    "ElapsedRaw", "AllocTRES",
)  # fmt: skip
START = 1_790_000_000  # in September 2026
HOUR = 3_600
GPU_SECONDS = 4 * HOUR  # of one run


def row(job: int, **changed: object) -> bytes:
    """One record without its line end; invalid UTF-8 is written as surrogate escapes."""
    values: dict[str, object] = {
        "JobIDRaw": job, "Cluster": "mn5", "Account": f"a{job}", "User": "ana", "Partition": "acc",
        "QOS": "normal", "State": "COMPLETED", "Submit": START - 60, "Start": START, "End": START + HOUR,
        "ElapsedRaw": HOUR, "AllocTRES": "billing=80,cpu=80,gres/gpu=4,mem=500000M,node=1",
    }  # fmt: skip
    values |= changed
    return "|".join(map(str, values.values())).encode("utf-8", "surrogateescape")


def export(*rows: bytes, columns: tuple[str, ...] = COLUMNS, end: bytes = b"\n") -> bytes:
    """A header and records; `end` is the last one's line end."""
    return b"\n".join(["|".join(columns).encode(), *rows]) + end


def many(count: int) -> list[bytes]:
    """Records of one account within a day, so that there are few day facts."""
    return [row(job, Account="many", User=f"u{job % 7}") for job in range(1, count + 1)]
