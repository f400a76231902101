"""What Slurm allocated beside what agents saw, as data: CSV for spreadsheets, JSON with what does not fit.

Invariant: every figure is exact; what no agent tells is empty or null, never 0.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, tzinfo
from io import StringIO

from opsd.core.amounts import exact_text
from opsd.core.gpu_use import MS, seconds, share
from opsd.core.period import isoformat, zone_name
from opsd.core.telemetry_certificate import REASONS, Comparison, Drift, Line

VERSION = 1
COLUMNS = (
    "gpu_seconds", "allocated_gpu_seconds", "measured_gpu_seconds", "coverage", "process_gpu_seconds",
    "process_told_gpu_seconds", "idle_gpu_seconds", "idle_told_gpu_seconds", "idle_share", "gpm_gpu_seconds",
    "sm_active_gpu_seconds", "tensor_active_gpu_seconds", "energy_joules", "energy_told_gpu_seconds",
    "energy_estimated_joules", "uncounted_gpu_seconds", "gaps_gpu_seconds", "difference_gpu_seconds",
    *(f"{name}_gpu_seconds" for name in REASONS),
)  # fmt: skip
Value = str | int | None


def values(line: Line) -> tuple[Value, ...]:
    """A line in the order of COLUMNS."""
    use = line.use
    thousandths = (
        use.told("process"), use.process_of, use.told("idle"), use.idle_of, None, use.sm_active_of,
        use.told("sm_active"), use.told("tensor_active"), use.told("energy"), use.energy_of,
        use.energy_estimated, use.uncounted_covered, line.gaps_ms, line.difference_ms,
    )  # fmt: skip
    exact = [_exact(one) for one in thousandths]
    exact[4] = share(use.idle, use.idle_of) or None
    coverage = share(use.counted_covered, MS * line.gpu_seconds) or None
    return (line.gpu_seconds, _exact(use.allocated), _exact(use.covered), coverage, *exact, *line.silent)


def _exact(ms: int | None) -> str | None:
    found = seconds(ms)
    return None if found is None else exact_text(found)


def as_csv(found: Comparison) -> bytes:
    """A header and a line per key (RFC 4180, UTF-8)."""
    out = StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow((*found.keys, *COLUMNS))
    writer.writerows((*line.key, *values(line)) for line in found.lines)
    return out.getvalue().encode()


def as_json(found: Comparison, tz: tzinfo = UTC) -> bytes:
    """Lines, their total, and what does not fit."""
    document = {
        "kind": "opsd telemetry comparison",
        "version": VERSION,
        "against": "telemetry",
        "from": isoformat(found.window.start, tz),
        "to": isoformat(found.window.end, tz),
        "timezone": zone_name(tz),
        "by": found.keys,
        "lines": [
            dict(zip((*found.keys, *COLUMNS), (*one.key, *values(one)), strict=True)) for one in found.lines
        ],
        "total": dict(zip(COLUMNS, values(found.total), strict=True)),
        "drift": {"gpu_seconds": _exact(found.drift_ms), "runs": [_drift(one, tz) for one in found.drifts]},
        "without_run": {
            "gpu_seconds": _exact(found.stray_ms),
            "not_read_yet": found.early,
            "nodes": [
                {"cluster": one.cluster, "node": one.node, "records": one.records, "jobs": one.jobs,
                 "allocated_gpu_seconds": _exact(one.allocated_ms)}
                for one in found.strays
            ],
        },
        "needs_eyes": found.needs_eyes,
    }  # fmt: skip
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _drift(one: Drift, tz: tzinfo) -> dict[str, Value]:
    return {
        "cluster": one.cluster, "job": one.job_id, "from": isoformat(one.begin, tz),
        "to": isoformat(one.finish, tz), "nodes": one.nodes, "gpus": one.gpus, "devices": one.devices,
        "slurm_gpu_seconds": _exact(one.slurm_ms), "agents_gpu_seconds": _exact(one.agents_ms),
    }  # fmt: skip
