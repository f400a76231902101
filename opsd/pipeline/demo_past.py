"""What the agents of a demonstration's nodes would have measured before it began, in the files they keep.

Invariant: a record is what an agent that missed no round would have made of the simulated GPUs, for a job
that the simulated factory ran; it reaches the database as any other does: the agent reads its file, is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from collectors.simulated.live import Holding
from collectors.simulated_gpus import identity, is_idle, measured
from exporters.spool_file import Contents, Entry, SpoolFile, as_line
from opsd.core import holders, open_records
from opsd.core.holders import Job
from opsd.core.measured import Measured
from opsd.core.measuring import Open, Sample, State


def write(folder: Path, holdings: Sequence[Holding], gpus: int, seed: str, until: int) -> int:
    """A node's spool as its agent would have left it at `until`, with all records still to be fetched.

    Args:
        folder: of the agent's spool.
        holdings: which jobs held which of its GPUs.
        gpus, seed: as the agent is told.

    Returns:
        How many records it holds.
    """
    records = ended(holdings, seed)
    first = 1_000 * until - len(records)  # as if they had just ended: an agent lets go of what is too old
    entries = tuple(Entry(first + place, as_line(one.as_json())) for place, one in enumerate(records))
    name = hashlib.sha256(f"spool {seed} {until}".encode()).hexdigest()[:32]
    state = open_records.as_json(still_open(holdings, gpus, seed, until))
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = SpoolFile(folder)
    try:
        file.write(Contents(name, entries, 1_000 * until, state=state))
    finally:
        file.close()
    return len(entries)


def ended(holdings: Iterable[Holding], seed: str) -> list[Measured]:
    """The records of what has ended, by end."""
    found = [
        measured(seed, _job(holding), gpu, holding.ended)
        for holding in holdings
        if holding.ended is not None
        for gpu in holding.gpus
    ]
    return sorted(found, key=lambda one: (one.ended, one.job_id, one.uuid))


def still_open(holdings: Iterable[Holding], gpus: int, seed: str, until: int) -> State:
    """What an agent has folded at `until` of jobs that go on; its GPUs' energy counters begin anew."""
    found = [
        _open(seed, _job(holding), gpu, until)
        for holding in holdings
        if holding.ended is None
        for gpu in holding.gpus
    ]
    records = {(one.holding.job_id, one.holding.uuid, one.holding.started): one for one in found}
    samples = {identity(seed, gpu).uuid: Sample(until, 0.0) for gpu in range(gpus)}
    return State(at=until, records=records, samples=samples)


def _open(seed: str, job: Job, gpu: int, until: int) -> Open:
    so_far = measured(seed, job, gpu, until)
    return Open(
        holding=holders.Holding(so_far.uuid, job.job_id, job.account, job.user, "", job.started, ""),
        share=1.0,
        started=job.started,
        allocated_ms=so_far.allocated_ms,
        covered_ms=so_far.covered_ms,
        process_ms=so_far.process_ms,
        idle_ms=so_far.idle_ms,
        gpm_ms=so_far.gpm_ms,
        sm_active_ms=so_far.sm_active_ms,
        tensor_active_ms=so_far.tensor_active_ms,
        energy_mj=so_far.energy_mj,
        memory_peak_bytes=so_far.memory_peak_bytes,
        is_computing=bool(so_far.process_ms),
        is_idle=is_idle(job.job_id, until),
    )


def _job(holding: Holding) -> Job:
    return Job(str(holding.job), holding.account, holding.user, holding.gpus, started=holding.started)
