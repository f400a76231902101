"""Folding what an agent sees, round by round, into what each job did with its devices.

A round adds time to every open record, by the share held; what a device says of the time since it was last
read is then given to the records by their part of that time. So the jobs on one device add up to it, however
the rounds were cut. Invariant: a record is closed only when the job's file is gone, or the job is known to
be over: a device that does not answer ends nothing. No time is negative, whatever the clock does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from opsd.core.holders import Holders, Holding, Job
from opsd.core.measured import IDLE_RATIO, Measured
from opsd.core.telemetry import Gpu, Reading, Slice, Snapshot, Xid

Key = tuple[str, str, int]  # job id, device's UUID, and when the job's prolog ran
Xids = Mapping[int, tuple[int, float]]  # code to how often, and when last

_ENERGY = Reading("energy_joules_total")
_BUSY = Reading("utilization_ratio")
_SM_ACTIVE, _MIG_SM_ACTIVE = Reading("sm_active_ratio"), Reading("mig_sm_active_ratio")
_TENSOR_ACTIVE, _MIG_TENSOR_ACTIVE = Reading("tensor_active_ratio"), Reading("mig_tensor_active_ratio")
_MEMORY, _MIG_MEMORY = Reading("memory_used_bytes"), Reading("mig_memory_used_bytes")
_ALL = 1 - 1e-9  # of a device, or of a time; floats add up to nearly 1


class Sample(NamedTuple):
    """When a device was last read, and its energy counter then."""

    at: float
    energy_joules: float | None


@dataclass(frozen=True, slots=True)
class Open:
    """What a job has done so far with a device that it holds; times in (GPU-)milliseconds."""

    holding: Holding
    share: float
    started: int
    allocated_ms: float = 0.0
    pending_ms: float = 0.0  # of it: since the device was last read
    covered_ms: float = 0.0
    process_ms: float | None = None
    idle_ms: float | None = None
    gpm_ms: float = 0.0
    sm_active_ms: float | None = None
    tensor_active_ms: float | None = None
    energy_mj: float | None = None
    is_energy_estimated: bool = False
    memory_peak_bytes: int | None = None
    xids: Mapping[int, int] = field(default_factory=dict)
    is_computing: bool | None = None  # when the device was last read
    is_idle: bool | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What one round leaves for the next.

    `heard`: XIDs so far, by GPU; of those in `earlier` as an earlier agent counted them.
    """

    at: float | None = None
    records: Mapping[Key, Open] = field(default_factory=dict)
    samples: Mapping[str, Sample] = field(default_factory=dict)
    heard: Mapping[str, Xids] = field(default_factory=dict)
    earlier: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Round:
    """What was seen at one moment.

    `jobs`: those whose files are there; `unreadable`: job ids of files that could not be read this time;
    `longest_gap`: samples that are further apart, in seconds, cover nothing.
    """

    at: float
    snapshot: Snapshot
    holders: Holders
    jobs: Sequence[Job]
    longest_gap: float
    unreadable: Collection[str] = ()


class _Device(NamedTuple):
    """A GPU or a MIG device, as this round shows it."""

    energy_joules: float | None  # of the board
    part: float | None  # of that energy; None: nothing tells it
    is_slice: bool
    is_idle: bool | None
    sm_active: float | None
    tensor_active: float | None
    gpm_seconds: float | None
    memory_bytes: int | None


class _Turn(NamedTuple):
    """An open record in a round: what it was, what it is held with now, and how it ends."""

    record: Open
    share: float  # from now on
    is_new: bool = False
    is_over: bool = False
    is_end_seen: bool = True


def advance(state: State, seen: Round) -> tuple[State, tuple[Measured, ...]]:
    """The state after a round, and the records that it closed."""
    state = _on_time(state, seen.at)
    devices = dict(_devices(seen.snapshot))
    turns = _turns(state, seen)
    changes = _changes(state, seen, turns)
    heard = {gpu.uuid: _heard(gpu.xids) for gpu in seen.snapshot.gpus if gpu.uuid}
    news = {
        uuid: _news(xids, state.heard.get(uuid), state.at if uuid in state.earlier else None)
        for uuid, xids in heard.items()
    }
    records: dict[Key, Open] = {}
    closed: list[Measured] = []
    for key, turn in turns.items():
        holding = turn.record.holding
        change = changes.get(holding.uuid, seen.at)
        record = _allocate(turn, state, seen, change)
        if turn.is_end_seen:  # what came after an end that nobody saw is anybody's
            record = _with_xids(record, turn, news.get(holding.parent or holding.uuid, {}), change, seen.at)
            record = _settle(record, turn, devices.get(holding.uuid), state.samples.get(holding.uuid), seen)
        if turn.is_over:
            is_cut = not turn.is_end_seen and _was_away(state, seen)
            closed.append(_closed(record, turn, _last_seen(state, seen) if is_cut else change))
        else:
            records[key] = record
    samples = {uuid: Sample(seen.at, device.energy_joules) for uuid, device in devices.items()}
    known = _wanted(state.samples, seen.snapshot, records)
    after = State(
        at=seen.at,
        records=records,
        samples={**known, **samples},
        heard={**state.heard, **heard},
        earlier=state.earlier - heard.keys(),
    )
    return after, tuple(closed)


def _on_time(state: State, at: float) -> State:
    """A state whose times are not after now: when the clock was set back, they move with it."""
    if state.at is None or state.at <= at:
        return state
    back = state.at - at
    samples = {uuid: sample._replace(at=sample.at - back) for uuid, sample in state.samples.items()}
    return replace(state, at=at, samples=samples)


# ------------------------------------------------------------------------------------------ what is there


def _devices(snapshot: Snapshot) -> Iterator[tuple[str, _Device]]:
    """Devices that were read in this round, by UUID."""
    for gpu in snapshot.gpus:
        if gpu.condition == "up" and gpu.uuid:
            yield gpu.uuid, _gpu(gpu)
            for part in gpu.slices:
                yield part.uuid, _slice(gpu, part)


def _gpu(gpu: Gpu) -> _Device:
    sm_active, busy = gpu.values.get(_SM_ACTIVE), gpu.values.get(_BUSY)
    unused = None if busy is None else busy == 0
    return _Device(
        energy_joules=gpu.values.get(_ENERGY),
        part=1.0,
        is_slice=False,
        is_idle=unused if sm_active is None else sm_active < IDLE_RATIO,
        sm_active=sm_active,
        tensor_active=gpu.values.get(_TENSOR_ACTIVE),
        gpm_seconds=gpu.gpm_seconds,
        memory_bytes=_whole(gpu.values.get(_MEMORY)),
    )


def _slice(gpu: Gpu, part: Slice) -> _Device:
    sm_active = part.values.get(_MIG_SM_ACTIVE)
    return _Device(
        energy_joules=gpu.values.get(_ENERGY),
        part=part.part,
        is_slice=True,
        is_idle=None if sm_active is None else sm_active < IDLE_RATIO,
        sm_active=sm_active,
        tensor_active=part.values.get(_MIG_TENSOR_ACTIVE),
        gpm_seconds=part.gpm_seconds,
        memory_bytes=_whole(part.values.get(_MIG_MEMORY)),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _visible(snapshot: Snapshot) -> set[str]:
    """UUIDs of the devices that are known to be there, read or not."""
    known = {gpu.uuid for gpu in snapshot.gpus if gpu.uuid}
    return known | {part.uuid for gpu in snapshot.gpus for part in gpu.slices}


def _wanted(
    samples: Mapping[str, Sample], snapshot: Snapshot, records: Mapping[Key, Open]
) -> Mapping[str, Sample]:
    """Samples that may be needed again: a MIG device that is gone, and that nobody holds, never is."""
    wanted = _visible(snapshot) | {record.holding.uuid for record in records.values()}
    return {uuid: sample for uuid, sample in samples.items() if uuid in wanted}


# ------------------------------------------------------------------------------------------------ whose


def _key(holding: Holding) -> Key:
    return holding.job_id, holding.uuid, holding.started


def _turns(state: State, seen: Round) -> Mapping[Key, _Turn]:
    """Every open record, and one for each holding that is new."""
    held = {_key(holding): (holding, share) for holding, share in seen.holders.shares.items()}
    turns = {key: _turn(key, record, held, state, seen) for key, record in state.records.items()}
    for key, (holding, share) in held.items():
        if key not in turns:
            started = holding.started or int(seen.at)
            turns[key] = _Turn(Open(holding, share, started), share, is_new=True)
    return turns


def _turn(
    key: Key, record: Open, held: Mapping[Key, tuple[Holding, float]], state: State, seen: Round
) -> _Turn:
    """How an open record goes on, if it does: a device that cannot be seen now is held as before."""
    job_id, uuid, started = key
    if key in held:
        return _Turn(record, held[key][1])
    has_file = any(job.run == (job_id, started) for job in seen.jobs)
    is_hidden = has_file and uuid not in _visible(seen.snapshot) and job_id not in seen.holders.stale
    if is_hidden or job_id in seen.unreadable:
        return _Turn(record, record.share)
    return _Turn(record, 0.0, is_over=True, is_end_seen=not has_file and not _was_away(state, seen))


def _changes(state: State, seen: Round, turns: Mapping[Key, _Turn]) -> Mapping[str, float]:
    """When, since the last round, the holders of a device changed: as its first new one began, else now."""
    changes: dict[str, float] = {}
    for turn in turns.values():
        if turn.is_new:
            uuid = turn.record.holding.uuid
            start = _within(turn.record.started, _last_seen(state, seen), seen.at)
            changes[uuid] = min(start, changes.get(uuid, seen.at))
    return changes


def _last_seen(state: State, seen: Round) -> float:
    """When the last round was."""
    return seen.at if state.at is None else state.at


def _within(value: float, lowest: float, highest: float) -> float:
    return min(max(value, lowest), highest)


# ---------------------------------------------------------------------------------------------- how long


def _allocate(turn: _Turn, state: State, seen: Round, change: float) -> Open:
    """A record with the time since the last round: of a new one, since its job began."""
    record = turn.record
    if turn.is_new:
        sample = state.samples.get(record.holding.uuid)
        known = _within(record.started, seen.at if sample is None else sample.at, seen.at)
        allocated = turn.share * 1000 * max(0.0, seen.at - record.started)
        return replace(record, allocated_ms=allocated, pending_ms=turn.share * 1000 * (seen.at - known))
    if turn.is_over and not turn.is_end_seen and _was_away(state, seen):
        return record
    before = change - _last_seen(state, seen)
    added = 1000 * (record.share * before + turn.share * (seen.at - change))
    return replace(
        record,
        share=turn.share or record.share,
        allocated_ms=record.allocated_ms + added,
        pending_ms=record.pending_ms + added,
    )


def _was_away(state: State, seen: Round) -> bool:
    return state.at is not None and seen.at - state.at > seen.longest_gap


# ------------------------------------------------------------------------------------------------- what


def _settle(record: Open, turn: _Turn, device: _Device | None, last: Sample | None, seen: Round) -> Open:
    """Give a record its part of what its device tells of the time since it was last read."""
    if device is None:
        return record
    since_ms = 1000 * (seen.at - last.at) if last else 0.0
    longest_ms = 1000 * seen.longest_gap
    if last is not None:
        record = _with_energy(record, turn, device, last, since_ms, longest_ms)
    if not turn.is_over:
        record = _look(record, device, seen.holders)
    if 0 < since_ms <= longest_ms:
        record = _cover(record, device, since_ms)
    return replace(record, pending_ms=0.0)


def _with_energy(
    record: Open, turn: _Turn, device: _Device, last: Sample, since_ms: float, longest_ms: float
) -> Open:
    """The counter's difference, over a gap too; one that fell began again at 0, with the driver.

    Energy is spread evenly over the time between two readings: over a long gap that is an estimate, unless
    the device was the job's all the while.
    """
    now, before = device.energy_joules, last.energy_joules
    if now is None or before is None or device.part is None:
        return record
    if since_ms > 0:
        part = _within(record.pending_ms / since_ms, 0.0, 1.0)
    else:  # the clock was set back, and says that no time has passed
        part = 0.0 if turn.is_new else record.share
    used = 1000 * (now - before if now >= before else now) * device.part * part
    is_split = device.is_slice or record.share < _ALL or (since_ms > longest_ms and part < _ALL)
    return replace(
        record,
        energy_mj=(record.energy_mj or 0.0) + used,
        is_energy_estimated=record.is_energy_estimated or is_split,
    )


def _look(record: Open, device: _Device, holders: Holders) -> Open:
    """What goes on at this moment; it stands for the time since the last look."""
    computing = holders.computing.get((record.holding.uuid, record.holding.job_id))
    memory = None if computing is None else computing.memory_bytes
    if memory is None and record.share >= _ALL:
        memory = device.memory_bytes
    peaks = [peak for peak in (memory, record.memory_peak_bytes) if peak is not None]
    return replace(
        record,
        memory_peak_bytes=max(peaks, default=None),
        is_computing=None if computing is None else computing.processes > 0,
        is_idle=device.is_idle,
    )


def _cover(record: Open, device: _Device, since_ms: float) -> Open:
    """Count the time since the last sample. GPM's figures are means, of that time or of the last part of it.

    A job that is over can be looked at no more: its last look stands, except for what is a mean.
    """
    time = record.pending_ms
    is_idle = device.is_idle if device.sm_active is not None else record.is_idle
    gpm = 0.0
    if device.sm_active is not None and device.gpm_seconds is not None:
        gpm = time * _within(1000 * device.gpm_seconds / since_ms, 0.0, 1.0)
    return replace(
        record,
        covered_ms=record.covered_ms + time,
        process_ms=_plus(record.process_ms, record.is_computing, time),
        idle_ms=_plus(record.idle_ms, is_idle, time),
        gpm_ms=record.gpm_ms + gpm,
        sm_active_ms=_plus(record.sm_active_ms, device.sm_active if gpm else None, gpm),
        tensor_active_ms=_plus(record.tensor_active_ms, device.tensor_active if gpm else None, gpm),
    )


def _plus(before: float | None, ratio: float | None, time: float) -> float | None:
    """A sum to which a ratio of a time is added; None adds nothing, and is not 0."""
    return before if ratio is None else (before or 0.0) + ratio * time


# ------------------------------------------------------------------------------------------------- XIDs


def _heard(xids: Mapping[int, Xid]) -> Xids:
    return {code: (xid.times, xid.last) for code, xid in xids.items()}


def _news(now: Xids, before: Xids | None, since: float | None) -> Xids:
    """What was reported since the last round; `since`: when that was, if another agent counted then.

    Counts begin anew with an agent, but when the last one was may be known from before, by the kernel's log:
    across a restart, and of a GPU that is seen for the first time, that alone tells.
    """
    if before is None:
        return {code: (1, last) for code, (_, last) in now.items()}
    news = {}
    for code, (times, last) in now.items():
        known, _ = before.get(code, (0, 0.0))
        if since is not None:
            new = max(times, 1) if last > since else 0
        else:
            new = times - known if times >= known else times
        if new:
            news[code] = (new, last)
    return news


def _with_xids(record: Open, turn: _Turn, news: Xids, change: float, at: float) -> Open:
    """Those of the time that the job had the device."""
    mine = dict(record.xids)
    for code, (times, last) in news.items():
        is_before = turn.is_new and last < record.started
        is_after = turn.is_over and change < at and last > change
        if not is_before and not is_after:
            mine[code] = mine.get(code, 0) + times
    return replace(record, xids=mine)


# -------------------------------------------------------------------------------------------------- over


def _closed(record: Open, turn: _Turn, ended: float) -> Measured:
    """The record in whole numbers."""
    who = record.holding
    covered, gpm = round(record.covered_ms), round(record.gpm_ms)
    return Measured(
        job_id=int(who.job_id),
        uuid=who.uuid,
        started=record.started,
        ended=max(int(ended), record.started),
        parent=who.parent,
        account=who.account,
        user=who.user,
        sluid=who.sluid,
        allocated_ms=max(round(record.allocated_ms), covered),
        covered_ms=covered,
        process_ms=_at_most(record.process_ms, covered),
        idle_ms=_at_most(record.idle_ms, covered),
        gpm_ms=min(gpm, covered),
        sm_active_ms=_at_most(record.sm_active_ms, gpm),
        tensor_active_ms=_at_most(record.tensor_active_ms, gpm),
        energy_mj=None if record.energy_mj is None else round(record.energy_mj),
        is_energy_estimated=record.is_energy_estimated,
        memory_peak_bytes=record.memory_peak_bytes,
        xids=tuple(sorted(record.xids.items())),
        is_end_seen=turn.is_end_seen,
    )


def _at_most(value: float | None, most: int) -> int | None:
    return None if value is None else min(round(value), most)
