"""The agent as it runs: a page that is true or not there, the driver left and opened again, XIDs joined."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from opsd.core.telemetry import Driver, Gpu, Identity, Snapshot, Xid, merged
from opsd.node import Agent, Options
from opsd.node.agent import to_stderr
from opsd.node.kernel_xids import KernelXids
from tests.fakes.nvml.build import FakeNvml
from tests.fakes.nvml.running import Scraped, running

PATIENCE_SECONDS = 30
UUID = "GPU-a0000000-0000-4000-8000-{:012d}"
SHOWN = Snapshot(
    (Gpu(0, "up", Identity("GPU-1", 0, pci="00000000:3B:00.0"), xids={79: Xid(2, 50.0)}),),
    Driver("590.48.01", "13.1"),
    visible=1,
)


class Source:
    """GPUs that do what a test wants: `collects` and `closes` are called in the agent's thread."""

    collector = "nvml"

    def __init__(self) -> None:
        self.collects: Callable[[], Snapshot] = lambda: SHOWN
        self.closes: Callable[[], str] = lambda: ""
        self.calls: list[str] = []

    def collect(self) -> Snapshot:
        """The GPUs now."""
        self.calls.append("collect")
        return self.collects()

    def close(self) -> str:
        """Leave the driver."""
        self.calls.append("close")
        return self.closes()


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """An empty job directory."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    return folder


@pytest.fixture
def source() -> Source:
    """One healthy GPU."""
    return Source()


@pytest.fixture
def said() -> list[str]:
    """What an agent said."""
    return []


@contextmanager
def started(source: Source, jobs: Path, said: list[str], interval: float = 0.05) -> Iterator[Agent]:
    """An agent on these GPUs, serving."""
    options = Options(
        listen_address="127.0.0.1:0",
        interval=interval,
        jobs_directory=jobs,
        kernel_log=jobs / "absent",
    )
    agent = Agent(options, say=said.append, gpus=source)
    agent.start()
    try:
        yield agent
    finally:
        agent.stop()


def ask(agent: Agent, path: str = "/metrics") -> tuple[int, str]:
    """The status and the words of an answer."""
    try:
        with urllib.request.urlopen(agent.url + path, timeout=PATIENCE_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as err:
        return err.code, err.read().decode()


def wait_for(agent: Agent, is_there: Callable[[int, str], object]) -> str:
    """The first answer of which this holds."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        status, text = ask(agent)
        if is_there(status, text):
            return text
        assert time.monotonic() < until, f"never came: {status} {text}"
        time.sleep(0.02)


# ---------------------------------------------------------------------------------- a page that is true


def test_a_collection_that_fails_takes_the_page_away(source: Source, jobs: Path, said: list[str]) -> None:
    """What nobody foresaw is said once, with its trace; no page but the reason is served, until one works."""

    def breaks() -> Snapshot:
        raise RuntimeError("nobody foresaw this")

    with started(source, jobs, said) as agent:
        wait_for(agent, lambda status, _text: status == 200)
        assert (200, "ok\n") == ask(agent, "/healthz")

        source.collects = breaks
        reason = wait_for(agent, lambda status, _text: status == 503)
        assert "the collection failed: unexpected RuntimeError: nobody foresaw this\n" == reason
        assert 503 == ask(agent, "/healthz")[0]
        assert (False, True) == (agent.is_healthy(), agent.is_moving())
        before = len(source.calls)
        while len(source.calls) < before + 3:
            time.sleep(0.01)

        source.collects = lambda: SHOWN
        text = wait_for(agent, lambda status, _text: status == 200)
        assert 4 <= Scraped(text).value("opsd_node_round_failures_total")  # type: ignore[operator]
        assert agent.is_healthy()
    traces = [line for line in said if "Traceback" in line]
    assert 1 == len(traces)
    assert "nobody foresaw this" in traces[0]
    assert "the collection: well again" == said[-1]


def test_a_collection_that_does_not_end_takes_the_page_away(
    source: Source, jobs: Path, said: list[str]
) -> None:
    """A page that is frozen is not served as if it were new; it comes back with the collections."""
    gate = threading.Event()

    def hangs() -> Snapshot:
        gate.wait(PATIENCE_SECONDS)
        return SHOWN

    with started(source, jobs, said) as agent:
        wait_for(agent, lambda status, _text: status == 200)
        assert agent.is_healthy()
        agent._stale_after = 0.2  # instead of ten seconds
        source.collects = hangs
        reason = wait_for(agent, lambda status, _text: status == 503)
        assert re.fullmatch(r"no collection has ended for \d+ seconds\n", reason)
        assert 503 == ask(agent, "/healthz")[0]
        assert (False, False) == (agent.is_healthy(), agent.is_moving())

        agent._stale_after = 10
        gate.set()
        wait_for(agent, lambda status, _text: status == 200)


# ------------------------------------------------------------------------------- the driver, left and opened


def test_releasing_the_driver(source: Source, jobs: Path, said: list[str]) -> None:
    """No GPU is shown and none read, the agent stays well; twice is once; then all is there again."""
    with started(source, jobs, said, interval=60) as agent:
        wait_for(agent, lambda status, text: status == 200 and "\nopsd_gpu_up{" in text)
        assert ["", ""] == [agent.release(), agent.release()]
        page = Scraped(ask(agent)[1])
        assert 1 == page.value("opsd_node_released")
        assert [] == page.values("opsd_gpu_info") == page.values("opsd_gpu_up")
        assert page.value("opsd_node_collector_up", collector="nvml") is None
        assert agent.is_healthy()
        assert ["collect", "close", "close"] == source.calls

        agent.resume()
        page = Scraped(ask(agent)[1])
        assert (0, [1]) == (page.value("opsd_node_released"), page.values("opsd_gpu_up"))
        agent.resume()
        assert ["collect", "close", "close", "collect", "collect"] == source.calls
    assert ["driver: left until SIGUSR2", "driver: well again"] == [
        line for line in said if line.startswith("driver")
    ]


def test_a_driver_that_cannot_be_left_yet(source: Source, jobs: Path, said: list[str]) -> None:
    """What is stuck is said; it is tried again in each collection, and no GPU is read meanwhile."""
    source.closes = lambda: "gpu 3: a call does not return"
    with started(source, jobs, said) as agent:
        wait_for(agent, lambda status, _text: status == 200)
        assert "gpu 3: a call does not return" == agent.release()
        page = Scraped(ask(agent)[1])
        assert (0, []) == (page.value("opsd_node_released"), page.values("opsd_gpu_up"))

        source.closes = lambda: ""
        wait_for(agent, lambda _status, text: "\nopsd_node_released 1.0" in text)
    assert "driver: cannot be left yet: gpu 3: a call does not return" in said
    assert "collect" not in source.calls[source.calls.index("close") :]


def test_signals(fake_nvml: FakeNvml, jobs: Path) -> None:
    """SIGUSR1 leaves the driver, also when sent twice, SIGUSR2 opens it; SIGHUP ends nothing."""
    fake_nvml.set(gpus=2)
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
        agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1, 1])
        agent.process.send_signal(signal.SIGUSR1)
        agent.wait_for(lambda page: page.value("opsd_node_released") == 1)
        agent.process.send_signal(signal.SIGUSR1)
        page = agent.pages(2)
        assert 1 == page.value("opsd_node_released")
        assert [] == page.values("opsd_gpu_info") == page.values("opsd_gpu_devices_visible")
        assert 1 == page.value("opsd_node_collector_up", collector="jobs")
        with urllib.request.urlopen(f"{agent.url}/healthz", timeout=PATIENCE_SECONDS) as answer:
            assert b"ok\n" == answer.read()

        fake_nvml.set(seed="b")
        agent.process.send_signal(signal.SIGUSR2)
        page = agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1, 1])
        assert 0 == page.value("opsd_node_released")

        agent.process.send_signal(signal.SIGHUP)
        agent.wait_until_said("the web configuration was read again")
        assert 1 == page.value("opsd_gpu_info", gpu=1, uuid=UUID.format(1).replace("-a", "-b"))
        assert 0 == agent.stop()


def test_it_ends_while_it_is_left(fake_nvml: FakeNvml, jobs: Path) -> None:
    """SIGTERM after SIGUSR1 ends it well, also while a call keeps the driver from being left."""
    fake_nvml.set(gpus=2)
    with running(fake_nvml.environment(), f"--jobs.directory={jobs}") as agent:
        agent.wait_for(lambda page: page.values("opsd_gpu_up") == [1, 1])
        fake_nvml.set(hang__1=1)
        agent.wait_for(lambda page: page.value("opsd_gpu_hung", gpu=1))
        agent.process.send_signal(signal.SIGUSR1)
        agent.wait_until_said("gpu 1: a call does not return")
        assert 0 == agent.stop()
    assert not [line for line in agent.said if "Traceback" in line]


# ------------------------------------------------------------------------------------ XIDs of two sources


def test_two_sources_of_the_same_errors() -> None:
    """The larger count and the later time: each source misses some, and none makes any up."""
    one = {79: Xid(2, 50.0), 31: Xid(1, 10.0)}
    other = {79: Xid(1, 60.0), 94: Xid(0, 5.0)}

    assert {31: Xid(1, 10.0), 79: Xid(2, 60.0), 94: Xid(0, 5.0)} == merged(one, other)
    assert merged(other, one) == merged(one, other)


def log_of(folder: Path, *lines: str) -> Path:
    """A file that stands in for the kernel's log; the driver's lines begin with `NVRM: `."""
    path = folder / "kmsg"
    path.write_text("".join(f"3,{at},{at},-;NVRM: {line}\n" for at, line in enumerate(lines, start=1)))
    return path


def test_the_kernels_log_is_joined(tmp_path: Path, said: list[str]) -> None:
    """By where the GPU is on the bus; one that the driver does not show is known by the log's own UUID."""
    path = log_of(
        tmp_path,
        "Xid (PCI:0000:3b:00): 48, pid=1",
        "GPU at PCI:0000:86:00: " + UUID.format(9),
        "Xid (PCI:0000:86:00): 79, GPU has fallen off the bus.",
        "Xid (PCI:0000:99:00): 13, of a GPU that nobody knows",
    )
    xids = KernelXids(Options(kernel_log=path), lambda: 1_000.0, said.append)
    assert "" == xids.read()
    joined = xids.joined(SHOWN)

    assert {48: 0, 79: 2} == {xid: seen.times for xid, seen in joined.gpus[0].xids.items()}
    assert {UUID.format(9): [79]} == {uuid: list(told) for uuid, told in xids.strays(SHOWN).items()}
    assert [] == said
    xids.close()


def test_without_the_kernels_log(tmp_path: Path, said: list[str]) -> None:
    """Where it cannot be opened that is said once, and nothing is missing but it."""
    xids = KernelXids(Options(kernel_log=tmp_path / "absent"), lambda: 1_000.0, said.append)

    assert [None, None] == [xids.read(), xids.read()]
    assert SHOWN is xids.joined(SHOWN)
    assert {} == xids.strays(SHOWN)
    why = f"{tmp_path / 'absent'}: No such file or directory"
    assert [f"kernel_log: {why}: XIDs are heard from the driver alone"] == said


@pytest.mark.parametrize("options", [Options(simulated=1), Options(collectors=frozenset())])
def test_a_log_that_is_not_wanted(options: Options, said: list[str]) -> None:
    """Simulated GPUs have none, and it can be switched off: it is not even opened."""
    xids = KernelXids(options, lambda: 1_000.0, said.append)

    assert xids.read() is None
    assert [] == said


def test_the_log_on_the_page(source: Source, jobs: Path, tmp_path: Path, said: list[str]) -> None:
    """It is a collector of its own: what it tells stands with its GPU; when it fails, that shows."""
    path = log_of(
        tmp_path,
        "Xid (PCI:0000:3b:00): 48, pid=1",
        "GPU at PCI:0000:86:00: " + UUID.format(9),
        "Xid (PCI:0000:86:00): 79, GPU has fallen off the bus.",
    )
    options = Options(listen_address="127.0.0.1:0", interval=0.05, jobs_directory=jobs, kernel_log=path)
    agent = Agent(options, say=said.append, gpus=source)
    agent.start()
    try:
        page = Scraped(wait_for(agent, lambda status, _text: status == 200))
        assert 0 == page.value("opsd_gpu_xid_errors_total", gpu=0, uuid="GPU-1", xid=48)
        assert 2 == page.value("opsd_gpu_xid_errors_total", gpu=0, uuid="GPU-1", xid=79)
        assert 0 == page.value("opsd_gpu_xid_errors_total", gpu="", uuid=UUID.format(9), xid=79)
        assert 1 == page.value("opsd_node_collector_up", collector="kernel_log")

        with path.open("a") as more:
            more.write("3,9,9,-;NVRM: Xid (PCI:0000:3b:00): 48, pid=2\n")
        wait_for(agent, lambda _status, text: 'gpu="0",uuid="GPU-1",xid="48"} 1.0' in text)
    finally:
        agent.stop()


# ------------------------------------------------------------------------------- parts that are switched off


def test_without_the_drivers_events(fake_nvml: FakeNvml, jobs: Path) -> None:
    """Without `xids` nobody listens to the driver; what the kernel's log tells is there all the same."""
    fake_nvml.set(gpus=1, xid="1:0:31")
    log = log_of(jobs.parent, "Xid (PCI:0000:10:00): 48, pid=1")
    flags = ["--no-collector.xids", f"--path.kernel-log={log}", f"--jobs.directory={jobs}"]
    with running(fake_nvml.environment(), *flags) as agent:
        agent.wait_for(lambda page: page.value("opsd_gpu_up", gpu=0) == 1)
        page = agent.pages(3)

        assert page.value("opsd_node_collector_up", collector="xids") is None
        assert [0] == page.values("opsd_gpu_xid_errors_total")
        assert 0 == page.value("opsd_gpu_xid_errors_total", gpu=0, uuid=UUID.format(0), xid=48)


def test_without_nvml(source: Source, jobs: Path, said: list[str]) -> None:
    """Without `nvml` the driver is not touched, and nothing is said to be missing."""
    options = Options(listen_address="127.0.0.1:0", jobs_directory=jobs, collectors=frozenset({"jobs"}))
    agent = Agent(options, say=said.append, gpus=source)
    agent.start()
    try:
        page = Scraped(wait_for(agent, lambda status, _text: status == 200))
        assert [] == page.values("opsd_gpu_up") == page.values("opsd_node_released")
        assert page.value("opsd_node_collector_up", collector="nvml") is None
        assert 1 == page.value("opsd_node_collector_up", collector="jobs")
    finally:
        agent.stop()
    assert ["close"] == source.calls
    assert [] == said


def test_a_log_that_nobody_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that hangs costs what would be said, not the collection."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as log:
        monkeypatch.setattr("sys.stderr", log)
        saying = threading.Thread(target=to_stderr, args=("lost",), daemon=True)
        saying.start()
        saying.join(10)
        is_said = not saying.is_alive()
        os.set_blocking(reading, False)
        while reader.read1():
            pass
        saying.join(10)
        to_stderr("heard")
        heard = reader.read1()

    assert is_said
    assert b"opsd-node: heard\n" == heard
