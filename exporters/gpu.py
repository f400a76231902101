"""GPUs as samples of a metrics page.

Invariant: a GPU that did not answer has no readings on the page, only what is known about it.
"""

from __future__ import annotations

from collections.abc import Mapping

from exporters.page import Page
from exporters.slices import add_slices
from opsd.core.telemetry import QUANTITIES, Gpu, Snapshot, Xid

PREFIX = "opsd_gpu_"


def add_gpus(page: Page, snapshot: Snapshot) -> None:
    """Everything known about a node's GPUs."""
    if snapshot.driver is not None:
        driver = snapshot.driver
        page.add("opsd_gpu_driver_info", 1, driver=driver.version, cuda=driver.cuda, nvml=driver.nvml)
    if snapshot.visible is not None:
        page.add("opsd_gpu_devices_visible", snapshot.visible)
    if snapshot.deaf is not None:
        page.add("opsd_node_collector_up", not snapshot.deaf, collector="xids")
    for gpu in snapshot.gpus:
        _add_gpu(page, gpu)


def add_strays(page: Page, told: Mapping[str, Mapping[int, Xid]]) -> None:
    """XIDs of GPUs, by UUID, that the driver does not show, and so have no number."""
    for uuid, xids in told.items():
        _add_xids(page, xids, {"gpu": "", "uuid": uuid})


def _add_gpu(page: Page, gpu: Gpu) -> None:
    me = {"gpu": str(gpu.index), "uuid": gpu.uuid}
    if gpu.identity is not None:
        who = gpu.identity
        page.add("opsd_gpu_info", 1, **me, name=who.name, serial=who.serial, pci=who.pci, vbios=who.vbios)
    page.add("opsd_gpu_up", gpu.condition == "up", **me)
    page.add("opsd_gpu_hung", gpu.condition == "hung", **me)
    page.add("opsd_gpu_lost", gpu.condition == "lost", **me)
    if gpu.sampled_at is not None:
        page.add("opsd_gpu_last_sample_timestamp_seconds", gpu.sampled_at, **me)
    if gpu.sample_seconds is not None:
        page.add("opsd_gpu_sample_duration_seconds", gpu.sample_seconds, **me)
    for reading, value in gpu.values.items():
        kinds = dict(zip(QUANTITIES[reading.quantity].labels, reading.kinds, strict=True))
        page.add(PREFIX + reading.quantity, value, **me, **kinds)
    add_slices(page, gpu)
    _add_troubles(page, gpu, me)


def _add_troubles(page: Page, gpu: Gpu, me: dict[str, str]) -> None:
    for reason, count in gpu.failures.items():
        page.add("opsd_gpu_sample_failures_total", count, **me, reason=reason)
    for reading, count in gpu.rejected.items():
        page.add("opsd_gpu_rejected_readings_total", count, **me, reading=reading)
    for reading, count in gpu.failed.items():
        page.add("opsd_gpu_failed_readings_total", count, **me, reading=reading)
    for reading in sorted(gpu.unsupported):
        page.add("opsd_gpu_unsupported_info", 1, **me, reading=reading)
    _add_xids(page, gpu.xids, me)
    for event, seen in gpu.events.items():
        page.add("opsd_gpu_driver_events_total", seen.times, **me, event=event)
        page.add("opsd_gpu_driver_event_last_timestamp_seconds", seen.last, **me, event=event)


def _add_xids(page: Page, xids: Mapping[int, Xid], me: Mapping[str, str]) -> None:
    for xid, seen in xids.items():
        page.add("opsd_gpu_xid_errors_total", seen.times, **me, xid=str(xid))
        page.add("opsd_gpu_xid_last_timestamp_seconds", seen.last, **me, xid=str(xid))
