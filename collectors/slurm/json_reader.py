"""Reads what `sacct --json` prints, plain or gzip, as a stream of runs and of jobs that could not be read.

Invariant: a job comes to the `RunRecord` that the same row of text comes to, by the same grammar (see
`json_job`), except for columns its version of Slurm does not print; a job that cannot be read is kept
with its own bytes and never costs its neighbours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from collectors.slurm.fast import FastPath
from collectors.slurm.framing import BadRecord, bad_record
from collectors.slurm.json_document import MOST_TEXT, Broken, Document, Item, decoded
from collectors.slurm.json_job import Columns, columns_of, step_count
from collectors.slurm.layout import Layout
from collectors.slurm.records import parse_fields
from collectors.slurm.sacct import Batch
from collectors.slurm.source import Source
from opsd.core.errors import BadInput, BadText
from opsd.core.records import KNOWN_STATES, RunRecord

_KIND = "sacct --json"
_DELIMITER = "\x1f"
_PENDING_BYTES = 4 << 20  # of jobs held until they are read together
_DRIFT = ("elapsed", "suspended")  # grow while a run is open
_LAYOUTS = 100  # combinations of columns that are remembered


@dataclass(frozen=True, slots=True)
class JsonLayout:
    """What is needed beside a job's bytes to read it again."""

    cluster: str | None = None  # of jobs that do not say
    parser: str = ""  # Slurm's data parser, as the document names it

    def steady(self, line: bytes) -> bytes:
        """A job without what grows while it is open; as it is, if it is no JSON object."""
        try:
            job = decoded(line)
        except ValueError:
            return line
        if not isinstance(job, dict):
            return line
        job.pop("steps", None)
        if isinstance(job.get("time"), dict):
            job["time"] = {name: value for name, value in job["time"].items() if name not in _DRIFT}
        return json.dumps(job, sort_keys=True).encode()

    def to_json(self) -> str:
        """Text that `layout_from_json` reads back."""
        return json.dumps({"kind": _KIND, "cluster": self.cluster, "parser": self.parser}, sort_keys=True)


def layout_from_json(text: str) -> JsonLayout | None:
    """The layout a quarantined job was kept with; None if it is a line of text's."""
    try:
        values = json.loads(text)
    except ValueError as err:
        raise BadText("not a layout", text) from err
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        return None
    return JsonLayout(values.get("cluster"), str(values.get("parser", "")))


def is_json(head: bytes) -> bool:
    """Whether the first bytes are JSON's; no column of sacct begins like that."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def parse_job(data: bytes, layout: JsonLayout) -> RunRecord:
    """One job's bytes, as quarantined, as a run; raises BadText if it still cannot be read."""
    try:
        job = decoded(data)
    except ValueError as err:
        raise BadText(
            f"no JSON that can be read: {err}"[:MOST_TEXT], data[:100].decode("utf-8", "replace")
        ) from err
    columns, fields = columns_of(job)
    return _careful(fields, Layout(columns, _DELIMITER, cluster=layout.cluster))


def _careful(fields: list[str], layout: Layout) -> RunRecord:
    run = parse_fields(fields, layout)
    if run is None:
        raise BadText("a step where a job should stand", fields[0])
    return run


@dataclass(slots=True)
class _Pending:
    """Jobs whose columns are known, waiting to be read together, between others that are bad already."""

    entries: list[tuple[Item, Columns] | BadRecord] = field(default_factory=list)
    size: int = 0


class JsonReader:
    """One document, read once from front to back.

    Raises:
        BadInput: Slurm says that it failed, or there is no list of jobs; or, after all jobs before it
            were handed over, the document is broken.
    """

    def __init__(self, stream: BinaryIO, *, cluster: str | None = None, name: str = "the input") -> None:
        self.name = name
        self.layout = JsonLayout(cluster)
        self.warnings: list[str] = []
        self.knows_errors = False  # whether Slurm's word on them was seen
        self._source = Source(stream)
        self._document = Document(self._source)
        self._fast: dict[tuple[str, ...], FastPath] = {}
        self._unknown: set[str] = set()
        try:
            self._document.open()
            found = self._next_jobs()
        except BadInput as err:
            raise BadInput(f"{name}: {err}: nothing was imported") from err
        if not found:
            raise BadInput(f"{name}: JSON without a list of jobs: give what sacct --json printed")

    # -- the members around the jobs ---------------------------------------------------------------

    def _next_jobs(self) -> bool:
        """Go on to the next list of jobs; False at the end of the document."""
        while (key := self._document.key()) is not None:
            if key == "jobs":
                if not self._document.is_list():
                    raise BadInput("its 'jobs' is no list: give what sacct --json printed")
                return True
            if key == "errors":
                self._refuse(self._document.value())
            elif key == "meta":
                self.layout = JsonLayout(self.layout.cluster, _parser(self._document.value()))
            else:
                self._document.skip()
        return False

    def _refuse(self, errors: object) -> None:
        if errors:
            raise BadInput(
                f"Slurm says that it could not answer: {json.dumps(errors)[:MOST_TEXT]}: see to that first"
            )
        self.knows_errors = True

    # -- the jobs ----------------------------------------------------------------------------------

    def batches(self, size: int = 20_000) -> Iterator[Batch]:
        """The jobs, in batches of about `size` rows."""
        batch, pending = Batch(), _Pending()
        try:
            for found in self._jobs():
                batch.steps += self._hold(found, pending)
                if pending.size >= _PENDING_BYTES or batch.rows + len(pending.entries) >= size:
                    self._read(pending, batch)
                    pending = _Pending()
                if batch.rows >= size:
                    yield self._finished(batch)
                    batch = Batch()
        except BadInput as err:
            broken: BadInput | None = err
        else:
            broken = None
        self._read(pending, batch)
        if batch.rows:
            yield self._finished(batch)
        self._report(broken)

    def _jobs(self) -> Iterator[Item | BadRecord]:
        yield from self._document.items()
        while self._next_jobs():
            yield from self._document.items()

    def pass_over(self) -> None:
        """Read to the end for what Slurm says there about errors, and keep nothing."""
        try:
            for _ in self._jobs():
                pass
        except Broken:
            return
        except BadInput as err:
            raise BadInput(f"{self.name}: {err}: nothing was imported") from err

    def _report(self, broken: BadInput | None) -> None:
        what = str(broken) if broken else self._source.damage
        if what:
            raise BadInput(
                f"{self.name}: {what}; the jobs before that were read: export it again, import it whole"
            ) from broken

    def _hold(self, found: Item | BadRecord, pending: _Pending) -> int:
        """Take a job in; returns the number of its steps."""
        if isinstance(found, BadRecord):
            pending.entries.append(found)
            return 0
        pending.size += len(found.data)
        try:
            columns = columns_of(found.value)
        except BadText as err:
            pending.entries.append(bad_record(found.position, found.line, found.data, str(err)))
            return 0
        steps = step_count(found.value)
        pending.entries.append((Item(found.position, found.line, found.data, None), columns))
        return steps

    def _fast_path(self, columns: tuple[str, ...]) -> FastPath:
        if columns not in self._fast:
            if len(self._fast) >= _LAYOUTS:
                self._fast.clear()
            self._fast[columns] = FastPath(Layout(columns, _DELIMITER, cluster=self.layout.cluster))
        return self._fast[columns]

    def _read(self, pending: _Pending, batch: Batch) -> None:
        """Read what was held, in its order."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for at, entry in enumerate(pending.entries):
            if not isinstance(entry, BadRecord):
                groups.setdefault(entry[1][0], []).append(at)
        outcomes: list[RunRecord | BadRecord | None] = [
            entry if isinstance(entry, BadRecord) else None for entry in pending.entries
        ]
        for columns, places in groups.items():
            self._read_group(self._fast_path(columns), places, pending, outcomes)
        for outcome in outcomes:
            if isinstance(outcome, RunRecord):
                batch.runs.append(outcome)
            elif outcome is not None:
                batch.bad.append(outcome)

    def _read_group(
        self,
        fast: FastPath,
        places: list[int],
        pending: _Pending,
        outcomes: list[RunRecord | BadRecord | None],
    ) -> None:
        entries: list[Any] = [pending.entries[at] for at in places]
        found, unusual = fast.parse([_DELIMITER.join(fields) for _, (_, fields) in entries])
        for at, run in zip(places, found, strict=True):
            outcomes[at] = run
        for row in unusual:
            item, (_, fields) = entries[row]
            try:
                outcomes[places[row]] = _careful(fields, fast.layout)
            except BadText as err:
                outcomes[places[row]] = bad_record(item.position, item.line, item.data, str(err))

    def _finished(self, batch: Batch) -> Batch:
        batch.consumed = self._source.consumed
        for state in {run.state for run in batch.runs} - KNOWN_STATES - self._unknown:
            self._unknown.add(state)
            self.warnings.append(f"unknown Slurm state {state!r}: its runs are kept and flagged")
        return batch


def _parser(meta: object) -> str:
    """`v0.0.38` from the meta data, which name it differently over time; empty if they do not."""
    plugin = meta.get("plugin") if isinstance(meta, dict) else None
    named = (plugin.get("data_parser") or plugin.get("type")) if isinstance(plugin, dict) else None
    return named.rpartition("/")[2].removeprefix("db")[:40] if isinstance(named, str) else ""


def refuse_failed(stream: BinaryIO, name: str) -> None:
    """Refuse a document in which Slurm says at its end that it failed; the stream must be able to seek.

    Since 23.11 the errors stand after the jobs, so only a reading of all of it tells whether to begin.
    One that is broken before that is left to the reading itself.
    """
    reader = JsonReader(stream, name=name)
    if not reader.knows_errors:
        reader.pass_over()
    stream.seek(0)
