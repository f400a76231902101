"""`opsd-node` on the command line: what it is told, and how it ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence

from opsd.core.errors import OpsdError
from opsd.node import command_line
from opsd.node.agent import Agent, to_stderr
from opsd.node.collection import Node
from opsd.node.options import Options
from opsd.systemd import notify, watchdog_seconds

DONE = 0
NO_GPU = 1

_SWITCH_SECONDS = 0.0005  # a scrape need not wait the usual 5 ms for a thread that renders


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the agent with these command line arguments (default: the process's own); the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["top"]:
        from opsd.node.top import main as top

        return top(words[1:])
    given = command_line.parser().parse_args(words)
    try:
        options = command_line.options(given)
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
    heard = _ENDS | _DOES.keys()
    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    agent = Agent(options)
    agent.start()
    to_stderr(f"serving {agent.url}/metrics")
    notify("READY=1")
    limit = watchdog_seconds()
    while (got := signal.sigtimedwait(heard, limit / 3 if limit else 3600)) is None or got.si_signo in _DOES:
        if got is not None:
            _DOES[got.si_signo](agent)
        if agent.is_moving():
            notify("WATCHDOG=1")
    notify("STOPPING=1")
    agent.stop()
    return DONE


def _reload(agent: Agent) -> None:
    """A web configuration that cannot be used must not end an agent that has a good one."""
    try:
        agent.reload()
    except OpsdError as err:
        to_stderr(f"{err}; the old one stays in use")
    else:
        to_stderr("the web configuration was read again")


_ENDS = {signal.SIGTERM, signal.SIGINT}
_DOES: dict[int, Callable[[Agent], object]] = {
    signal.SIGHUP: _reload,
    signal.SIGUSR1: Agent.release,
    signal.SIGUSR2: Agent.resume,
}
