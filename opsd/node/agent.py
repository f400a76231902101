"""The agent as it runs: it collects at an interval and serves the page, in threads of its own.

Invariant: a request for the page never waits for the driver: the page is rendered once per interval,
without whatever did not answer in time.
"""

from __future__ import annotations

import ssl
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from exporters.serve import Holder, PageServer, parse_address
from opsd.node.collection import Clock, Node, Say
from opsd.node.options import Options

_STALE_INTERVALS = 3


class Agent:
    """A node that collects at an interval and serves its page, in threads of its own."""

    def __init__(self, options: Options, clock: Clock = time.time, say: Say | None = None) -> None:
        """Binds at once.

        Raises:
            BadInput, Refused: the address or the web configuration cannot be used.
        """
        self._interval = options.interval
        self._stale_after = _STALE_INTERVALS * options.interval + options.deadline
        self._patience = 2 * options.deadline + 1
        self._collected = time.monotonic()
        self._holder = Holder()
        self._server = PageServer(
            parse_address(options.listen_address),
            self._holder,
            title="opsd-node",
            healthy=self.is_healthy,
            tls=_tls(options.web_config),
        )
        self._node = Node(options, clock, say or to_stderr)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)

    @property
    def url(self) -> str:
        """Its page's root."""
        return self._server.url

    def start(self) -> None:
        """Begin to serve and to collect."""
        self._server.start()
        self._thread.start()

    def stop(self) -> None:
        """End, also while a driver call hangs."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(self._patience)
        self._server.stop()
        self._node.close()

    def is_healthy(self) -> bool:
        """Whether a page was rendered lately."""
        return time.monotonic() - self._collected < self._stale_after

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            self._holder.put(self._node.page().render())
            self._collected = time.monotonic()
            due = max(due + self._interval, self._collected)


def _tls(path: Path | None) -> ssl.SSLContext | None:
    if path is None:
        return None
    from exporters import web_config

    return web_config.read(path)


def to_stderr(text: str) -> None:
    """One line for the log of whoever started the agent."""
    if sys.stderr is None:
        return
    with suppress(OSError):  # a log that is full or gone must not end the collection
        sys.stderr.write(f"opsd-node: {text}\n")
        sys.stderr.flush()
