"""Cases of the alerts of GPUs and of what their driver reports."""

from __future__ import annotations

from tests.dashboards.cases.case import DAEMON, GPU, NODE, TICKING, Case, Given, of

OTHER = {"job": "opsd-node", "instance": "m:9751", "cluster": "mn5", "node": "acc02"}
NAMED = {"name": "NVIDIA H100"}


def gpus(**values: str) -> Given:
    """A GPU, and its page's clock."""
    page = {of("opsd_page_timestamp_seconds", NODE): TICKING[1]}
    return page | {of(f"opsd_gpu_{name}", NODE, GPU): value for name, value in values.items()}


def labelled(name: str, value: str, **labels: str) -> Given:
    """One reading of the GPU that has a label of its own."""
    return {of(f"opsd_gpu_{name}", NODE, GPU, labels): value}


def xids(number: str, values: str = "_x19 1200x100") -> Given:
    """An XID reported in minute 20."""
    page = {of("opsd_page_timestamp_seconds", NODE): TICKING[1]}
    return page | {of("opsd_gpu_xid_last_timestamp_seconds", NODE, GPU, {"xid": number}): values}


def links(here: str, there: str) -> Given:
    """NVLink of the GPU, and of another of the same name."""
    other = {"gpu": "0", "uuid": "GPU-1"}
    return {
        of("opsd_gpu_nvlink_links_active", NODE, GPU): here,
        of("opsd_gpu_nvlink_links_active", OTHER, other): there,
        of("opsd_gpu_info", NODE, GPU, NAMED): "1x240",
        of("opsd_gpu_info", OTHER, other, NAMED): "1x240",
    }


def pcie(width: int, generation: int, busy: float) -> Given:
    """The link of a GPU that could have 16 lanes of generation 5."""
    return gpus(
        pcie_link_width_lanes=f"{width}x40", pcie_link_width_max_lanes="16x40",
        pcie_link_generation=f"{generation}x40", pcie_link_generation_max="5x40",
        utilization_ratio=f"{busy}x40",
    )  # fmt: skip


def margins(margin: int) -> Given:
    """How far the GPU is from where it slows down, at -2."""
    return gpus(temperature_margin_celsius=f"{margin}x40") | labelled(
        "temperature_margin_threshold_celsius", "-2x40", kind="slowdown"
    )


def memory(celsius: int) -> Given:
    """The temperature of memory that may have 95."""
    return labelled("temperature_celsius", f"{celsius}x40", sensor="memory") | labelled(
        "temperature_threshold_celsius", "95x40", kind="memory_max"
    )


def held(seconds: float, reason: str) -> Given:
    """Clocks that are held down for so many seconds of each minute."""
    return labelled("clock_event_seconds_total", f"0+{seconds}x40", reason=reason)


def errors(kind: str, values: str) -> Given:
    """Errors of NVLink."""
    return labelled("nvlink_errors_total", values, kind=kind)


def ecc(severity: str, lifetime: str, values: str) -> Given:
    """Memory errors."""
    return labelled("ecc_errors_total", values, severity=severity, lifetime=lifetime)


def by_slurm(*counts: int, values: str = "x60") -> Given:
    """What Slurm is configured with there, by class."""
    where = {"cluster": "mn5", "node": "acc01"}
    name = "opsd_slurm_node_gpus"
    return {
        of(name, DAEMON, where, {"class": f"c{place}"}): f"{count}{values}"
        for place, count in enumerate(counts)
    }


VISIBLE, EXPECTED = of("opsd_gpu_devices_visible", NODE), of("opsd_gpu_devices_expected", NODE)
CUT = {of("opsd_gpu_mig_mode", NODE, GPU): "1x100"}
LESS = "acc01 has fewer GPUs than it should"
SUSPECT = of("opsd_gpu_application_xid_users", DAEMON, {
    "cluster": "mn5", "node": "acc01", "uuid": "GPU-9", "xid": "13",
})  # fmt: skip
NVLINK = GPU | {"kind": "recovery"}

FIRING = [
    Case("OpsdGpuHung", gpus(hung="1x20"), 3, GPU, "GPU 2 of acc01 is hung"),
    Case("OpsdGpuLost", gpus(lost="1x20"), 3, GPU, "GPU 2 of acc01 is lost"),
    Case("OpsdGpuMissing", {VISIBLE: "8x30 7x60"}, 45, NODE, "acc01 has fewer GPUs than it should"),
    Case(
        "OpsdGpuMissing", {VISIBLE: "7x60", EXPECTED: "8x60"}, 45, NODE, "acc01 has fewer GPUs than it should"
    ),
    Case("OpsdGpuXid", xids("79"), 25, GPU | {"xid": "79"}, "XID 79 on GPU 2 of acc01"),
    Case("OpsdGpuMissing", {VISIBLE: "7x60"} | by_slurm(4, 4), 45, NODE, LESS),
    Case("OpsdGpuMissing", {VISIBLE: "7x60", EXPECTED: "8x60"} | by_slurm(49) | CUT, 45, NODE, LESS),
    Case("OpsdGpuBlind", CUT, 70, {"cluster": "mn5", "node": "acc01"},
         "1 GPUs of acc01 are cut by MIG: parts of their health cannot be read"),
    *(
        Case("OpsdGpuThrottled", held(6, reason), 20, GPU | {"reason": reason},
             f"GPU 2 of acc01 is slowed down ({reason})")
        for reason in ("hw_thermal_slowdown", "hw_power_brake_slowdown")
    ),
    Case("OpsdGpuHot", margins(0), 20, GPU | {"sensor": "gpu"},
         "GPU 2 of acc01 is 2 degrees from its limit (gpu)"),
    Case("OpsdGpuHot", memory(93), 20, GPU | {"sensor": "memory"},
         "GPU 2 of acc01 is 2 degrees from its limit (memory)"),
    Case("OpsdGpuNvlinkDown", links("16x240", "18x240"), 20, GPU, "GPU 2 of acc01 has only 16 NVLink links"),
    Case("OpsdGpuNvlinkDown", links("18x20 16x240", "16x240"), 40, GPU,
         "GPU 2 of acc01 has only 16 NVLink links"),
    Case("OpsdGpuNvlinkErrors", errors("recovery", "0x20 2x40"), 30, NVLINK,
         "NVLink errors (recovery) on GPU 2 of acc01"),
    Case("OpsdGpuNvlinkErrors", errors("crc_flit", "0+7200x60"), 30, GPU | {"kind": "crc_flit"},
         "NVLink errors (crc_flit) on GPU 2 of acc01"),
    Case("OpsdGpuPcieSlow", pcie(8, 5, 0), 25, GPU | {"what": "lanes"},
         "PCIe of GPU 2 of acc01 runs at lanes 8"),
    Case("OpsdGpuPcieSlow", pcie(16, 3, 0.9), 25, GPU | {"what": "generation"},
         "PCIe of GPU 2 of acc01 runs at generation 3"),
    Case("OpsdGpuPcieReplays", gpus(pcie_replays_total="0+30x60"), 30, GPU,
         "PCIe of GPU 2 of acc01 repeats 30 packets a minute"),
    Case("OpsdGpuXidWorkflow", xids("74"), 25, GPU | {"xid": "74"},
         "XID 74 on GPU 2 of acc01: look what came with it"),
    Case("OpsdGpuXidWorkflow", xids("45"), 25, GPU | {"xid": "45"},
         "XID 45 on GPU 2 of acc01: look what came with it"),
    Case("OpsdGpuXidRepeated", xids("74", "_x19 1200x100 7260x100"), 130, GPU | {"xid": "74"},
         "XID 74 again on GPU 2 of acc01"),
    Case("OpsdGpuXidRepeated", xids("74", "_x19 1200x100 stale _x40 9800x100"), 170, GPU | {"xid": "74"},
         "XID 74 again on GPU 2 of acc01"),  # the node was rebooted in between
    Case("OpsdGpuXidUnknown", xids("999"), 25, GPU | {"xid": "999"},
         "XID 999 on GPU 2 of acc01 is not in opsd's list"),
    Case("OpsdGpuSuspect", {SUSPECT: "3x40"}, 20,
         {"cluster": "mn5", "node": "acc01", "uuid": "GPU-9", "xid": "13"},
         "Programs of 3 users failed with XID 13 on one GPU of acc01"),
    *(
        Case("OpsdGpuRecoveryAction", gpus(recovery_action=f"{action}x20"), 5, GPU, f"GPU 2 of acc01 {words}")
        for action, words in (
            (1, "is to be reset"), (2, "needs its node rebooted"), (3, "is to be drained"),
            (4, "is to be drained"),
        )
    ),
    Case("OpsdGpuUncorrectedErrors", ecc("uncorrected", "volatile", "0x5 2x20"), 10, GPU,
         "GPU 2 of acc01 had 2 uncorrected memory errors"),
    Case("OpsdGpuRowRemapFailed", gpus(row_remap_failure="1x20"), 5, GPU,
         "GPU 2 of acc01 has bad memory that cannot be replaced by spare rows"),
    Case("OpsdGpuSramThreshold", gpus(sram_threshold_exceeded="1x20"), 10, GPU,
         "GPU 2 of acc01 had too many SRAM errors: have it replaced"),
    Case("OpsdGpuRepairPending", gpus(row_remap_pending="1x20"), 10, GPU,
         "GPU 2 of acc01 mends its memory at the next reset"),
    Case("OpsdGpuRepairPending",
         gpus(row_remap_pending="0x20") | labelled("repair_pending", "1x20", kind="channel"), 10, GPU,
         "GPU 2 of acc01 mends its memory at the next reset"),
]  # fmt: skip
QUIET = [
    Case("OpsdGpuHung", gpus(hung="0x20"), 3),
    Case("OpsdGpuHung", gpus(hung="0x5 1x1 0x20"), 8),  # it answered after all
    Case("OpsdGpuLost", gpus(lost="0x20"), 3),
    Case("OpsdGpuMissing", {VISIBLE: "8x90"}, 45),
    Case("OpsdGpuMissing", {VISIBLE: "8x90", EXPECTED: "8x90"}, 45),
    Case("OpsdGpuXid", xids("79"), 60),  # long ago
    Case("OpsdGpuXid", xids("13"), 25),  # the job's own fault
    Case("OpsdGpuMissing", {VISIBLE: "7x60"} | by_slurm(4, 3), 45),
    Case("OpsdGpuMissing", {VISIBLE: "8x30 7x60"} | by_slurm(8, values="x30 7x60"), 45),  # on purpose
    Case("OpsdGpuMissing", {VISIBLE: "7x60", EXPECTED: "8x60"} | by_slurm(7), 45),  # Slurm was told
    Case("OpsdGpuMissing", {VISIBLE: "8x60"} | by_slurm(56) | CUT, 45),  # it counts MIG devices
    Case("OpsdGpuBlind", gpus(mig_mode="0x100"), 70),
    Case("OpsdGpuBlind", gpus(mig_mode="1x100", row_remap_failure="0x100"), 70),
    Case("OpsdGpuThrottled", held(2, "hw_thermal_slowdown"), 20),
    Case("OpsdGpuThrottled", held(60, "sw_power_cap"), 20),  # every day under load
    Case("OpsdGpuHot", margins(8), 20),
    Case("OpsdGpuHot", memory(85), 20),
    Case("OpsdGpuNvlinkDown", links("18x240", "18x240"), 20),
    Case("OpsdGpuNvlinkErrors", errors("recovery", "7x60"), 30),
    Case("OpsdGpuNvlinkErrors", errors("crc_flit", "0+60x60"), 30),
    Case("OpsdGpuPcieSlow", pcie(16, 1, 0), 25),  # idle GPUs save power
    Case("OpsdGpuPcieSlow", pcie(16, 5, 0.9), 25),
    Case("OpsdGpuPcieReplays", gpus(pcie_replays_total="0+3x60"), 30),
    Case("OpsdGpuXid", xids("74"), 25),
    Case("OpsdGpuXidWorkflow", xids("79"), 25),
    Case("OpsdGpuXidWorkflow", xids("74"), 60),
    Case("OpsdGpuXidRepeated", xids("74"), 25),  # the first time
    Case("OpsdGpuXidRepeated", xids("74", "_x19 1200x2 1320x100"), 35),  # a burst
    Case("OpsdGpuXidRepeated", xids("45", "_x19 1200x100 7260x100"), 130),  # somebody ended two programs
    *(Case("OpsdGpuXidUnknown", xids(number), 25) for number in ("13", "63", "79", "154", "144")),
    Case("OpsdGpuSuspect", {SUSPECT: "2x40"}, 20),
    Case("OpsdGpuRecoveryAction", gpus(recovery_action="0x20"), 5),
    Case("OpsdGpuUncorrectedErrors", ecc("corrected", "volatile", "9x20"), 10),
    Case("OpsdGpuUncorrectedErrors", ecc("uncorrected", "aggregate", "9x20"), 10),  # long ago
    Case("OpsdGpuRowRemapFailed", gpus(row_remap_failure="0x20"), 5),
    Case("OpsdGpuSramThreshold", gpus(sram_threshold_exceeded="0x20"), 10),
    Case("OpsdGpuRepairPending", gpus(row_remap_pending="0x20"), 10),
]  # fmt: skip
