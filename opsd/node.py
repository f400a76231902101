"""The agent of a compute node, started as `opsd-node`.

Invariant: it never imports SQL. A GPU node carries collectors and exporters, no database and no ledger.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

DISTRIBUTION = "opsd-hpc"
DONE = 0
WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent with these command line arguments (default: the process's own); the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.once:
        sys.stderr.write(f"{parser.prog}: only --once exists so far; nothing is served yet\n")
        return WRONG_USAGE
    sys.stdout.write(build_info())
    return DONE


def build_info() -> str:
    """The metric that identifies this build, in Prometheus' text format."""
    labels = {"version": version(DISTRIBUTION), "python": platform.python_version()}
    return (
        "# HELP opsd_node_build_info Versions of opsd-node and its Python; the value is always 1.\n"
        "# TYPE opsd_node_build_info gauge\n"
        f"opsd_node_build_info{{{_label_text(labels)}}} 1\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="opsd-node", description="Agent of a compute node.")
    parser.add_argument("--once", action="store_true", help="print the metrics once and end")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version(DISTRIBUTION)}")
    return parser


def _label_text(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


if __name__ == "__main__":
    sys.exit(main())
