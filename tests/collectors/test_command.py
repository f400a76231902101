"""Starting processes: a whole answer or a clear error, and nothing left running."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from collectors import command
from opsd.core.errors import Unavailable

FILLER = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as a full disk: no more than this
from collectors import command
command.run(["head", "-c", "300000", "/dev/zero"], timeout_seconds=30, environment={})
"""


def run(*arguments: str, seconds: float = 30, **environment: str) -> command.Answer:
    """A command with plenty of time."""
    return command.run(arguments, timeout_seconds=seconds, environment=environment, without=("SACCT_",))


def test_an_answer_has_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output at its start, what was said on stderr, and the exit code."""
    answer = run("sh", "-c", "echo out; echo err >&2; exit 3")

    with answer.stdout:
        assert b"out\n" == answer.stdout.read()
    assert ("err", 3) == (answer.stderr, answer.code)


def test_large_output_and_many_complaints_do_not_block() -> None:
    """Both pipes are read while the program runs; of stderr the beginning is kept."""
    answer = run("sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; echo end")

    with answer.stdout:
        assert 3_000_004 == len(answer.stdout.read())
    assert 0 < len(answer.stderr) < 1_000_000


def test_the_environment_is_what_the_caller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stated is set, what would change an answer is gone, the rest stays."""
    monkeypatch.setenv("SACCT_FORMAT", "JobName")
    monkeypatch.setenv("KEPT", "yes")
    with run("sh", "-c", "echo $TZ $KEPT $SACCT_FORMAT", TZ="UTC").stdout as stdout:
        assert b"UTC yes\n" == stdout.read()


def test_a_program_that_hangs_is_stopped_with_its_children(tmp_path: Path) -> None:
    """The time-out ends the whole group, and says what was waited for."""
    script = f"sleep 600 & echo $! >{tmp_path}/child; wait"
    with pytest.raises(Unavailable, match=r"sh: no whole answer within 0.5 s: it was stopped"):
        run("sh", "-c", script, seconds=0.5)

    assert _ended(int((tmp_path / "child").read_text()))


def test_a_program_that_closes_its_output_and_hangs_is_stopped() -> None:
    """Closed pipes are no end."""
    with pytest.raises(Unavailable, match="no whole answer"):
        run("sh", "-c", "exec >&- 2>&-; exec sleep 600", seconds=0.5)


def test_a_child_left_behind_is_ended(tmp_path: Path) -> None:
    """Nothing of a command's group goes on after its answer."""
    answer = run("sh", "-c", f"sleep 600 >&- 2>&- & echo $! >{tmp_path}/child")
    answer.stdout.close()

    assert 0 == answer.code
    assert _ended(int((tmp_path / "child").read_text()))


def test_a_program_whose_opsd_was_killed_ends_when_it_prints(tmp_path: Path) -> None:
    """Nobody is left to end it, and nobody reads what it prints."""
    noted = f"echo $$ >{tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid"
    script = f"{noted}; while :; do echo x; sleep 0.05; done"
    asks = (
        "import sys; from collectors import command; "
        "command.run(sys.argv[1:], timeout_seconds=60, environment={})"
    )
    with subprocess.Popen([sys.executable, "-c", asks, "sh", "-c", script]) as opsd:
        for _ in range(200):
            if (tmp_path / "pid").exists():
                break
            time.sleep(0.05)
        opsd.kill()

    assert _ended(int((tmp_path / "pid").read_text()))


def test_a_missing_program_is_named() -> None:
    """With what to do about it."""
    with pytest.raises(Unavailable, match="sacct-of-nowhere: no such program here: install it"):
        run("sacct-of-nowhere")


def test_a_program_that_may_not_be_run_is_named(tmp_path: Path) -> None:
    """A file that is no program."""
    (tmp_path / "sacct").write_text("")
    with pytest.raises(Unavailable, match="sacct: Permission denied: it could not be started"):
        run(str(tmp_path / "sacct"))


def test_a_full_disk_is_said() -> None:
    """Output that cannot be kept is an error, however content the program is."""
    done = subprocess.run([sys.executable, "-c", FILLER], capture_output=True, text=True, check=False)

    assert f"head: its output does not fit into the folder {tempfile.gettempdir()}" in done.stderr
    assert "Unavailable" in done.stderr


def _ended(pid: int) -> bool:
    """Whether a process ends soon; whoever adopted it may take a moment to notice."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False
