"""Reads an sacct export, plain or gzip, as a stream of runs and of records that could not be read.

Invariant: every byte of the input ends up in exactly one of: the header, a run, a step (counted), a
`BadRecord` that keeps it, or blank lines at the very end; one bad record never costs its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import BinaryIO

from collectors.slurm import grammar
from collectors.slurm.assembly import Outcome, Sorter, content_of, parse_record, to_bytes, to_text
from collectors.slurm.fast import FastPath
from collectors.slurm.framing import MAX_KEPT, BadRecord, Block, Framer
from collectors.slurm.layout import Layout, from_fields, from_header, is_header
from collectors.slurm.source import Source
from opsd.core.errors import BadInput, WrongUsage
from opsd.core.records import KNOWN_STATES, RunRecord

__all__ = ["MAX_KEPT", "BadRecord", "Batch", "SacctReader", "parse_record"]

_PROBED = 200  # lines looked at for times that need a zone


@dataclass(slots=True)
class Batch:
    """What some of the input held, in its order."""

    runs: list[RunRecord] = field(default_factory=list)
    bad: list[BadRecord] = field(default_factory=list)
    steps: int = 0
    consumed: int = 0  # raw bytes of the input taken so far

    @property
    def rows(self) -> int:
        """Records of every kind."""
        return len(self.runs) + self.steps + len(self.bad)


class Places:
    """Positions of lines within a block, found only when asked for, in rising order."""

    def __init__(self, block: Block, lines: Sequence[str]) -> None:
        self._lines = lines
        self._line = block.line
        self._position = block.position
        self._at = 0
        self._ascii = block.data.isascii()

    def of(self, at: int) -> tuple[int, int]:
        """(byte position, line number) of line `at` of the block."""
        passed = self._lines[self._at : at]
        size = sum(map(len, passed)) if self._ascii else sum(len(to_bytes(line)) for line in passed)
        self._position += size + len(passed)
        self._at = at
        return self._position, self._line + at


@dataclass(frozen=True, slots=True)
class _Part:
    """Some lines of a block."""

    lines: list[str]
    start: int
    places: Places


class SacctReader:
    """One export, read once from front to back.

    Raises:
        BadInput: no header, or columns are missing; or, after all records before it were handed over,
            the gzip data is damaged.
        WrongUsage: the zone or the cluster must be stated.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        fields: str | Iterable[str] | None = None,
        delimiter: str | None = None,
        zone: str | tzinfo | None = None,
        cluster: str | None = None,
        name: str = "the input",
    ) -> None:
        self.name = name
        self._source = Source(stream)
        self._framer = Framer(self._source)
        self.layout = self._layout(fields, delimiter, zone, cluster)
        self.warnings = self.layout.warnings
        self._refuse_unstated_zone()
        self._fast = FastPath(self.layout)
        self._sorter = Sorter(self.layout)
        self._unknown: set[str] = set()

    def _layout(
        self,
        fields: str | Iterable[str] | None,
        delimiter: str | None,
        zone: str | tzinfo | None,
        cluster: str | None,
    ) -> Layout:
        try:
            if fields is None:
                return from_header(self._header(), delimiter=delimiter, zone=zone, cluster=cluster)
            first, _, more = self._framer.peek().partition(b"\n")
            layout = from_fields(
                fields, first + b"\n" + more[:MAX_KEPT], delimiter=delimiter, zone=zone, cluster=cluster
            )
        except WrongUsage as err:
            raise WrongUsage(f"{self.name}: {err}") from err
        except BadInput as err:
            raise BadInput(f"{self.name}: {err}") from err
        if is_header(first, layout):
            self._framer.take_line()
        return layout

    def _header(self) -> bytes:
        line = self._framer.take_line()
        if line is None:
            why = self._source.damage or (
                "it is empty" if not self._framer.peek() else "its first line never ends"
            )
            remedy = "give text printed by sacct -P, plain or gzip (bzip2, xz and zstd are not read)"
            raise BadInput(f"no header of sacct columns: {why}: {remedy}")
        return line

    def _refuse_unstated_zone(self) -> None:
        """Local times without a zone are refused before anything is read, not record by record."""
        if self.layout.zone is not None:
            return
        at = self.layout.index("Submit")
        for line in to_text(self._framer.peek()).split("\n")[:_PROBED]:
            fields = line.split(self.layout.delimiter)
            if len(fields) == self.layout.fields and at is not None and grammar.is_local(fields[at]):
                raise WrongUsage(
                    f"{self.name}: its times are local and do not say of which zone: {grammar.ZONE_REMEDY}"
                )

    def batches(self, size: int = 20_000) -> Iterator[Batch]:
        """The records, in batches of about `size` rows."""
        batch = Batch()
        for piece in self._framer:
            for part in self._parts(piece, size):
                self._fill(batch, part)
                if batch.rows >= size:
                    yield self._finished(batch)
                    batch = Batch()
        self._sorter.forget_last_blanks()
        _add(self._sorter.settle(), batch)
        if batch.rows:
            yield self._finished(batch)
        if self._source.damage:
            doubt = "the records before that were read, and the last of them may be wrong"
            raise BadInput(
                f"{self.name}: {self._source.damage}; {doubt}: fetch the file again, import it whole"
            )

    def _finished(self, batch: Batch) -> Batch:
        batch.consumed = self._source.consumed
        for state in {run.state for run in batch.runs} - KNOWN_STATES - self._unknown:
            self._unknown.add(state)
            self.warnings.append(f"unknown Slurm state {state!r}: its runs are kept and flagged")
        return batch

    def _parts(self, piece: Block | BadRecord, size: int) -> Iterator[_Part | BadRecord]:
        if isinstance(piece, BadRecord):
            yield piece
            return
        lines = to_text(piece.data).split("\n")
        places = Places(piece, lines)
        for start in range(0, len(lines), size):
            yield _Part(lines[start : start + size], start, places)

    def _fill(self, batch: Batch, part: _Part | BadRecord) -> None:
        if isinstance(part, BadRecord):
            _add(self._sorter.settle(), batch)
            batch.bad.append(part)
            return
        lines, layout = part.lines, self.layout
        contents = [content_of(line, layout) for line in lines] if layout.crlf else lines
        found, unusual = self._fast.parse(contents)
        done = 0
        for at in unusual:
            self._add_runs(found[done:at], batch)
            _add(self._sorter.line(lines[at], *part.places.of(part.start + at)), batch)
            done = at + 1
        self._add_runs(found[done:], batch)

    def _add_runs(self, runs: list[RunRecord | None], batch: Batch) -> None:
        if runs and self._sorter.holds:
            _add(self._sorter.settle(), batch)
        batch.runs.extend(runs)  # type: ignore[arg-type]  # the unusual ones were cut out


def _add(outcomes: Iterable[Outcome], batch: Batch) -> None:
    for outcome in outcomes:
        if isinstance(outcome, RunRecord):
            batch.runs.append(outcome)
        elif outcome is None:
            batch.steps += 1
        else:
            batch.bad.append(outcome)
