"""Cases of the alerts of jobs: a job of one node and four GPUs, and what they do."""

from __future__ import annotations

from tests.dashboards.cases.case import DAEMON, NODE, Case, Given, of

JOB = {"jobid": "4711", "account": "es-bio", "user": "ana"}
OWNERS = {"project": "bio", "organisation": "uni", "country": "ES"}
TOLD = {"cluster": "mn5"} | JOB | OWNERS
GIB = 2**30


def job(active: str, *, gpus: int = 4, processes: str = "1x1600", used_gib: int = 10, **first: str) -> Given:
    """What its GPUs show; `first`: what the first of them shows instead."""
    award = {"cluster": "mn5", "account": "es-bio", "award": "a1", "pool": "ju"} | OWNERS
    given = {of("opsd_account_info", DAEMON, award): "1x1600"}
    for index in range(gpus):
        gpu = {"gpu": str(index), "uuid": f"GPU-{index}"}
        holds = {"uuid": f"GPU-{index}", "parent": "", "jobid": "4711"}
        shows = {
            "sm_active_ratio": active, "power_average_watts": "600x1600",
            "memory_total_bytes": f"{80 * GIB}x1600",
        } | (first if index == 0 else {})  # fmt: skip
        clock = shows.pop("clock_hertz") if "clock_hertz" in shows else "1980000000x1600"
        given |= {of(f"opsd_gpu_{name}", NODE, gpu): value for name, value in shows.items()}
        given |= {
            of("opsd_gpu_clock_hertz", NODE, gpu, {"domain": "sm"}): clock,
            of("opsd_gpu_job_info", NODE, holds, JOB): "1x1600",
            of("opsd_gpu_job_processes", NODE, holds): processes,
            of("opsd_gpu_job_memory_used_bytes", NODE, holds): f"{used_gib * GIB}x1600",
        }
    return given


BUSY, LITTLE, NOTHING = "0.9x1600", "0.08x1600", "0x1600"
HELD = "Job 4711 of ana (bio) holds"
STRAGGLER = {"cluster": "mn5", "node": "acc01", "uuid": "GPU-0"} | JOB
BEHIND = "A GPU of acc01 holds job 4711 up: its"

FIRING = [
    Case("OpsdGpuHeldUnused", job(NOTHING, processes="0x1600"), 15, TOLD,
         f"{HELD} 4 GPUs without a process on them"),
    Case("OpsdGpuHeldIdle", job(NOTHING), 60, TOLD, f"{HELD} GPUs idle: 4.1 GPU-hours so far"),
    Case("OpsdGpuHeldIdleLong", job(NOTHING), 400, TOLD,
         "Job 4711 of ana (bio) has held GPUs idle for six hours: 26.7 GPU-hours so far"),
    Case("OpsdJobLowUtilisation", job(LITTLE), 380, {"cluster": "mn5"} | JOB,
         "Job 4711 of ana used 8% of its GPUs in six hours"),
    Case("OpsdJobStraggler", job(BUSY, power_average_watts="300x1600"), 50, STRAGGLER | {"what": "power"},
         f"{BEHIND} power is 50% of the others'"),
    Case("OpsdJobStraggler", job(BUSY, clock_hertz="1188000000x1600"), 50, STRAGGLER | {"what": "SM clock"},
         f"{BEHIND} SM clock is 60% of the others'"),
]  # fmt: skip
QUIET = [
    Case("OpsdGpuHeldUnused", job(NOTHING), 15),
    Case("OpsdGpuHeldIdle", job(BUSY), 60),
    Case("OpsdGpuHeldIdle", job(NOTHING), 20),  # not for half an hour yet
    Case("OpsdGpuHeldIdleLong", job(NOTHING), 120),
    Case("OpsdGpuHeldIdleLong", job("0x100 0.9x100 0x1400"), 400),
    Case("OpsdJobLowUtilisation", job(BUSY), 380),
    Case("OpsdJobLowUtilisation", job(LITTLE), 200),  # it is young
    Case("OpsdJobLowUtilisation", job(LITTLE, used_gib=70), 380),  # a service keeps its model in memory
    Case("OpsdJobLowUtilisation", job(NOTHING), 380),  # idle: that is said by itself
    Case("OpsdJobStraggler", job(BUSY), 50),
    Case("OpsdJobStraggler", job(BUSY, gpus=2, power_average_watts="200x1600"), 50),  # who is behind whom?
    Case("OpsdJobStraggler", job(BUSY, sm_active_ratio=NOTHING, power_average_watts="100x1600"), 50),  # idle
]  # fmt: skip
