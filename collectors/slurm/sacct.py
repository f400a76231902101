"""Reads an sacct export, plain or gzip, as a stream of runs and of records that could not be read.

Invariant: every byte of the input ends up in exactly one of: the header, a run, a step (counted), a
`BadRecord` that keeps it, or blank lines at the very end; one bad record never costs its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import lru_cache
from typing import BinaryIO

from collectors.slurm import grammar
from collectors.slurm.align import Joiner, Shapes, dealt, is_record
from collectors.slurm.fast import FastPath
from collectors.slurm.framing import MAX_KEPT, NO_LINE_END, BadRecord, Block, Framer, bad_record
from collectors.slurm.layout import Layout, from_fields, from_header, is_header
from collectors.slurm.records import looks_right, parse_fields
from collectors.slurm.source import Source
from opsd.core.errors import BadInput, BadText, WrongUsage
from opsd.core.records import KNOWN_STATES, RunRecord

__all__ = ["MAX_KEPT", "BadRecord", "Batch", "SacctReader", "parse_record"]

_MAX_JOINED_LINES = 200_000
_PROBED = 200  # lines looked at for times that need a zone
_FRAGMENTS = "no record by itself, nor together with its neighbours: an end is missing or a column is damaged"
_AMBIGUOUS = "free text makes this record readable in more than one way; export it without {names}"


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


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=16)
def _shapes(layout: Layout) -> Shapes:
    return Shapes(layout)


def _content(line: str, layout: Layout) -> str:
    return line.removesuffix("\r") if layout.crlf else line


def parse_line(line: str, layout: Layout) -> RunRecord | None:
    """A record of exactly as many pieces as the layout has fields."""
    fields = line.split(layout.delimiter)
    if len(fields) != layout.fields:
        raise BadText(f"{len(fields)} fields where the layout has {layout.fields}", line)
    if layout.trailing and fields[-1]:
        raise BadText("text after the last delimiter", fields[-1])
    return parse_fields(fields, layout)


def parse_record(data: bytes, layout: Layout) -> RunRecord | None:
    """One record's bytes, as quarantined, with the layout it was quarantined under; None for a step.

    Raises:
        BadText: it still cannot be read, or has no line end (a cut number is a number, too).
    """
    if not data.endswith(b"\n"):
        raise BadText(NO_LINE_END, _text(data))
    text = _text(data[:-1])
    lines = [_content(line, layout) for line in text.split("\n")]
    if not layout.free_text or (len(lines) == 1 and lines[0].count(layout.delimiter) + 1 == layout.fields):
        return parse_line("\n".join(lines), layout)
    return _parse_dealt("\n".join(lines), layout)


def _parse_dealt(text: str, layout: Layout) -> RunRecord | None:
    shapes = _shapes(layout)
    if (fields := dealt(text, shapes)) is not None:
        return parse_fields(fields, layout)
    if is_record(text, shapes):
        raise BadText(_AMBIGUOUS.format(names=", ".join(layout.free_text)), text)
    raise BadText(_FRAGMENTS, text)


class _Places:
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
        size = sum(map(len, passed)) if self._ascii else sum(len(_bytes(line)) for line in passed)
        self._position += size + len(passed)
        self._at = at
        return self._position, self._line + at


@dataclass(frozen=True, slots=True)
class _Part:
    """Some lines of a block."""

    lines: list[str]
    start: int
    places: _Places


Outcome = RunRecord | BadRecord | None  # None: a step


class _Sorter:
    """Turns lines the quick way refused into outcomes, joining them where free text split a record."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._joiner = Joiner(_shapes(layout)) if layout.free_text else None
        self._held: list[tuple[int, int, bytes]] = []  # lines in the joiner, as they stood
        self._held_size = 0
        self._blank: list[tuple[int, int, bytes]] = []

    @property
    def holds(self) -> bool:
        """Whether lines wait for what comes next."""
        return bool(self._held or self._blank)

    def line(self, line: str, position: int, number: int) -> Iterator[Outcome]:
        """The outcomes that one more line makes certain."""
        content = _content(line, self.layout)
        place = (position, number, _bytes(line) + b"\n")
        if not content and not self._held:
            self._blank.append(place)
            return
        yield from self._blanks()
        try:
            run = parse_line(content, self.layout)
            yield from self.settle()
            yield run
        except BadText as err:
            yield from self._refused(content, place, err)

    def _refused(self, content: str, place: tuple[int, int, bytes], err: BadText) -> Iterator[Outcome]:
        if self._joiner is None or self._stands_alone(content):
            yield from self.settle()
            yield bad_record(*place, str(err))
            return
        self._held.append(place)
        self._held_size += len(place[2])
        if count := self._joiner.add(content):
            yield from self._joined(count)
        elif self._held_size > MAX_KEPT or len(self._held) >= _MAX_JOINED_LINES:
            yield from self.settle()

    def _stands_alone(self, content: str) -> bool:
        """A line with every column in place is a record, however wrong a value in it is."""
        fields = content.split(self.layout.delimiter)
        return len(fields) == self.layout.fields and looks_right(fields, self.layout, self.layout.columns)

    def _joined(self, count: int) -> Iterator[Outcome]:
        assert self._joiner is not None
        text = "\n".join(self._joiner.lines[-count:])
        held, self._held = self._held[-count:], self._held[:-count]
        yield from self.settle()
        try:
            yield _parse_dealt(text, self.layout)
        except BadText as err:
            yield _together(held, str(err))

    def settle(self) -> Iterator[Outcome]:
        """What is held cannot become a record any more."""
        yield from self._blanks()
        if self._joiner is not None:
            self._joiner.clear()
        held, self._held, self._held_size = self._held, [], 0
        if held:
            yield _together(held, _FRAGMENTS)

    def _blanks(self) -> Iterator[Outcome]:
        blank, self._blank = self._blank, []
        if blank:
            yield _together(blank, "an empty line between records")

    def forget_last_blanks(self) -> None:
        """Blank lines at the very end of the input are no records."""
        self._blank = []


def _together(places: Sequence[tuple[int, int, bytes]], reason: str) -> BadRecord:
    position, number, _ = places[0]
    return bad_record(position, number, b"".join(data for _, _, data in places), reason)


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
        self._sorter = _Sorter(self.layout)
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
            first = self._framer.peek().partition(b"\n")[0]
            layout = from_fields(fields, first, delimiter=delimiter, zone=zone, cluster=cluster)
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
            raise BadInput(f"no header of sacct columns: {why}")
        return line

    def _refuse_unstated_zone(self) -> None:
        """Local times without a zone are refused before anything is read, not record by record."""
        if self.layout.zone is not None:
            return
        at = self.layout.index("Submit")
        for line in _text(self._framer.peek()).split("\n")[:_PROBED]:
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
            raise BadInput(f"{self.name}: {self._source.damage}; the records before that were read")

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
        lines = _text(piece.data).split("\n")
        places = _Places(piece, lines)
        for start in range(0, len(lines), size):
            yield _Part(lines[start : start + size], start, places)

    def _fill(self, batch: Batch, part: _Part | BadRecord) -> None:
        if isinstance(part, BadRecord):
            _add(self._sorter.settle(), batch)
            batch.bad.append(part)
            return
        lines, layout = part.lines, self.layout
        contents = [_content(line, layout) for line in lines] if layout.crlf else lines
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
