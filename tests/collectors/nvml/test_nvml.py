"""GPUs through the unmodified nvidia-ml-py, on a stand-in for NVIDIA's library that fails on demand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.nvml.build import FakeNvml, build
from tests.fakes.nvml.pages import masked
from tests.fakes.nvml.running import RunningAgent, Scraped, running

EXPECTED = Path(__file__).parents[2] / "data" / "metrics" / "node.prom"
UUID = "GPU-a0000000-0000-4000-8000-{:012d}"


def gpu(name: str, index: int) -> Callable[[Scraped], float | None]:
    """A reading of one GPU."""
    return lambda page: page.value(f"opsd_gpu_{name}", gpu=index)


def run_once(environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """`opsd-node --once` on this library."""
    command = [sys.executable, "-m", "opsd.node", "--once", f"--jobs.directory={folder}"]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


def run_program(environment: dict[str, str], program: str) -> object:
    """What a Python program on this library prints as JSON."""
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """An empty job directory."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    return folder


@pytest.fixture
def agent(fake_nvml: FakeNvml, jobs: Path) -> Iterator[RunningAgent]:
    """An agent on 8 healthy GPUs that has collected."""
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as started:
        started.wait_for(lambda page: page.values("opsd_gpu_up") == [1] * 8)
        yield started


# ------------------------------------------------------------------------------------------- what is read


@pytest.mark.golden
def test_a_healthy_node(fake_nvml: FakeNvml, jobs: Path, golden: Callable[[Path, str], None]) -> None:
    """Every reading of two GPUs, one of them held by a job, is on the page as the golden file has it."""
    fake_nvml.set(gpus=2, frozen=100)
    (jobs / "4711").write_text(f"job_id=4711\naccount=es-bio\nuser=ana\ngpus=1\nstarted={int(time.time())}\n")

    ran = run_once(fake_nvml.environment(), jobs)

    assert (0, "") == (ran.returncode, ran.stderr)
    golden(EXPECTED, masked(ran.stdout))


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say(fake_nvml: FakeNvml, jobs: Path, promtool: str) -> None:
    """Names, types and units of the page are as Prometheus wants them, with faults on it, too."""
    fake_nvml.set(lost__1=1, set__utilization__2=999, error__nvmlDeviceGetSerial=3)
    fake_nvml.set(error__nvmlDeviceGetMemoryInfo_v2=3, error__nvmlDeviceGetEnforcedPowerLimit=999)
    page = run_once(fake_nvml.environment(), jobs).stdout

    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page, check=False, capture_output=True, text=True
    )

    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


def test_energy_is_power_over_time(fake_nvml: FakeNvml, jobs: Path) -> None:
    """The energy counter grows by the power between two readings."""
    pages = []
    for second in (100, 100.5, 101):
        fake_nvml.set(frozen=second)
        pages.append(Scraped(run_once(fake_nvml.environment(), jobs).stdout))
    first, middle, last = pages

    used = last.value("opsd_gpu_energy_joules_total", gpu=4) - first.value(  # type: ignore[operator]
        "opsd_gpu_energy_joules_total", gpu=4
    )
    assert middle.value("opsd_gpu_power_average_watts", gpu=4) == pytest.approx(used, rel=1e-3)


def test_an_older_driver(tmp_path: Path, jobs: Path) -> None:
    """Where a driver lacks a function its elder is asked; what neither gives is named, not guessed."""
    absent = [
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetFieldValues",
    ]
    fake = FakeNvml(build(tmp_path, without=absent), tmp_path / "control", {"gpus": 3})

    page = Scraped(run_once(fake.environment(), jobs).stdout)

    assert 80 * 2**30 == page.value("opsd_gpu_memory_total_bytes", gpu=2)
    assert 2 == page.value("opsd_gpu_processes", gpu=2)
    assert 1 == page.value("opsd_gpu_clock_event_active", gpu=2, reason="sw_power_cap")
    assert page.value("opsd_gpu_temperature_celsius", gpu=2, sensor="gpu") is not None
    assert page.value("opsd_gpu_memory_used_bytes", gpu=2) is None
    for reading in ("memory_used_bytes", "memory_reserved_bytes", "energy_joules_total"):
        assert 1 == page.value("opsd_gpu_unsupported_info", gpu=2, reading=reading)
    assert page.value("opsd_gpu_unsupported_info", gpu=2, reading="processes") is None


def test_what_is_not_supported_is_asked_once(fake_nvml: FakeNvml) -> None:
    """A refusal is remembered per function, and per field of the batched call."""
    fake_nvml.set(gpus=1, error__nvmlDeviceGetUtilizationRates=3, field__185=3)
    program = """
import json, time, pynvml
from collectors.nvml.sampler import NvmlGpus
asked = []
def watched(name, original):
    def call(*arguments):
        asked.append([name, *map(list, arguments[1:])])
        return original(*arguments)
    setattr(pynvml, name, call)
for name in ("nvmlDeviceGetUtilizationRates", "nvmlDeviceGetFieldValues"):
    watched(name, getattr(pynvml, name))
gpus = NvmlGpus(deadline=10, clock=time.time, listens=False)
for _ in range(3):
    snapshot = gpus.collect()
print(json.dumps([asked, sorted(snapshot.gpus[0].unsupported)]))
"""
    asked, unsupported = run_program(fake_nvml.environment(), program)  # type: ignore[misc]

    assert 1 == asked.count(["nvmlDeviceGetUtilizationRates"])
    batches = [keys[0] for name, *keys in asked if name == "nvmlDeviceGetFieldValues" and [83, 0] in keys[0]]
    assert [True, False, False] == [[185, 0] in keys for keys in batches]
    refused = ["memory_copy_utilization_ratio", "power_average_watts", "power_memory_average_watts"]
    assert ["fan_speed_ratio", *refused, "utilization_ratio"] == unsupported


def test_the_driver_comes_and_goes(fake_nvml: FakeNvml) -> None:
    """A driver that is not loaded is asked again; one that is loaded anew is opened anew."""
    fake_nvml.set(gpus=1, error__nvmlInitWithFlags=9)
    program = f"""
import json, time
from collectors.nvml.sampler import NvmlGpus
from tests.fakes.nvml.build import FakeNvml
from pathlib import Path
fake = FakeNvml(Path({str(fake_nvml.library)!r}), Path({str(fake_nvml.control)!r}), {fake_nvml.knobs!r})
gpus = NvmlGpus(deadline=10, clock=time.time, listens=False, retry_seconds=0)
seen = []
def look():
    snapshot = gpus.collect()
    seen.append([snapshot.trouble, [gpu.condition for gpu in snapshot.gpus]])
look()
fake.set(error__nvmlInitWithFlags=None)
look()
fake.set(error__nvmlDeviceGetCount_v2=1)
look()
fake.set(error__nvmlDeviceGetCount_v2=None)
look(); look()
print(json.dumps(seen))
"""
    seen = run_program(fake_nvml.environment(), program)

    assert isinstance(seen, list)
    assert ["Driver Not Loaded", []] == seen[0]
    assert ["", ["up"]] == seen[1]
    assert "Uninitialized" == seen[2][0]
    assert ["", ["up"]] == seen[-1]


# ------------------------------------------------------------------------------------------------- faults


def test_a_hung_gpu_costs_only_itself(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """Its readings go and its age shows, the others stay fresh, no thread is added; then it recovers."""
    fake_nvml.set(hang__3=1)
    hung = agent.wait_for(lambda page: page.value("opsd_gpu_hung", gpu=3))
    threads = agent.threads()
    later = agent.pages(4)

    assert [1, 1, 1, 0, 1, 1, 1, 1] == later.values("opsd_gpu_up")
    assert gpu("utilization_ratio", 3)(later) is None
    assert 7 == len(later.values("opsd_gpu_utilization_ratio"))
    assert 1 == later.value("opsd_gpu_info", gpu=3, uuid=UUID.format(3))
    age = gpu("last_sample_timestamp_seconds", 3)
    assert age(hung) == age(later)
    fresh = gpu("last_sample_timestamp_seconds", 4)
    assert fresh(hung) < fresh(later)  # type: ignore[operator]
    assert 4 <= later.value("opsd_gpu_sample_failures_total", gpu=3, reason="hung")  # type: ignore[operator]
    assert 1 == later.value("opsd_node_collector_up", collector="nvml")
    assert threads >= agent.threads()

    fake_nvml.set(hang__3=None)
    well = agent.wait_for(lambda page: page.value("opsd_gpu_up", gpu=3))
    assert gpu("utilization_ratio", 3)(well) is not None
    assert 0 == well.value("opsd_gpu_hung", gpu=3)
    assert age(later) < age(well)  # type: ignore[operator]


def test_a_gpu_that_hangs_from_the_start(fake_nvml: FakeNvml, jobs: Path) -> None:
    """Even its look-up may hang: it is shown by its number, without the identity that nobody told."""
    fake_nvml.set(hang__1=1, gpus=2)
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
        page = agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1, 0])
        assert 1 == page.value("opsd_gpu_hung", gpu=1, uuid="")
        assert page.value("opsd_gpu_last_sample_timestamp_seconds", gpu=1) is None

        fake_nvml.set(hang__1=None)
        agent.wait_for(lambda page: page.value("opsd_gpu_up", gpu=1, uuid=UUID.format(1)))


def test_a_driver_that_hangs_from_the_start(fake_nvml: FakeNvml, jobs: Path) -> None:
    """While the driver does not even open, the page answers; once it does, its GPUs are there."""
    fake_nvml.set(hang__all=1)
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
        agent.wait_for(lambda page: page.value("opsd_node_collector_up", collector="nvml") == 0)
        page = agent.pages(2)
        assert [] == page.values("opsd_gpu_up") == page.values("opsd_gpu_devices_visible")
        assert 1 == page.value("opsd_node_collector_up", collector="jobs")

        fake_nvml.set(hang__all=None)
        agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1] * 8)


def test_a_driver_that_hangs_as_a_whole(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """With one lock over all calls everything hangs: the page answers, says so, and the agent still ends."""
    fake_nvml.set(driver_lock=1, hang__all=1)
    hung = agent.wait_for(lambda page: page.values("opsd_gpu_hung") == [1] * 8)
    threads = agent.threads()
    later = agent.pages(3)

    assert 0 == later.value("opsd_node_collector_up", collector="nvml")
    assert [] == later.values("opsd_gpu_utilization_ratio")
    for name in ("opsd_gpu_last_sample_timestamp_seconds", "opsd_gpu_info"):
        assert 8 == len(later.values(name))
        assert hung.values(name) == later.values(name)
    succeeded = "opsd_node_collector_last_success_timestamp_seconds"
    assert hung.value(succeeded, collector="nvml") == later.value(succeeded, collector="nvml")
    assert threads >= agent.threads()
    assert 0 == agent.stop()


def test_a_lock_over_all_calls_lets_nobody_wait_for_ever(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """One GPU that hangs inside the driver's lock takes the rest with it until it is released."""
    fake_nvml.set(driver_lock=1, hang__0=1)
    agent.wait_for(lambda page: page.values("opsd_gpu_hung") == [1] * 8)

    fake_nvml.set(driver_lock=None, hang__0=None)
    agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1] * 8)


def test_a_lost_gpu(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """A GPU off the bus is lost, not hung; it comes back by itself after a reset."""
    fake_nvml.set(lost__4=1)
    page = agent.wait_for(lambda page: page.value("opsd_gpu_lost", gpu=4))

    assert [1, 1, 1, 1, 0, 1, 1, 1] == page.values("opsd_gpu_up")
    assert 0 == page.value("opsd_gpu_hung", gpu=4)
    assert gpu("memory_used_bytes", 4)(page) is None
    agent.wait_until_said(f"gpu 4 {UUID.format(4)}: lost: GPU is lost")

    fake_nvml.set(lost__4=None)
    agent.wait_for(lambda page: page.value("opsd_gpu_up", gpu=4))
    agent.wait_until_said(f"gpu 4 {UUID.format(4)}: well again")


def test_a_gpu_that_is_no_longer_counted(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """One that the driver counts no more after it was seen is lost."""
    fake_nvml.set(gpus=7)
    page = agent.wait_for(lambda page: page.value("opsd_gpu_lost", gpu=7))

    assert 7 == page.value("opsd_gpu_devices_visible")


def test_an_error_of_the_driver(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """A GPU whose look-up fails is neither hung nor lost; the failures are counted by reason."""
    fake_nvml.set(error__nvmlDeviceGetUUID__2=999)
    page = agent.wait_for(lambda page: page.value("opsd_gpu_up", gpu=2) == 0)

    assert 0 == page.value("opsd_gpu_hung", gpu=2) == page.value("opsd_gpu_lost", gpu=2)
    assert 1 <= page.value("opsd_gpu_sample_failures_total", gpu=2, reason="error")  # type: ignore[operator]


def test_absurd_and_missing_readings(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """A value outside its physical range is left out and counted, as is one the driver fails to give."""
    fake_nvml.set(set__utilization__3=808334905, set__temperature__3=4294967295)
    fake_nvml.set(error__nvmlDeviceGetEnforcedPowerLimit__3=999, field__83=999)
    page = agent.wait_for(
        lambda page: page.value("opsd_gpu_failed_readings_total", gpu=3, reading="energy_joules_total")
    )

    assert gpu("utilization_ratio", 3)(page) is None
    assert gpu("memory_copy_utilization_ratio", 3)(page) is not None
    assert 1 == page.value("opsd_gpu_up", gpu=3)
    assert page.value("opsd_gpu_temperature_celsius", gpu=3, sensor="gpu") is None
    assert page.value("opsd_gpu_power_limit_watts", gpu=3, kind="enforced") is None
    assert page.value("opsd_gpu_power_limit_watts", gpu=4, kind="enforced") == 700
    rejected = "opsd_gpu_rejected_readings_total"
    assert 1 <= page.value(rejected, gpu=3, reading="utilization_ratio")  # type: ignore[operator]
    assert [] == page.values(rejected, gpu=4)
    assert [1] * 8 == page.values("opsd_gpu_unsupported_info")  # such boards have no fan
    assert [1] * 8 == page.values("opsd_gpu_unsupported_info", reading="fan_speed_ratio")


def test_xid_errors_are_counted(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """Each XID is counted with its GPU and its moment, also after a GPU of the event set was lost."""
    fake_nvml.set(xid="1:3:79,2:0:31,3:0:31")
    page = agent.wait_for(lambda page: page.value("opsd_gpu_xid_errors_total", gpu=0, xid=31) == 2)

    assert 1 == page.value("opsd_gpu_xid_errors_total", gpu=3, uuid=UUID.format(3), xid=79)
    last = page.value("opsd_gpu_xid_last_timestamp_seconds", gpu=3, xid=79)
    assert last is not None
    assert last <= page.value("opsd_page_timestamp_seconds")  # type: ignore[operator]

    fake_nvml.set(lost__3=1)
    agent.wait_for(lambda page: page.value("opsd_gpu_lost", gpu=3))
    agent.pages(8)  # the set is made anew, without the lost one
    fake_nvml.set(xid="1:3:79,2:0:31,3:0:31,4:5:94")
    after = agent.wait_for(lambda page: page.value("opsd_gpu_xid_errors_total", gpu=5, xid=94))
    assert 1 == after.value("opsd_gpu_xid_errors_total", gpu=3, xid=79)


XIDS_UP = "opsd_node_collector_up"


def test_whether_xids_are_heard(fake_nvml: FakeNvml, agent: RunningAgent) -> None:
    """Up while events are waited for; down while waiting fails, or does not return; then up again."""
    agent.wait_for(lambda page: page.value(XIDS_UP, collector="xids") == 1)

    fake_nvml.set(error__nvmlEventSetWait_v2=999)
    agent.wait_for(lambda page: page.value(XIDS_UP, collector="xids") == 0)
    agent.wait_until_said("xids: Unknown Error")
    assert [1] * 8 == agent.pages(1).values("opsd_gpu_up")

    fake_nvml.set(error__nvmlEventSetWait_v2=None)
    agent.wait_for(lambda page: page.value(XIDS_UP, collector="xids") == 1)
    agent.wait_until_said("xids: well again")

    fake_nvml.set(hang__all=1)
    agent.wait_for(lambda page: page.value(XIDS_UP, collector="xids") == 0)
    agent.wait_until_said("xids: a driver call does not return")


def test_gpus_without_events_are_not_listened_to(fake_nvml: FakeNvml, jobs: Path) -> None:
    """Where no GPU has events there is nothing that could fail."""
    fake_nvml.set(gpus=2, error__nvmlDeviceRegisterEvents=3)
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
        page = agent.wait_for(
            lambda page: (
                page.values("opsd_gpu_up") == [1] * 2 and page.value(XIDS_UP, collector="xids") is None
            )
        )

        assert 1 == page.value(XIDS_UP, collector="nvml")


def test_a_gpu_that_cannot_be_registered(fake_nvml: FakeNvml, jobs: Path) -> None:
    """Its XIDs are not heard, and the page says so."""
    fake_nvml.set(gpus=2, error__nvmlDeviceRegisterEvents__1=999)
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
        agent.wait_for(lambda page: page.value(XIDS_UP, collector="xids") == 0)
        agent.wait_until_said("xids: Unknown Error")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_a_gpu_hangs(
    how: signal.Signals, fake_nvml: FakeNvml, agent: RunningAgent
) -> None:
    """A stuck thread does not keep the agent from ending well; the next one starts on the same GPUs."""
    fake_nvml.set(hang__3=1)
    agent.wait_for(lambda page: page.value("opsd_gpu_hung", gpu=3))

    assert 0 == agent.stop(how)
    assert not [line for line in agent.said if "Traceback" in line]


def test_a_restarted_agent_shows_the_same_series(fake_nvml: FakeNvml, jobs: Path) -> None:
    """Names and identities are the machine's, not the process's."""
    series = []
    for _ in range(2):
        with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
            page = agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1] * 8)
            series.append(sorted(line.rpartition(" ")[0] for line in page.text.splitlines()))
            assert 0 == agent.stop()

    assert series[0] == series[1]


def test_without_a_driver_the_page_answers(jobs: Path, tmp_path: Path) -> None:
    """No library: the collector is down, said once; the rest of the page is there."""
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": str(tmp_path)}
    with running(environment, f"--jobs.directory={jobs}") as agent:
        agent.wait_for(lambda page: page.value("opsd_node_collector_up", collector="nvml") == 0)
        page = agent.pages(3)

        assert 1 == page.value("opsd_node_collector_up", collector="jobs")
        assert [] == page.values("opsd_gpu_up")
        assert 1 == sum("libnvidia-ml.so.1 is not found" in line for line in agent.said)
        assert 0 == agent.stop()

    once = run_once(environment, jobs)
    assert 1 == once.returncode
    assert 'opsd_node_collector_up{collector="nvml"} 0.0' in once.stdout


def test_a_gpu_behind_another_number(fake_nvml: FakeNvml, jobs: Path) -> None:
    """Slurm names GPUs by minor number, which is not NVML's index: the job lands on the right UUID."""
    fake_nvml.set(gpus=2, set__minor__0=1, set__minor__1=0)
    (jobs / "8").write_text(f"job_id=8\naccount=a\nuser=u\ngpus=0,5\nstarted={int(time.time())}\n")

    page = Scraped(run_once(fake_nvml.environment(), jobs).stdout)

    assert 1 == page.value("opsd_gpu_job_info", jobid=8, uuid=UUID.format(1))
    assert 1 == page.value("opsd_gpu_job_unresolved")
