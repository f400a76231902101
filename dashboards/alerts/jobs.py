"""Alerts of what jobs do with the GPUs they hold: nothing, little, or less than their neighbours.

Invariant: one alert for each job, however many GPUs it holds; what it wastes is counted in GPU-hours.
"""

from __future__ import annotations

from dashboards.alerts.alert import Alert, by
from dashboards.promql import series
from dashboards.recording import recorded
from dashboards.uids import HELD_IDLE, JOB_GPUS

_JOB = "cluster, jobid, account, user, project, organisation, country"
_ON_JOB, _ON_GPU = "on (cluster, jobid)", "on (cluster, node, uuid)"
_RUN = "cluster, node, uuid"
_A_MINUTE = 60  # recorded values in an hour: they are computed once a minute
_LONG_HOURS, _LITTLE, _NOTHING = 6, 0.15, 0.01
_MUCH_MEMORY = 0.5  # of its GPUs: a service that waits for requests keeps its model there
_FEWEST, _POWER, _CLOCK, _BUSY = 4, 0.6, 0.85, 0.5

_idle = by("sum", _JOB, recorded("opsd:gpu_idle:share"))


def _idle_hours() -> str:
    """GPU-hours of the last day that each job held idle, with the half hour by which that is known."""
    day = by("sum", _JOB, f"sum_over_time({recorded('opsd:gpu_idle:share')}[1d])")
    return f"({day} / {_A_MINUTE} + 0.5 * {_idle})"


def _long() -> str:
    """Idle for nine tenths of six hours: a gap in what is recorded does not begin them anew."""
    job = "cluster, jobid"
    spent = by("sum", job, f"sum_over_time({recorded('opsd:gpu_idle:share')}[{_LONG_HOURS}h])")
    now = by("sum", job, recorded("opsd:gpu_idle:share"))
    return f"{_idle_hours()} and {_ON_JOB} {spent} / {_A_MINUTE} >= {0.9 * _LONG_HOURS:g} * {now}"


def _little() -> str:
    held = recorded("opsd:job_gpus:sum")
    worked = f"avg_over_time({recorded('opsd:job_activity:avg')}[{_LONG_HOURS}h])"
    memory = by("max", _RUN, series("opsd_gpu_memory_total_bytes"))
    share = recorded("opsd:gpu_jobs:share")
    whole = by("sum", "cluster, jobid", f"{share} * {_ON_GPU} group_left () {memory}")
    keeps = f"{recorded('opsd:job_memory_used_bytes:sum')} / {_ON_JOB} {whole} > {_MUCH_MEMORY}"
    return (
        f"{worked} < {_LITTLE} >= {_NOTHING} and {held} and {held} offset {_LONG_HOURS}h"
        f" unless {_ON_JOB} ({keeps})"
    )


def _of_jobs(reading: str) -> str:
    """A reading of each GPU that one job holds whole, over five minutes."""
    mean = by("max", _RUN, f"avg_over_time({reading}[5m])")
    return f"(({recorded('opsd:gpu_jobs:share')} == 1) * {_ON_GPU} group_left () {mean})"


def _behind(what: str, reading: str, least: float) -> str:
    """A GPU's reading as a part of the median of its job."""
    of_job = _of_jobs(reading)
    many = f"count by (cluster, jobid) ({of_job}) >= {_FEWEST}"
    part = f"{of_job} / {_ON_JOB} group_left () (quantile by (cluster, jobid) (0.5, {of_job}) and {many})"
    return f'label_replace({part} < {least}, "what", "{what}", "", "")'


def _straggler() -> str:
    power = _behind("power", series("opsd_gpu_power_average_watts"), _POWER)
    clock = _behind("SM clock", series("opsd_gpu_clock_hertz", 'domain="sm"'), _CLOCK)
    busy = by("max", _RUN, recorded("opsd:device_activity:avg30m"))
    return f"({clock} or {power}) and {_ON_GPU} {busy} > {_BUSY}"


_WHOSE = (
    "job {{ $labels.jobid }} of {{ $labels.user }} ({{ $labels.project }}, account {{ $labels.account }})"
)

JOBS: tuple[Alert, ...] = (
    Alert(
        "OpsdGpuHeldUnused", by("sum", _JOB, recorded("opsd:gpu_unused:share")), "1m", "info", "allocations",
        "Job {{ $labels.jobid }} of {{ $labels.user }} ({{ $labels.project }}) holds "
        '{{ $value | printf "%.3g" }} GPUs without a process on them',
        f'{{{{ $value | printf "%.3g" }}}} GPUs of {_WHOSE} have had no process of it for ten minutes. Ask '
        "{{ $labels.user }} whether it asks for more GPUs than it uses; scancel {{ $labels.jobid }} ends it.",
        HELD_IDLE, ("cluster", "project"),
    ),
    Alert(
        "OpsdGpuHeldIdle", _idle_hours(), "1m", "info", "allocations",
        "Job {{ $labels.jobid }} of {{ $labels.user }} ({{ $labels.project }}) holds GPUs idle: "
        '{{ $value | printf "%.1f" }} GPU-hours so far',
        f"GPUs of {_WHOSE} have done nothing for half an hour; within the last day that cost "
        '{{ $value | printf "%.1f" }} GPU-hours. Ask {{ $labels.user }}; scancel {{ $labels.jobid }} ends '
        'it.',
        HELD_IDLE, ("cluster", "project"),
    ),
    Alert(
        "OpsdGpuHeldIdleLong", _long(), "5m", "warning", "allocations",
        "Job {{ $labels.jobid }} of {{ $labels.user }} ({{ $labels.project }}) has held GPUs idle for six "
        "hours: "
        '{{ $value | printf "%.1f" }} GPU-hours so far',
        f"GPUs of {_WHOSE} have done nothing for six hours; within the last day that cost "
        '{{ $value | printf "%.1f" }} GPU-hours. Ask {{ $labels.user }} today; scancel {{ $labels.jobid }} '
        "ends it.",
        HELD_IDLE, ("cluster", "project"),
    ),
    Alert(
        "OpsdJobLowUtilisation", _little(), "15m", "info", "allocations",
        "Job {{ $labels.jobid }} of {{ $labels.user }} used {{ $value | humanizePercentage }} of its GPUs in "
        "six hours",
        "In the last six hours {{ $value | humanizePercentage }} of the SMs of the GPUs of job "
        "{{ $labels.jobid }} ({{ $labels.user }}, account {{ $labels.account }}) were busy. Does it wait for "
        "files or CPUs, or would fewer GPUs do? Its dashboard shows which.",
        JOB_GPUS, ("cluster", "jobid"),
    ),
    Alert(
        "OpsdJobStraggler", _straggler(), "15m", "warning", "operations",
        "A GPU of {{ $labels.node }} holds job {{ $labels.jobid }} up: its {{ $labels.what }} is "
        "{{ $value | humanizePercentage }} of the others'",
        "{{ $labels.uuid }} of {{ $labels.node }} works in job {{ $labels.jobid }} ({{ $labels.user }}) with "
        "{{ $value | humanizePercentage }} of the {{ $labels.what }} that is usual in this job: all others "
        "wait for it. Look at its clock events and temperature; drain the node when the job is over.",
        JOB_GPUS, ("cluster", "jobid"),
    ),
)  # fmt: skip
