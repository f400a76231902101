"""What is read of a GPU, how often, and what becomes of what it cannot give; on the stand-in for NVML."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from collectors.nvml.fields import FIELDS, RARE_FIELDS
from tests.fakes.nvml.build import FakeNvml

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "nvml" / "h200.json").read_text())
BEGIN = """
import json
from tests.fakes.nvml.stepping import *
machine = Stepped()
look_at = machine.look_at
def read(gpu):
    return {str(reading): value for reading, value in gpu.values.items()}
"""
SLEEPS = {"nvmlDeviceGetPcieThroughput", "nvmlDeviceGetSamples", "nvmlDeviceGetProcessUtilization"}


def run(fake: FakeNvml, program: str, begin: str = BEGIN) -> Any:
    """What a program on this machine prints as JSON."""
    command = [sys.executable, "-c", begin + program]
    ran = subprocess.run(command, env=fake.environment(), check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


# ------------------------------------------------------------------------------------- how often, and how


def test_what_a_collection_costs(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """One batched call for all fields, each function once, none that sleeps; what is rare once a minute."""
    calls = tmp_path / "calls"
    fake_nvml.set(gpus=1, calls=calls)
    program = f"""
from pathlib import Path
calls, rounds = Path({str(calls)!r}), []
for second in (100, 105, 110, 159, 160):
    calls.unlink(missing_ok=True)
    look_at(second)
    rounds.append(calls.read_text().split())
print(json.dumps(rounds))
"""
    first, _, second, third, again = (Counter(called) for called in run(fake_nvml, program))

    assert second == third
    assert 28 == sum(second.values())
    assert 1 == second["nvmlDeviceGetFieldValues:0"]
    often = {name: count for name, count in second.items() if count > 1}
    assert {"nvmlDeviceGetClockInfo:0": 4, "nvmlDeviceGetTotalEccErrors:0": 4} == often
    rarely = {name for name in again if name not in second}
    assert {"nvmlDeviceGetMaxClockInfo:0", "nvmlDeviceGetSramEccErrorStatus:0"} < rarely
    assert 18 == again["nvmlDeviceGetNvLinkState:0"]
    names = {called.partition(":")[0] for called in first | second | again}
    assert set() == names & SLEEPS


def test_what_is_rare_is_kept_for_a_minute(fake_nvml: FakeNvml) -> None:
    """It is shown in between, read again after a minute, and gone as soon as the GPU does not answer."""
    fake_nvml.set(gpus=1)
    program = """
def replays(second, **knobs):
    return read(look_at(second, **knobs)).get("pcie_replays_total")
seen = [replays(100), replays(130, set__field__94__0=7), replays(159), replays(160)]
seen += [replays(165, set__field__94__0=9, lost__0=1), replays(170, lost__0=None)]
seen += [replays(175, set__field__94__0=11, error__nvmlDeviceGetClockInfo=1, ), replays(176)]
seen += [replays(180, error__nvmlDeviceGetClockInfo=None)]
print(json.dumps(seen))
"""
    assert [0, 0, 0, 7, None, 9, None, None, 11] == run(fake_nvml, program)


def test_what_is_rare_does_not_outlive_a_hang(fake_nvml: FakeNvml) -> None:
    """After a hang it is read again, although the minute is not over."""
    fake_nvml.set(gpus=1)
    begin = BEGIN.replace("Stepped()", "Stepped(deadline=0.5)")
    program = """
before = look_at(100)
hung = look_at(105, hang__0=1, set__field__94__0=7)
machine.at(110, hang__0=None)
while (after := machine.look()[0]).condition != "up":
    pass
print(json.dumps([[gpu.condition, read(gpu).get("pcie_replays_total")] for gpu in (before, hung, after)]))
"""
    assert [["up", 0], ["hung", None], ["up", 7]] == run(fake_nvml, program, begin)


# ------------------------------------------------------------------------------------ what cannot be true


def test_blanks_of_fields_are_rejected(fake_nvml: FakeNvml) -> None:
    """A value with all bits set, or near 2^63, is no reading, whichever field it comes from."""
    every = [*FIELDS, *RARE_FIELDS]
    of_64_bits = {*range(74, 82), 83, 138, 139, *range(142, 146), *range(269, 272)}
    signed = set(range(193, 197))
    blanks = dict.fromkeys((field.number for field in every), 2**32 - 1)
    blanks.update(dict.fromkeys(of_64_bits, 2**63 - 1))
    blanks.update(dict.fromkeys(signed, 2**31 - 1))
    knobs = {f"set.field.{number}.0": blank for number, blank in blanks.items()}
    program = f"gpu = look_at(100, **{knobs}); print(json.dumps([gpu.rejected, list(read(gpu))]))"
    fake_nvml.set(gpus=1)
    rejected, values = run(fake_nvml, program)

    expected = {str(field.reading) for field in every if field.instead_of is None}
    assert dict.fromkeys(expected, 1) == rejected
    assert set() == expected & set(values)


def test_blanks_of_functions_are_rejected(fake_nvml: FakeNvml) -> None:
    """The same of what functions give."""
    fake_nvml.set(gpus=1, set__temperature__0=2**32 - 1, set__clock_mhz__0=2**32 - 1, set__ecc__0=2**63 - 1)
    fake_nvml.set(set__pcie_width__0=2**32 - 1, set__fabric_state__0=2**32 - 1, set__memory_used__0=2**63 - 1)
    rejected, failed = run(fake_nvml, "gpu = look_at(100); print(json.dumps([gpu.rejected, gpu.failed]))")

    absurd = {"temperature_celsius.gpu", "pcie_link_width_lanes", "fabric_state", "memory_used_bytes"}
    absurd |= {"ecc_errors_total.corrected.volatile", "clock_hertz.sm", "temperature_celsius.memory"}
    assert absurd < set(rejected)
    assert {} == failed


# --------------------------------------------------------------------------------------------- processes


@pytest.mark.parametrize(
    ("knobs", "expected"),
    [
        ({"set.pids.0": ""}, []),
        ({"set.pids.0": "71,72@1/0", "set.process_memory.0": 5}, [[71, 5, None, None], [72, 5, 1, 0]]),
        ({"set.pids.0": "71", "set.mps.0": "72,71"}, [[71, 7, None, None], [72, 7, None, None]]),
        ({"set.pids.0": "71", "set.process_memory.0": 2**63 - 1}, [[71, None, None, None]]),
        ({"set.pids.0": "71", "error.nvmlDeviceGetComputeRunningProcesses_v3": 999}, None),
        ({"set.pids.0": "71", "error.nvmlDeviceGetComputeRunningProcesses_v3": 13}, [[71, 7, None, None]]),
        ({"set.pids.0": "71", "error.nvmlDeviceGetMPSComputeRunningProcesses_v3": 3}, [[71, 7, None, None]]),
    ],
    ids=["none", "under MIG", "of an MPS server", "blank memory", "fails", "older call", "no MPS"],
)
def test_processes(fake_nvml: FakeNvml, knobs: dict[str, object], expected: object) -> None:
    """Each is listed once, with what is known of it; where the driver does not tell, nothing is known."""
    fake_nvml.set(**{"gpus": 1, "set.process_memory.0": 7, **knobs})
    program = "gpu = look_at(100); print(json.dumps([gpu.processes, gpu.values.get(Reading('processes'))]))"
    processes, number = run(fake_nvml, program)

    assert expected == processes
    assert (None if processes is None else len(processes)) == number


def test_processes_that_no_driver_lists(fake_nvml: FakeNvml) -> None:
    """Where neither call is known this is named, and asked once."""
    calls = ["nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"]
    fake_nvml.set(gpus=1, **{f"error__{name}": 13 for name in calls})
    program = f"""
asked = counted(*{calls})
looks = [look_at(second) for second in (100, 105, 110)]
print(json.dumps([asked, looks[-1].processes, "processes" in looks[-1].unsupported]))
"""
    assert [calls, None, True] == run(fake_nvml, program)


# ------------------------------------------------------------------------------------------------ NVLink

NVLINK = """
gpu = look_at(100)
print(json.dumps([{name: value for name, value in read(gpu).items() if "nvlink" in name},
                  sorted(name for name in gpu.unsupported if "nvlink" in name), gpu.failed]))
"""


def test_nvlink(fake_nvml: FakeNvml) -> None:
    """Links that are up, data over all links, errors of all links by kind."""
    fake_nvml.set(gpus=1, set__link__0__5=0, set__field__161__0__3=4, set__field__161__0__7=1)
    fake_nvml.set(set__field__163__0__0=2)
    values, unsupported, failed = run(fake_nvml, NVLINK)

    errors = {"replay": 5, "recovery": 0, "crc": 2}
    assert 17 == values.pop("nvlink_links_active")
    assert 18 * 100 * 5e4 * 1024 == values.pop("nvlink_transmit_bytes_total")
    assert 18 * 100 * 5e4 * 1024 == values.pop("nvlink_receive_bytes_total")
    assert {f"nvlink_errors_total.{kind}": count for kind, count in errors.items()} == values
    assert ([], {}) == (unsupported, failed)


def test_a_sum_over_links_needs_all_of_them(fake_nvml: FakeNvml) -> None:
    """With one link's part missing there is no sum, which would fall; the other kinds are there."""
    fake_nvml.set(gpus=1, field__162=999)
    values, _, failed = run(fake_nvml, NVLINK)

    assert "nvlink_errors_total.recovery" not in values
    assert 0 == values["nvlink_errors_total.replay"]
    assert 18 == len([name for name in failed if name.startswith("nvlink_link_errors_total")])


def test_links_by_themselves(fake_nvml: FakeNvml) -> None:
    """Each link has its state, its data and its errors, but only if asked for."""
    fake_nvml.set(gpus=1, set__link__0__5=0, set__field__161__0__3=4)
    wanted = BEGIN.replace("Stepped()", "Stepped(nvlink_links=True)")
    values, _, _ = run(fake_nvml, NVLINK, wanted)

    assert [1] * 5 + [0] + [1] * 12 == [values[f"nvlink_link_up.{link}"] for link in range(18)]
    assert [0, 4, 0] == [values[f"nvlink_link_errors_total.{link}.replay"] for link in (2, 3, 4)]
    sent = [values[f"nvlink_link_transmit_bytes_total.{link}"] for link in range(18)]
    assert sum(sent) == values["nvlink_transmit_bytes_total"]
    assert 6 + 18 * 6 == len(values)


def test_other_generations_of_nvlink(fake_nvml: FakeNvml) -> None:
    """NVLink 5 and Ampere count under other numbers; without NVLink each reading is named."""
    fake_nvml.set(gpus=1, nvlink5=1, set__field__221__0=3)
    fifth, unsupported, _ = run(fake_nvml, NVLINK)
    assert 18 * 100 * 5e7 == fifth["nvlink_receive_bytes_total"]
    assert 3 == fifth["nvlink_errors_total.symbol"]
    assert (14, []) == (len(fifth), unsupported)

    fake_nvml.set(nvlink5=None, profile="old", set__field__45__0=6)
    third, unsupported, _ = run(fake_nvml, NVLINK)
    assert (12, 6) == (third["nvlink_links_active"], third["nvlink_errors_total.crc_data"])
    assert (7, []) == (len(third), unsupported)

    fake_nvml.set(profile=None, nvlinks=0)
    none, unsupported, _ = run(fake_nvml, NVLINK)
    names = [f"nvlink_{name}" for name in ("errors_total", "links_active")]
    assert ({}, [*names, "nvlink_receive_bytes_total", "nvlink_transmit_bytes_total"]) == (none, unsupported)


# -------------------------------------------------------------------------------------------------- PCIe


def test_pcie_bytes_are_never_lost(fake_nvml: FakeNvml) -> None:
    """They add up from one collection to the next, however many there are."""
    fake_nvml.set(gpus=1, set__sm_active__0=50)
    program = """
def moved(second):
    values = read(look_at(second))
    return [values.get(f"pcie_{way}_bytes_total") for way in ("transmit", "receive")]
print(json.dumps([moved(second) for second in (100, 105, 165, 165.01, 170)]))
"""
    mebi = 2**20
    expected = [[500 * mebi * seconds, 1000 * mebi * seconds] for seconds in (5, 65, 70)]
    first, second, third, soon, last = run(fake_nvml, program)

    assert [None, None] == first == soon
    assert expected == [pytest.approx(moved) for moved in (second, third, last)]


# --------------------------------------------------------------------------------------- the stand-in itself


def test_the_stand_in_answers_as_a_real_gpu(fake_nvml: FakeNvml) -> None:
    """Each field and function that is read gives the code and the type that were recorded on an H200."""
    fake_nvml.set(gpus=1, profile="h200", nvlinks=0)
    numbers = sorted(
        {str(field.number) for field in (*FIELDS, *RARE_FIELDS)} & RECORDED["fields"].keys(), key=int
    )
    program = f"""
import pynvml
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
def field(number, scope=0):
    answer = pynvml.nvmlDeviceGetFieldValues(gpu, [(number, scope)])[0]
    return [answer.nvmlReturn] if answer.nvmlReturn else [0, answer.valueType]
def function(called):
    name, _, arguments = called.rstrip(")").partition("(")
    try:
        getattr(pynvml, name)(gpu, *map(int, filter(None, arguments.split(","))))
    except pynvml.NVMLError as err:
        return err.value
    return 0
print(json.dumps([
    {{number: field(int(number)) for number in {numbers}}},
    {{key: field(*map(int, key.split(",")))[0] for key in {list(RECORDED["scoped"])}}},
    {{called: function(called) for called in {list(RECORDED["functions"])}}},
]))
"""
    fields, scoped, functions = run(fake_nvml, program, "import json\n")

    assert {number: RECORDED["fields"][number] for number in numbers} == fields
    assert RECORDED["scoped"] == scoped
    assert RECORDED["functions"] == functions


def test_its_clock_can_run_faster(fake_nvml: FakeNvml) -> None:
    """All of its counters run with it, by the same factor."""
    fake_nvml.set(gpus=1, speed=1000)
    program = """
import json, pynvml, time
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
def told():
    return pynvml.nvmlDeviceGetFieldValues(gpu, [74])[0].value.ullVal / 1e8
times = [time.monotonic()]
first = told()
times.append(time.monotonic())
time.sleep(0.02)
times.append(time.monotonic())
passed = told() - first
times.append(time.monotonic())
print(json.dumps([1000 * (times[2] - times[1]), passed, 1000 * (times[3] - times[0])]))
"""
    least, passed, most = run(fake_nvml, program, "")

    assert least <= passed <= most
