"""The units of a site: systemd understands them, and their services may do little."""

from __future__ import annotations

import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from exporters.http_server import MOST_CONNECTIONS

ROOT = Path(__file__).resolve().parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
INSTALLED = "/opt/opsd/bin/"
MOST_GPUS, OTHER_THREADS = 64, 16
MOST_EXPOSED = 2.0  # of 10; systemd calls anything below 2.5 "OK"


def require(program: str) -> str:
    """A program of systemd's; without it the test is left out, loudly."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"systemd tests left out: {program} was not found; install the package systemd")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A command with what it printed, both ways."""
    return subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True)


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    """The units, started from the environment that runs the tests."""
    here = f"{Path(sys.executable).parent}/"
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text(encoding="utf-8").replace(INSTALLED, here))
    return sorted(tmp_path.glob("*.service"))


def test_there_is_a_unit_for_each_program() -> None:
    """The daemon, the portal and the agent."""
    assert ["opsd-node.service", "opsd-web.service", "opsd.service"] == [unit.name for unit in UNITS]


def test_systemd_has_nothing_to_say_about_them(copies: list[Path]) -> None:
    """`systemd-analyze verify` is silent on all of them together."""
    ran = run(require("systemd-analyze"), "verify", *copies)

    assert (0, "", "") == (ran.returncode, ran.stdout, ran.stderr)


@pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])
def test_a_service_may_do_little(unit: Path, copies: list[Path]) -> None:
    """The exposure that systemd computes stays below what it calls OK."""
    copy = next(path for path in copies if path.name == unit.name)
    ran = run(require("systemd-analyze"), "security", "--offline=yes", "--no-pager", copy)
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", ran.stdout)

    assert level, ran.stdout + ran.stderr
    assert MOST_EXPOSED >= float(level[1])


@pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])
def test_what_it_starts_is_there(unit: Path) -> None:
    """The command of each unit exists and knows its words."""
    line = re.search(r"^ExecStart=(.+)$", unit.read_text(encoding="utf-8"), re.MULTILINE)
    assert line
    program, *words = shlex.split(line[1])
    here = Path(sys.executable).parent / Path(program).name
    ran = run(here, *(word for word in words if not word.startswith("$")), "--help")

    assert (0, "") == (ran.returncode, ran.stderr)


def test_the_users_can_be_made() -> None:
    """`systemd-sysusers` takes the file, and makes the users that the units name."""
    ran = run(require("systemd-sysusers"), "--dry-run", ROOT / "systemd" / "opsd.sysusers")
    wanted = {
        found[1]
        for unit in UNITS
        if (found := re.search(r"^User=(\S+)$", unit.read_text(encoding="utf-8"), re.MULTILINE))
    }

    assert (0, "") == (ran.returncode, ran.stdout)
    assert wanted == {"opsd", "opsd-node"}
    assert [] == [user for user in wanted if f"Creating user '{user}'" not in ran.stderr and not known(user)]


def known(user: str) -> bool:
    """Whether this machine has such a user already."""
    return run("getent", "passwd", user).returncode == 0


def test_the_folders_can_be_made(tmp_path: Path) -> None:
    """`systemd-tmpfiles` takes the file; owners are given by name, so here by the tests' own."""
    lines = (ROOT / "systemd" / "opsd.tmpfiles").read_text(encoding="utf-8")
    copy = tmp_path / "opsd.conf"
    copy.write_text(re.sub(r"^(d \S+ +\d+) \S+ \S+$", r"\1 - -", lines, flags=re.MULTILINE))
    root = tmp_path / "root"
    root.mkdir()
    ran = run(require("systemd-tmpfiles"), "--create", f"--root={root}", copy)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert {"etc/opsd", "run/opsd", "run/opsd/jobs", "var/lib/opsd"} <= {
        str(path.relative_to(root)) for path in root.rglob("*")
    }
    # opsd is called by hand before its service, whose StateDirectory this is, was ever started.
    assert 0o750 == stat.S_IMODE((root / "var" / "lib" / "opsd").stat().st_mode)
    assert re.search(r"^d /var/lib/opsd +0750 opsd opsd$", lines, re.MULTILINE)
    # It is made anew at each start of a machine: all three services read it, so none may need a group.
    assert 0o755 == stat.S_IMODE((root / "etc" / "opsd").stat().st_mode)


@pytest.mark.parametrize("unit", UNITS, ids=[unit.stem for unit in UNITS])
def test_what_a_service_may_not_do_is_refused_not_deadly(unit: Path) -> None:
    """A call that is filtered out gives an error: a library that only tries must not kill the service."""
    assert "\nSystemCallErrorNumber=EPERM\n" in unit.read_text(encoding="utf-8")


def test_the_agent_may_have_all_its_threads() -> None:
    """As many clients as it takes in at once, each with a thread, leave enough for the GPUs."""
    unit = (ROOT / "systemd" / "opsd-node.service").read_text(encoding="utf-8")
    most = re.search(r"^TasksMax=(\d+)$", unit, re.MULTILINE)

    assert most
    assert MOST_CONNECTIONS + MOST_GPUS + OTHER_THREADS <= int(most[1])


def test_the_agent_sees_gpus_whose_driver_is_loaded_later() -> None:
    """systemd looks names of drivers up when the service starts; NVIDIA's number is always the same."""
    assert "\nDeviceAllow=char-195 rw\n" in (ROOT / "systemd" / "opsd-node.service").read_text(
        encoding="utf-8"
    )
