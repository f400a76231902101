"""What wakes or tells somebody: one table, from which the Prometheus rules are made.

Invariant: an alert says what to do, links its section of docs/runbook.md and its panel, and fires on what
is absent where absence is the trouble. Ages are taken by the page's clock, see `promql.age`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from dashboards import allocations_and_gpus as board
from dashboards.expressions import AWARD, GPU, ended
from dashboards.promql import DAEMON, NODE, accounting_age, age, bridged, series, up

Severity = Literal["critical", "warning", "info"]  # wake somebody; look today; for the record
Audience = Literal["allocations", "operations"]  # the office that grants hours; who runs the machine

# NVIDIA's catalogue of XIDs: these need a reset or a reboot. 79: the GPU has fallen off the bus.
PAGING_XIDS = (46, 62, 64, 79, 95, 109, 110, 119, 120, 136, 140, 143, 155, 156, 158)


class Alert(NamedTuple):
    """One rule. `panel` and `variables` make the link to the dashboard."""

    name: str
    expr: str
    hold: str  # how long before it fires
    severity: Severity
    audience: Audience
    summary: str
    description: str
    panel: int
    variables: tuple[str, ...] = ()


_WHOSE = (
    "Award {{ $labels.award }} of {{ $labels.project }} ({{ $labels.organisation }}, {{ $labels.country }}; "
    "pool {{ $labels.pool }})"
)
_over = f"max by ({AWARD}) ({bridged('max', 'opsd_award_over_quota')})"
_left = f"min by ({AWARD}) ({bridged('min', 'opsd_award_left_seconds')})"
_reached = f"max by ({AWARD}) ({bridged('max', 'opsd_award_threshold_reached_ratio')})"
_SUCCESS = "opsd_step_last_success_timestamp_seconds"
_page = series("opsd_page_timestamp_seconds")
_visible = series("opsd_gpu_devices_visible")
_expected = series("opsd_gpu_devices_expected")
_paging = 'xid=~"' + "|".join(map(str, PAGING_XIDS)) + '"'
_daemon, _node = f'job="{DAEMON}"', f'job="{NODE}"'


def _unattributed(resource: str) -> str:
    used = series("opsd_unattributed_seconds", f'resource="{resource}"')
    return f"max by (cluster, account, resource) ({used}) / 3600 > 1"


ALERTS: tuple[Alert, ...] = (
    # ---- allocations
    Alert(
        "OpsdAwardOverQuota", f"(-{_left} / 3600 and {_over} == 1) unless {ended()}",
        "5m", "warning", "allocations",
        "{{ $labels.project }} is over quota ({{ $labels.award }})",
        f"{_WHOSE} is charged "
        '{{ $value | printf "%.0f" }} {{ $labels.unit }} more than was granted. '
        "Extend it, or have its jobs held: opsd balance --by award.",
        board.AWARDS, ("country", "project"),
    ),
    Alert(
        # One alert a threshold, so that crossing the next one is news.
        "OpsdAwardThresholdReached",
        f'count_values by ({AWARD}) ("threshold", ({_reached} > 0) unless ({_over} == 1) unless {ended()})',
        "5m", "info", "allocations",
        "{{ $labels.project }} has used {{ $labels.threshold | humanizePercentage }} of {{ $labels.award }}",
        f"{_WHOSE} has passed its threshold of "
        "{{ $labels.threshold | humanizePercentage }}. "
        "Tell its lead how much is left: opsd balance --by award.",
        board.AWARDS, ("country", "project"),
    ),
    Alert(
        # Every run uses CPUs: they speak where there are no GPU-hours to tell of.
        "OpsdUnattributedUsage",
        f"({_unattributed('gpu')}) or on (cluster, account) ({_unattributed('cpu')})",
        "1h", "warning", "allocations",
        "No award pays for account {{ $labels.account }} on {{ $labels.cluster }}",
        "Slurm account {{ $labels.account }} used "
        '{{ $value | printf "%.0f" }} {{ $labels.resource }}-hours in the last 30 days that no award pays '
        "for. Find out whose they are: opsd account list, then opsd account bind.",
        board.UNATTRIBUTED, ("cluster",),
    ),
    # ---- GPUs
    Alert(
        "OpsdGpuHung", f"max by ({GPU}) ({series('opsd_gpu_hung')}) == 1", "2m", "critical", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is hung",
        "A driver call for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} does not return. "
        "Drain the node; its job will not end by itself.",
        board.GPUS, ("node",),
    ),
    Alert(
        "OpsdGpuLost", f"max by ({GPU}) ({series('opsd_gpu_lost')}) == 1", "1m", "critical", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is lost",
        "The driver says that GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} is lost. "
        "Drain the node and restart it; if the GPU stays away, have it replaced.",
        board.GPUS, ("node",),
    ),
    Alert(
        "OpsdGpuMissing", f"{_visible} < {_expected} or {_visible} < max_over_time({_visible}[6h])",
        "10m", "warning", "operations",
        "{{ $labels.node }} has fewer GPUs than it should",
        "The driver of {{ $labels.node }} counts {{ $value }} GPUs, fewer than the node should have or had "
        "within the last six hours. Unless somebody took one out: drain the node, look at its kernel log.",
        board.GPUS, ("node",),
    ),
    Alert(
        "OpsdGpuXid",
        f"max by ({GPU}, xid) ({age('opsd_gpu_xid_last_timestamp_seconds', _paging)}) < 1800",
        "0s", "critical", "operations",
        "XID {{ $labels.xid }} on GPU {{ $labels.gpu }} of {{ $labels.node }}",
        "The driver reported XID {{ $labels.xid }} for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of "
        "{{ $labels.node }}, which needs a reset or a reboot. Drain the node; the runbook has the list.",
        board.XIDS, ("node",),
    ),
    # ---- opsd itself
    Alert(
        "OpsdDaemonDown", f"{up(_daemon)} == 0 or absent({up(_daemon)})", "5m", "critical", "operations",
        "No opsd daemon is scraped",
        "Balances stand still and over-quota alerts are blind. systemctl status opsd; opsd status.",
        board.SCRAPES,
    ),
    Alert(
        "OpsdAgentDown", f"{up(_node)} == 0", "5m", "warning", "operations",
        "opsd-node does not answer on {{ $labels.node }}",
        "The agent at {{ $labels.instance }} cannot be scraped: its GPUs are not watched. If the node is up: "
        "systemctl status opsd-node.",
        board.SCRAPES, ("node",),
    ),
    Alert(
        # One sample does not change either: only what was there ten minutes ago can be stuck.
        "OpsdPageStuck", f"changes({_page}[10m]) == 0 and {_page} offset 10m", "5m", "warning", "operations",
        "{{ $labels.job }} at {{ $labels.instance }} shows old numbers",
        "It answers, but has made no new page for ten minutes: what it shows is frozen. Restart it, and keep "
        "its journal: this should not happen.",
        board.SCRAPES,
    ),
    Alert(
        "OpsdStepStale",
        f"{age(_SUCCESS)} > {series('opsd_step_stale_after_seconds')}",
        "5m", "warning", "operations",
        "Step {{ $labels.step }} has not succeeded for {{ $value | humanizeDuration }}",
        "What the step {{ $labels.step }} makes is stale. opsd status says how its last run ended; "
        "opsd daemon --once {{ $labels.step }} runs it in the foreground.",
        board.STEPS,
    ),
    Alert(
        "OpsdStepLate", f"{series('opsd_step_late')} == 1", "5m", "warning", "operations",
        "Step {{ $labels.step }} is past its deadline",
        "A run of the step {{ $labels.step }} goes on past its deadline: something it waits for hangs. "
        "Look at the database and at Slurm's commands; if nothing moves, restart the daemon.",
        board.STEPS,
    ),
    Alert(
        "OpsdStepNeverSucceeded",
        f"({series('opsd_step_success')} == 0 or {age('opsd_step_next_timestamp_seconds')} > 600)"
        f" unless {series(_SUCCESS)}",
        "10m", "warning", "operations",
        "Step {{ $labels.step }} has never succeeded",
        "The step {{ $labels.step }} fails, or does not begin, since this database exists. opsd status says "
        "how its last run ended; opsd daemon --once {{ $labels.step }} runs it in the foreground.",
        board.STEPS,
    ),
    Alert(
        "OpsdAccountingBehind", f"{accounting_age('opsd_ingest_covered_timestamp_seconds')} > 3600",
        "15m", "warning", "operations",
        "Accounting of {{ $labels.cluster }} is {{ $value | humanizeDuration }} behind",
        "Balances lack what Slurm recorded since. Is slurmdbd up? opsd ingest says what Slurm answers.",
        board.STEPS, ("cluster",),
    ),
    Alert(
        "OpsdRunawaySuspected",
        f"max by (job, cluster) ({series('opsd_runs_suspected_runaway')}) > 0", "6h", "warning", "operations",
        "{{ $value }} open runs of {{ $labels.cluster }} are unknown to slurmctld",
        "They are counted until mended. opsd status names them; sacctmgr show runaway mends them.",
        board.STEPS, ("cluster",),
    ),
    Alert(
        "OpsdQuarantineNotEmpty", f"max by (job) ({series('opsd_quarantine_records')}) > 0", "15m", "warning",
        "operations",
        "{{ $value }} accounting records could not be read",
        "Their use is in no balance. opsd quarantine list says why; opsd quarantine retry reads them again.",
        board.QUARANTINE,
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
        board.STEPS, ("cluster",),
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
        board.STEPS, ("cluster",),
    ),
    Alert(
        "OpsdCertificateOld", f"{accounting_age('opsd_certificate_made_timestamp_seconds')} > 172800",
        "15m", "warning", "operations",
        "Usage of {{ $labels.cluster }} was last compared with Slurm's {{ $value | humanizeDuration }} ago",
        "Since then nobody knows whether opsd and Slurm agree. opsd daemon --once reconcile runs the "
        "comparison in the foreground and says why it fails.",
        board.STEPS, ("cluster",),
    ),
    Alert(
        "OpsdSpoolNotFetched", f"{accounting_age('opsd_spool_oldest_fetch_timestamp_seconds')} > 604800",
        "15m", "warning", "operations",
        "An agent of {{ $labels.cluster }} was last asked {{ $value | humanizeDuration }} ago",
        "What jobs did with GPUs is kept for 14 days by the agent, then lost. opsd status names the agents "
        "that do not answer the daemon; one that is gone for good is taken out of the file of [nodes].",
        board.STEPS, ("cluster",),
    ),
    Alert(
        "OpsdCollectorFailing", f"{series('opsd_node_collector_up')} == 0", "10m", "warning", "operations",
        "{{ $labels.collector }} fails on {{ $labels.node }}",
        "The collector {{ $labels.collector }} of {{ $labels.node }} has failed for ten minutes: its "
        "numbers are absent. journalctl -u opsd-node says why.",
        board.COLLECTORS, ("node",),
    ),
    Alert(
        "OpsdJobFilesUnresolved", f"{series('opsd_gpu_job_unresolved')} > 0", "15m", "warning",
        "operations",
        "Job files on {{ $labels.node }} name no GPU",
        "{{ $value }} entries of the job directory of {{ $labels.node }} cannot be read or name no GPU "
        "there: whose GPU it is remains unknown. Are prolog and epilog those of this version?",
        board.JOB_FILES, ("node",),
    ),
    Alert(
        "OpsdSeriesDropped", f"{series('opsd_series_dropped')} > 0", "10m", "warning", "operations",
        "{{ $labels.job }} leaves out series of {{ $labels.family }}",
        "{{ $value }} series of {{ $labels.family }} are past its ceiling and left out of the page at "
        "{{ $labels.instance }}: sums over it are too low. Raise the ceiling in exporters/catalogue.py.",
        board.DROPPED,
    ),
)  # fmt: skip
