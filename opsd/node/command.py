"""`opsd-node` on the command line: what it is told, and how it ends."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from opsd.core.errors import OpsdError
from opsd.node.agent import Agent, to_stderr
from opsd.node.collection import DISTRIBUTION, Node
from opsd.node.options import Options
from opsd.notify import notify, watchdog_seconds

DONE = 0
NO_GPU = 1

_SWITCH_SECONDS = 0.0005  # a scrape need not wait the usual 5 ms for a thread that renders
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent with these command line arguments (default: the process's own); the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        options = _options(given)
        return _once(options) if given.once else _serve(options)
    except OpsdError as err:
        to_stderr(str(err))
        return err.exit_code


def _once(options: Options) -> int:
    """Print one page; without a GPU that could be read that is a failure, and the page says which."""
    node = Node(options, time.time, to_stderr, listens=False)
    _print(node.page().render().plain.decode())
    is_read = any(gpu.condition == "up" for gpu in node.seen.gpus)
    node.close()
    return DONE if is_read else NO_GPU


def _print(text: str) -> None:
    if sys.stdout is None:  # closed by the caller
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as err:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python tries again at its end
        raise OpsdError(f"standard output: {err.strerror}: the page is incomplete") from err


def _serve(options: Options) -> int:
    """Serve until a signal; signals wait in a mask, so that none arrives at a bad moment."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    agent = Agent(options)
    agent.start()
    to_stderr(f"serving {agent.url}/metrics")
    notify("READY=1")
    limit = watchdog_seconds()
    while signal.sigtimedwait(ends, limit / 3 if limit else 3600) is None:
        if agent.is_healthy():
            notify("WATCHDOG=1")
    notify("STOPPING=1")
    agent.stop()
    return DONE


def _options(given: argparse.Namespace) -> Options:
    return Options(
        listen_address=given.listen_address,
        web_config=given.web_config,
        interval=given.interval,
        deadline=given.deadline,
        jobs_directory=given.jobs_directory,
        simulated=given.simulated,
        simulated_seed=given.simulated_seed,
    )


def _duration(text: str) -> float:
    """`5s`, `500ms`, `1m`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 5s, 500ms or 1m")
    return float(found[1]) * _UNITS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="opsd-node", description="Agent of a compute node: GPUs, and the jobs that hold them."
    )
    given = Options()
    add = parser.add_argument
    add("--once", action="store_true", help="print one page and end; 1 if no GPU could be read")
    add(
        "--web.listen-address",
        dest="listen_address",
        default=given.listen_address,
        metavar="HOST:PORT",
        help="where the page is served (default %(default)s)",
    )
    add(
        "--web.config.file",
        dest="web_config",
        type=Path,
        metavar="FILE",
        help="TLS and client certificates; needed off the loopback",
    )
    add(
        "--interval",
        type=_duration,
        default=given.interval,
        metavar="TIME",
        help="how often GPUs are read (default 5s)",
    )
    add(
        "--deadline",
        type=_duration,
        default=0.0,
        metavar="TIME",
        help="how long a GPU may take to answer (default 2s, or half the interval)",
    )
    add(
        "--jobs.directory",
        dest="jobs_directory",
        type=Path,
        default=given.jobs_directory,
        metavar="FOLDER",
        help="where Slurm's prolog drops a file per job (default %(default)s)",
    )
    add(
        "--simulated",
        type=int,
        metavar="N",
        help="show N GPUs that are not there, busy while a job holds them",
    )
    add(
        "--simulated.seed",
        dest="simulated_seed",
        default=given.simulated_seed,
        metavar="TEXT",
        help="another seed is another node (default %(default)s)",
    )
    add("--version", action="version", version=f"%(prog)s {version(DISTRIBUTION)}")
    return parser
