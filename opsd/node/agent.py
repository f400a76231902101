"""The agent as it runs: it collects at an interval and serves the page, in threads of its own.

Invariant: a request for the page never waits for the driver: the page is rendered once per interval,
without whatever did not answer in time. A page that is no longer true is not served: when a collection
fails, or none has ended for three intervals, there is no page but a reason.
"""

from __future__ import annotations

import select
import sys
import threading
import time
import traceback
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from exporters.serve import Answer, Holder, PageServer, Request, parse_address
from opsd.node.collection import DISTRIBUTION, Clock, GpuSource, Node, Say
from opsd.node.options import Options

if TYPE_CHECKING:
    from exporters.web_config import Web

_STALE_INTERVALS = 3
_STALE_SECONDS = 10  # at least: a busy machine delays a collection of five a second, and nothing is wrong


class Agent:
    """A node that collects at an interval and serves its page, in threads of its own."""

    def __init__(
        self,
        options: Options,
        clock: Clock = time.time,
        say: Say | None = None,
        *,
        gpus: GpuSource | None = None,
    ) -> None:
        """Binds at once; `gpus`: where GPUs are read, by default as the options say.

        Raises:
            BadInput, Refused: the address or the web configuration cannot be used.
        """
        self._interval = options.interval
        self._stale_after = max(_STALE_INTERVALS * options.interval + options.deadline, _STALE_SECONDS)
        self._patience = 3 * options.deadline + 2  # one under way, one more, and leaving the driver
        self._collected = time.monotonic()
        self._failed = ""
        self._failures = 0
        self._say = say or to_stderr
        self._holder = Holder(self._why_stale)
        self._server = PageServer(
            parse_address(options.listen_address),
            self._holder,
            title="opsd-node",
            version=version(DISTRIBUTION),
            healthy=self.is_healthy,
            web=_web(options.web_config),
            routes={"/spool": self._spool} if options.keeps_spool else None,
            say=self._say,
        )
        self._node = Node(options, clock, self._say, gpus=gpus)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._waiting: list[threading.Event] = []  # for the end of the next round
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
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(self._patience)
        self._server.stop()
        self._node.close()

    def reload(self) -> None:
        """Read the web configuration and its certificates again.

        Raises:
            BadInput, Refused: they cannot be used; the old ones stay.
        """
        self._server.reload()

    def release(self) -> str:
        """Leave the driver until `resume`, so that MIG can be changed and the driver be unloaded.

        Returns:
            What is still in the driver, in words; empty: nothing. It is left as soon as that has returned.
        """
        self._node.is_wanted_released = True
        if self._collect_now():
            return self._node.stuck
        return "the collection does not end"

    def resume(self) -> None:
        """Open the driver again, and look everything up anew."""
        self._node.is_wanted_released = False
        self._collect_now()

    def is_moving(self) -> bool:
        """Whether collections end, well or not: a restart helps one that hangs, and seldom a bug."""
        return not self._why_stale()

    def is_healthy(self) -> bool:
        """Whether the last collection gave a page, and lately."""
        return not self._failed and not self._why_stale()

    def _spool(self, request: Request) -> Answer:
        assert self._node.measuring is not None
        return self._node.measuring.spool.answer(request)

    def _why_stale(self) -> str:
        """Also before the first page: a first collection that does not end is as bad."""
        seconds = time.monotonic() - self._collected
        return f"no collection has ended for {seconds:.0f} seconds" if seconds >= self._stale_after else ""

    def _collect_now(self) -> bool:
        """Whether a whole collection took place, without waiting for the next to be due."""
        ended = threading.Event()
        self._waiting.append(ended)
        self._wake.set()
        return ended.wait(self._patience)

    def _run(self) -> None:
        due = time.monotonic()
        while True:
            self._wake.wait(max(0.0, due - time.monotonic()))
            if self._stopping.is_set():
                return
            self._wake.clear()
            waiting, self._waiting = self._waiting, []
            self._collect()
            for ended in waiting:
                ended.set()
            if self._collected >= due:
                due = max(due + self._interval, self._collected)

    def _collect(self) -> None:
        """One round. What nobody foresaw costs this round, not the thread, and is said."""
        try:
            page = self._node.page()
            page.add("opsd_node_round_failures_total", self._failures)
            self._holder.put(page.render())
            failed = ""
        except Exception as err:  # noqa: BLE001 (a bug must not freeze the page; its trace is logged)
            self._failures += 1
            failed = f"the collection failed: unexpected {type(err).__name__}: {err}"
            self._holder.withhold(failed)
            if not self._failed:
                self._say(f"{failed}\n{traceback.format_exc().rstrip()}")
        if self._failed and not failed:
            self._say("the collection: well again")
        self._failed = failed
        self._collected = time.monotonic()


def _web(path: Path | None) -> Web | None:
    if path is None:
        return None
    from exporters import web_config

    return web_config.read(path)


def to_stderr(text: str) -> None:
    """One line for the log of whoever started the agent; one that takes nothing now is not waited for."""
    if sys.stderr is None:
        return
    with suppress(OSError):  # a log that is full or gone must not end the collection
        if _takes_now(sys.stderr):
            sys.stderr.write(f"opsd-node: {text}\n")
            sys.stderr.flush()


def _takes_now(log: TextIO) -> bool:
    """Whether it can be written to without waiting for a reader, such as a journal that hangs."""
    try:
        number = log.fileno()
    except (OSError, ValueError):  # kept in memory
        return True
    waiting = select.poll()
    waiting.register(number, select.POLLOUT)
    return bool(waiting.poll(0))
