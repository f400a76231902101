"""Whole pages of `opsd-node --once`, by what its GPUs and its driver are and how they are.

They are the stand-in's, whose answers are those recorded on an H200 as far as it was there to be asked.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from exporters.catalogue import BY_NAME
from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.pages import masked, series_of_gpus

DATA = Path(__file__).parents[2] / "data" / "metrics"
PAGES: dict[str, dict[str, object]] = {
    "h200": {"gpus": 1, "profile": "h200"},
    "old": {"gpus": 1, "profile": "old"},
    "lost": {"gpus": 2, "lost.1": 1},
    "hung": {"gpus": 2, "hang.1": 1},
    "no_driver": {"error.nvmlInitWithFlags": 9},
}
SERIES_OF_A_GPU = 140
SERIES_OF_A_NODE = 15
SERIES_OF_LINKS = 108
# What nvitop-exporter tells of a GPU, and where it is here. Rates are what counters give.
NVITOP = {
    "gpu_utilization": "opsd_gpu_utilization_ratio",
    "gpu_memory_utilization": "opsd_gpu_memory_copy_utilization_ratio",
    "gpu_encoder_utilization": "opsd_gpu_encoder_utilization_ratio",
    "gpu_decoder_utilization": "opsd_gpu_decoder_utilization_ratio",
    "gpu_memory_total": "opsd_gpu_memory_total_bytes",
    "gpu_memory_used": "opsd_gpu_memory_used_bytes",
    "gpu_memory_free": "opsd_gpu_memory_free_bytes",
    "gpu_memory_percent": "opsd_gpu_memory_used_bytes",
    "gpu_clock_sm": "opsd_gpu_clock_hertz",
    "gpu_clock_memory": "opsd_gpu_clock_hertz",
    "gpu_clock_graphics": "opsd_gpu_clock_hertz",
    "gpu_clock_video": "opsd_gpu_clock_hertz",
    "gpu_power_usage": "opsd_gpu_power_average_watts",
    "gpu_power_limit": "opsd_gpu_power_limit_watts",
    "gpu_temperature": "opsd_gpu_temperature_celsius",
    "gpu_fan_speed": "opsd_gpu_fan_speed_ratio",
    "gpu_pcie_tx_throughput": "opsd_gpu_pcie_transmit_bytes_total",
    "gpu_pcie_rx_throughput": "opsd_gpu_pcie_receive_bytes_total",
    "gpu_nvlink_total_tx_throughput": "opsd_gpu_nvlink_transmit_bytes_total",
    "gpu_nvlink_total_rx_throughput": "opsd_gpu_nvlink_receive_bytes_total",
    "gpu_nvlink_mean_tx_throughput": "opsd_gpu_nvlink_links_active",
    "gpu_nvlink_mean_rx_throughput": "opsd_gpu_nvlink_links_active",
    "gpu_nvlink_tx_throughput": "opsd_gpu_nvlink_link_transmit_bytes_total",
    "gpu_nvlink_rx_throughput": "opsd_gpu_nvlink_link_receive_bytes_total",
}


def page(fake: FakeNvml, folder: Path, knobs: Mapping[str, object], *flags: str) -> str:
    """What the agent shows once, with the driver's clock at 100 seconds."""
    fake.set(frozen=100, **knobs)
    (folder / "jobs").mkdir()
    command = [sys.executable, "-m", "opsd.node", "--once", f"--jobs.directory={folder / 'jobs'}", *flags]
    return subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True).stdout


def count(shown: str, gpu: str) -> int:
    """Series of one GPU, or with "" those of none."""
    series = [line for line in shown.splitlines() if line and not line.startswith("#")]
    return sum(f'gpu="{gpu}"' in line if gpu else 'gpu="' not in line for line in series)


@pytest.mark.golden
@pytest.mark.parametrize("name", PAGES)
def test_a_page(name: str, fake_nvml: FakeNvml, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """It is as its golden file has it."""
    golden(DATA / f"{name}.prom", masked(page(fake_nvml, tmp_path, PAGES[name])))


@pytest.mark.prometheus
@pytest.mark.parametrize("flags", [(), ("--collector.nvlink-links",)], ids=["plain", "with links"])
def test_promtool_has_nothing_to_say(
    flags: tuple[str, ...], fake_nvml: FakeNvml, tmp_path: Path, promtool: str
) -> None:
    """Names, types and units of everything there is are as Prometheus wants them."""
    shown = page(fake_nvml, tmp_path, {"mig.1": "1:0:3g.40gb", "set.utilization.2": 999}, *flags)

    command = [promtool, "check", "metrics"]
    checked = subprocess.run(command, input=shown, check=False, capture_output=True, text=True)

    assert ("", "", 0) == (checked.stdout, checked.stderr, checked.returncode)
    assert shown


def test_how_many_series_there_are(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """So many of each healthy H100, and of the node; with each NVLink link by itself so many more."""
    shown = page(fake_nvml, tmp_path, {"gpus": 2})
    assert [SERIES_OF_A_GPU] * 2 + [SERIES_OF_A_NODE] == [count(shown, gpu) for gpu in ("0", "1", "")]

    (tmp_path / "jobs").rmdir()
    shown = page(fake_nvml, tmp_path, {"gpus": 2}, "--collector.nvlink-links")
    assert SERIES_OF_A_GPU + SERIES_OF_LINKS == count(shown, "1")


def test_the_documentation_says_how_many() -> None:
    """The numbers in docs/metrics.md are those that are tested here."""
    words = " ".join((Path(__file__).parents[3] / "docs" / "metrics.md").read_text().split())

    node = 8 * SERIES_OF_A_GPU + SERIES_OF_A_NODE
    assert f"has {SERIES_OF_A_GPU} series, a node of eight {node}" in words
    assert f"`--collector.nvlink-links` adds {SERIES_OF_LINKS} to each GPU" in words


def test_the_stand_in_has_the_series_of_a_real_gpu(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Every series of a page that was recorded on an H200 stands on the stand-in's page of one."""
    recorded = series_of_gpus((DATA / "h200_recorded.prom").read_text())
    shown = series_of_gpus(page(fake_nvml, tmp_path, {"gpus": 1, "profile": "h200", "nvlinks": 0}))

    assert 59 == len(recorded)
    assert {"opsd_gpu_info", "opsd_gpu_driver_info"} == {name for name, _ in recorded - shown}


def test_nothing_that_nvitop_exporter_tells_is_missing(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Each of its metrics of a GPU has one here, that is on the page or named as what the GPU lacks."""
    found = importlib.util.find_spec("nvitop_exporter")
    if found is not None:  # it is the peer of the benchmarks, which not everybody installs
        source = (Path(str(found.origin)).parent / "exporter.py").read_text()
        assert set(re.findall(r"name='(gpu_\w+)'", source)) == NVITOP.keys()

    shown = page(fake_nvml, tmp_path, {"gpus": 1}, "--collector.nvlink-links")
    lacking = {f"opsd_gpu_{name}" for name in re.findall(r'unsupported_info\{.*reading="(\w+)"', shown)}
    names = {name for name in BY_NAME if f"\n{name}{{" in shown}
    assert set() == set(NVITOP.values()) - names - lacking
    assert {"opsd_gpu_fan_speed_ratio"} == set(NVITOP.values()) - names
