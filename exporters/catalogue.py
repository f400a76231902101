"""Every metric opsd publishes: name, type, labels, ceiling and help, once.

Pages, dashboards, alerts, documentation and tests read this table, so that a name cannot drift.
Invariant: base units in the name, `_total` on counters only; an identity stands on one `_info` series.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter"]
Where = Literal["node", "daemon", "both"]

_GPU = ("gpu", "uuid")
_MIG = (*_GPU, "parent")
_AWARD = ("award", "project", "organisation", "country", "pool", "unit")
_GPUS = 64  # of one node, MIG instances included
_AWARDS = 5_000


class Metric(NamedTuple):
    """One family. `ceiling`: past so many series the rest is dropped and counted."""

    name: str
    kind: Kind
    where: Where
    labels: tuple[str, ...]
    ceiling: int
    help: str


METRICS: tuple[Metric, ...] = (
    # ---- both pages
    Metric("opsd_page_timestamp_seconds", "gauge", "both", (), 1, "When this page was rendered."),
    Metric("opsd_series_dropped", "gauge", "both", ("family",), 200,
           "Series of a family left out of this page because it is past its ceiling."),
    # ---- opsd-node: the agent
    Metric("opsd_node_build_info", "gauge", "node", ("version", "python"), 1,
           "Versions of opsd-node and its Python; the value is always 1."),
    Metric("opsd_node_collector_up", "gauge", "node", ("collector",), 16,
           "Whether the last collection succeeded: 1 or 0."),
    Metric("opsd_node_collector_duration_seconds", "gauge", "node", ("collector",), 16,
           "How long the last finished collection took."),
    Metric("opsd_node_collector_last_success_timestamp_seconds", "gauge", "node", ("collector",), 16,
           "When a collection last succeeded."),
    Metric("opsd_node_released", "gauge", "node", (), 1,
           "Whether the agent has left the driver, for maintenance: 1 or 0. At 1 no GPU is shown."),
    Metric("opsd_node_round_failures_total", "counter", "node", (), 1,
           "Collections that ended in an error nobody foresaw, and gave no page."),
    Metric("opsd_node_spool_records", "gauge", "node", (), 1,
           "Records of what jobs did with GPUs that the daemon has not fetched yet."),
    Metric("opsd_node_spool_dropped_total", "counter", "node", (), 1,
           "Records that were dropped before anybody fetched them: too old, or too many."),
    Metric("opsd_node_spool_write_failures_total", "counter", "node", (), 1,
           "Rounds in which the spool could not be written; what jobs did is kept in memory meanwhile."),
    # ---- opsd-node: each GPU
    Metric("opsd_gpu_info", "gauge", "node", (*_GPU, "name", "serial", "pci", "vbios"), _GPUS,
           "Identity of a GPU; the value is always 1."),
    Metric("opsd_gpu_driver_info", "gauge", "node", ("driver", "cuda"), 1,
           "Versions of the NVIDIA driver and of the CUDA it supports; the value is always 1."),
    Metric("opsd_gpu_devices_visible", "gauge", "node", (), 1, "GPUs the driver counts."),
    Metric("opsd_gpu_up", "gauge", "node", _GPU, _GPUS,
           "Whether the GPU answered in the last collection: 1 or 0. At 0 its other readings are absent."),
    Metric("opsd_gpu_hung", "gauge", "node", _GPU, _GPUS,
           "Whether a driver call for this GPU has not returned within its deadline: 1 or 0."),
    Metric("opsd_gpu_lost", "gauge", "node", _GPU, _GPUS,
           "Whether the driver says that the GPU is lost: 1 or 0."),
    Metric("opsd_gpu_last_sample_timestamp_seconds", "gauge", "node", _GPU, _GPUS,
           "When this GPU was last sampled; absent before the first time."),
    Metric("opsd_gpu_sample_duration_seconds", "gauge", "node", _GPU, _GPUS,
           "How long the last sample of this GPU took."),
    Metric("opsd_gpu_sample_failures_total", "counter", "node", (*_GPU, "reason"), 4 * _GPUS,
           "Collections in which this GPU gave no sample, by reason: hung, lost, error."),
    Metric("opsd_gpu_rejected_readings_total", "counter", "node", (*_GPU, "reading"), 8 * _GPUS,
           "Readings left out because they were out of their physical range."),
    Metric("opsd_gpu_failed_readings_total", "counter", "node", (*_GPU, "reading"), 8 * _GPUS,
           "Readings that the driver failed to give, other than by not supporting them."),
    Metric("opsd_gpu_unsupported_info", "gauge", "node", (*_GPU, "reading"), 40 * _GPUS,
           "Readings that this GPU or driver does not support; the value is always 1."),
    Metric("opsd_gpu_utilization_ratio", "gauge", "node", _GPU, _GPUS,
           "Share of the driver's last window in which a kernel ran, 0 to 1: busy, not efficient."),
    Metric("opsd_gpu_memory_copy_utilization_ratio", "gauge", "node", _GPU, _GPUS,
           "Share of the driver's last window in which memory was read or written, 0 to 1."),
    Metric("opsd_gpu_memory_total_bytes", "gauge", "node", _GPU, _GPUS, "GPU memory."),
    Metric("opsd_gpu_memory_used_bytes", "gauge", "node", _GPU, _GPUS,
           "GPU memory that processes hold, without what the driver reserves."),
    Metric("opsd_gpu_memory_free_bytes", "gauge", "node", _GPU, _GPUS, "GPU memory that nobody holds."),
    Metric("opsd_gpu_memory_reserved_bytes", "gauge", "node", _GPU, _GPUS,
           "GPU memory that the driver keeps."),
    Metric("opsd_gpu_power_average_watts", "gauge", "node", _GPU, _GPUS, "Power, mean of the last second."),
    Metric("opsd_gpu_power_instant_watts", "gauge", "node", _GPU, _GPUS, "Power now."),
    Metric("opsd_gpu_power_limit_watts", "gauge", "node", (*_GPU, "kind"), 2 * _GPUS,
           "Power limits: enforced, default."),
    Metric("opsd_gpu_energy_joules_total", "counter", "node", _GPU, _GPUS,
           "Energy the GPU has used since its driver was loaded."),
    Metric("opsd_gpu_temperature_celsius", "gauge", "node", (*_GPU, "sensor"), 2 * _GPUS,
           "Temperatures: gpu, memory."),
    Metric("opsd_gpu_clock_hertz", "gauge", "node", (*_GPU, "domain"), 4 * _GPUS,
           "Clocks now: graphics, sm, memory, video."),
    Metric("opsd_gpu_clock_max_hertz", "gauge", "node", (*_GPU, "domain"), 4 * _GPUS, "Highest clocks."),
    Metric("opsd_gpu_clock_event_active", "gauge", "node", (*_GPU, "reason"), 10 * _GPUS,
           "Whether clocks are held down for this reason now: 1 or 0."),
    Metric("opsd_gpu_ecc_errors_total", "counter", "node", (*_GPU, "severity", "lifetime"), 4 * _GPUS,
           "Memory errors: corrected or uncorrected; volatile (since driver load) or aggregate (ever)."),
    Metric("opsd_gpu_xid_errors_total", "counter", "node", (*_GPU, "xid"), 16 * _GPUS,
           "XID errors reported since the agent started, by the driver's events or the kernel's log."),
    Metric("opsd_gpu_xid_last_timestamp_seconds", "gauge", "node", (*_GPU, "xid"), 16 * _GPUS,
           "When this XID was last reported, also before the agent started if the kernel's log can be read."),
    Metric("opsd_gpu_driver_events_total", "counter", "node", (*_GPU, "event"), 8 * _GPUS,
           "Other events the driver reported since the agent started; absent before the first."),
    Metric("opsd_gpu_driver_event_last_timestamp_seconds", "gauge", "node", (*_GPU, "event"), 8 * _GPUS,
           "When this event was last reported."),
    Metric("opsd_gpu_processes", "gauge", "node", _GPU, _GPUS, "Compute processes on this GPU."),
    # ---- opsd-node: activity, by GPM: means since the collection before
    Metric("opsd_gpu_sm_active_ratio", "gauge", "node", _GPU, _GPUS,
           "Share of the GPU's SMs that were busy, mean since the last collection, as those below: 0 to 1."),
    Metric("opsd_gpu_sm_occupancy_ratio", "gauge", "node", _GPU, _GPUS,
           "Warps that were active, as a share of the most that fit."),
    Metric("opsd_gpu_tensor_active_ratio", "gauge", "node", _GPU, _GPUS,
           "Share of the time in which any tensor pipe was busy."),
    Metric("opsd_gpu_tensor_pipe_active_ratio", "gauge", "node", (*_GPU, "pipe"), 4 * _GPUS,
           "The same of each tensor pipe: hmma, imma, dfma, dmma."),
    Metric("opsd_gpu_dram_active_ratio", "gauge", "node", _GPU, _GPUS,
           "Memory bandwidth that was used, as a share of the highest."),
    Metric("opsd_gpu_fp64_active_ratio", "gauge", "node", _GPU, _GPUS,
           "Share of the time in which SMs did FP64 outside tensor pipes."),
    Metric("opsd_gpu_fp32_active_ratio", "gauge", "node", _GPU, _GPUS, "The same of FP32."),
    Metric("opsd_gpu_fp16_active_ratio", "gauge", "node", _GPU, _GPUS, "The same of FP16."),
    Metric("opsd_gpu_integer_active_ratio", "gauge", "node", _GPU, _GPUS, "The same of integers."),
    # ---- opsd-node: MIG devices; `uuid` is the device's, `parent` its GPU's
    Metric("opsd_gpu_mig_mode", "gauge", "node", _GPU, _GPUS,
           "Whether the GPU is cut into MIG instances: 1 or 0. At 1 it lacks some readings of the whole."),
    Metric("opsd_gpu_mig_info", "gauge", "node", (*_MIG, "instance", "compute_instance", "profile"), _GPUS,
           "Identity of a MIG device; the value is always 1."),
    Metric("opsd_gpu_mig_memory_total_bytes", "gauge", "node", _MIG, _GPUS, "Memory of a MIG device."),
    Metric("opsd_gpu_mig_memory_used_bytes", "gauge", "node", _MIG, _GPUS,
           "Memory of a MIG device that processes hold."),
    Metric("opsd_gpu_mig_memory_free_bytes", "gauge", "node", _MIG, _GPUS,
           "Memory of a MIG device that nobody holds."),
    Metric("opsd_gpu_mig_memory_reserved_bytes", "gauge", "node", _MIG, _GPUS,
           "Memory of a MIG device that the driver keeps."),
    Metric("opsd_gpu_mig_sm_active_ratio", "gauge", "node", _MIG, _GPUS,
           "Share of its GPU instance's SMs that were busy, mean since the last collection, as those below."),
    Metric("opsd_gpu_mig_sm_occupancy_ratio", "gauge", "node", _MIG, _GPUS,
           "Warps that were active in its GPU instance, as a share of the most that fit."),
    Metric("opsd_gpu_mig_tensor_active_ratio", "gauge", "node", _MIG, _GPUS,
           "Share of the time in which any tensor pipe of its GPU instance was busy."),
    Metric("opsd_gpu_mig_dram_active_ratio", "gauge", "node", _MIG, _GPUS,
           "Memory bandwidth of its GPU instance that was used, as a share of the highest."),
    # ---- opsd-node: whose GPU
    Metric("opsd_gpu_job_info", "gauge", "node", ("uuid", "parent", "jobid", "account", "user"), 8 * _GPUS,
           "Which job holds a GPU, or a MIG device of the GPU `parent`; the value is the share it holds, 1 "
           "for all of it."),
    Metric("opsd_gpu_job_processes", "gauge", "node", ("uuid", "parent", "jobid"), 8 * _GPUS,
           "Processes of a job that compute on a GPU or MIG device; 0 for a job that holds it and runs "
           "nothing there."),
    Metric("opsd_gpu_job_memory_used_bytes", "gauge", "node", ("uuid", "parent", "jobid"), 8 * _GPUS,
           "Device memory of these processes; absent where the driver does not tell it for all of them."),
    Metric("opsd_gpu_job_unresolved", "gauge", "node", (), 1,
           "Entries of job files that name no GPU of this node, or that cannot be read."),
    Metric("opsd_gpu_job_files_stale", "gauge", "node", (), 1,
           "Job files of jobs that are over; they hold nothing."),
    Metric("opsd_gpu_processes_unknown", "gauge", "node", (), 1,
           "Processes on GPUs of which the job, or the MIG device, cannot be told."),
    Metric("opsd_gpu_job_disagreements", "gauge", "node", (), 1,
           "Jobs that compute on a GPU or MIG device that they do not hold, counted for each."),
    # ---- opsd daemon: itself
    Metric("opsd_build_info", "gauge", "daemon", ("version", "python"), 1,
           "Versions of opsd and its Python; the value is always 1."),
    Metric("opsd_step_success", "gauge", "daemon", ("step",), 32,
           "Whether the step's last run succeeded: 1 or 0; absent before the first."),
    Metric("opsd_step_last_start_timestamp_seconds", "gauge", "daemon", ("step",), 32,
           "When the step last began."),
    Metric("opsd_step_last_success_timestamp_seconds", "gauge", "daemon", ("step",), 32,
           "When a run of the step last ended well."),
    Metric("opsd_step_next_timestamp_seconds", "gauge", "daemon", ("step",), 32, "When the step runs next."),
    Metric("opsd_step_duration_seconds", "gauge", "daemon", ("step",), 32, "How long its last run took."),
    Metric("opsd_step_consecutive_failures", "gauge", "daemon", ("step",), 32,
           "Failed runs since it last succeeded."),
    Metric("opsd_step_stale_after_seconds", "gauge", "daemon", ("step",), 32,
           "Age of the last success from which the step's data are stale."),
    Metric("opsd_step_late", "gauge", "daemon", ("step",), 32,
           "Whether a run of the step is going on past its deadline: 1 or 0."),
    Metric("opsd_ingest_covered_timestamp_seconds", "gauge", "daemon", ("cluster",), 32,
           "Slurm's accounting was read up to here; records over two hours late may be missing."),
    Metric("opsd_open_runs", "gauge", "daemon", ("cluster",), 32,
           "Runs that Slurm had not ended when last asked."),
    Metric("opsd_runs_suspected_runaway", "gauge", "daemon", ("cluster",), 32,
           "Runs open in the accounting that slurmctld no longer knows; they are counted until mended."),
    Metric("opsd_quarantine_records", "gauge", "daemon", (), 1,
           "Accounting records that could not be read and await someone."),
    # ---- opsd daemon: what agents measured
    Metric("opsd_spool_nodes", "gauge", "daemon", ("cluster", "state"), 64,
           "Agents that were asked for what jobs did with their GPUs in the last round: answered or failed."),
    Metric("opsd_measured_unmatched_records", "gauge", "daemon", ("cluster",), 32,
           "Records of agents whose run is not in the accounting."),
    # ---- opsd daemon: usage beside Slurm's own report
    Metric("opsd_certificate_made_timestamp_seconds", "gauge", "daemon", ("cluster",), 32,
           "When usage was last compared with Slurm's own report; absent before the first time."),
    Metric("opsd_certificate_end_timestamp_seconds", "gauge", "daemon", ("cluster",), 32,
           "The end of the time that was compared."),
    Metric("opsd_certificate_unexplained_cells", "gauge", "daemon", ("cluster",), 32,
           "Cells (account or user, and TRES) in which a difference from Slurm has no cause; absent "
           "after two days, as those below are."),
    Metric("opsd_certificate_unknowable_cells", "gauge", "daemon", ("cluster",), 32,
           "Of those: cells that lie within what cannot be known without slurmdbd's tables."),
    Metric("opsd_certificate_hours_not_added_up", "gauge", "daemon", ("cluster",), 32,
           "Hours of that time that slurmdbd had not added up then, which were compared with nothing; absent "
           "where it does not tell."),
    Metric("opsd_certificate_unexplained_seconds", "gauge", "daemon", ("cluster", "tres"), 256,
           "TRES-seconds that no cause explains, too many and too few alike; mem in MB-seconds."),
    Metric("opsd_certificate_reported_seconds", "gauge", "daemon", ("cluster", "tres"), 256,
           "TRES-seconds that Slurm reports of the same time; mem in MB-seconds."),
    # ---- opsd daemon: allocations
    Metric("opsd_balances_as_of_timestamp_seconds", "gauge", "daemon", (), 1,
           "The moment that the allocations are as of; absent, like them, when they could not be collected."),
    Metric("opsd_award_granted_seconds", "gauge", "daemon", _AWARD, _AWARDS,
           "Granted, in seconds of the award's unit."),
    Metric("opsd_award_settled_seconds", "gauge", "daemon", _AWARD, _AWARDS, "Charged for ended runs."),
    Metric("opsd_award_accrued_seconds", "gauge", "daemon", _AWARD, _AWARDS, "Charged so far for open runs."),
    Metric("opsd_award_committed_seconds", "gauge", "daemon", _AWARD, _AWARDS,
           "What open runs may still use up to their limits; absent while a limit is unknown."),
    Metric("opsd_award_left_seconds", "gauge", "daemon", _AWARD, _AWARDS,
           "Granted less settled and accrued; negative when over quota."),
    Metric("opsd_award_outside_seconds", "gauge", "daemon", _AWARD, _AWARDS,
           "Use before the award's start or after its end, in none of the others."),
    Metric("opsd_award_over_quota", "gauge", "daemon", _AWARD, _AWARDS,
           "Whether more is charged than was granted: 1 or 0."),
    Metric("opsd_award_end_timestamp_seconds", "gauge", "daemon", _AWARD, _AWARDS,
           "When the award ends, or has ended; absent for an award without an end."),
    Metric("opsd_award_threshold_reached_ratio", "gauge", "daemon", _AWARD, _AWARDS,
           "Highest of the award's thresholds that its use has reached, as a share of the grant; else 0."),
    Metric("opsd_account_info", "gauge", "daemon",
           ("cluster", "account", "award", "project", "organisation", "country", "pool"), _AWARDS,
           "Which award a Slurm account draws on now; the value is always 1."),
    Metric("opsd_unattributed_seconds", "gauge", "daemon", ("cluster", "account", "resource"), 2_000,
           "Use of the last 30 days that no award pays for: cpu-, gpu- or node-seconds, by resource."),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in METRICS}
