"""What each job did with its GPUs: folded from round to round, and kept in the spool.

Invariant: whatever the disk does, a round goes on after a second at most: the folder is read and written in a
thread of its own. What jobs do is folded all the same, and written as soon as it can be.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from collectors.nvml.worker import Worker, in_words
from exporters.spool import Spool
from exporters.spool_file import Contents, Found, SpoolFile
from opsd.core import measuring, open_records
from opsd.core.errors import BadText, Unavailable
from opsd.core.holders import Holders, Job
from opsd.core.measured import from_json
from opsd.core.measuring import Round, State
from opsd.core.telemetry import Snapshot

_GAP_INTERVALS = 3
_GAP_SECONDS = 5.0  # where the interval is short: a busy machine is late now and then
_PATIENCE_SECONDS = 1.0


class Measuring:
    """The open records of a node, and its spool."""

    def __init__(self, folder: Path, interval: float) -> None:
        """Touches no file yet; `interval`: seconds between two rounds."""
        self.spool = Spool(os.uname().nodename)
        self.failures = 0  # writes that did not succeed
        self._longest_gap = max(_GAP_INTERVALS * interval, _GAP_SECONDS)
        self._state: State | None = None  # None: not read yet
        self.damage = ""  # what could not be read of an earlier agent's folder, in words
        self._file = SpoolFile(folder)
        self._wanted: Contents | None = None
        self._worker: Worker[Found | str] = Worker("spool", self._work)

    def take(
        self,
        at: float,
        snapshot: Snapshot,
        holders: Holders,
        jobs: Sequence[Job] | None,
        unreadable: Collection[str] = (),
    ) -> str:
        """Take a round in.

        Args:
            at: when it was.
            snapshot: the GPUs.
            holders: whose they are.
            jobs: those whose files are there; None: nobody can tell.
            unreadable: job ids whose files could not be read.

        Returns:
            What is wrong, in words.
        """
        trouble = self._restore() if self._state is None else ""
        if self._state is None:
            return trouble
        if jobs is None:
            trouble = "job files cannot be read: nothing is measured meanwhile"
        else:
            seen = Round(at, snapshot, holders, jobs, self._longest_gap, frozenset(unreadable))
            trouble = self._fold(self._state, seen)
        failure = self._write()
        return "; ".join(words for words in (trouble, failure) if words)

    def close(self) -> None:
        """Let the folder go, unless the disk holds on to it."""
        if self._worker.close(_PATIENCE_SECONDS):
            self._file.close()

    def _restore(self) -> str:
        found = self._ask()
        if not isinstance(found, Found):
            return found
        contents = found.contents
        faults = list(found.faults)
        state = State()
        if contents.state is not None:
            try:
                state = open_records.from_json(contents.state)
            except BadText as err:
                faults.append(f"{err}: they are left out")
        self.spool.restore(contents)
        self._state = _without_closed(state, contents)
        self.damage = "; ".join(faults)
        return ""

    def _fold(self, state: State, seen: Round) -> str:
        try:
            self._state, closed = measuring.advance(state, seen)
        except Exception as err:  # noqa: BLE001 (a bug in here costs this round's measuring, and no page)
            return in_words(err)
        self.spool.add(closed, seen.at)
        return ""

    def _write(self) -> str:
        self._wanted = self.spool.contents(open_records.as_json(self._state or State()))
        answer = self._ask()
        trouble = answer if isinstance(answer, str) else ""
        self.failures += bool(trouble)
        return trouble

    def _ask(self) -> Found | str:
        self._worker.ask()
        answer = self._worker.answer(time.monotonic() + _PATIENCE_SECONDS)
        if answer is None:
            return self._worker.broke or "the disk does not answer: what jobs did is kept in memory only"
        return answer

    def _work(self) -> Found | str:
        """Runs in the thread."""
        wanted = self._wanted
        try:
            if wanted is None:
                return self._file.read(os.urandom(16).hex())
            self._file.write(wanted)
        except Unavailable as err:
            return str(err)
        return ""


def _without_closed(state: State, contents: Contents) -> State:
    """Without records that were closed by an agent which was killed before it had written that they were."""
    closed = {_run(entry.line) for entry in contents.entries}
    records = {
        key: record
        for key, record in state.records.items()
        if (int(record.holding.job_id), record.holding.uuid, record.started) not in closed
    }
    return replace(state, records=records)


def _run(line: bytes) -> tuple[int, str, int]:
    record = from_json(json.loads(line))
    return record.job_id, record.uuid, record.started
