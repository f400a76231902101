"""GPUs that hang for days, drivers that are left and opened anew: what it costs, and that it ends.

Each test is a program of its own on the stand-in library, because a thread that is stuck in it stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.fakes.nvml.build import FakeNvml

UUID = "GPU-{}0000000-0000-4000-8000-{:012d}"
PATIENCE_SECONDS = 60
PRELUDE = """
import gc, itertools, json, sys, threading, time, tracemalloc
from pathlib import Path
import pynvml
from collectors.nvml.sampler import NvmlGpus
from tests.fakes.nvml.build import FakeNvml

fake = FakeNvml(Path({library!r}), Path({control!r}), {knobs!r})

def conditions(snapshot):
    return [gpu.condition for gpu in snapshot.gpus]

def give_it_time(gpus):  # once it is known what hangs, a busy machine must not look like another hang
    object.__setattr__(gpus._terms, "deadline", 30.0)

def collect_until(gpus, *wanted):
    while conditions(found := gpus.collect()) != list(wanted):
        time.sleep(0.005)
    return found

def wait_until_listening(gpus):
    while gpus.collect().deaf is None or "nvmlEventSetWait_v2" not in called:
        time.sleep(0.005)

def close_until_closed(gpus):
    while gpus.close():
        time.sleep(0.005)

def replaced(name, instead):
    original = getattr(pynvml, name)
    setattr(pynvml, name, lambda *arguments: instead(original, *arguments))

called = []
lookup = pynvml._nvmlGetFunctionPointer
def noted(name):
    called.append(name)
    return lookup(name)
pynvml._nvmlGetFunctionPointer = noted
"""


def run(fake: FakeNvml, program: str) -> Any:
    """What a program on two GPUs of this library prints as JSON."""
    fake.set(gpus=2)
    prelude = PRELUDE.format(library=str(fake.library), control=str(fake.control), knobs=fake.knobs)
    ran = subprocess.run(
        [sys.executable, "-c", prelude + program],
        env=fake.environment(),
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (0, "") == (ran.returncode, ran.stderr)
    return json.loads(ran.stdout)


# ---------------------------------------------------------------------------------------- a GPU that hangs


def test_days_of_a_hung_gpu_cost_nothing_more(fake_nvml: FakeNvml) -> None:
    """2,000 collections beside a hung GPU start no thread and keep no memory; the other is sampled."""
    fake_nvml.set(hang__1=1)
    seen = run(
        fake_nvml,
        """
pynvml._nvmlGetFunctionPointer = lookup
gpus = NvmlGpus(deadline=0.5, clock=itertools.count(1).__next__)
collect_until(gpus, "up", "hung")
give_it_time(gpus)
def rounds(count):
    up = sum(conditions(gpus.collect()) == ["up", "hung"] for _ in range(count))
    gc.collect()
    return [up, threading.active_count(), len(gc.get_objects()), tracemalloc.get_traced_memory()[0]]
tracemalloc.start()
print(json.dumps([rounds(300), rounds(2000), gpus.collect().gpus[1].failures["hung"] >= 2300]))
""",
    )
    (warm_up, warm_threads, warm_objects, warm_bytes), (up, threads, objects, kept), is_counted = seen

    assert (300, 2000, True) == (warm_up, up, is_counted)
    assert warm_threads == threads
    assert 100 > objects - warm_objects
    assert 20_000 > kept - warm_bytes


def test_pages_beside_a_hung_gpu_cost_nothing_more(fake_nvml: FakeNvml, tmp_path: Path) -> None:
    """The whole round, jobs and page included, keeps nothing either: neither objects nor open files."""
    fake_nvml.set(hang__1=1)
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    (jobs / "4711").write_text("job_id=4711\naccount=es-bio\nuser=ana\ngpus=0\nstarted=1764280000\n")
    seen = run(
        fake_nvml,
        f"""
from opsd.node.collection import Node
from opsd.node.options import Options
options = Options(interval=1, deadline=0.3, jobs_directory=Path({str(jobs)!r}), kernel_log=Path("/dev/null"))
node = Node(options, itertools.count(1764280000).__next__, lambda said: None)
def rounds(count):
    for _ in range(count):
        plain = node.page().render().plain
    gc.collect()
    files = len(list(Path("/proc/self/fd").iterdir()))
    return [plain.count(b"\\nopsd_gpu_hung"), threading.active_count(), files, len(gc.get_objects())]
print(json.dumps([rounds(100), rounds(300)]))
""",
    )
    (*warm, warm_objects), (*later, objects) = seen

    assert 2 == later[0]
    assert warm == later
    assert 100 > objects - warm_objects


def test_the_others_are_sampled_in_each_collection(fake_nvml: FakeNvml) -> None:
    """While one GPU hangs the other's sample is of this very collection; the hung one's grows old."""
    ages = run(
        fake_nvml,
        """
clock = itertools.count(1).__next__
gpus = NvmlGpus(deadline=0.5, clock=clock, listens=False)
collect_until(gpus, "up", "up")
fake.set(hang__1=1)
first = collect_until(gpus, "up", "hung")
give_it_time(gpus)
fresh = []
for _ in range(50):
    began = clock()
    found = gpus.collect()
    fresh.append(found.gpus[0].sampled_at > began and found.gpus[1].sampled_at == first.gpus[1].sampled_at)
print(json.dumps([len(fresh), sum(fresh), sorted(found.gpus[1].values)]))
""",
    )

    assert [50, 50, []] == ages


def test_what_is_known_to_be_stuck_is_not_waited_for(fake_nvml: FakeNvml) -> None:
    """With everything stuck no round lasts its deadline: a thousand of 30 seconds end within a test."""
    fake_nvml.set(hang__all=1, driver_lock=1)
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=0.2, clock=time.time)
gpus.collect()
give_it_time(gpus)
for _ in range(1000):
    found = gpus.collect()
print(json.dumps([found.trouble, len(found.gpus), threading.active_count()]))
""",
    )

    assert ["the driver does not answer: a call does not return", 0, 2] == seen


def test_a_gpu_that_hangs_again_and_again(fake_nvml: FakeNvml) -> None:
    """It comes back each time with a new sample, in the same thread."""
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=0.3, clock=itertools.count(1).__next__)
wait_until_listening(gpus)
collect_until(gpus, "up", "up")
threads = {thread.ident for thread in threading.enumerate()}
samples = []
for _ in range(6):
    fake.set(hang__1=1)
    collect_until(gpus, "up", "hung")
    fake.set(hang__1=None)
    samples.append(collect_until(gpus, "up", "up").gpus[1].sampled_at)
grown = {thread.ident for thread in threading.enumerate()} - threads
print(json.dumps([samples == sorted(set(samples)), len(samples), len(grown)]))
""",
    )

    assert [True, 6, 0] == seen


def test_a_bug_costs_one_sample(fake_nvml: FakeNvml) -> None:
    """What nobody foresaw, such as a name that is no text, is said of that GPU alone, and tried again."""
    seen = run(
        fake_nvml,
        """
broken = [1]
def name(original, handle):
    if broken and pynvml.nvmlDeviceGetIndex(handle) == 1:
        broken.pop()
        b"\\xff".decode()
    return original(handle)
replaced("nvmlDeviceGetName", name)
gpus = NvmlGpus(deadline=10, clock=time.time, listens=False)
first, second = gpus.collect(), gpus.collect()
sick = first.gpus[1]
print(json.dumps([conditions(first), sick.trouble, dict(sick.failures), conditions(second)]))
""",
    )

    assert ["up", "error"] == seen[0]
    assert seen[1].startswith("unexpected UnicodeDecodeError: 'utf-8' codec can't decode byte 0xff")
    assert [{"hung": 0, "lost": 0, "error": 1}, ["up", "up"]] == seen[2:]


def test_a_bug_in_counting_costs_one_count(fake_nvml: FakeNvml) -> None:
    """The GPUs that are known go on; how many there are is asked again."""
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=10, clock=time.time, listens=False)
gpus.collect()
broken = [1]
def count(original):
    if broken.pop() if broken else 0:
        raise ValueError("no number")
    return original()
replaced("nvmlDeviceGetCount", count)
first, second = gpus.collect(), gpus.collect()
print(json.dumps([first.trouble, first.visible, conditions(first), second.trouble, second.visible]))
""",
    )

    assert seen[0].startswith("unexpected ValueError: no number")
    assert [None, ["up", "up"], "", 2] == seen[1:]


# ---------------------------------------------------------------------------------------- leaving the driver


def test_leaving_the_driver(fake_nvml: FakeNvml) -> None:
    """The events' set is freed, then NVML shut down, once; no thread is left that could call it."""
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=10, clock=time.time)
collect_until(gpus, "up", "up")
wait_until_listening(gpus)
words = [gpus.close(), gpus.close()]
threads = [thread.name for thread in threading.enumerate()]
freed, shut = called.index("nvmlEventSetFree"), called.index("nvmlShutdown")
print(json.dumps([words, threads, freed < shut == len(called) - 1,
                  called.count("nvmlInitWithFlags"), called.count("nvmlShutdown"), pynvml._nvmlLib_refcount]))
""",
    )

    assert [["", ""], ["MainThread"], True, 1, 1, 0] == seen


def test_what_is_found_after_it(fake_nvml: FakeNvml) -> None:
    """All is looked up anew: other GPUs, other abilities; XIDs that were heard stay counted."""
    fake_nvml.set(error__nvmlDeviceGetUtilizationRates=3)
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=10, clock=time.time)
wait_until_listening(gpus)
fake.set(xid="1:1:79")
while not (found := gpus.collect()).gpus[1].xids:
    time.sleep(0.005)
before = [found.gpus[0].uuid, "utilization_ratio" in found.gpus[0].unsupported]
assert gpus.close() == ""
fake.set(seed="b", error__nvmlDeviceGetUtilizationRates=None, xid=None, gpus=3)
found = collect_until(gpus, "up", "up", "up")
after = [found.gpus[0].uuid, "utilization_ratio" in found.gpus[0].unsupported, len(found.gpus[1].xids)]
assert gpus.close() == ""
fake.set(seed=None, gpus=2)
again = collect_until(gpus, "up", "up").gpus[1].xids[79].times
assert gpus.close() == ""
print(json.dumps([before, after, again, called.count("nvmlInitWithFlags"), called.count("nvmlShutdown")]))
""",
    )

    assert [[UUID.format("a", 0), True], [UUID.format("b", 0), False, 0], 1, 3, 3] == seen


def test_a_driver_with_a_stuck_call_is_not_left(fake_nvml: FakeNvml) -> None:
    """Shutting it down below a call might crash: what is stuck is said, and all goes on, until it can be."""
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=0.3, clock=time.time)
wait_until_listening(gpus)
collect_until(gpus, "up", "up")
fake.set(hang__1=1)
collect_until(gpus, "up", "hung")
words = [gpus.close(), gpus.close()]
early = called.count("nvmlShutdown")
still = collect_until(gpus, "up", "hung").gpus[0].uuid
words.append(gpus.close())
fake.set(hang__1=None)
close_until_closed(gpus)
threads = [thread.name for thread in threading.enumerate()]
counts = [called.count("nvmlInitWithFlags"), called.count("nvmlShutdown")]
print(json.dumps([words, early, still, threads, *counts]))
""",
    )

    assert [["gpu 1: a call does not return"] * 3, 0, UUID.format("a", 0), ["MainThread"], 1, 1] == seen


def test_leaving_may_hang_itself(fake_nvml: FakeNvml) -> None:
    """It is asked once, in a thread of its own; when it returns, the driver is left."""
    seen = run(
        fake_nvml,
        """
gate = threading.Event()
def shut_down(original):
    gate.wait()
    original()
replaced("nvmlShutdown", shut_down)
gpus = NvmlGpus(deadline=0.2, clock=time.time, listens=False)
collect_until(gpus, "up", "up")
words = [gpus.close() for _ in range(3)]
threads = threading.active_count()
gate.set()
close_until_closed(gpus)
print(json.dumps([words, threads, threading.active_count(), called.count("nvmlShutdown")]))
""",
    )

    assert [["driver: a call does not return"] * 3, 5, 1, 1] == seen


def test_a_driver_that_refuses_to_be_left(fake_nvml: FakeNvml) -> None:
    """Its words are handed on, and it is tried again."""
    fake_nvml.set(error__nvmlShutdown=999)
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=10, clock=time.time, listens=False)
gpus.collect()
words = [gpus.close()]
fake.set(error__nvmlShutdown=None)
words.append(gpus.close())
print(json.dumps(words))
""",
    )

    assert ["driver: Unknown Error", ""] == seen


def test_a_driver_that_is_not_there_is_left_at_once(fake_nvml: FakeNvml) -> None:
    """Without it there is nothing to shut down."""
    fake_nvml.set(error__nvmlInitWithFlags=9)
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=10, clock=time.time)
words = [gpus.close(), gpus.collect().trouble, gpus.close()]
print(json.dumps([words, called.count("nvmlShutdown")]))
""",
    )

    assert [["", "Driver Not Loaded", ""], 0] == seen


def test_a_driver_that_came_back_is_asked_everything_again(fake_nvml: FakeNvml) -> None:
    """One that was reloaded may be newer: what the old one did not support is asked, its version, too."""
    fake_nvml.set(error__nvmlDeviceGetUtilizationRates=3)
    seen = run(
        fake_nvml,
        """
gpus = NvmlGpus(deadline=10, clock=time.time, listens=False, retry_seconds=0)
old = gpus.collect()
fake.set(error__nvmlDeviceGetCount_v2=1, error__nvmlDeviceGetUtilizationRates=None)
gpus.collect()
fake.set(error__nvmlDeviceGetCount_v2=None)
gpus.collect()
new = gpus.collect()
print(json.dumps(["utilization_ratio" in found.gpus[0].unsupported for found in (old, new)]
                 + [called.count("nvmlSystemGetDriverVersion")]))
""",
    )

    assert [True, False, 2] == seen
