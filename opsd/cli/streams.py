"""Standard streams as they may be found: closed, full, left by their reader, in a narrow encoding.

Invariant: where output goes never decides what is done, nor hides the exit code of what was done.
"""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Stand something in for streams the caller closed; print what the encoding lacks as escapes."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115  # open until the end
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Nobody reads any further (head, less), or nothing more fits: Python must not try again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Print what is no data: if nobody listens any more, go on."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_output()


def finish(code: int) -> int:
    """Send the rest of the output on its way while a failure can still be told; the exit code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    except OSError as err:
        return failed(err)
    return code


def failed(err: OSError) -> int:
    """Say what the world refused; the exit code."""
    if err.filename is None:  # files are named, and their reading explained, where they are opened
        discard_output()
        advice = "the output is incomplete: see to where it goes, then run the same command again"
        print(f"opsd: standard output: {err.strerror}: {advice}", file=sys.stderr)
    else:
        print(f"opsd: {err.filename}: {err.strerror}: check the path and its permissions", file=sys.stderr)
    return 1
