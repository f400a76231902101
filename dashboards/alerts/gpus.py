"""Alerts of GPUs: whether they answer, are all there, are cool, and reach each other.

Invariant: a GPU that nobody can read is told of as such; limits that are not opsd's own name their source.
"""

from __future__ import annotations

from dashboards.alerts.alert import Alert, by
from dashboards.expressions import GPU
from dashboards.promql import series
from dashboards.uids import BLIND, LINKS, THROTTLED
from dashboards.uids import GPUS as PANEL

_LEAST_MARGIN = 3  # degrees
# Limits of NVIDIA's own health checks (DCGM): per minute; per second; any at all.
_PCIE_REPLAYS, _NVLINK_CRC, _NVLINK_ERRORS = 8, 100, 1
_BROKEN, _CHECKSUM = 'kind=~"replay|recovery|recovery_failed"', 'kind=~"crc.*"'
_BUSY = 0.1

_visible = series("opsd_gpu_devices_visible")
_expected = series("opsd_gpu_devices_expected")


def _missing() -> str:
    """Slurm's inventory says how many there should be; the agent's flag where that cannot; else its past.

    Under MIG Slurm counts devices, not GPUs.
    """
    cut = by("max", "cluster, node", series("opsd_gpu_mig_mode"))
    gpus = by("max", "cluster, node, class", series("opsd_slurm_node_gpus"))
    slurm = f"({by('sum', 'cluster, node', gpus)} unless on (cluster, node) ({cut} == 1))"
    return (
        f"{_visible} < on (cluster, node) group_left () {slurm}"
        f" or ({_visible} < {_expected}) unless on (cluster, node) {slurm}"
        f" or ({_visible} < max_over_time({_visible}[6h])) unless on (cluster, node) ({slurm} or {_expected})"
    )


def _blind() -> str:
    cut = f"{by('max', GPU, series('opsd_gpu_mig_mode'))} == 1"
    seen = by("max", GPU, series("opsd_gpu_row_remap_failure"))
    return by("count", "cluster, node", f"{cut} unless on ({GPU}) {seen}")


def _throttled() -> str:
    held = 'reason=~"hw_thermal_slowdown|hw_power_brake_slowdown"'
    seconds = f"rate({series('opsd_gpu_clock_event_seconds_total', held)}[5m])"
    return f"{by('max', f'{GPU}, reason', seconds)} > 0.05"


def _left(sensor: str, limit: str, value: str) -> str:
    return f'label_replace({by("min", GPU, limit)} - {by("max", GPU, value)}, "sensor", "{sensor}", "", "")'


def _hot() -> str:
    """Degrees left; T.Limit counts down, temperatures count up."""
    core = series("opsd_gpu_temperature_celsius", 'sensor="gpu"')
    memory = series("opsd_gpu_temperature_celsius", 'sensor="memory"')
    margin = series("opsd_gpu_temperature_margin_celsius")
    slows = series("opsd_gpu_temperature_margin_threshold_celsius", 'kind="slowdown"')
    old_slows = series("opsd_gpu_temperature_threshold_celsius", 'kind="slowdown"')
    most = series("opsd_gpu_temperature_threshold_celsius", 'kind="memory_max"')
    newer, older = _left("gpu", margin, slows), _left("gpu", old_slows, core)
    return f"({newer} or {older} or {_left('memory', most, memory)}) <= {_LEAST_MARGIN}"


def _links_down() -> str:
    active = by("max", GPU, series("opsd_gpu_nvlink_links_active"))
    named = f"({active} * on ({GPU}) group_left (name) {by('max', f'{GPU}, name', series('opsd_gpu_info'))})"
    fewer = f"{named} < on (cluster, name) group_left () {by('max', 'cluster, name', named)}"
    before = by("max", GPU, f"max_over_time({series('opsd_gpu_nvlink_links_active')}[1h])")
    return f"{by('max', GPU, fewer)} or {active} < {before}"


def _link_errors() -> str:
    name = "opsd_gpu_nvlink_errors_total"
    any_at_all = f"increase({series(name, _BROKEN)}[1h])"
    crc = f"rate({series(name, _CHECKSUM)}[5m])"
    many = f"{by('max', f'{GPU}, kind', any_at_all)} >= {_NVLINK_ERRORS}"
    return f"{many} or {by('max', f'{GPU}, kind', crc)} > {_NVLINK_CRC}"


def _narrow() -> str:
    width, most = (series(f"opsd_gpu_pcie_link_width_{it}lanes") for it in ("", "max_"))
    speed, best = (series(f"opsd_gpu_pcie_link_generation{it}") for it in ("", "_max"))
    busy = by("max", GPU, f"avg_over_time({series('opsd_gpu_utilization_ratio')}[5m])")
    lanes = f'label_replace({by("max", GPU, width)} < {by("max", GPU, most)}, "what", "lanes", "", "")'
    slow = f"{by('max', GPU, speed)} < {by('max', GPU, best)} and on ({GPU}) {busy} > {_BUSY}"
    return f'{lanes} or label_replace({slow}, "what", "generation", "", "")'


def _replays() -> str:
    seconds = f"rate({series('opsd_gpu_pcie_replays_total')}[10m])"
    return f"{by('max', GPU, seconds)} * 60 > {_PCIE_REPLAYS}"


GPUS: tuple[Alert, ...] = (
    Alert(
        "OpsdGpuHung", f"max by ({GPU}) ({series('opsd_gpu_hung')}) == 1", "2m", "critical", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is hung",
        "A driver call for GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} does not return. "
        "Drain the node (scontrol update nodename={{ $labels.node }} state=drain reason=hung); its job "
        "will not end by itself.",
        PANEL, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuLost", f"max by ({GPU}) ({series('opsd_gpu_lost')}) == 1", "1m", "critical", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is lost",
        "The driver says that GPU {{ $labels.gpu }} ({{ $labels.uuid }}) of {{ $labels.node }} is lost. "
        "Drain the node and restart it; if the GPU stays away, have it replaced.",
        PANEL, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuMissing", _missing(), "10m", "warning", "operations",
        "{{ $labels.node }} has fewer GPUs than it should",
        "The driver of {{ $labels.node }} counts {{ $value }} GPUs, fewer than Slurm gives out there, than "
        "the agent was told, or than it had within the last six hours. Unless somebody took one out: drain "
        "the node, look at its kernel log.",
        BLIND, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuBlind", _blind(), "1h", "info", "operations",
        "{{ $value }} GPUs of {{ $labels.node }} are cut by MIG: parts of their health cannot be read",
        "While a GPU is in MIG mode the driver tells neither its utilisation, nor its remapped rows, nor its "
        "NVLink: alerts on these are blind for {{ $value }} GPUs of {{ $labels.node }}. Nothing is to be "
        "done.",
        BLIND, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuThrottled", _throttled(), "5m", "warning", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is slowed down ({{ $labels.reason }})",
        "The hardware held the clocks of GPU {{ $labels.gpu }} of {{ $labels.node }} down for "
        "{{ $value | humanizePercentage }} of the time. hw_thermal_slowdown: look at cooling; "
        "hw_power_brake_slowdown: at the node's power supplies.",
        THROTTLED, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuHot", _hot(), "10m", "warning", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} is {{ $value }} degrees from its limit "
        "({{ $labels.sensor }})",
        "The temperature ({{ $labels.sensor }}) of GPU {{ $labels.gpu }} of {{ $labels.node }} is about to "
        "slow it down. Look at fans, water, inlet and its neighbours.",
        THROTTLED, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuNvlinkDown", _links_down(), "10m", "warning", "operations",
        "GPU {{ $labels.gpu }} of {{ $labels.node }} has only {{ $value }} NVLink links",
        "{{ $value }} NVLink links of GPU {{ $labels.gpu }} of {{ $labels.node }} are up: fewer than GPUs of "
        "its kind have, or than it had an hour ago. Jobs over several GPUs are slow or fail: drain, then "
        "nvidia-smi nvlink -s; reset, or reseat.",
        LINKS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuNvlinkErrors", _link_errors(), "5m", "warning", "operations",
        "NVLink errors ({{ $labels.kind }}) on GPU {{ $labels.gpu }} of {{ $labels.node }}",
        "NVLink of GPU {{ $labels.gpu }} of {{ $labels.node }} has more errors of kind {{ $labels.kind }} "
        "than a sound link. See which link: nvidia-smi nvlink -e on the node; drain it if they go on.",
        LINKS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuPcieSlow", _narrow(), "15m", "warning", "operations",
        "PCIe of GPU {{ $labels.gpu }} of {{ $labels.node }} runs at {{ $labels.what }} {{ $value }}",
        "The PCIe link of GPU {{ $labels.gpu }} of {{ $labels.node }} has fewer lanes, or under load a lower "
        "generation, than it could ({{ $labels.what }} {{ $value }}). Drain and restart; reseat if it stays.",
        LINKS, ("cluster", "node"),
    ),
    Alert(
        "OpsdGpuPcieReplays",
        _replays(), "10m", "warning", "operations",
        "PCIe of GPU {{ $labels.gpu }} of {{ $labels.node }} repeats "
        '{{ $value | printf "%.0f" }} packets a minute',
        "The PCIe link of GPU {{ $labels.gpu }} of {{ $labels.node }} sends packets again, more than 8 a "
        "minute: a bad contact, riser or slot. Drain and reseat.",
        LINKS, ("cluster", "node"),
    ),
)  # fmt: skip
