"""`opsd demo` as a newcomer meets it: addresses, a page, a report, metrics, and nothing left behind."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import openpyxl
import pytest
from prometheus_client.parser import text_string_to_metric_families

START_SECONDS = 120
PAGE_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Demo:
    """A demonstration that lives in a process of its own."""

    process: subprocess.Popen[str]
    folder: Path
    portal: str
    pages: tuple[str, ...]  # the daemon's first, then the nodes'
    said: str


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`opsd demo` on ports that the system chooses."""
    command = [sys.executable, "-m", "opsd", "demo", "--dir", str(folder), "--port", "0", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )


def environment() -> dict[str, str]:
    """Without a database of the caller's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OPSD_")}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One for all tests of this file; stopped as Ctrl-C stops it."""
    folder = tmp_path_factory.mktemp("living") / "demo"
    process = start(folder)
    try:
        said = words(process)
        portal, *pages = addresses(said)
        yield Demo(process, folder, portal, tuple(pages), said)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def words(process: subprocess.Popen[str]) -> str:
    """What it prints, read up to its last line."""
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("  opsd balance"):
            return "".join(said)
    raise AssertionError("".join(said) + process.communicate()[1])


def addresses(said: str) -> list[str]:
    """Portal, daemon, nodes."""
    return re.findall(r"http://\S+", said)


def fetch(url: str) -> bytes:
    """A page's bytes."""
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def samples(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """A metrics page by name."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(fetch(url).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def wait_for(url: str, name: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The page, as soon as a metric stands on it."""
    deadline = time.monotonic() + PAGE_SECONDS
    while name not in (page := samples(url)):
        assert time.monotonic() < deadline, f"{name} never came: {sorted(page)}"
        time.sleep(0.2)
    return page


@pytest.mark.slow
def test_the_portal_shows_countries_and_gives_the_report(demo: Demo) -> None:
    """The page names the countries that lead; its XLSX is a workbook with numbers."""
    page = fetch(demo.portal).decode()
    link = re.search(r'href="([^"]*xlsx[^"]*)"', page)
    assert link
    book = openpyxl.load_workbook(io.BytesIO(fetch(demo.portal.rstrip("/") + link[1].replace("&amp;", "&"))))
    numbers = [
        cell
        for sheet in book
        for row in sheet.iter_rows(values_only=True)
        for cell in row
        if isinstance(cell, float | int)
    ]

    assert [] == [name for name in ("Spain", "Portugal", "Türkiye", "Romania") if name not in page]
    assert len(numbers) > 100


@pytest.mark.slow
def test_the_daemon_shows_balances_and_its_steps(demo: Demo) -> None:
    """Two awards are over quota, each with its project and country; the steps have run."""
    page = wait_for(demo.pages[0], "opsd_award_over_quota")
    over = [labels for labels, value in page["opsd_award_over_quota"] if value]
    deadline = time.monotonic() + PAGE_SECONDS
    while not {"ingest", "balances"} <= (ran := succeeded(demo.pages[0])):
        assert time.monotonic() < deadline, f"these have run: {ran}"
        time.sleep(0.2)

    assert len(over) == 2
    assert all(labels["project"] and labels["country"] for labels in over)


@pytest.mark.slow
def test_the_daemon_shows_what_slurm_does_now(demo: Demo) -> None:
    """Every source answers; nodes have the GPUs that their agents see; counters begin for every GPU."""
    page = wait_for(demo.pages[0], "opsd_slurm_source_up")
    agents = json.loads((demo.folder / "targets" / "nodes.json").read_text())
    seen = {
        (entry["labels"]["cluster"], entry["labels"]["node"]): samples(
            f"http://{entry['targets'][0]}/metrics"
        )
        for entry in agents
    }
    configured = {
        (labels["cluster"], labels["node"]): value for labels, value in page["opsd_slurm_node_gpus"]
    }
    states = {labels["state"] for labels, _ in page["opsd_slurm_gpu_seconds_total"]}

    assert [1.0] * 6 == [value for _, value in page["opsd_slurm_source_up"]]
    assert {key: found["opsd_gpu_devices_visible"] for key, found in seen.items()} == {
        key: [({}, configured[key])] for key in seen
    }
    assert 256 == sum(value for _, value in page["opsd_slurm_gpus"])
    assert {"allocated", "idle", "unseen"} <= states


def succeeded(url: str) -> set[str]:
    """The steps of a daemon whose last run did what it should."""
    return {labels["step"] for labels, value in samples(url).get("opsd_step_success", []) if value}


@pytest.mark.slow
def test_the_nodes_run_the_jobs(demo: Demo) -> None:
    """Four nodes with four GPUs each; those that a job holds are busy, the others idle."""
    pages = [wait_for(url, "opsd_gpu_utilization_ratio") for url in demo.pages[1:]]
    held = busy = 0
    for page in pages:
        holders = {labels["uuid"] for labels, _ in page.get("opsd_gpu_job_info", [])}
        working = {labels["uuid"] for labels, value in page["opsd_gpu_utilization_ratio"] if value > 0}
        assert len(page["opsd_gpu_up"]) == 4
        held, busy = held + len(holders), busy + len(working)
        assert working <= holders

    assert len(pages) == 4
    assert held > 0
    assert busy > 0


@pytest.mark.slow
def test_every_process_on_a_gpu_belongs_to_its_job(demo: Demo) -> None:
    """Whoever holds a GPU has a process there or visibly none; nobody else computes."""
    for url in demo.pages[1:]:
        page = wait_for(url, "opsd_gpu_processes_unknown")
        held = {(labels["uuid"], labels["jobid"]) for labels, _ in page.get("opsd_gpu_job_info", [])}
        counted = {(labels["uuid"], labels["jobid"]) for labels, _ in page.get("opsd_gpu_job_processes", [])}
        assert held == counted
        assert [({}, 0)] == page["opsd_gpu_processes_unknown"]
        assert [({}, 0)] == page["opsd_gpu_job_disagreements"]


@pytest.mark.slow
def test_what_gpus_did_reaches_the_reports(demo: Demo) -> None:
    """The daemon fetches it from all nodes, finds every run, and usage shows who wastes what."""
    page = wait_for(demo.pages[0], "opsd_measured_unmatched_records")
    ran = subprocess.run(
        [sys.executable, "-m", "opsd", "usage", "--from", "2000-01-01", "--to", "2100-01-01",
         "--measured", "--format", "json"],
        check=False, capture_output=True, text=True,
        env={**environment(), "OPSD_DB": f"sqlite:///{demo.folder / 'opsd.db'}"},
    )  # fmt: skip
    assert ran.returncode in (0, 3), ran.stderr
    (line,) = json.loads(ran.stdout)
    seen, computed, idle, active = (
        float(line[name])
        for name in (
            "measured_gpu_seconds",
            "process_gpu_seconds",
            "idle_gpu_seconds",
            "sm_active_gpu_seconds",
        )
    )

    assert [({"cluster": "demo"}, 0)] == page["opsd_measured_unmatched_records"]
    assert {"answered": 4, "failed": 0} == {
        labels["state"]: value for labels, value in page["opsd_spool_nodes"]
    }
    assert 0 < active < computed < seen
    assert 0.05 < idle / seen < 0.4


@pytest.mark.slow
def test_prometheus_is_told_what_to_scrape(demo: Demo) -> None:
    """Target files name what really answers, with cluster and node."""
    nodes = json.loads((demo.folder / "targets" / "nodes.json").read_text())
    daemon = json.loads((demo.folder / "targets" / "daemon.json").read_text())
    told = [f"http://{entry['targets'][0]}/metrics" for entry in (*daemon, *nodes)]

    assert list(demo.pages) == told
    assert len({entry["labels"]["node"] for entry in nodes}) == 4
    assert {"demo"} == {entry["labels"]["cluster"] for entry in nodes}


@pytest.mark.slow
def test_a_new_shell_can_do_what_it_says(demo: Demo) -> None:
    """The lines printed for another terminal work as they stand there, with nothing on PATH before."""
    if not shutil.which("bash"):
        pytest.skip("demonstration tests left out: bash was not found")
    lines = [line.strip() for line in demo.said.splitlines() if re.match("  (source|export|opsd) ", line)]
    ran = subprocess.run(
        ["bash", "-c", "\n".join(lines)], check=False, capture_output=True, text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(demo.folder)},
    )  # fmt: skip

    assert ["opsd status", "opsd balance"] == lines[-2:]
    assert re.search("^ingest .*\n(.*\n)*Balances by award", ran.stdout, re.MULTILINE), ran.stderr


@pytest.mark.slow
def test_another_in_the_same_folder_is_refused(demo: Demo) -> None:
    """It would pull the database from under the first."""
    other = start(demo.folder, "--once")
    _, said = other.communicate(timeout=60)

    assert other.returncode == 1
    assert "lives there" in said
    assert demo.process.poll() is None


@pytest.mark.slow
def test_ctrl_c_stops_everything(tmp_path: Path) -> None:
    """Also in the middle of its work: exit code 0, no port left open, no traceback."""
    process = start(tmp_path / "demo", "--seed", "2", "--until", "2026-11-15")
    urls = addresses(words(process))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "Traceback" not in said
    for url in urls:
        host, port = url.split("/")[2].split(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port)))
