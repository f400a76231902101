"""Alerts of Slurm itself: nodes that take no jobs, its scheduler, its way to slurmdbd, its answers.

Invariant: ages are taken by the moment at which slurmctld was asked; a node in a maintenance reservation is
nobody's trouble.
"""

from __future__ import annotations

from dashboards.alerts.alert import Alert, by
from dashboards.promql import bridged, series
from dashboards.uids import DBD_QUEUE, SCHEDULER, SOURCES, UNAVAILABLE

_SLOW_CYCLE, _STALLED = 4, 600  # seconds; slurmctld ends a main cycle after half of MessageTimeout (10)
_QUEUE = 1_000  # records
_ON_NODE = "on (cluster, node)"

_silent = by("max", "cluster, node", series("opsd_slurm_node_state_info", 'state="not_responding"'))


def _since(source: str, name: str, *matchers: str) -> str:
    """How long ago something was when Slurm was last asked."""
    asked = series("opsd_slurm_source_last_success_timestamp_seconds", f'source="{source}"')
    return f"{asked} - on (job, instance, cluster) group_right () {series(name, *matchers)}"


def _unavailable() -> str:
    """Seconds since the reason was given, 0 where nobody gave one."""
    info = bridged("max", "opsd_slurm_node_unavailable_info")
    node = f"{by('max', 'cluster, node, state, reason', info)}"
    age = by("max", "cluster, node", _since("nodes", "opsd_slurm_node_unavailable_since_timestamp_seconds"))
    excused = by("max", "cluster, node", series("opsd_slurm_node_state_info", 'state="maintenance"'))
    known = f"{node} * {_ON_NODE} group_left () {age} or {node} * 0 unless {_ON_NODE} {age}"
    return f"({known}) unless {_ON_NODE} ({excused} or {_silent})"


def _stalled() -> str:
    """Backfill sleeps while nothing waits."""
    name = "opsd_slurm_scheduler_last_cycle_timestamp_seconds"
    age = by("max", "cluster", _since("scheduler", name, 'scheduler="backfill"'))
    waiting = by("max", "cluster", series("opsd_slurm_pending_jobs"))
    return f"{age} > {_STALLED} and on (cluster) {waiting} > 0"


def _growing() -> str:
    queue = by("max", "cluster", series("opsd_slurm_dbd_queue_records"))
    before = by("max", "cluster", f"{series('opsd_slurm_dbd_queue_records')} offset 15m")
    return f"{queue} > {_QUEUE} and {queue} > {before}"


_cycle = series("opsd_slurm_scheduler_cycle_seconds", 'scheduler="main"', 'kind="last"')

SLURM: tuple[Alert, ...] = (
    Alert(
        "OpsdNodeUnavailable", _unavailable(), "10m", "warning", "operations",
        "{{ $labels.node }} is {{ $labels.state }}"
        "{{ if $labels.reason }}: {{ $labels.reason }}{{ else }}, and nobody said why{{ end }}"
        "{{ if gt $value 0.0 }} (for {{ $value | humanizeDuration }}){{ end }}",
        "slurmctld gives {{ $labels.node }} ({{ $labels.cluster }}) no jobs: it is {{ $labels.state }}. "
        "sinfo -R says who gave the reason. When mended: scontrol update nodename={{ $labels.node }} "
        "state=resume.",
        UNAVAILABLE, ("cluster",),
    ),
    Alert(
        "OpsdNodeNotResponding",
        f"{_silent} == 1",
        "5m", "warning", "operations",
        "{{ $labels.node }} does not answer slurmctld",
        "slurmctld reaches no slurmd on {{ $labels.node }} ({{ $labels.cluster }}); its jobs may be lost. Is "
        "it up, and on the network? systemctl status slurmd there.",
        UNAVAILABLE, ("cluster",),
    ),
    Alert(
        "OpsdSlurmSchedulerSlow", f"{by('max', 'cluster', _cycle)} > {_SLOW_CYCLE}",
        "15m", "warning", "operations",
        'A scheduling cycle of {{ $labels.cluster }} takes {{ $value | printf "%.1f" }} seconds',
        "slurmctld's main scheduler needs so long that commands wait. sdiag shows cycles and who asks how "
        "much; look for scripts that call squeue in a loop, then at SchedulerParameters "
        "(default_queue_depth).",
        SCHEDULER, ("cluster",),
    ),
    Alert(
        "OpsdBackfillStalled", _stalled(), "10m", "warning", "operations",
        "Backfill of {{ $labels.cluster }} has not run for {{ $value | humanizeDuration }}",
        "Jobs wait on {{ $labels.cluster }}, and the backfill scheduler has not ended a cycle for "
        "{{ $value | humanizeDuration }}: small jobs do not start beside large ones. sdiag, slurmctld's log; "
        "while jobs are completing it waits for them.",
        SCHEDULER, ("cluster",),
    ),
    Alert(
        "OpsdSlurmdbdQueueGrowing", _growing(), "15m", "warning", "operations",
        "{{ $value }} accounting records of {{ $labels.cluster }} wait for slurmdbd",
        "slurmctld cannot hand its records to slurmdbd as fast as they come; past MaxDBDMsgs it drops some, "
        "and their use is in no balance. Is slurmdbd up, its database slow? sacctmgr show stats.",
        DBD_QUEUE, ("cluster",),
    ),
    Alert(
        "OpsdSlurmSourceFailing",
        f"{by('min', 'cluster, source', series('opsd_slurm_source_up'))} == 0",
        "10m", "warning", "operations",
        "Slurm of {{ $labels.cluster }} does not answer for {{ $labels.source }}",
        "opsd asks {{ $labels.cluster }} once a minute for {{ $labels.source }}, and has had no answer for "
        "ten minutes: what it tells is absent. opsd status says why; opsd daemon --once slurm asks again.",
        SOURCES, ("cluster",),
    ),
)  # fmt: skip
