"""Alerts of opsd itself: its daemon, agents and steps, and whether its figures agree with Slurm's.

Invariant: what is missing from a page is told of as loudly as what is wrong on it.
"""

from __future__ import annotations

from dashboards.alerts.alert import Alert, by
from dashboards.promql import DAEMON, NODE, accounting_age, age, series, up
from dashboards.uids import (
    BLIND,
    CAPACITY,
    CERTIFICATE,
    COLLECTORS,
    DROPPED,
    JOB_FILES,
    QUARANTINE,
    SCRAPES,
    STEPS,
    TELEMETRY,
)  # fmt: skip

_SUCCESS = "opsd_step_last_success_timestamp_seconds"
_page = series("opsd_page_timestamp_seconds")
_daemon, _node = f'job="{DAEMON}"', f'job="{NODE}"'
_DRIFT, _COVERED, _UNBALANCED = 0.02, 0.9, 0.001
_LEAST = 3600  # GPU-seconds: of less than a GPU-hour no share is told


def _of_cluster(name: str) -> str:
    return by("max", "cluster", series(f"opsd_telemetry_{name}_gpu_seconds"))


def _drift() -> str:
    """A run of which some nodes have no agent differs by what it did there: few may be so."""
    slurm, agent = _of_cluster("slurm"), _of_cluster("agent")
    recorded = f"{_of_cluster('unrecorded')} / ({slurm} + {_of_cluster('unrecorded')}) <= {1 - _COVERED:g}"
    return f"abs({agent} - {slurm}) / ({slurm} > {_LEAST}) > {_DRIFT} and on (cluster) {recorded}"


def _coverage() -> str:
    """Where most nodes with GPUs have no agent on the list, nothing is expected of those that have."""
    whole = f"({_of_cluster('slurm')} + {_of_cluster('unrecorded')} > {_LEAST})"
    asked = by("sum", "cluster", by("max", "cluster, state", series("opsd_spool_nodes")))
    nodes = by("count", "cluster", by("max", "cluster, node", series("opsd_slurm_node_gpus")))
    few = f"({asked} == 0 or {asked} < 0.5 * {nodes})"
    return (
        f"{_of_cluster('covered')} / {whole} < {_COVERED} and on (cluster) {asked} unless on (cluster) {few}"
    )


def _unbalanced() -> str:
    where = "cluster, node_class, resource"
    missed = by("max", where, f"abs({series('opsd_capacity_unbalanced_seconds')})")
    total = by("max", where, series("opsd_capacity_seconds", 'line="total"'))
    return f"{missed} / {total} > {_UNBALANCED}"


def _dropped() -> str:
    """Also what an agent had already dropped when it was first seen."""
    dropped = series("opsd_node_spool_dropped_total")
    return f"increase({dropped}[1d]) > 0 or ({dropped} > 0 unless {dropped} offset 1h)"


def _unmatched() -> str:
    name = series("opsd_measured_unmatched_records")
    all_day = by("max", "cluster", f"min_over_time({name}[1d])")
    return f"{all_day} > 0 and {by('max', 'cluster', f'{name} offset 1d')}"


ITSELF: tuple[Alert, ...] = (
    Alert(
        "OpsdDaemonDown", f"{up(_daemon)} == 0 or absent({up(_daemon)})", "5m", "critical", "operations",
        "No opsd daemon is scraped",
        "Balances stand still and over-quota alerts are blind. systemctl status opsd; opsd status.",
        SCRAPES,
    ),
    Alert(
        "OpsdAgentDown", f"{up(_node)} == 0", "5m", "warning", "operations",
        "opsd-node does not answer on {{ $labels.node }}",
        "The agent at {{ $labels.instance }} cannot be scraped: its GPUs are not watched. If the node is up: "
        "systemctl status opsd-node.",
        SCRAPES, ("cluster",),
    ),
    Alert(
        # One sample does not change either: only what was there ten minutes ago can be stuck.
        "OpsdPageStuck", f"changes({_page}[10m]) == 0 and {_page} offset 10m", "5m", "warning", "operations",
        "{{ $labels.job }} at {{ $labels.instance }} shows old numbers",
        "It answers, but has made no new page for ten minutes: what it shows is frozen. Restart it, and keep "
        "its journal: this should not happen.",
        SCRAPES,
    ),
    Alert(
        "OpsdStepStale",
        f"{age(_SUCCESS)} > {series('opsd_step_stale_after_seconds')}",
        "5m", "warning", "operations",
        "Step {{ $labels.step }} has not succeeded for {{ $value | humanizeDuration }}",
        "What the step {{ $labels.step }} makes is stale. opsd status says how its last run ended; "
        "opsd daemon --once {{ $labels.step }} runs it in the foreground.",
        STEPS,
    ),
    Alert(
        "OpsdStepLate", f"{series('opsd_step_late')} == 1", "5m", "warning", "operations",
        "Step {{ $labels.step }} is past its deadline",
        "A run of the step {{ $labels.step }} goes on past its deadline: something it waits for hangs. "
        "Look at the database and at Slurm's commands; if nothing moves, restart the daemon.",
        STEPS,
    ),
    Alert(
        "OpsdStepNeverSucceeded",
        f"({series('opsd_step_success')} == 0 or {age('opsd_step_next_timestamp_seconds')} > 600)"
        f" unless {series(_SUCCESS)}",
        "10m", "warning", "operations",
        "Step {{ $labels.step }} has never succeeded",
        "The step {{ $labels.step }} fails, or does not begin, since this database exists. opsd status says "
        "how its last run ended; opsd daemon --once {{ $labels.step }} runs it in the foreground.",
        STEPS,
    ),
    Alert(
        "OpsdAccountingBehind", f"{accounting_age('opsd_ingest_covered_timestamp_seconds')} > 3600",
        "15m", "warning", "operations",
        "Accounting of {{ $labels.cluster }} is {{ $value | humanizeDuration }} behind",
        "Balances lack what Slurm recorded since. Is slurmdbd up? opsd ingest says what Slurm answers.",
        STEPS, ("cluster",),
    ),
    Alert(
        "OpsdRunawaySuspected",
        f"max by (job, cluster) ({series('opsd_runs_suspected_runaway')}) > 0", "6h", "warning", "operations",
        "{{ $value }} open runs of {{ $labels.cluster }} are unknown to slurmctld",
        "They are counted until mended. opsd status names them; sacctmgr show runaway mends them.",
        STEPS, ("cluster",),
    ),
    Alert(
        "OpsdQuarantineNotEmpty", f"max by (job) ({series('opsd_quarantine_records')}) > 0", "15m", "warning",
        "operations",
        "{{ $value }} accounting records could not be read",
        "Their use is in no balance. opsd quarantine list says why; opsd quarantine retry reads them again.",
        QUARANTINE,
    ),
    Alert(
        "OpsdUsageUnexplained",
        f"max by (job, cluster) ({series('opsd_certificate_unexplained_cells')}"
        f" - {series('opsd_certificate_unknowable_cells')}) > 0 or max by (job, cluster) ("
        f"{series('opsd_certificate_unexplained_seconds')}"
        f" / ({series('opsd_certificate_reported_seconds')} > 0)) > 0.001",
        "15m", "warning", "operations",
        "Usage of {{ $labels.cluster }} differs from Slurm's, unexplained",
        "Figures of {{ $labels.cluster }} are not those that Slurm reports, and no cause explains it. "
        "opsd reconcile lists the cells; opsd explain certificate shows the runs behind one.",
        CERTIFICATE, ("cluster",),
    ),
    Alert(
        # It ends about when it is made: the last hour or two are never added up yet.
        "OpsdRollUpBehind",
        f"max by (job, cluster) ({series('opsd_certificate_hours_not_added_up')}) > 6",
        "15m", "warning", "operations",
        "slurmdbd has not added up {{ $value }} hours of {{ $labels.cluster }}",
        "When usage of {{ $labels.cluster }} was last compared with Slurm's, slurmdbd had not added up "
        "{{ $value }} of the hours: there the certificate attests nothing. Does its roll-up run? "
        "sacctmgr show stats, slurmdbd's log.",
        CERTIFICATE, ("cluster",),
    ),
    Alert(
        "OpsdCertificateOld", f"{accounting_age('opsd_certificate_made_timestamp_seconds')} > 172800",
        "15m", "warning", "operations",
        "Usage of {{ $labels.cluster }} was last compared with Slurm's {{ $value | humanizeDuration }} ago",
        "Since then nobody knows whether opsd and Slurm agree. opsd daemon --once reconcile runs the "
        "comparison in the foreground and says why it fails.",
        CERTIFICATE, ("cluster",),
    ),
    Alert(
        "OpsdSpoolNotFetched", f"{accounting_age('opsd_spool_oldest_fetch_timestamp_seconds')} > 604800",
        "15m", "warning", "operations",
        "An agent of {{ $labels.cluster }} was last asked {{ $value | humanizeDuration }} ago",
        "What jobs did with GPUs is kept for 14 days by the agent, then lost. opsd status names the agents "
        "that do not answer the daemon; one that is gone for good is taken out of the file of [nodes].",
        TELEMETRY, ("cluster",),
    ),
    Alert(
        "OpsdCollectorFailing", f"{series('opsd_node_collector_up')} == 0", "10m", "warning", "operations",
        "{{ $labels.collector }} fails on {{ $labels.node }}",
        "The collector {{ $labels.collector }} of {{ $labels.node }} has failed for ten minutes: its "
        "numbers are absent. journalctl -u opsd-node says why.",
        COLLECTORS, ("cluster",),
    ),
    Alert(
        "OpsdJobFilesUnresolved", f"{series('opsd_gpu_job_unresolved')} > 0", "15m", "warning",
        "operations",
        "Job files on {{ $labels.node }} name no GPU",
        "{{ $value }} entries of the job directory of {{ $labels.node }} cannot be read or name no GPU "
        "there: whose GPU it is remains unknown. Are prolog and epilog those of this version?",
        JOB_FILES, ("cluster",),
    ),
    Alert(
        "OpsdAgentReleased", f"{series('opsd_node_released')} == 1", "2h", "warning", "operations",
        "opsd-node on {{ $labels.node }} has left the driver for over two hours",
        "The agent of {{ $labels.node }} was told to leave the driver (SIGUSR1) and has not been told to "
        "come back: its GPUs are not watched. When the work is done: systemctl kill -s SIGUSR2 opsd-node.",
        BLIND, ("cluster", "node"),
    ),
    Alert(
        "OpsdJobFilesStale", f"{series('opsd_gpu_job_files_stale')} > 0", "1h", "info", "operations",
        "{{ $value }} job files of jobs that are over lie on {{ $labels.node }}",
        "Slurm's epilog did not remove {{ $value }} files from the job directory of {{ $labels.node }}; they "
        "hold nothing. Does the epilog run, and is it that of this version? Then remove them.",
        JOB_FILES, ("cluster",),
    ),
    Alert(
        "OpsdJobDisagreement", f"{series('opsd_gpu_job_disagreements')} > 0", "15m", "warning", "operations",
        "{{ $value }} jobs on {{ $labels.node }} compute on GPUs that they do not hold",
        "Processes of {{ $value }} jobs on {{ $labels.node }} use GPUs that Slurm did not give them: two "
        "jobs may be on one GPU. Does cgroup.conf say ConstrainDevices=yes? opsd-node top shows who is "
        "where.",
        JOB_FILES, ("cluster",),
    ),
    Alert(
        "OpsdSpoolDropped", _dropped(), "0s", "warning", "operations",
        "opsd-node on {{ $labels.node }} has dropped records of jobs",
        "Records of what jobs did with GPUs of {{ $labels.node }} were dropped before the daemon fetched "
        "them: their measured columns lack them for good. opsd status says why the agent is not asked.",
        TELEMETRY, ("cluster",),
    ),
    Alert(
        "OpsdSpoolWriteFailing",
        f"increase({series('opsd_node_spool_write_failures_total')}[15m]) > 1", "5m", "warning", "operations",
        "opsd-node on {{ $labels.node }} cannot write its spool",
        "What jobs do with GPUs of {{ $labels.node }} is kept in memory alone, and lost with the agent. Is "
        "the disk full, the folder gone? journalctl -u opsd-node.",
        TELEMETRY, ("cluster",),
    ),
    Alert(
        "OpsdMeasuredUnmatched", _unmatched(), "1h", "warning", "operations",
        "{{ $value }} records of agents of {{ $labels.cluster }} belong to no run",
        "For a day at least {{ $value }} records of what jobs did with GPUs have had no run in the "
        "accounting. Is the cluster of the agents' list the one of the accounting? opsd reconcile --against "
        "telemetry.",
        TELEMETRY, ("cluster",),
    ),
    Alert(
        "OpsdTelemetryDrift", _drift(), "1h", "warning", "operations",
        "Agents of {{ $labels.cluster }} saw {{ $value | humanizePercentage }} more or less than Slurm "
        "counts",
        "Of yesterday's runs agents saw other GPU-seconds than Slurm allocated, by "
        "{{ $value | humanizePercentage }}. opsd reconcile --against telemetry names the runs; look for "
        "clocks that differ and prologs that fail.",
        TELEMETRY, ("cluster",),
    ),
    Alert(
        "OpsdTelemetryCoverage", _coverage(), "1h", "info", "operations",
        "Agents of {{ $labels.cluster }} have readings of only {{ $value | humanizePercentage }} of "
        "yesterday",
        "Of yesterday's GPU-seconds of {{ $labels.cluster }} only {{ $value | humanizePercentage }} were "
        "seen by an agent: measured columns and waste speak of those alone. opsd status names agents that do "
        "not answer; are some nodes in no list?",
        TELEMETRY, ("cluster",),
    ),
    Alert(
        "OpsdCapacityUnbalanced", _unbalanced(), "1h", "warning", "operations",
        "Yesterday's {{ $labels.resource }} capacity of {{ $labels.node_class }} nodes of "
        "{{ $labels.cluster }} does not add up",
        "The lines of capacity miss the total by {{ $value | humanizePercentage }}, or more was used than "
        "there was. opsd capacity shows the lines, opsd explain capacity what is behind one; mostly a node's "
        "class or number in the consortium file is wrong.",
        CAPACITY, ("cluster",),
    ),
    Alert(
        "OpsdNoticesWaiting", f"max by (job) ({series('opsd_notices_waiting')}) > 0", "2h", "warning",
        "operations",
        "{{ $value }} notices to people could not be sent",
        "Mail of opsd waits for two hours: people do not hear of their quota. opsd notify --dry-run lists "
        "it; check [mail] in opsd.toml and the mail server.",
        STEPS,
    ),
    Alert(
        "OpsdSeriesDropped", f"{series('opsd_series_dropped')} > 0", "10m", "warning", "operations",
        "{{ $labels.job }} leaves out series of {{ $labels.family }}",
        "{{ $value }} series of {{ $labels.family }} are past its ceiling and left out of the page at "
        "{{ $labels.instance }}: sums over it are too low. Raise the ceiling in exporters/catalogue.py.",
        DROPPED,
    ),
)  # fmt: skip
