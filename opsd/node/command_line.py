"""The words of the agent's command line."""

from __future__ import annotations

import argparse
import re
from importlib.metadata import version
from pathlib import Path

from opsd.node.collection import DISTRIBUTION
from opsd.node.options import SWITCHES, Options

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


def options(given: argparse.Namespace) -> Options:
    """What was asked for.

    Raises:
        BadInput: it makes no sense.
    """
    return Options(
        listen_address=given.listen_address,
        web_config=given.web_config,
        interval=given.interval,
        deadline=given.deadline,
        jobs_directory=given.jobs_directory,
        expected_gpus=given.expected_gpus,
        simulated=given.simulated,
        simulated_seed=given.simulated_seed,
        spool_directory=given.spool_directory,
        procfs=given.procfs,
        cgroupfs=given.cgroupfs,
        kernel_log=given.kernel_log,
        collectors=frozenset(
            switch.name for switch in SWITCHES if getattr(given, f"collector_{switch.name}")
        ),
    )


def duration(text: str) -> float:
    """`5s`, `500ms`, `1m`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 5s, 500ms or 1m")
    return float(found[1]) * _UNITS[found[2]]


def parser() -> argparse.ArgumentParser:
    """Every option of the agent."""
    made = argparse.ArgumentParser(
        prog="opsd-node",
        description="Agent of a compute node: GPUs, and the jobs that hold them.",
        epilog="opsd-node top shows the GPUs of this node in the terminal: opsd-node top --help",
    )
    given = Options()
    add = made.add_argument
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
        help="TLS, and client certificates or passwords; needed off the loopback",
    )
    add(
        "--interval",
        type=duration,
        default=given.interval,
        metavar="TIME",
        help="how often GPUs are read (default 5s)",
    )
    add(
        "--deadline",
        type=duration,
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
        "--spool.directory",
        dest="spool_directory",
        type=Path,
        metavar="FOLDER",
        help="where what jobs did with their GPUs is kept until it is fetched (default: it is not kept)",
    )
    add(
        "--path.procfs",
        dest="procfs",
        type=Path,
        default=given.procfs,
        metavar="FOLDER",
        help="processes (default %(default)s)",
    )
    add(
        "--path.cgroupfs",
        dest="cgroupfs",
        type=Path,
        default=given.cgroupfs,
        metavar="FOLDER",
        help="control groups (default %(default)s)",
    )
    add(
        "--path.kernel-log",
        dest="kernel_log",
        type=Path,
        default=given.kernel_log,
        metavar="FILE",
        help="the kernel's log (default %(default)s)",
    )
    for switch in SWITCHES:
        state = "on" if switch.is_on else "off"
        add(
            f"--collector.{switch.name}",
            action=argparse.BooleanOptionalAction,
            dest=f"collector_{switch.name}",
            default=switch.is_on,
            help=f"{switch.help} (default: {state})",
        )
    add(
        "--gpus.expected",
        dest="expected_gpus",
        type=int,
        metavar="N",
        help="how many GPUs this node should have, to be told beside those it has",
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
    return made
