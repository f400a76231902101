"""`opsd-node top`: what a page says, as somebody at a terminal sees it."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from exporters import serve
from exporters.page import Page
from opsd.node import Agent, Options, command_line, top
from opsd.node.board import Device, Holder, board
from opsd.node.top_table import table

NOW = 1_764_280_000.0
GPU = {"gpu": "0", "uuid": "GPU-a"}


def page() -> Page:
    """Two GPUs: one that two jobs share, of which one runs nothing, and one that hangs."""
    made = Page()
    made.add("opsd_page_timestamp_seconds", NOW)
    made.add("opsd_gpu_devices_visible", 2)
    made.add("opsd_gpu_driver_info", 1, driver="590.48.01", cuda="13.1", nvml="13.590.48.01")
    other = {"gpu": "10", "uuid": "GPU-b"}
    for labels, is_up in ((GPU, 1), (other, 0)):
        made.add("opsd_gpu_info", 1, **labels, name="NVIDIA H100 80GB HBM3", serial="", pci="", vbios="")
        made.add("opsd_gpu_up", is_up, **labels)
        made.add("opsd_gpu_hung", not is_up, **labels)
        made.add("opsd_gpu_lost", 0, **labels)
    made.add("opsd_gpu_last_sample_timestamp_seconds", NOW - 42, **other)
    made.add("opsd_gpu_xid_last_timestamp_seconds", NOW - 60, **other, xid="79")
    made.add("opsd_gpu_xid_last_timestamp_seconds", NOW - 86_400, **other, xid="31")
    made.add("opsd_gpu_utilization_ratio", 0.5, **GPU)
    made.add("opsd_gpu_memory_used_bytes", 20 * 2**30, **GPU)
    made.add("opsd_gpu_memory_total_bytes", 80 * 2**30, **GPU)
    made.add("opsd_gpu_power_average_watts", 350, **GPU)
    made.add("opsd_gpu_power_limit_watts", 700, **GPU, kind="enforced")
    made.add("opsd_gpu_temperature_celsius", 61, **GPU, sensor="gpu")
    made.add("opsd_gpu_clock_event_active", 1, **GPU, reason="sw_power_cap")
    made.add("opsd_gpu_clock_event_active", 1, **GPU, reason="hw_thermal_slowdown")
    for job, user, processes in (("12", "ana", 2), ("7", "filipe", 0)):
        whose = {"uuid": "GPU-a", "parent": "", "jobid": job}
        made.add("opsd_gpu_job_info", 0.5, **whose, account="es-bio", user=user)
        made.add("opsd_gpu_job_processes", processes, **whose)
    return made


def drawn(made: Page, width: int, now: float = NOW) -> str:
    """The table as text."""
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    console.print(table(board(made, now), "acc01", width, now))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 114, 140])
def test_no_fault_loses_a_letter(width: int) -> None:
    """What has no room goes on in the next line; a small terminal shows fewer columns."""
    text = drawn(page(), width)

    assert "".join(text.split()).endswith(("hungfor42sXID79", "hungfor42s,XID79"))
    assert width >= max(map(len, text.splitlines()))


def test_the_rows_of_a_page() -> None:
    """Each GPU is a row with its holders; what the page does not say is None."""
    shown = board(page(), NOW)
    shared, hung = shown.devices

    assert (Holder("12", "ana", "es-bio", 0.5, 2), Holder("7", "filipe", "es-bio", 0.5, 0)) == shared.holders
    assert (0.5, False, None, None) == (
        shared.activity,
        shared.is_sm_activity,
        shared.tensor,
        shared.memory_temperature,
    )
    assert ("hw thermal slowdown",) == shared.faults
    assert ("hung", 42, ("XID 79",), None) == (hung.state, hung.age, hung.faults, hung.activity)


def test_sm_activity_is_shown_before_utilisation() -> None:
    """Where the GPU tells how many SMs work, that is the activity: utilisation says that a kernel ran."""
    made = page()
    made.add("opsd_gpu_sm_active_ratio", 0.25, **GPU)

    assert (0.25, True) == (board(made, NOW).devices[0].activity, board(made, NOW).devices[0].is_sm_activity)
    assert "SM active" in drawn(made, 140)


def test_a_mig_device_is_a_row_below_its_gpu() -> None:
    """It carries its own activity, memory and holder."""
    made = page()
    mig = {"gpu": "0", "uuid": "MIG-1", "parent": "GPU-a"}
    made.add("opsd_gpu_mig_info", 1, **mig, instance="3", compute_instance="0", profile="3g.40gb")
    made.add("opsd_gpu_mig_sm_active_ratio", 0.75, **mig)
    made.add("opsd_gpu_job_info", 1, uuid="MIG-1", parent="GPU-a", jobid="9", account="a", user="eva")
    row = board(made, NOW).devices[1]

    assert ("3g.40gb", "GPU-a", 0.75) == (row.name, row.parent, row.activity)
    assert Device("0", "MIG-1", "3g.40gb").power is row.power is None
    assert "└ 3g.40gb" in drawn(made, 140)


@pytest.mark.parametrize("width", [80, 114, 140])
def test_the_table_fits(width: int) -> None:
    """At every width the jobs, the fault and its age are there, and no line is longer than the terminal."""
    text = drawn(page(), width)

    assert width >= max(map(len, text.splitlines()))
    for said in ("acc01", "12 50%", "7 50% no", "ana", "filipe", "50 %", "350 W", "61", "XID 79"):
        assert said in text
    assert "hung for 42 s" in " ".join(text.split()) or "hung for" in text
    assert ("es-bio" in text) == (width == 140)


def test_an_old_page_is_said_to_be_old() -> None:
    """A page that nobody renders any more is not taken for the present."""
    assert "100 s old" in drawn(page(), 140, NOW + 100)
    assert " old" not in drawn(page(), 140, NOW + 5)


def test_nothing_to_show_says_why() -> None:
    """A node without a driver shows which part is not well; a released one says how to go on."""
    empty = Page()
    empty.add("opsd_node_collector_up", 0, collector="nvml")
    released = Page()
    released.add("opsd_node_released", 1)

    assert "No GPU is shown. Not well: nvml." in drawn(empty, 140)
    assert "until SIGUSR2" in drawn(released, 140)


def test_a_page_from_its_text() -> None:
    """What was rendered reads back alike; what this version does not know is left out."""
    plain = page().render().plain.decode()
    newer = plain + '# TYPE opsd_gpu_flux gauge\nopsd_gpu_flux{gpu="0"} 1\nopsd_gpu_up{colour="red"} 1\n'

    assert plain == top.parse(newer).render().plain.decode()


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """A job directory in which job 4711 holds GPU 1."""
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "4711").write_text("job_id=4711\naccount=es-bio\nuser=ana\ngpus=1\nstarted=1764280000\n")
    return folder


def test_it_shows_the_agent_that_is_named(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table is the agent's page, whoever runs it."""
    agent = Agent(Options(listen_address="127.0.0.1:0", interval=0.05, jobs_directory=jobs, simulated=2))
    agent.start()
    try:
        until = time.monotonic() + 30
        while (code := top.main(["--once", "--url", agent.url])) and time.monotonic() < until:
            time.sleep(0.02)  # nothing collected yet
    finally:
        agent.stop()
    out = capsys.readouterr().out

    assert 0 == code
    assert agent.url.removeprefix("http://") in out
    assert "4711" in out


def test_without_an_agent_it_reads_the_gpus(jobs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A node whose agent does not run can be looked at all the same."""
    assert 0 == top.main(["--once", "--simulated=2", f"--jobs.directory={jobs}"])
    out = capsys.readouterr().out

    assert "no agent: read here" in out
    assert "2 of 2 GPUs up" in out


def test_beside_an_agent_that_gives_no_page_the_gpus_are_left_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be one behind TLS, or one that hangs: a second client of the driver is no help."""
    server = serve.PageServer(serve.parse_address("127.0.0.1:0"), serve.Holder(), title="opsd-node")
    monkeypatch.setattr(top, "DEFAULT_URL", server.url)
    monkeypatch.setattr(top, "Local", lambda _: pytest.fail("the GPUs are read"))
    server.start()
    try:
        assert 1 == top.main(["--once"])
    finally:
        server.stop()
    said = capsys.readouterr().err

    assert said.startswith(
        f"opsd-node: {server.url}/metrics: 503 nothing collected yet: something listens there"
    )


def test_the_page_of_another_agent_is_shown_as_far_as_it_goes() -> None:
    """A label that is no number, or that an older agent did not know, ends nothing."""
    text = (
        'opsd_gpu_up{gpu="0",uuid="GPU-a"} 1\nopsd_gpu_up{gpu="first",uuid="GPU-b"} 1\n'
        'opsd_gpu_utilization_ratio{gpu="0",uuid="GPU-a"} NaN\n'
        'opsd_gpu_mig_info{gpu="0",uuid="MIG-a",parent="GPU-a"} 1\n'
    )
    made = top.parse(text)

    assert ["GPU-b", "GPU-a", "MIG-a"] == [device.uuid for device in board(made, NOW).devices]
    assert "2 of 2 GPUs up" in drawn(made, 80)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--url=ftp://x"], "--url ftp://x: must begin with http:// or https://"),
        (["--url=http://127.0.0.1:1"], "http://127.0.0.1:1/metrics: "),
        (["--url=http://127.0.0.1:1", "--username=ana"], "--username ana: needs --password-file"),
        (
            ["--url=http://127.0.0.1:1", "--username=ana", "--password-file=absent"],
            "--password-file absent: No",
        ),
        (["--url=https://127.0.0.1:1", "--ca-file=absent"], "--ca-file, --cert-file, --key-file: "),
    ],
)
def test_what_cannot_be_shown(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It says in one line what is wrong, and ends with 1."""
    assert 1 == top.main(["--once", *words])
    assert capsys.readouterr().err.startswith(f"opsd-node: {message}")


def test_in_a_terminal_it_lives_until_q(jobs: Path) -> None:
    """It draws again and again on a screen of its own, and q gives the terminal back."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "opsd.node", "top", "--simulated=2", f"--jobs.directory={jobs}"]
    process = subprocess.Popen(
        [*command, "--interval=50ms"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "30"},
    )
    os.close(theirs)
    try:
        seen = _read_until(ours, b"4711", times=3)
        os.write(ours, b"q")
        seen += _read_until(ours, b"\x1b[?1049l")
        assert 0 == process.wait(30)
        assert process.stderr
        assert b"" == process.stderr.read()
        assert seen.count(b"4711") >= 3
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()
        os.close(ours)


def _read_until(descriptor: int, wanted: bytes, times: int = 1) -> bytes:
    seen = b""
    until = time.monotonic() + 30
    while seen.count(wanted) < times:
        assert time.monotonic() < until, seen
        if select.select([descriptor], [], [], 1)[0]:
            seen += os.read(descriptor, 65_536)
    return seen


def test_every_option_is_documented() -> None:
    """Each stands in the agent's section of docs/commands.md."""
    text = (Path(__file__).parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")
    section = text.partition("\n## opsd-node top\n")[2].partition("\n## ")[0]
    options = [option for action in top._parser()._actions for option in action.option_strings]

    assert section
    assert [] == [option for option in options if option not in ("-h", "--help") and option not in section]
    assert command_line.parser().epilog
