"""An agent's rounds on the stand-in, as many as a clock that runs ahead needs; the process may be killed.

    python -m tests.fakes.nvml.lasting FOLDER FROM UNTIL [KILLED]

Job 4711 holds GPUs 0 and 1 from BEGIN to END. It computes on GPU 0 but for `AWAY`; on GPU 1 its processes
stay, and two fifths of the SMs are active but for `IDLE`. At the end it prints what /spool answers; or it is
killed, at any instruction, soon after the clock shows KILLED. Invariant: what happens depends on the second
alone, so that whoever goes on in the middle sees the same machine.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

from exporters.http_server import Request
from opsd.node.collection import Node
from opsd.node.options import Options
from tests.fakes.nvml.stepping import Stepped

STEP = 5
BEGIN, END = 1002, 8202
AWAY = range(2500, 3500)
IDLE = range(6200, 7200)
PID = 1000


def options(folder: Path) -> Options:
    """An agent that sees nothing of this machine but the stand-in."""
    return Options(
        jobs_directory=folder / "jobs",
        spool_directory=folder / "spool",
        procfs=folder / "proc",
        cgroupfs=folder / "cgroup",
        kernel_log=folder / "kmsg",
        interval=STEP,
    )


def happen(machine: Stepped, folder: Path, second: int) -> None:
    """Let it be this second."""
    file = folder / "jobs" / "4711"
    if BEGIN <= second < END:
        file.write_text(f"job_id=4711\naccount=es-bio\nuser=ana\ngpus=0,1\nstarted={BEGIN}\n")
    else:
        file.unlink(missing_ok=True)
    machine.at(
        second,
        set__processes__0=int(BEGIN <= second < END and second not in AWAY),
        set__processes__1=int(BEGIN <= second < END),
        set__sm_active__1=0 if second in IDLE else 40,
    )


def last(folder: Path, second: int, until: int, killed: int | None) -> None:
    """Rounds from a second on."""
    machine = Stepped()
    machine.at(second)
    if killed is not None:
        threading.Thread(target=_kill, args=(machine, killed), daemon=True).start()
    node = Node(options(folder), lambda: machine.now, lambda _text: None, gpus=machine.gpus)
    for at in range(second, until, STEP):
        happen(machine, folder, at)
        node.page()
    assert node.measuring is not None
    print(node.measuring.spool.answer(Request("GET", "/spool", {}, {})).body.decode(), end="")
    node.close()


def _kill(machine: Stepped, second: int) -> None:
    while machine.now < second:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    last(Path(sys.argv[1]), *map(int, sys.argv[2:4]), int(sys.argv[4]) if sys.argv[4:] else None)
