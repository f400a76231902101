"""MIG devices, which come and go while they are looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.pages import masked
from tests.fakes.nvml.running import Scraped, running

EXPECTED = Path(__file__).parents[2] / "data" / "metrics" / "mig.prom"
GPU = "GPU-a0000000-0000-4000-8000-{:012d}"
MIG = "MIG-a000000{}-0000-4000-8000-{:04d}{:04d}{:04d}"
HALVES = "1:0:3g.40gb,2:0:3g.40gb"
SEVENTHS = ",".join(f"{instance}:0:1g.10gb" for instance in (7, 8, 9, 11, 12, 13, 14))
BEGIN = """
import json
from tests.fakes.nvml.stepping import *
machine = Stepped()
look_at = machine.look_at
def told(gpu, *names):
    return [[getattr(one, name) for name in names] for one in gpu.slices]
def sm(gpu):
    return [named(one.values).get("mig_sm_active_ratio") for one in gpu.slices]
"""


def run(fake: FakeNvml, program: str) -> Any:
    """What a program on this machine prints as JSON."""
    command = [sys.executable, "-c", BEGIN + program]
    ran = subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def once(fake: FakeNvml, folder: Path, *flags: str) -> str:
    """The page of `opsd-node --once`."""
    jobs = folder / "jobs"
    jobs.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "opsd.node", "--once", f"--jobs.directory={jobs}", *flags]
    ran = subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True)
    assert (0, "") == (ran.returncode, ran.stderr)
    return ran.stdout


@pytest.fixture
def mixed(fake_nvml: FakeNvml) -> FakeNvml:
    """Two GPUs: one of two halves, of which one is shared by two compute instances, and one of sevenths."""
    layout = "1:0:3g.40gb,,2:0:1c.3g.40gb,2:1:2c.3g.40gb"
    fake_nvml.set(gpus=2, frozen=100, mig__0=layout, mig__1=SEVENTHS)
    return fake_nvml


# ------------------------------------------------------------------------------------------- what is read


@pytest.mark.golden
def test_a_node_with_mig(mixed: FakeNvml, tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """The page of two GPUs that are cut up is as the golden file has it."""
    page = once(mixed, tmp_path)

    golden(EXPECTED, masked(page))


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say(mixed: FakeNvml, tmp_path: Path, promtool: str) -> None:
    """Names, types and units of MIG's series are as Prometheus wants them."""
    page = once(mixed, tmp_path)

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page, check=False, capture_output=True, text=True
    )

    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


def test_what_a_device_costs(mixed: FakeNvml, tmp_path: Path) -> None:
    """Nine series, each with its UUID and its GPU's; eight GPUs of sevenths stay below the ceilings."""
    mixed.set(gpus=8, **{f"mig__{index}": SEVENTHS for index in range(8)})
    page = once(mixed, tmp_path)

    of_devices = [line for line in page.splitlines() if 'uuid="MIG-' in line]
    assert 8 * 7 * 9 == len(of_devices)
    mine = [line for line in of_devices if f'uuid="{MIG.format(0, 5, 14, 0)}"' in line]
    assert 9 == len([line for line in mine if 'gpu="5"' in line and f'parent="{GPU.format(5)}"' in line])
    assert "opsd_series_dropped{" not in page


def test_who_a_device_is(mixed: FakeNvml) -> None:
    """Its numbers, its profile, and its part of the GPU by SMs; gaps in the numbering are nothing."""
    program = """
gpu = look_at(100)
names = ("uuid", "instance", "compute_instance", "profile", "part")
print(json.dumps([gpu.is_mig, told(gpu, *names)]))
"""
    assert [
        True,
        [
            [MIG.format(0, 0, 1, 0), 1, 0, "3g.40gb", 60 / 132],
            [MIG.format(0, 0, 2, 0), 2, 0, "1c.3g.40gb", 16 / 132],
            [MIG.format(0, 0, 2, 1), 2, 1, "2c.3g.40gb", 32 / 132],
        ],
    ] == run(mixed, program)


def test_the_part_where_sms_are_not_told(fake_nvml: FakeNvml) -> None:
    """Then it is slices by seven; and where the driver has no attributes at all, nobody knows."""
    fake_nvml.set(gpus=1, mig__0=HALVES, error__nvmlDeviceGetGpuInstanceProfileInfoV=3)
    parts = "print(json.dumps(told(look_at(100), 'profile', 'part')))"

    assert [["3g.40gb", 3 / 7]] * 2 == run(fake_nvml, parts)
    fake_nvml.set(error__nvmlDeviceGetAttributes_v2=3)
    assert [["3g.40gb", None]] * 2 == run(fake_nvml, parts)


def test_compute_instances_of_one_gpu_instance(mixed: FakeNvml) -> None:
    """GPM is per GPU instance: it is read once, and each of its compute instances shows it."""
    mixed.set(set__sm_active__0__1=10, set__sm_active__0__2=60)
    program = """
look_at(100)
calls = counted("nvmlGpmMigSampleGet")
gpu = look_at(105)
print(json.dumps([sm(gpu), told(gpu, "gpm_seconds"), calls]))
"""
    active, seconds, calls = run(mixed, program)

    assert [0.1, 0.6, 0.6] == pytest.approx(active)
    assert [[5]] * 3 == seconds
    assert 2 + 7 == len(calls)


def test_activity_adds_up(fake_nvml: FakeNvml) -> None:
    """Of each instance, values times seconds are the stand-in's own integral."""
    fake_nvml.set(gpus=1, mig__0=HALVES)
    program = """
look_at(100)
begun, active, second = [sm_seconds(0, 1), sm_seconds(0, 2)], [0, 0], 100
for step in (5, 0.2, 30, 300, 7):
    second += step
    for place, one in enumerate(look_at(second).slices):
        active[place] += one.gpm_seconds * named(one.values)["mig_sm_active_ratio"]
print(json.dumps([active, [sm_seconds(0, 1) - begun[0], sm_seconds(0, 2) - begun[1]]]))
"""
    active, expected = run(fake_nvml, program)

    assert expected == pytest.approx(active, rel=1e-12)
    assert 0 < active[0] != active[1]


# --------------------------------------------------------------------------------------- what changes


def test_instances_made_anew(fake_nvml: FakeNvml) -> None:
    """Numbers are given again at once: a value never spans two instances, no sample of an old one is left."""
    fake_nvml.set(gpus=1, mig__0=HALVES)
    fake_nvml.set(**{f"set__sm_active__0__{instance}": 10 for instance in range(15)})
    again = "1:0:3g.40gb:1,2:0:3g.40gb"
    program = f"""
looks = [look_at(100), look_at(105)]
looks += [look_at(110, mig__0={again!r}), look_at(115), look_at(120, mig__0={SEVENTHS!r}), look_at(125)]
looks += [look_at(130, mig__0=""), look_at(135, mig__0={HALVES!r})]
print(json.dumps([[sm(gpu) for gpu in looks], told(looks[3], "uuid"), samples(), looks[-1].rejected]))
"""
    active, uuids, held, rejected = run(fake_nvml, program)

    assert [
        [None, None],
        [0.1, 0.1],
        [None, 0.1],
        [0.1, 0.1],
        [None] * 7,
        [0.1] * 7,
        [],
        [None, None],
    ] == [[one and round(one, 9) for one in look] for look in active]
    assert [[MIG.format(1, 0, 1, 0)], [MIG.format(0, 0, 2, 0)]] == uuids
    assert 2 == held
    assert {} == rejected


def test_mig_switched_on_and_off(fake_nvml: FakeNvml) -> None:
    """What a GPU refuses under MIG is not remembered for ever: it is asked again when the mode changes."""
    fake_nvml.set(gpus=1)
    program = f"""
def state(gpu):
    kinds = {{str(reading) for reading in gpu.values}}
    wanted = ("utilization_ratio", "sm_active_ratio", "power_average_watts")
    return [gpu.is_mig, [name in kinds for name in wanted], [name in gpu.unsupported for name in wanted]]
look_at(100)
looks = [look_at(105), look_at(110, mig__0={HALVES!r}), look_at(115)]
look_at(120, mig__0=None)
looks.append(look_at(125))
print(json.dumps([state(gpu) for gpu in looks]))
"""
    plain, changed, mig, after = run(fake_nvml, program)

    assert [False, [True, True, True], [False] * 3] == plain == after
    assert [True, [False, False, True], [True, True, False]] == changed == mig


def test_handles_are_not_kept(fake_nvml: FakeNvml) -> None:
    """A handle that is held keeps an instance from being destroyed: each round looks all up anew."""
    fake_nvml.set(gpus=1, mig__0=HALVES)
    program = """
look_at(100)
calls = counted("nvmlDeviceGetMigDeviceHandleByIndex", "nvmlDeviceGetAttributes_v2")
look_at(105)
look_at(110)
print(json.dumps(calls))
"""
    assert ["nvmlDeviceGetMigDeviceHandleByIndex"] * 7 * 2 == run(fake_nvml, program)


def test_a_device_that_goes_in_between(fake_nvml: FakeNvml) -> None:
    """One destroyed after it was looked up costs its readings; one that cannot be looked up is none."""
    fake_nvml.set(gpus=1, mig__0=HALVES, error__nvmlDeviceGetMemoryInfo_v2=2)
    program = """
gone = look_at(100)
none = look_at(105, error__nvmlDeviceGetMemoryInfo_v2=None, error__nvmlDeviceGetUUID=None,
               error__nvmlDeviceGetComputeInstanceId=2)
print(json.dumps([gone.condition, len(gone.slices), gone.failed.get("mig_memory_used_bytes"),
                  none.condition, len(none.slices), none.is_mig, samples()]))
"""
    assert ["up", 2, 2, "up", 0, True, 0] == run(fake_nvml, program)


def test_devices_that_cannot_be_counted(fake_nvml: FakeNvml) -> None:
    """An error costs the devices' readings; who they were stays known, as does the rest of the GPU."""
    fake_nvml.set(gpus=1, mig__0=HALVES)
    program = """
before = look_at(100)
after = look_at(105, error__nvmlDeviceGetMaxMigDeviceCount=999)
lost = look_at(110, error__nvmlDeviceGetMaxMigDeviceCount=15)
looks = (before, after, lost)
values = [len(gpu.slices[0].values) for gpu in looks]
conditions = [gpu.condition for gpu in looks]
print(json.dumps([[told(gpu, "uuid") for gpu in looks], values, conditions, after.failed]))
"""
    uuids, values, conditions, failed = run(fake_nvml, program)

    assert uuids[0] == uuids[1] == uuids[2]
    assert [4, 0, 0] == values
    assert ["up", "up", "lost"] == conditions
    assert 1 == failed["mig_memory_used_bytes"] == failed["mig_sm_active_ratio"]


# ----------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("knobs", [{"error__nvmlGpmMigSampleGet": 3}, {"gpm": 0}], ids=["instances", "all"])
def test_activity_is_refused(knobs: dict[str, object], fake_nvml: FakeNvml) -> None:
    """The devices are there with their memory; their activity is asked for once, and named as unsupported."""
    fake_nvml.set(gpus=1, mig__0=HALVES, **knobs)
    program = """
calls = counted("nvmlGpmMigSampleGet")
gpu = [look_at(100 + 5 * step) for step in range(3)][-1]
values = sorted({str(reading) for one in gpu.slices for reading in one.values})
print(json.dumps([len(calls), values, sorted(name for name in gpu.unsupported if name.startswith("mig_"))]))
"""
    calls, values, unsupported = run(fake_nvml, program)

    assert (0 if "gpm" in knobs else 1) == calls
    assert [f"mig_memory_{part}_bytes" for part in ("free", "reserved", "total", "used")] == values
    kinds = ("dram_active", "sm_active", "sm_occupancy", "tensor_active")
    assert [f"mig_{kind}_ratio" for kind in kinds] == unsupported


def test_memory_is_refused(fake_nvml: FakeNvml) -> None:
    """A driver that tells no memory of MIG devices is asked once; their activity is there."""
    fake_nvml.set(gpus=1, mig__0=HALVES, error__nvmlDeviceGetMemoryInfo_v2=3)
    program = """
gpu = [look_at(100 + 5 * step) for step in range(2)][-1]
print(json.dumps([sorted(map(str, gpu.slices[0].values)), "mig_memory_used_bytes" in gpu.unsupported]))
"""
    values, is_named = run(fake_nvml, program)

    assert 4 == len(values)
    assert "mig_sm_active_ratio" in values
    assert is_named


def test_a_gpu_that_has_no_mig(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Where the mode is not told there is no series of it, nor of devices."""
    fake_nvml.set(gpus=1, error__nvmlDeviceGetMigMode=3)

    page = Scraped(once(fake_nvml, tmp_path))

    assert [] == page.values("opsd_gpu_mig_mode")
    assert 1 == page.value("opsd_gpu_up", gpu=0)


def test_it_can_be_switched_off(mixed: FakeNvml, tmp_path: Path) -> None:
    """Then nothing is said of MIG, and the GPU is read as any other."""
    page = Scraped(once(mixed, tmp_path, "--no-collector.mig"))

    assert [] == page.values("opsd_gpu_mig_mode") == page.values("opsd_gpu_mig_info")
    assert 2 == len(page.values("opsd_gpu_power_average_watts"))


# --------------------------------------------------------------------------------------------------- faults


def test_a_hung_gpu_under_mig(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """Its devices stay known without readings, the others' stay fresh; then it recovers, and begins anew."""
    fake_nvml.set(gpus=2, mig__0=HALVES, mig__1=HALVES)
    with running(fake_nvml.environment(), f"--jobs.directory={tmp_path}") as agent:
        agent.wait_for(lambda page: 4 == len(page.values("opsd_gpu_mig_sm_active_ratio")))

        fake_nvml.set(hang__1=1)
        hung = agent.wait_for(lambda page: page.value("opsd_gpu_hung", gpu=1))
        assert 4 == len(hung.values("opsd_gpu_mig_info"))
        assert 2 == len(agent.pages(1).values("opsd_gpu_mig_sm_active_ratio", gpu=0))
        for name in ("memory_used_bytes", "sm_active_ratio"):
            assert [] == hung.values(f"opsd_gpu_mig_{name}", gpu=1)

        fake_nvml.set(hang__1=None, mig__1=SEVENTHS)
        agent.wait_for(lambda page: 7 == len(page.values("opsd_gpu_mig_sm_active_ratio", gpu=1)))
