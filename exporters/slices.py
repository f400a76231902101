"""MIG devices, as samples of a metrics page.

Invariant: `uuid` is the MIG device's own and `parent` its GPU's; of a GPU that did not answer only the
devices last seen are on the page, without readings. A device costs nine series.
"""

from __future__ import annotations

from exporters.page import Page
from opsd.core.telemetry import Gpu, Slice

_PREFIX = "opsd_gpu_"


def add_slices(page: Page, gpu: Gpu) -> None:
    """Everything known about a GPU's MIG devices."""
    for device in gpu.slices:
        _add_slice(page, gpu, device)


def _add_slice(page: Page, gpu: Gpu, device: Slice) -> None:
    me = {"gpu": str(gpu.index), "uuid": device.uuid, "parent": gpu.uuid}
    page.add(
        "opsd_gpu_mig_info",
        1,
        **me,
        instance=str(device.instance),
        compute_instance=str(device.compute_instance),
        profile=device.profile,
    )
    for reading, value in device.values.items():
        page.add(_PREFIX + reading.quantity, value, **me)
