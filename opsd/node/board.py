"""What a page says of a node's GPUs, as rows for somebody who looks at them.

Invariant: it reads a page and nothing else, so that a table of an agent far away and one of this node are
made alike; what a page does not say is None, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from exporters.catalogue import BY_NAME
from exporters.page import Page

Labels = Mapping[str, str]

_XID_FRESH_SECONDS = 3600.0
_RECOVERY = {1: "reset it", 2: "reboot the node", 3: "drain peer-to-peer", 4: "drain and reset it"}
_HARMLESS = frozenset({"gpu_idle", "applications_clocks_setting", "sw_power_cap", "display_clock_setting"})


@dataclass(frozen=True, slots=True)
class Holder:
    """A job on a device, and the share of it that it holds."""

    job: str
    user: str
    account: str
    share: float
    processes: int | None


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or (with `parent`) a MIG device of the GPU above it. Ratios are 0 to 1, the rest base units."""

    gpu: str
    uuid: str
    name: str
    parent: str = ""
    state: str = "up"
    age: float | None = None  # seconds since its last sample
    activity: float | None = None
    is_sm_activity: bool = False  # else utilisation: that a kernel ran
    tensor: float | None = None
    dram: float | None = None
    memory_used: float | None = None
    memory_total: float | None = None
    power: float | None = None
    power_limit: float | None = None
    temperature: float | None = None
    memory_temperature: float | None = None
    clock: float | None = None
    clock_max: float | None = None
    processes: float | None = None
    faults: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """A node as its page shows it."""

    devices: tuple[Device, ...]
    driver: str
    cuda: str
    visible: float | None
    troubles: tuple[str, ...]
    at: float | None
    is_released: bool = False


class Shown:
    """A page, to be asked for single values."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def series(self, name: str, **wanted: str) -> Iterator[tuple[Labels, float]]:
        """Labels and values of the series that carry these labels."""
        for key, value in self._page.series(name).items():
            labels = dict(zip(BY_NAME[name].labels, key, strict=True))
            if wanted.items() <= labels.items():
                yield labels, value

    def value(self, name: str, **wanted: str) -> float | None:
        """The first of them."""
        return next((value for _, value in self.series(name, **wanted)), None)


def board(page: Page, now: float) -> Board:
    """The rows of a page, in the order of the GPUs' numbers, MIG devices below their GPU."""
    shown = Shown(page)
    devices: list[Device] = []
    ups = sorted(shown.series("opsd_gpu_up"), key=lambda pair: _in_order(pair[0]["gpu"]))
    for labels, _ in ups:
        devices.append(_gpu(shown, labels["gpu"], labels["uuid"], now))
        devices += _slices(shown, labels["gpu"], labels["uuid"])
    driver = next((labels for labels, _ in shown.series("opsd_gpu_driver_info")), {})
    return Board(
        devices=tuple(devices),
        driver=driver.get("driver", ""),
        cuda=driver.get("cuda", ""),
        visible=shown.value("opsd_gpu_devices_visible"),
        troubles=tuple(
            labels["collector"] for labels, value in shown.series("opsd_node_collector_up") if not value
        ),
        at=shown.value("opsd_page_timestamp_seconds"),
        is_released=bool(shown.value("opsd_node_released")),
    )


def _in_order(number: str) -> tuple[int, str]:
    """Numbers by their size; another agent's page may hold something else, or nothing."""
    return (int(number) if number.isdecimal() else -1, number)


def _gpu(shown: Shown, gpu: str, uuid: str, now: float) -> Device:
    me = {"gpu": gpu, "uuid": uuid}

    def read(name: str, **kinds: str) -> float | None:
        return shown.value(f"opsd_gpu_{name}", **me, **kinds)

    sampled = read("last_sample_timestamp_seconds")
    activity, is_sm = _activity(read("sm_active_ratio"), read("utilization_ratio"))
    info = next((labels for labels, _ in shown.series("opsd_gpu_info", **me)), {})
    return Device(
        gpu=gpu,
        uuid=uuid,
        name=info.get("name", ""),
        state=_state(read),
        age=None if sampled is None else max(0.0, now - sampled),
        activity=activity,
        is_sm_activity=is_sm,
        tensor=read("tensor_active_ratio"),
        dram=read("dram_active_ratio"),
        memory_used=read("memory_used_bytes"),
        memory_total=read("memory_total_bytes"),
        power=read("power_average_watts"),
        power_limit=read("power_limit_watts", kind="enforced"),
        temperature=read("temperature_celsius", sensor="gpu"),
        memory_temperature=read("temperature_celsius", sensor="memory"),
        clock=read("clock_hertz", domain="sm"),
        clock_max=read("clock_max_hertz", domain="sm"),
        processes=read("processes"),
        faults=tuple(_faults(shown, me, now)),
        holders=_holders(shown, uuid),
    )


def _slices(shown: Shown, gpu: str, parent: str) -> Iterator[Device]:
    found = shown.series("opsd_gpu_mig_info", gpu=gpu, parent=parent)
    for labels, _ in sorted(found, key=lambda pair: _in_order(pair[0]["instance"])):
        me = {"gpu": gpu, "uuid": labels["uuid"]}
        active = shown.value("opsd_gpu_mig_sm_active_ratio", **me)
        yield Device(
            gpu=gpu,
            uuid=labels["uuid"],
            name=labels["profile"],
            parent=parent,
            activity=active,
            is_sm_activity=active is not None,
            tensor=shown.value("opsd_gpu_mig_tensor_active_ratio", **me),
            dram=shown.value("opsd_gpu_mig_dram_active_ratio", **me),
            memory_used=shown.value("opsd_gpu_mig_memory_used_bytes", **me),
            memory_total=shown.value("opsd_gpu_mig_memory_total_bytes", **me),
            holders=_holders(shown, labels["uuid"]),
        )


def _activity(sm: float | None, utilisation: float | None) -> tuple[float | None, bool]:
    return (utilisation, False) if sm is None else (sm, True)


def _state(read: Callable[[str], float | None]) -> str:
    for state in ("hung", "lost"):
        if read(state):
            return state
    return "up" if read("up") else "error"


def _holders(shown: Shown, uuid: str) -> tuple[Holder, ...]:
    found = []
    for labels, share in shown.series("opsd_gpu_job_info", uuid=uuid):
        processes = shown.value("opsd_gpu_job_processes", uuid=uuid, jobid=labels["jobid"])
        found.append(
            Holder(
                labels["jobid"],
                labels["user"],
                labels["account"],
                share,
                None if processes is None else int(processes),
            )
        )
    return tuple(sorted(found, key=lambda holder: holder.job))


def _faults(shown: Shown, me: Labels, now: float) -> Iterator[str]:
    """In words, the worst first; only what somebody should know about."""
    action = shown.value("opsd_gpu_recovery_action", **me)
    if action:
        yield _RECOVERY.get(int(action), f"recovery action {action:g}")
    for labels, last in shown.series("opsd_gpu_xid_last_timestamp_seconds", **me):
        if now - last < _XID_FRESH_SECONDS:
            yield f"XID {labels['xid']}"
    if shown.value("opsd_gpu_row_remap_failure", **me):
        yield "row remap failed"
    if shown.value("opsd_gpu_row_remap_pending", **me):
        yield "row remap pending"
    errors = shown.value("opsd_gpu_ecc_errors_total", **me, severity="uncorrected", lifetime="volatile")
    if errors:
        yield f"{errors:.0f} uncorrected ECC"
    for labels, value in shown.series("opsd_gpu_clock_event_active", **me):
        if value and labels["reason"] not in _HARMLESS:
            yield labels["reason"].replace("_", " ")
