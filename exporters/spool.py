"""Records of what jobs did, until the daemon has fetched them: /spool?after=NUMBER&limit=COUNT.

Numbers rise and are never given twice, not even after a crash with a full disk: they are milliseconds of the
clock, or one more than the last. Asking for what comes after a number says that all up to it is safe.
Invariant: nothing that was not fetched is dropped within its 14 days, unless there is more of it than fits. A
request takes what is in memory and waits for nothing: all changes are made between two rounds, by the
thread that collects.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable
from typing import NamedTuple

from exporters.http_server import TEXT, Answer, Request
from exporters.negotiation import takes_gzip
from exporters.page import Page
from exporters.spool_file import VERSION, Contents, Entry, as_line
from opsd.core.measured import Measured

PATH = "/spool"
KEPT_SECONDS = 14 * 86_400
MOST_BYTES = 32 * 2**20
_DEFAULT, _MOST = 1_000, 10_000
_GZIP_LEVEL = 3
_NUMBER = re.compile("[0-9]{1,18}")


class _View(NamedTuple):
    """What requests are answered from."""

    name: str
    entries: tuple[Entry, ...]
    last: int


class Spool:
    """Closed records in memory, oldest first."""

    def __init__(self, node: str, most_bytes: int = MOST_BYTES) -> None:
        """`node`: how the answer names this machine. It answers nothing before `restore`."""
        self.dropped = 0  # records that were never fetched
        self._node = node
        self._most_bytes = most_bytes
        self._view: _View | None = None
        self._bytes = 0
        self._served = 0  # written by requests, as is the next one; a lower number does no harm
        self._asked = 0
        self._safe = 0

    def restore(self, contents: Contents) -> None:
        """Begin with what a file had."""
        self._served, self._safe, self._asked = contents.served, contents.safe, contents.safe
        self._bytes = sum(len(entry.line) for entry in contents.entries)
        self._view = _View(contents.name, contents.entries, contents.last)

    def add(self, records: Iterable[Measured], at: float) -> None:
        """Take records in, and let go of those that were fetched, are too old, or do not fit."""
        assert self._view is not None
        name, entries, last = self._view
        added = []
        for record in records:
            last = max(last + 1, int(1000 * at))
            added.append(Entry(last, as_line(record.as_json())))
            self._bytes += len(added[-1].line)
        self._safe = self._asked
        keep, let_go = _parted((*entries, *added), self._safe, at, self._bytes - self._most_bytes)
        self._bytes -= sum(len(entry.line) for entry in let_go)
        self.dropped += sum(entry.number > self._safe for entry in let_go)
        self._view = _View(name, keep, last)

    def contents(self, state: object) -> Contents:
        """What a file is to hold, with the state of what is open."""
        assert self._view is not None
        name, entries, last = self._view
        return Contents(name, entries, last, self._served, self._safe, state)

    @property
    def records(self) -> int:
        """How many wait."""
        return len(self._view.entries) if self._view else 0

    def answer(self, request: Request) -> Answer:
        """`/spool`."""
        view = self._view
        if view is None:
            return Answer(503, TEXT, b"the spool has not been read yet\n")
        after, limit = request.query.get("after", "0"), request.query.get("limit", str(_DEFAULT))
        for name, text in (("after", after), ("limit", limit)):
            if not _NUMBER.fullmatch(text):
                return Answer(400, TEXT, f"{name}: not a whole number: {text[:80]!r}\n".encode())
        if not 0 < int(limit) <= _MOST:
            return Answer(400, TEXT, f"limit: {limit[:20]}: 1 to {_MOST:,} records\n".encode())
        return self._page(view, int(after), int(limit), request)

    def _page(self, view: _View, after: int, limit: int, request: Request) -> Answer:
        waiting = [entry for entry in view.entries if entry.number > after]
        shown = waiting[:limit]
        cursor = shown[-1].number if shown else view.last
        if after > view.last:  # a number of another spool: nothing is handed out
            cursor = 0
        elif request.method == "GET":
            if after <= self._served:  # else it is a guess
                self._asked = max(self._asked, after)
            self._served = max(self._served, cursor)
        head = json.dumps(
            {
                "version": VERSION,
                "node": self._node,
                "spool": view.name,
                "cursor": cursor,
                "more": len(shown) < len(waiting),
                "records": [],
            }
        ).encode()
        body = head[:-2] + b",".join(entry.line for entry in shown) + b"]}\n"
        if takes_gzip(request.headers.get("accept-encoding", "")):
            body = gzip.compress(body, _GZIP_LEVEL, mtime=0)
            return Answer(200, "application/json", body, "gzip", (("Vary", "Accept-Encoding"),))
        return Answer(200, "application/json", body, headers=(("Vary", "Accept-Encoding"),))


def _parted(
    entries: tuple[Entry, ...], safe: int, at: float, too_many_bytes: int
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Those to keep, and those to let go of, which are the oldest."""
    oldest = max(safe, int(1000 * (at - KEPT_SECONDS)))
    count = 0
    for entry in entries:
        if entry.number > oldest and too_many_bytes <= 0:
            break
        too_many_bytes -= len(entry.line)
        count += 1
    return entries[count:], entries[:count]


def add_spool(page: Page, spool: Spool, failures: int) -> None:
    """How the spool does, as samples of a metrics page."""
    page.add("opsd_node_spool_records", spool.records)
    page.add("opsd_node_spool_dropped_total", spool.dropped)
    page.add("opsd_node_spool_write_failures_total", failures)
