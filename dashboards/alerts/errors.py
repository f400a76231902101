"""Alerts of what GPUs and their driver report: XIDs, memory errors, advice to recover.

Invariant: what only a reset or another GPU mends says which; what programs do by themselves wakes nobody.
"""

from __future__ import annotations

from dashboards.alerts import xids
from dashboards.alerts.alert import Alert, by
from dashboards.expressions import GPU
from dashboards.promql import series
from dashboards.uids import ERRORS as PANEL
from dashboards.uids import XIDS

_USERS = 3  # whose programs fail on one GPU


def _pending() -> str:
    waiting = ("opsd_gpu_row_remap_pending", "opsd_gpu_repair_pending", "opsd_gpu_retired_pages_pending")
    return " or ".join(f"{by('max', GPU, series(name))} == 1" for name in waiting)


_uncorrected = series("opsd_gpu_ecc_errors_total", 'severity="uncorrected"', 'lifetime="volatile"')

ERRORS: tuple[Alert, ...] = (
    Alert(
        "OpsdGpuXid", xids.recent(xids.of(xids.PAGING)), "0s", "critical", "operations",
        "XID {{ $labels.xid }} on GPU {{ $labels.gpu }} of {{ $labels.node }}",
        "The driver reported XID {{ $labels.xid }} for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of "
        "{{ $labels.node }}, which needs a reset or a reboot. Drain the node; the runbook has the list.",
        XIDS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuXidWorkflow", xids.recent(xids.of(xids.WORKFLOW)), "0s", "warning", "operations",
        "XID {{ $labels.xid }} on GPU {{ $labels.gpu }} of {{ $labels.node }}: look what came with it",
        "The driver reported XID {{ $labels.xid }} for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of "
        "{{ $labels.node }}. What to do depends on the XIDs beside it: dmesg -T | grep -i xid on the node, "
        "then the runbook.",
        XIDS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuXidRepeated", xids.again(xids.of(xids.REPEATED)), "0s", "critical", "operations",
        "XID {{ $labels.xid }} again on GPU {{ $labels.gpu }} of {{ $labels.node }}",
        "The driver reported XID {{ $labels.xid }} for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of "
        "{{ $labels.node }} a second time within a day ({{ $value | humanizeDuration }} after the last). "
        "Drain the node and reset the GPU; the runbook has the list.",
        XIDS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuXidUnknown", xids.recent(xids.unknown()), "0s", "warning", "operations",
        "XID {{ $labels.xid }} on GPU {{ $labels.gpu }} of {{ $labels.node }} is not in opsd's list",
        "The driver reported XID {{ $labels.xid }} for GPU {{ $labels.gpu }} of {{ $labels.node }}, of which "
        "opsd does not know what it asks for. NVIDIA's documentation of XID errors says it; please tell us.",
        XIDS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuSuspect",
        f"{by('max', 'cluster, node, uuid, xid', series('opsd_gpu_application_xid_users'))} >= {_USERS}",
        "15m", "warning", "operations",
        "Programs of {{ $value }} users failed with XID {{ $labels.xid }} on one GPU of {{ $labels.node }}",
        "XID {{ $labels.xid }} is mostly a program's own fault, but on {{ $labels.uuid }} of "
        "{{ $labels.node }} jobs of {{ $value }} users met it within 7 days. Drain the node and test the "
        "GPU: dcgmi diag -r 3, or the vendor's test.",
        XIDS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuRecoveryAction", f"{by('max', GPU, series('opsd_gpu_recovery_action'))} > 0",
        "2m", "critical", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} "
        "{{ if eq $value 1.0 }}is to be reset{{ else if eq $value 2.0 }}needs its node rebooted"
        "{{ else }}is to be drained{{ end }}",
        "The driver advises for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }}: "
        "{{ if eq $value 1.0 }}reset it. Drain the node, then nvidia-smi --gpu-reset -i {{ $labels.gpu }}."
        "{{ else if eq $value 2.0 }}reboot. scontrol reboot ASAP nextstate=RESUME {{ $labels.node }}."
        "{{ else if eq $value 3.0 }}end all work that reaches other GPUs over NVLink or PCIe. Drain the node."
        "{{ else }}drain, then reset it. Drain the node, then nvidia-smi --gpu-reset -i {{ $labels.gpu }}."
        "{{ end }}",
        PANEL, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuUncorrectedErrors", f"{by('max', GPU, _uncorrected)} > 0", "1m", "warning", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} had {{ $value }} uncorrected memory errors",
        "Since its driver was loaded GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} has "
        "had {{ $value }} memory errors that ECC could not correct; the job on it has most likely ended. "
        "Drain the node and reset the GPU; see whether a row waits to be remapped.",
        PANEL, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuRowRemapFailed", f"{by('max', GPU, series('opsd_gpu_row_remap_failure'))} == 1",
        "1m", "critical", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} has bad memory that cannot be replaced by spare rows",
        "A row of the memory of GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} is bad and "
        "there is no spare one: every job may meet it. Drain the node and have the GPU replaced (RMA).",
        PANEL, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuSramThreshold", f"{by('max', GPU, series('opsd_gpu_sram_threshold_exceeded'))} == 1",
        "5m", "warning", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} had too many SRAM errors: have it replaced",
        "GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} has passed NVIDIA's threshold of "
        "uncorrected SRAM errors. It works, and fails more often than others: drain at the next chance, RMA.",
        PANEL, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuRepairPending", _pending(), "5m", "info", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} mends its memory at the next reset",
        "A row, page, channel or TPC of GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} is "
        "replaced when the GPU is reset. Reset it at the next window: nvidia-smi --gpu-reset -i "
        "{{ $labels.gpu }}, with nothing running on it.",
        PANEL, ("cluster", "node"),
    ),
)  # fmt: skip
