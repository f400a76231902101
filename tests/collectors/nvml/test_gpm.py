"""Activity by GPM, on a stand-in that knows its own integral and lies as hardware does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from collectors.nvml.gpm import METRICS
from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.running import Scraped

SM = "sm_active_ratio"
BEGIN = """
import json
from tests.fakes.nvml.stepping import *
machine = Stepped()
look_at = machine.look_at
"""


def run(fake: FakeNvml, program: str) -> Any:
    """What a program on this machine prints as JSON."""
    command = [sys.executable, "-c", BEGIN + program]
    ran = subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def once(fake: FakeNvml, folder: Path, *flags: str) -> Scraped:
    """The page of `opsd-node --once`."""
    command = [sys.executable, "-m", "opsd.node", "--once", f"--jobs.directory={folder / 'jobs'}", *flags]
    (folder / "jobs").mkdir()
    ran = subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True)
    assert (0, "") == (ran.returncode, ran.stderr)
    return Scraped(ran.stdout)


def test_activity_adds_up(fake_nvml: FakeNvml) -> None:
    """Values times the seconds they speak of are the stand-in's own integral, however irregular."""
    program = """
look_at(100)
start, begun, active, seconds = 100, sm_seconds(0), 0, 0
for step, knob in ((5, None), (0.3, 0), (0.05, 0), (7.1, 100), (120, None), (5, 3), (599, None), (0.1, None)):
    start += step
    machine.at(start)
    before = sm_seconds(0)
    gpu = machine.look()[0]
    if gpu.gpm_seconds:
        active += gpu.gpm_seconds * named(gpu.values)["sm_active_ratio"]
        seconds += gpu.gpm_seconds
    machine.at(start, set__sm_active__0=knob)
    sm_seconds(0)  # the knob counts from here
print(json.dumps([active, sm_seconds(0) - begun, seconds, start - 100]))
"""
    active, expected, seconds, passed = run(fake_nvml, program)

    assert expected == pytest.approx(active, rel=1e-12)
    assert passed == pytest.approx(seconds, rel=1e-12)
    assert 100 < active < passed


def test_what_is_read(fake_nvml: FakeNvml) -> None:
    """SMs, each tensor pipe, memory and each kind of arithmetic, as ratios; the first time nothing."""
    fake_nvml.set(gpus=1, set__sm_active__0=40)
    first, second, seconds = run(
        fake_nvml,
        "one, two = look_at(100), look_at(105)\n"
        "print(json.dumps([named(one.values), named(two.values), [one.gpm_seconds, two.gpm_seconds]]))",
    )

    assert {} == first
    assert [None, 5] == seconds
    assert second == pytest.approx(
        {
            "sm_active_ratio": 0.4,
            "sm_occupancy_ratio": 0.2,
            "tensor_active_ratio": 0.24,
            "tensor_pipe_active_ratio.hmma": 0.2,
            "tensor_pipe_active_ratio.imma": 0.03,
            "tensor_pipe_active_ratio.dfma": 0.02,
            "tensor_pipe_active_ratio.dmma": 0.01,
            "dram_active_ratio": 0.16,
            "fp64_active_ratio": 0.04,
            "fp32_active_ratio": 0.08,
            "fp16_active_ratio": 0.1,
            "integer_active_ratio": 0.06,
        }
    )


NOTHING = [None, None]


def trouble(knob: str, value: int) -> str:
    """A round in which something fails, and is well again after it."""
    return f"look_at(105, {knob}={value}); machine.at(105, {knob}=None)"


BETWEEN = {
    "the round before": ("look_at(105, set__sm_active__0=80)", [0.8, 5], [0.8, 5]),
    "under 100 ms": ("look_at(100.09)", [0.2, 10], [0.2, 5]),  # the older sample stays the anchor
    "under 100 ms ago": ("look_at(109.95)", NOTHING, [0.2, 5.05]),
    "almost 10 minutes": ("machine.at(689)", [0.2, 599], [0.2, 5]),
    "over 10 minutes": ("machine.at(691)", NOTHING, [0.2, 5]),
    "an error": (trouble("error__nvmlDeviceGetUUID", 999), NOTHING, [0.2, 5]),
    "lost": (trouble("lost__0", 1), NOTHING, [0.2, 5]),
    "no sample": (trouble("error__nvmlGpmSampleGet", 999), NOTHING, [0.2, 5]),
    "no values": (trouble("error__nvmlGpmMetricsGet", 999), NOTHING, [0.2, 5]),
    "lost in it": (trouble("error__nvmlGpmMetricsGet", 15), NOTHING, [0.2, 5]),
    "another GPU": ("machine.at(105, seed='b')", NOTHING, [0.2, 5]),
    "left and opened": ("machine.gpus.close()", NOTHING, [0.2, 5]),
    "a clock set back": ("look_at(50)", [0.2, 60], [0.2, 5]),
}  # fmt: skip


@pytest.mark.parametrize(("between", "then", "later"), BETWEEN.values(), ids=BETWEEN)
def test_from_when_a_value_counts(
    fake_nvml: FakeNvml, between: str, then: list[float | None], later: list[float | None]
) -> None:
    """From the round before; anew after a gap, an error, a loss, or on another GPU; right from then on."""
    fake_nvml.set(gpus=1, set__sm_active__0=20)
    program = f"""
look_at(100)
{between}
begin = machine.now + 10 if machine.now > 600 else 110
looks = [look_at(begin), look_at(begin + 5)]
print(json.dumps([[[named(gpu.values).get("sm_active_ratio"), gpu.gpm_seconds] for gpu in looks], samples()]))
"""
    (first, second), held = run(fake_nvml, program)

    assert pytest.approx(then) == first
    assert pytest.approx(later) == second
    assert 2 == held


def test_a_gpu_without_it(fake_nvml: FakeNvml) -> None:
    """Before Hopper, or where the driver lacks the function: asked once, each reading named."""
    program = """
calls = counted("nvmlGpmQueryDeviceSupport", "nvmlGpmSampleGet", "nvmlGpmSampleAlloc")
looks = [look_at(100 + 5 * step) for step in range(3)]
print(json.dumps([calls, named(looks[-1].values), sorted(looks[-1].unsupported), looks[-1].failed]))
"""
    every = sorted(["fan_speed_ratio", *(str(metric.reading) for metric in METRICS)])  # no fan either
    for knobs in ({"gpm": 0}, {"error__nvmlGpmQueryDeviceSupport": 13}, {"gpm__0": 0}):
        fake_nvml.set(gpus=1, **knobs)
        assert [["nvmlGpmQueryDeviceSupport"], {}, every, {}] == run(fake_nvml, program)
        fake_nvml.set(**dict.fromkeys(knobs))

    fake_nvml.set(error__nvmlGpmSampleGet=4)  # no permission
    calls, values, unsupported, _ = run(fake_nvml, program)
    assert (1, {}, every) == (calls.count("nvmlGpmSampleGet"), values, unsupported)


def test_a_metric_of_its_own(fake_nvml: FakeNvml) -> None:
    """One that the driver does not know is named, one that fails or is absurd counted; the rest is there."""
    fake_nvml.set(gpus=1, gpm_metric__8=3, gpm_metric__9=999, set__sm_active__0=260)
    program = """
look_at(100)
for step in (5, 10):
    gpu = look_at(100 + step)
print(json.dumps([sorted(gpu.unsupported), gpu.failed, gpu.rejected, named(gpu.values)["fp32_active_ratio"]]))
"""
    unsupported, failed, rejected, fp32 = run(fake_nvml, program)

    assert ["fan_speed_ratio", "tensor_pipe_active_ratio.dmma"] == unsupported
    assert {"tensor_pipe_active_ratio.imma": 2} == failed
    absurd = [
        "dram_active_ratio",
        SM,
        "sm_occupancy_ratio",
        "tensor_active_ratio",
        "tensor_pipe_active_ratio.hmma",
    ]
    assert dict.fromkeys(absurd, 2) == rejected
    assert 0.52 == pytest.approx(fp32)


def test_a_little_more_than_all(fake_nvml: FakeNvml) -> None:
    """A busy GPU's 101 % is all of it, not absurd."""
    fake_nvml.set(gpus=1, set__sm_active__0=101)
    assert 1 == run(
        fake_nvml, "look_at(100)\nprint(json.dumps(named(look_at(105).values)['sm_active_ratio']))"
    )


def test_samples_are_given_back(fake_nvml: FakeNvml) -> None:
    """Over 10,000 collections, with errors and instances that come and go, no sample is left behind."""
    fake_nvml.set(gpus=1)
    program = """
import pynvml
from collectors.nvml.inside import Insides, Wanted
pynvml.nvmlInit()
handle, held = pynvml.nvmlDeviceGetHandleByIndex(0), set()
insides = Insides(Wanted(monotonic=lambda: machine.now))
turns = (
    {"mig__0": "1:0:3g.40gb,2:0:3g.40gb"}, {"mig__0": "2:0:3g.40gb:1"}, {"mig__0": None},
    {"error__nvmlGpmSampleGet": 999}, {"error__nvmlGpmSampleGet": None},
    {"error__nvmlGpmMetricsGet": 999}, {"error__nvmlGpmMetricsGet": None},
    {"lost__0": 1}, {"lost__0": None},
)
def collect():
    try:
        if insides.has_changed(handle):
            insides.begin_anew()
        insides.read(handle)
    except pynvml.NVMLError:
        insides.fail()
for step in range(10_000):
    machine.now += 5
    if step % 500 == 0:
        machine.fake.set(**turns[step // 500 % len(turns)])
    collect()
    held.add(samples())
insides.forget()
print(json.dumps([sorted(held), samples()]))
"""
    held, left = run(fake_nvml, program)

    assert {0, 1, 2, 4} <= set(held)
    assert 4 >= max(held)
    assert 0 == left


def test_the_driver_is_left_without_samples(fake_nvml: FakeNvml) -> None:
    """What was allocated is given back before the driver is shut down."""
    fake_nvml.set(mig__3="1:0:3g.40gb,2:0:3g.40gb")
    program = """
look_at(100)
look_at(105)
print(json.dumps([samples(), machine.gpus.close(), samples()]))
"""

    assert [7 * 2 + 2 * 2, "", 0] == run(fake_nvml, program)


def test_once_waits_for_the_second_sample(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """`--once` has no round before: it takes both samples itself, of all GPUs at the same time."""
    fake_nvml.set(set__sm_active__3=30)

    page = once(fake_nvml, tmp_path)

    assert 8 == len(page.values("opsd_gpu_sm_active_ratio"))
    assert 0.3 == pytest.approx(page.value("opsd_gpu_sm_active_ratio", gpu=3))


def test_once_does_not_wait_past_its_deadline(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Where there is no time for a second sample there is no activity, and the GPUs are well."""
    page = once(fake_nvml, tmp_path, "--interval=400ms")

    assert [] == page.values("opsd_gpu_sm_active_ratio")
    assert [1] * 8 == page.values("opsd_gpu_up")


def test_it_can_be_switched_off(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Then it is neither on the page nor unsupported."""
    page = once(fake_nvml, tmp_path, "--no-collector.gpm", "--no-collector.mig")

    for name in ("sm_active_ratio", "mig_mode"):
        assert [] == page.values(f"opsd_gpu_{name}")
    unsupported = page.values("opsd_gpu_unsupported_info")
    assert unsupported == page.values("opsd_gpu_unsupported_info", reading="fan_speed_ratio")
