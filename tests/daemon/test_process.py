"""`opsd daemon` as a service manager runs it: a process, its signals, its page, its end."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from opsd.store import steps
from opsd.store.engine import open_engine, sqlite_address
from opsd.store.steps import RUNNING, Last
from tests.fakes import books
from tests.fakes.daemons import page_of, samples, until
from tests.stack.programs import require

ENOUGH_SECONDS = 30  # for an end; a run that hangs may take five of them
ROOM = 33_000  # bytes of a file: enough for what SQLite shares in memory, not for what it writes


class Process(NamedTuple):
    """A daemon under way."""

    process: subprocess.Popen[str]
    url: str


class Place:
    """A configuration, a folder for Slurm's commands, a database."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder = folder
        self.database = database
        self.slurm = folder / "slurm"
        self.slurm.mkdir()
        self.config = folder / "opsd.toml"
        self.config.write_text(
            f'[database]\nurl = "{sqlite_address(database)}"\n[slurm]\nbin = "{self.slurm}"\n'
            '[daemon]\nlisten_address = "127.0.0.1:0"\nbalances_seconds = 1\n'
        )

    def command(self, name: str, *lines: str) -> None:
        """One of Slurm's commands, as a shell script."""
        path = self.slurm / name
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def opsd(self, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "opsd", "--config", str(self.config), *words],
            check=False, capture_output=True, text=True, timeout=60, **options,  # type: ignore[call-overload]
        )  # fmt: skip

    def steps(self) -> dict[str, Last]:
        """What the database says of them."""
        store = open_engine(sqlite_address(self.database))
        with store.read() as connection:
            found = steps.last(connection)
        store.close()
        return found


@pytest.fixture
def place(tmp_path: Path, database: Path) -> Place:
    """Where everything is."""
    return Place(tmp_path, database)


@pytest.fixture
def daemon(place: Place) -> Iterator[Callable[..., Process]]:
    """Starts daemons; kills those that are left."""
    made: list[subprocess.Popen[str]] = []

    def start(**environment: str) -> Process:
        command = [sys.executable, "-m", "opsd", "--config", str(place.config), "daemon"]
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        made.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"daemon_started pid=(\d+) page=(\S+)", line):
                assert process.pid == int(found[1])
                return Process(process, found[2])
        raise AssertionError("it ended before it had started")

    yield start
    for process in made:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The exit code and the rest of the log of a daemon that was told to end."""
    _, said = process.communicate(timeout=ENOUGH_SECONDS)
    return process.returncode, said


def test_ready_alive_and_stopping(place: Place, daemon: Callable[..., Process]) -> None:
    """systemd hears each in its time, and SIGTERM is a clean end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(place.folder / "notify"))
        systemd.settimeout(ENOUGH_SECONDS)
        running = daemon(NOTIFY_SOCKET=str(place.folder / "notify"), WATCHDOG_USEC="300000")
        heard = [systemd.recv(100) for _ in range(3)]
        running.process.send_signal(signal.SIGTERM)
        while (word := systemd.recv(100)) != b"STOPPING=1":
            assert word == b"WATCHDOG=1"

    assert {b"READY=1", b"WATCHDOG=1"} == set(heard)
    code, said = ended(running.process)
    assert (0, True) == (code, said.endswith("INFO daemon_stopped all_ended=true\n"))


@pytest.mark.prometheus
def test_the_page_as_promtool_reads_it(place: Place, daemon: Callable[..., Process]) -> None:
    """With Slurm away: balances stand, the ingest has failed, and promtool has nothing to say."""
    running = daemon()
    until(lambda: samples(running.url, "opsd_award_left_seconds"))
    until(lambda: "ingest" in samples(running.url, "opsd_step_success"))
    page = page_of(running.url)
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"], input=page, check=False, capture_output=True, text=True
    )

    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)
    assert {"ingest": 0, "balances": 1} == {
        name: value
        for name, value in samples(running.url, "opsd_step_success").items()
        if name in ("ingest", "balances")
    }


def test_told_to_end_while_slurm_hangs(place: Place, daemon: Callable[..., Process]) -> None:
    """The command is ended, the run is no failure, nothing stays behind."""
    place.command("sacctmgr", f"echo $$ > {place.folder}/hangs", "exec sleep 600")
    running = daemon()
    until(lambda: (place.folder / "hangs").exists() and (place.folder / "hangs").read_text().strip())
    running.process.send_signal(signal.SIGINT)
    code, said = ended(running.process)

    assert (0, True) == (code, "step_stopped step=ingest" in said)
    with pytest.raises(ProcessLookupError):
        os.kill(int((place.folder / "hangs").read_text()), 0)
    assert ("stopped", 0) == (place.steps()["ingest"].result, place.steps()["ingest"].failures)


def test_killed_and_started_again(place: Place, daemon: Callable[..., Process]) -> None:
    """Whoever comes second is refused until the first is gone, however it went; the run that died is told."""
    place.command("sacctmgr", f"echo $$ > {place.folder}/hangs", "exec sleep 600")
    first = daemon()
    until(lambda: place.steps().get("ingest"))
    second = place.opsd("daemon")
    assert (1, "") == (second.returncode, second.stdout)
    refused = rf"opsd: database .*: a daemon runs on it already: process {first.process.pid} on \S+, since "
    assert re.search(refused, second.stderr)

    until(lambda: (place.folder / "hangs").exists() and (place.folder / "hangs").read_text().strip())
    first.process.kill()
    first.process.wait()
    os.kill(int((place.folder / "hangs").read_text()), signal.SIGKILL)
    assert RUNNING == place.steps()["ingest"].result
    place.command("sacctmgr", "echo nobody answers >&2", "exit 1")

    third = daemon()
    until(lambda: samples(third.url, "opsd_step_consecutive_failures")["ingest"] == 2)


def test_once(place: Place, daemon: Callable[..., Process]) -> None:
    """The named steps in the table's order, beside a daemon as well; 1 where one failed."""
    well = place.opsd("daemon", "--once", "balances", "rebuild")
    assert 0 == well.returncode
    assert ["rebuild", "balances"] == re.findall(r"step_done step=(\w+)", well.stderr)

    daemon()
    failed = place.opsd("daemon", "--once")
    assert 1 == failed.returncode
    done = re.findall(r"step_done step=(\w+)", failed.stderr)
    assert ["rebuild", "balances", "credits", "notify", "fetch", "efficiency", "housekeeping"] == done
    away = re.findall(r"step_failed step=(\w+)", failed.stderr)
    assert ["ingest", "reread", "review", "reconcile", "slurm", "machine"] == away


def test_a_misspelt_step(place: Place) -> None:
    """Wrong usage, with the nearest name, and nothing was opened."""
    wrong = place.opsd("daemon", "--once", "ballances")

    said = "opsd: step 'ballances': no such step; did you mean 'balances'? steps: "
    assert (2, True) == (wrong.returncode, wrong.stderr.startswith(said))
    assert {} == place.steps()


def test_a_disk_without_room(place: Place) -> None:
    """What needs the disk fails and says so; what only reads is done; with room again all is well."""
    store = open_engine(sqlite_address(place.database))
    books.read(store, [books.RUNS[0]._replace(job_id=n, account=f"a{n}") for n in range(10, 1_010)])
    store.close()

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))

    tight = place.opsd("daemon", "--once", "rebuild", "balances", preexec_fn=little_room)
    assert (1, ["failed", "done"]) == (
        tight.returncode,
        re.findall(r" step_(failed|done) step=", tight.stderr),
    )
    assert "the disk cannot be written" in tight.stderr

    roomy = place.opsd("daemon", "--once", "rebuild", "balances")
    assert (0, True) == (roomy.returncode, "step_done step=rebuild" in roomy.stderr)
    assert "cells=1003 runs=1003" in roomy.stderr
