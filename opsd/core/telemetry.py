"""What is read of a node's GPUs.

Invariant: a value that was not read just now is absent, never an older one; only what rarely changes may be a
minute old, while its GPU answers. A reading outside its physical range is no reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Condition = Literal["up", "hung", "lost", "error"]
FAILURES: tuple[Condition, ...] = ("hung", "lost", "error")


class Quantity(NamedTuple):
    """What can be read of a GPU, or of a MIG device, in base units; `labels` tell its kinds apart."""

    name: str
    lowest: float
    highest: float
    labels: tuple[str, ...] = ()
    of: Literal["gpu", "slice"] = "gpu"


_BYTES = 2.0**45
_WATTS = 20_000.0
_COUNT = 1e12
_COUNTED_IN_32_BITS = 2.0**32 - 2  # all bits set is a blank
_MOVED = 2.0**62  # blanks are near 2^63 and 2^64

QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("utilization_ratio", 0, 1),
        Quantity("memory_copy_utilization_ratio", 0, 1),
        Quantity("memory_total_bytes", 1, _BYTES),
        Quantity("memory_used_bytes", 0, _BYTES),
        Quantity("memory_free_bytes", 0, _BYTES),
        Quantity("memory_reserved_bytes", 0, _BYTES),
        Quantity("bar1_used_bytes", 0, _BYTES),
        Quantity("encoder_utilization_ratio", 0, 1),
        Quantity("decoder_utilization_ratio", 0, 1),
        Quantity("fan_speed_ratio", 0, 2),  # of its usual highest, which it may pass
        Quantity("power_average_watts", 0, _WATTS),
        Quantity("power_instant_watts", 0, _WATTS),
        Quantity("power_memory_average_watts", 0, _WATTS),
        Quantity("power_limit_watts", 0, _WATTS, ("kind",)),
        Quantity("energy_joules_total", 0, 1e13),
        Quantity("temperature_celsius", 0, 200, ("sensor",)),  # below zero is a sentinel, not a machine hall
        Quantity("temperature_margin_celsius", -200, 200),
        Quantity("temperature_margin_threshold_celsius", -200, 200, ("kind",)),
        Quantity("temperature_threshold_celsius", 0, 200, ("kind",)),
        Quantity("clock_hertz", 0, 1e10, ("domain",)),
        Quantity("clock_max_hertz", 0, 1e10, ("domain",)),
        Quantity("clock_event_active", 0, 1, ("reason",)),
        Quantity("clock_event_seconds_total", 0, 1e9, ("reason",)),
        Quantity("ecc_mode", 0, 1),
        Quantity("ecc_mode_pending", 0, 1),
        Quantity("ecc_errors_total", 0, _COUNT, ("severity", "lifetime")),
        Quantity("ecc_location_errors_total", 0, _COUNT, ("severity", "lifetime", "location")),
        Quantity("sram_uncorrected_errors_total", 0, _COUNT, ("source",)),
        Quantity("sram_threshold_exceeded", 0, 1),
        Quantity("remapped_rows", 0, 1e6, ("cause",)),
        Quantity("row_remap_pending", 0, 1),
        Quantity("row_remap_failure", 0, 1),
        Quantity("row_remap_banks", 0, 1e6, ("availability",)),
        Quantity("repair_pending", 0, 1, ("kind",)),
        Quantity("retired_pages", 0, 1e6, ("cause",)),
        Quantity("retired_pages_pending", 0, 1),
        Quantity("recovery_action", 0, 100),
        Quantity("persistence_mode", 0, 1),
        Quantity("pcie_transmit_bytes_total", 0, _MOVED),
        Quantity("pcie_receive_bytes_total", 0, _MOVED),
        Quantity("pcie_link_generation", 1, 20),
        Quantity("pcie_link_generation_max", 1, 20),
        Quantity("pcie_link_width_lanes", 1, 64),
        Quantity("pcie_link_width_max_lanes", 1, 64),
        Quantity("pcie_replays_total", 0, _COUNTED_IN_32_BITS),
        Quantity("pcie_errors_total", 0, _COUNTED_IN_32_BITS, ("kind",)),
        Quantity("nvlink_links_active", 0, 100),
        Quantity("nvlink_transmit_bytes_total", 0, _MOVED),
        Quantity("nvlink_receive_bytes_total", 0, _MOVED),
        Quantity("nvlink_errors_total", 0, _COUNT, ("kind",)),
        Quantity("nvlink_link_up", 0, 1, ("link",)),
        Quantity("nvlink_link_transmit_bytes_total", 0, _MOVED, ("link",)),
        Quantity("nvlink_link_receive_bytes_total", 0, _MOVED, ("link",)),
        Quantity("nvlink_link_errors_total", 0, _COUNT, ("link", "kind")),
        Quantity("fabric_state", 0, 10),
        Quantity("processes", 0, 1e6),
        Quantity("sm_active_ratio", 0, 1),
        Quantity("sm_occupancy_ratio", 0, 1),
        Quantity("tensor_active_ratio", 0, 1),
        Quantity("tensor_pipe_active_ratio", 0, 1, ("pipe",)),
        Quantity("dram_active_ratio", 0, 1),
        Quantity("fp64_active_ratio", 0, 1),
        Quantity("fp32_active_ratio", 0, 1),
        Quantity("fp16_active_ratio", 0, 1),
        Quantity("integer_active_ratio", 0, 1),
        Quantity("mig_mode", 0, 1),
        Quantity("mig_memory_total_bytes", 1, _BYTES, of="slice"),
        Quantity("mig_memory_used_bytes", 0, _BYTES, of="slice"),
        Quantity("mig_memory_free_bytes", 0, _BYTES, of="slice"),
        Quantity("mig_memory_reserved_bytes", 0, _BYTES, of="slice"),
        Quantity("mig_sm_active_ratio", 0, 1, of="slice"),
        Quantity("mig_sm_occupancy_ratio", 0, 1, of="slice"),
        Quantity("mig_tensor_active_ratio", 0, 1, of="slice"),
        Quantity("mig_dram_active_ratio", 0, 1, of="slice"),
    )
}


class Reading(NamedTuple):
    """One value's name: a quantity and, where it has kinds, which."""

    quantity: str
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.quantity, *self.kinds))


def is_possible(reading: Reading, value: float) -> bool:
    """Whether a value lies in its physical range."""
    quantity = QUANTITIES[reading.quantity]
    return quantity.lowest <= value <= quantity.highest


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a GPU is. `minor`: the number in /dev/nvidiaN, by which Slurm names it."""

    uuid: str
    minor: int | None
    name: str = ""
    serial: str = ""
    pci: str = ""
    vbios: str = ""


class Xid(NamedTuple):
    """How often an XID error was reported since the agent started, and when last, also before that."""

    times: int
    last: float


def merged(one: Mapping[int, Xid], other: Mapping[int, Xid]) -> dict[int, Xid]:
    """What two sources heard of the same errors. Each misses some, neither makes any up: the larger count."""
    nothing = Xid(0, 0.0)
    pairs = {xid: (one.get(xid, nothing), other.get(xid, nothing)) for xid in sorted({*one, *other})}
    return {xid: Xid(max(a.times, b.times), max(a.last, b.last)) for xid, (a, b) in pairs.items()}


class Process(NamedTuple):
    """A process that computes on a GPU. `instance`: the number of its GPU instance, under MIG."""

    pid: int
    memory_bytes: int | None = None
    instance: int | None = None
    compute_instance: int | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """A MIG device: a compute instance of a GPU instance, with a UUID of its own.

    `values` are readings whose quantities begin with `mig_`. GPM is read per GPU instance, so compute
    instances of one GPU instance show the same activity. `gpm_seconds`: of how long a time it is the mean.
    """

    uuid: str
    instance: int
    compute_instance: int
    profile: str  # 1g.10gb
    part: float | None = None  # its SMs as a part of the GPU's
    values: Mapping[Reading, float] = field(default_factory=dict)
    gpm_seconds: float | None = None  # None: there is no activity in `values`


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU now. Only an `up` one has values; `trouble` says in words why one is not."""

    index: int
    condition: Condition
    identity: Identity | None = None
    trouble: str = ""
    values: Mapping[Reading, float] = field(default_factory=dict)
    sampled_at: float | None = None
    sample_seconds: float | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, int] = field(default_factory=dict)
    unsupported: frozenset[str] = frozenset()
    xids: Mapping[int, Xid] = field(default_factory=dict)
    events: Mapping[str, Xid] = field(default_factory=dict)  # what else the driver reported, by name
    is_mig: bool = False
    slices: tuple[Slice, ...] = ()  # of one that is not up: those last seen, without values
    gpm_seconds: float | None = None  # of how long a time its activity is the mean; None: it has none now
    processes: tuple[Process, ...] | None = None  # None: the driver does not tell

    @property
    def uuid(self) -> str:
        """Its UUID; empty before the driver told it."""
        return self.identity.uuid if self.identity else ""


class Driver(NamedTuple):
    """Versions of the driver, of the CUDA it supports, and of the library NVML."""

    version: str
    cuda: str
    nvml: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A node's GPUs at one moment. With `trouble` the driver itself did not answer.

    `deaf` says in words why XIDs are not heard; it is empty where they are, None where nobody listens.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: Driver | None = None
    visible: int | None = None
    trouble: str = ""
    deaf: str | None = None
