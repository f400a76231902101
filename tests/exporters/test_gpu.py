"""GPUs on a page: readings of those that answered, and for the others only what is known of them."""

from __future__ import annotations

import pytest

from exporters.catalogue import BY_NAME
from exporters.gpu import PREFIX, add_gpus
from exporters.page import Page
from opsd.core.telemetry import QUANTITIES, Driver, Gpu, Identity, Reading, Snapshot, Xid

WHO = Identity("GPU-a", 0, "NVIDIA H100", "123", "0000:10:00.0", "96.00")


def page_of(*gpus: Gpu) -> Page:
    """A page of these GPUs."""
    page = Page()
    add_gpus(page, Snapshot(gpus, Driver("590.48", "13.1", "13.590"), len(gpus)))
    return page


def test_every_quantity_has_a_metric() -> None:
    """Each quantity's name and kinds are a row of the catalogue."""
    for quantity in QUANTITIES.values():
        parent = ("parent",) if quantity.of == "slice" else ()
        assert ("gpu", "uuid", *parent, *quantity.labels) == BY_NAME[PREFIX + quantity.name].labels


def test_a_gpu_that_answers() -> None:
    """Its readings, identity and troubles stand on the page."""
    values = {Reading("utilization_ratio"): 0.5, Reading("clock_hertz", ("sm",)): 1e9}
    page = page_of(
        Gpu(
            index=0,
            condition="up",
            identity=WHO,
            values=values,
            sampled_at=7,
            sample_seconds=0.1,
            failures={"hung": 2},
            rejected={"processes": 1},
            failed={"utilization_ratio": 3},
            unsupported=frozenset({"energy_joules_total"}),
            xids={79: Xid(4, 5.0)},
        )
    )

    me = ("0", "GPU-a")
    expected = {
        "opsd_gpu_info": {(*me, "NVIDIA H100", "123", "0000:10:00.0", "96.00"): 1},
        "opsd_gpu_driver_info": {("590.48", "13.1", "13.590"): 1},
        "opsd_gpu_devices_visible": {(): 1},
        "opsd_gpu_up": {me: 1},
        "opsd_gpu_hung": {me: 0},
        "opsd_gpu_lost": {me: 0},
        "opsd_gpu_last_sample_timestamp_seconds": {me: 7},
        "opsd_gpu_sample_duration_seconds": {me: 0.1},
        "opsd_gpu_utilization_ratio": {me: 0.5},
        "opsd_gpu_clock_hertz": {(*me, "sm"): 1e9},
        "opsd_gpu_sample_failures_total": {(*me, "hung"): 2},
        "opsd_gpu_rejected_readings_total": {(*me, "processes"): 1},
        "opsd_gpu_failed_readings_total": {(*me, "utilization_ratio"): 3},
        "opsd_gpu_unsupported_info": {(*me, "energy_joules_total"): 1},
        "opsd_gpu_xid_errors_total": {(*me, "79"): 4},
        "opsd_gpu_xid_last_timestamp_seconds": {(*me, "79"): 5},
    }
    assert expected == {name: dict(page.series(name)) for name in BY_NAME if page.series(name)}


def test_a_hung_gpu_shows_its_age_and_no_readings() -> None:
    """What was read before is not shown again, except when that was."""
    page = page_of(Gpu(index=0, condition="hung", identity=WHO, sampled_at=7, sample_seconds=0.1))

    assert {("0", "GPU-a"): 0} == page.series("opsd_gpu_up")
    assert {("0", "GPU-a"): 1} == page.series("opsd_gpu_hung")
    assert {("0", "GPU-a"): 7} == page.series("opsd_gpu_last_sample_timestamp_seconds")
    assert [] == [name for name in QUANTITIES if page.series(PREFIX + name)]


def test_a_driver_that_says_nothing() -> None:
    """Without an answer there is no count and no version."""
    page = Page()
    add_gpus(page, Snapshot(trouble="gone"))

    assert [] == [name for name in BY_NAME if page.series(name)]


@pytest.mark.parametrize(("deaf", "expected"), [("", {("xids",): 1}), ("gone", {("xids",): 0}), (None, {})])
def test_whether_xids_are_heard(deaf: str | None, expected: dict[tuple[str, ...], int]) -> None:
    """A collector like others; absent where nobody listens."""
    page = Page()
    add_gpus(page, Snapshot(deaf=deaf))

    assert expected == page.series("opsd_node_collector_up")
