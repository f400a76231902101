"""What a run really did with a device, measured by the agent of its node: one record per (run, GPU).

Times are GPU-milliseconds: time times the share of the device held, so that the jobs on one GPU add up to
it. Invariant: only what was seen is in `covered_ms` and in the times below it; what lies between two samples
that are too far apart is allocated, and not covered. Energy is a counter's, and whole over such a gap, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from opsd.core.errors import BadText

IDLE_RATIO = 0.01  # below so much SM activity a device is held idle


class Measured(NamedTuple):
    """One run on one device, after it was given back. None: nothing on this node tells it."""

    job_id: int  # JobIDRaw
    uuid: str  # of the GPU, or of the MIG device
    started: int  # when the job's prolog ran, in epoch seconds: which run of a requeued job
    ended: int  # when it was given back, to within an interval of the agent
    parent: str = ""  # the GPU of a MIG device
    account: str = ""
    user: str = ""
    sluid: str = ""
    allocated_ms: int = 0
    covered_ms: int = 0
    process_ms: int | None = None  # with a process of the job on the device
    idle_ms: int | None = None  # SM activity below IDLE_RATIO; without GPM: utilisation 0
    gpm_ms: int = 0  # of covered_ms: with the figures of GPM, to which the next two belong
    sm_active_ms: int | None = None  # SM activity times time
    tensor_active_ms: int | None = None
    energy_mj: int | None = None
    is_energy_estimated: bool = False  # the GPU's, divided by shares or by slices
    memory_peak_bytes: int | None = None
    xids: tuple[tuple[int, int], ...] = ()  # code and how often, sorted
    # False: the job's file was still there when the job was over, or it ended while no agent ran: then
    # `ended` is when it was last seen.
    is_end_seen: bool = True

    def as_json(self) -> dict[str, Any]:
        """As it stands in the spool, and on the wire."""
        found = self._asdict()
        found["xids"] = [list(pair) for pair in self.xids]
        return found


_KINDS: Mapping[str, type] = {
    "job_id": int, "uuid": str, "started": int, "ended": int, "parent": str, "account": str, "user": str,
    "sluid": str, "is_energy_estimated": bool, "is_end_seen": bool,
}  # fmt: skip
_OPTIONAL = frozenset(
    {"process_ms", "idle_ms", "sm_active_ms", "tensor_active_ms", "energy_mj", "memory_peak_bytes"}
)
_MOST = 2**52  # sums of thousands still fit into 64 bits
_UNCLEAN = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")  # not every database takes them


def from_json(tree: object) -> Measured:
    """A record as an agent wrote it; keys that this version does not know are left out.

    Raises:
        BadText: it is not such a record.
    """
    if not isinstance(tree, dict):
        raise BadText("measured record: not an object", repr(tree))
    found = {name: _value(name, tree[name]) for name in Measured._fields if name in tree}
    missing = [name for name in ("job_id", "uuid", "started", "ended") if name not in found]
    if missing:
        raise BadText(f"measured record: needs {missing[0]}", repr(tree))
    if not found["uuid"] or found["job_id"] <= 0 or found["ended"] < found["started"]:
        raise BadText("measured record: no job, no device, or an end before its start", repr(tree))
    return Measured(**found)


def _value(name: str, value: object) -> Any:  # noqa: ANN401 (what the field's own type is)
    if name == "xids":
        return _xids(value)
    if value is None and name in _OPTIONAL:
        return None
    kind = _KINDS.get(name, int)
    if type(value) is str and _UNCLEAN.search(value):
        raise BadText(f"measured record: {name} has characters that no name has", repr(value))
    if type(value) is not kind or (kind is int and not 0 <= value < _MOST):  # type: ignore[operator]
        raise BadText(f"measured record: {name} is not {kind.__name__} in its range", repr(value))
    return value


def _xids(value: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(type(n) is int and 0 <= n < _MOST for n in pair)
        for pair in value
    ):
        raise BadText("measured record: xids are not pairs of whole numbers", repr(value))
    return tuple(sorted((code, times) for code, times in value))


# ------------------------------------------------------------------------------------------ what can be

_CLOCKS_SECONDS = 86_400  # so much may clocks differ, or be set
_EARLIEST = 631_152_000  # 1990
_MOST_WATTS = 20_000  # of one device
_MOST_BYTES = 2**45


def doubt(record: Measured, at: int) -> str:
    """Why a record cannot be true at an instant, in words; empty where it can.

    What cannot be is kept out, so that one agent's fault does not spoil everybody's sums.
    """
    most = 1_000 * (record.ended - record.started + _CLOCKS_SECONDS)
    limits = {
        "allocated_ms": most, "covered_ms": record.allocated_ms, "process_ms": record.covered_ms,
        "idle_ms": record.covered_ms, "gpm_ms": record.covered_ms, "sm_active_ms": record.gpm_ms,
        "tensor_active_ms": record.gpm_ms, "energy_mj": _MOST_WATTS * most,
        "memory_peak_bytes": _MOST_BYTES,
    }  # fmt: skip
    if not _EARLIEST <= record.started <= record.ended <= at + _CLOCKS_SECONDS:
        return f"from {record.started} to {record.ended}: that cannot be"
    for name, limit in limits.items():
        value = getattr(record, name)
        if value is not None and value > limit:
            return f"{name} {value}: {limit} at most"
    return ""


# ------------------------------------------------------------------------------------------- of which run

SLACK_SECONDS = 60  # a prolog runs a moment after Slurm's Start, an epilog after its End


class Span(NamedTuple):
    """A run of a job id; `finish` None: it is open."""

    run: int
    begin: int
    finish: int | None


def run_of(started: int, ended: int, spans: Iterable[Span]) -> int | None:
    """Which run of its job id a record is about: the one it shares most time with; None if with none.

    A requeued job waits for longer than `SLACK_SECONDS`, so a run that ended before the record began is
    that of a very short job, or none. A job that was resized is several runs for Slurm and one for its
    node: the longest of them stands for all.
    """
    best: tuple[int, int, int] | None = None
    for span in spans:
        finish = ended if span.finish is None else span.finish
        shared = min(ended, finish) - max(started, span.begin)
        if shared >= -SLACK_SECONDS and (best is None or (shared, span.begin) > best[:2]):
            best = (shared, span.begin, span.run)
    return best[2] if best else None
