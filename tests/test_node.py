"""The agent of a compute node: what it prints and serves, and what it must never load."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import pytest

from opsd import node
from opsd.core.errors import BadInput, Refused
from opsd.node import Agent, Options, command_line
from tests.fakes.nvml.running import Scraped, running

SQL = {"alembic", "apscheduler", "psycopg", "sqlalchemy", "sqlite3", "sqlmodel"}
HEAVY = {*SQL, "pydantic", "rich", "fastapi"}


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A job directory in which job 4711 holds GPU 1."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "4711").write_text("job_id=4711\naccount=es-bio\nuser=ana\ngpus=1\nstarted=1764280000\n")
    return folder


def simulated(jobs: Path, **more: object) -> Options:
    """Options of an agent with two GPUs that are not there."""
    return Options(
        listen_address="127.0.0.1:0",
        interval=0.05,
        jobs_directory=jobs,
        simulated=2,
        **more,  # type: ignore[arg-type]
    )


def page_of(agent: Agent, tls: ssl.SSLContext | None = None) -> Scraped:
    """An agent's first page."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{agent.url}/metrics", timeout=30, context=tls) as answer:
                return Scraped(answer.read().decode())
        except urllib.error.HTTPError:  # nothing collected yet
            agent._stopping.wait(0.02)
    raise AssertionError("no page came")


# -------------------------------------------------------------------------------------------- one page


def test_once_prints_a_page(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--once --simulated` prints one page: build, health, the busy GPU and whose it is."""
    code = node.main(["--once", "--simulated=2", f"--jobs.directory={jobs}"])

    printed = capsys.readouterr()
    page = Scraped(printed.out)
    assert (0, "") == (code, printed.err)
    assert [1] == page.values("opsd_node_build_info", version=version("opsd-hpc"))
    assert 1 == page.value("opsd_node_collector_up", collector="simulated")
    assert 0 == page.value("opsd_gpu_utilization_ratio", gpu=0)
    assert page.value("opsd_gpu_utilization_ratio", gpu=1) > 0.5  # type: ignore[operator]
    assert 1 == page.value("opsd_gpu_job_info", jobid=4711, account="es-bio", user="ana")


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [(">/dev/full", 1, "standard output: No space left on device"), (">&-", 0, ""), (">&- 2>&-", 0, "")],
)
def test_once_where_nobody_takes_the_page(redirected: str, code: int, said: str, jobs: Path) -> None:
    """A full or closed output is said in one line, where there is anywhere to say it."""
    words = f"{sys.executable} -m opsd.node --once --simulated=1 --jobs.directory={jobs} {redirected}"
    ended = subprocess.run(words, shell=True, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert code == ended.returncode
    assert (f"opsd-node: {said}: the page is incomplete\n" if said else "") == ended.stderr


def test_a_missing_job_directory_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the directory nobody knows whose the GPUs are: the page says it, and so does stderr."""
    code = node.main(["--once", "--simulated=1", f"--jobs.directory={tmp_path / 'absent'}"])

    printed = capsys.readouterr()
    assert 0 == code
    assert 0 == Scraped(printed.out).value("opsd_node_collector_up", collector="jobs")
    assert "absent: No such file or directory" in printed.err


def test_a_job_file_that_cannot_be_read_is_counted(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is unresolved like a GPU that is not on this node; the other jobs are shown."""
    (jobs / "1").write_text("gpus")
    (jobs / "2").write_text("job_id=2\naccount=a\nuser=u\ngpus=0,7\nstarted=1\n")
    node.main(["--once", "--simulated=2", f"--jobs.directory={jobs}"])

    page = Scraped(capsys.readouterr().out)
    assert 2 == page.value("opsd_gpu_job_unresolved")
    assert [1, 1] == page.values("opsd_gpu_job_info")


def test_many_job_files_that_cannot_be_read(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them count; ten are said, and how many more there are: a log is to be read."""
    for number in range(100, 400):
        (jobs / str(number)).write_text("x")
    node.main(["--once", "--simulated=2", f"--jobs.directory={jobs}"])

    printed = capsys.readouterr()
    assert 300 == Scraped(printed.out).value("opsd_gpu_job_unresolved")
    assert ["109"] == re.findall(r"job file (109|110):", printed.err)
    assert "; and 290 more\n" in printed.err


def test_how_many_gpus_there_should_be(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the agent was told stands beside what is there; told nothing, it claims nothing."""
    for words, expected in ((["--gpus.expected=4"], 4), ([], None)):
        node.main(["--once", "--simulated=2", f"--jobs.directory={jobs}", *words])
        page = Scraped(capsys.readouterr().out)
        assert 2 == page.value("opsd_gpu_devices_visible")
        assert expected == page.value("opsd_gpu_devices_expected")


@pytest.mark.prometheus
def test_promtool_has_nothing_to_say(jobs: Path, promtool: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The simulated page is as Prometheus wants it."""
    node.main(["--once", "--simulated=2", f"--jobs.directory={jobs}"])
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=capsys.readouterr().out,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


# ---------------------------------------------------------------------------------------------- options


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the version that was installed."""
    with pytest.raises(SystemExit) as ended:
        node.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"opsd-node {version('opsd-hpc')}\n"


@pytest.mark.parametrize("words", [["--onec"], ["--interval=5"], ["--interval", "x"], ["--simulated=two"]])
def test_wrong_usage(words: list[str]) -> None:
    """What it does not know or cannot read ends with 2 instead of being ignored."""
    with pytest.raises(SystemExit) as ended:
        node.main(words)

    assert ended.value.code == 2


@pytest.mark.parametrize(("text", "expected"), [("5s", 5), ("250ms", 0.25), ("1.5m", 90)])
def test_durations(text: str, expected: float) -> None:
    """Durations carry their unit."""
    assert expected == command_line.duration(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--interval=1s", "--deadline=1s"], "must be less than --interval 1s"),
        (["--interval=0s"], "must be more than nothing"),
        (["--interval=99999999m"], "must be a day at most"),
        (["--simulated=0"], "--simulated 0: a node has 1 to 64 GPUs"),
        (["--gpus.expected=0"], "--gpus.expected 0: a node has 1 to 64 GPUs"),
        (["--web.listen-address=9751"], "not an address"),
        (["--simulated=1", "--web.listen-address=0.0.0.0:0"], "not on the loopback"),
        (["--simulated=1", "--web.config.file=/absent"], "No such file"),
    ],
)
def test_options_that_make_no_sense(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are refused with a word on why, before anything is served."""
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, set())
    try:
        assert 1 == node.main(words)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    assert message in capsys.readouterr().err


def test_the_deadline_follows_a_short_interval() -> None:
    """Unless said, a GPU has two seconds, or half the interval where that is less."""
    assert [2, 0.5] == [Options(interval=5).deadline, Options(interval=1).deadline]
    with pytest.raises(BadInput):
        Options(interval=1, deadline=-1)


def test_every_option_is_documented() -> None:
    """Each stands in the agent's section of docs/commands.md."""
    text = (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = text.partition("\n## opsd-node\n")[2].partition("\n## ")[0]
    options = [option for action in command_line.parser()._actions for option in action.option_strings]

    assert section
    assert [] == [option for option in options if option not in ("-h", "--help") and option not in section]


# ---------------------------------------------------------------------------------------------- the agent


@pytest.fixture
def four(jobs: Path) -> Iterator[list[Agent]]:
    """Four agents in one process, as the demonstration runs them."""
    with ExitStack() as stack:
        agents = []
        for number in range(4):
            agent = Agent(simulated(jobs, simulated_seed=f"acc0{number}"), clock=lambda: 1.75e9)
            agent.start()
            stack.callback(agent.stop)
            agents.append(agent)
        yield agents


def test_four_agents_in_one_process(four: list[Agent]) -> None:
    """Each serves GPUs of its own, in the time of the clock it was given."""
    pages = [page_of(agent) for agent in four]

    assert 4 == len({agent.url for agent in four})
    uuids = {
        sample for page in pages for sample in page.text.splitlines() if sample.startswith("opsd_gpu_up")
    }
    assert 8 == len(uuids)
    assert [1.75e9] * 4 == [page.value("opsd_page_timestamp_seconds") for page in pages]
    assert all(agent.is_healthy() for agent in four)


def test_a_job_that_ends_frees_its_gpu(jobs: Path) -> None:
    """A page follows the job files: what the epilog takes away is gone from the next one."""
    with running(os.environ, "--simulated=2", f"--jobs.directory={jobs}") as agent:
        agent.wait_for(lambda page: page.value("opsd_gpu_job_info", jobid=4711))
        (jobs / "4711").unlink()
        page = agent.wait_for(lambda page: page.value("opsd_gpu_job_info", jobid=4711) is None)

        assert [0, 0] == page.values("opsd_gpu_utilization_ratio")
        assert 0 == agent.stop()


def test_systemd_is_told(jobs: Path, tmp_path: Path) -> None:
    """Ready, alive while it is well, stopping: in this order."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(30)
        manager.bind(str(tmp_path / "notify"))
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "WATCHDOG_USEC": "300000",
        }
        with running(environment, "--simulated=1", f"--jobs.directory={jobs}") as agent:
            assert b"READY=1" == manager.recv(100)
            assert b"WATCHDOG=1" == manager.recv(100)
            assert 0 == agent.stop()
        said = {b"WATCHDOG=1"}
        while b"STOPPING=1" not in said:
            said.add(manager.recv(100))


def test_with_certificates_it_leaves_the_loopback(certificates: Path, jobs: Path) -> None:
    """Off the loopback only who shows a certificate gets the page; without one it does not even start."""
    config = certificates / "node.yml"
    config.write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, "
        "client_auth_type: RequireAndVerifyClientCert}\n"
    )
    everywhere = Options(
        listen_address="0.0.0.0:0", web_config=config, interval=0.2, jobs_directory=jobs, simulated=1
    )
    agent = Agent(everywhere)
    agent.start()
    try:
        tls = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
        tls.load_cert_chain(certificates / "client.crt", certificates / "client.key")
        port = agent.url.rpartition(":")[2]
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", context=tls, timeout=30) as answer:
            assert b"ok\n" == answer.read()
    finally:
        agent.stop()
    with pytest.raises(Refused):
        Agent(Options(listen_address="0.0.0.0:0", simulated=1))


def test_the_agent_loads_no_sql(jobs: Path) -> None:
    """A whole run of the agent leaves no database module in the process, nor anything else that is heavy."""
    program = (
        "import json, sys\n"
        "from opsd.node import main\n"
        f"assert main(['--once', '--simulated=1', '--jobs.directory={jobs}']) == 0\n"
        "import collectors.nvml.sampler\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert set() == HEAVY & loaded
