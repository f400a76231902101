"""Whose the GPUs are: job files beside the control groups of what runs on them.

Invariant: processes are looked up in the round that listed them, so that a number given anew tells nothing
wrong; what was seen of a job is forgotten with its file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from collectors import cgroups
from opsd.core.holders import Evidence, Holders, Job, resolve
from opsd.core.telemetry import Gpu
from opsd.node.options import Options


class Whose:
    """Remembers of each job when its control group was last seen."""

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        """Reads nothing yet."""
        self._procfs, self._cgroupfs = options.procfs, options.cgroupfs
        self._looks = "processes" in options.collectors
        self._is_simulated = options.simulated is not None
        self._clock = clock
        self._last_seen: dict[tuple[str, int], float] = {}
        self._is_complete = False

    def holders(self, jobs: Sequence[Job], gpus: Iterable[Gpu], faults: int = 0) -> Holders:
        """Who holds and computes on these GPUs; `faults`: job files that could not be read."""
        known = [gpu if self._looks else replace(gpu, processes=None) for gpu in gpus]
        found = resolve(jobs, known, self._evidence(jobs, known))
        return replace(found, unresolved=found.unresolved + faults)

    def _evidence(self, jobs: Sequence[Job], gpus: Sequence[Gpu]) -> Evidence:
        """Of a node that is not there its own: its jobs and clock have nothing to do with this machine."""
        if self._is_simulated:
            from collectors.simulated_gpus import jobs_of

            return Evidence(job_of=jobs_of(jobs))
        now = self._clock()
        living = cgroups.living(self._cgroupfs)
        self._is_complete = self._is_complete or living.is_complete
        seen = {job.run: now for job in jobs if living.jobs & {job.job_id, job.sluid}}
        self._last_seen = {
            job.run: at for job in jobs if (at := seen.get(job.run, self._last_seen.get(job.run))) is not None
        }
        pids = {process.pid for gpu in gpus for process in gpu.processes or ()}
        return Evidence(
            job_of=cgroups.jobs_of(self._procfs, sorted(pids)),
            living=living.jobs,
            last_seen=self._last_seen,
            is_complete=self._is_complete,
            booted=self._booted(now),
            now=now,
        )

    def _booted(self, now: float) -> float | None:
        """When the node booted; by the clock of now, for that may have been set since."""
        with suppress(OSError, ValueError, IndexError):
            return now - float((self._procfs / "uptime").read_text().split()[0])
        return None
