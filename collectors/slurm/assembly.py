"""Lines to outcomes, the careful way: one record a line, or joined where free text split it.

Invariant: a line that is a record by itself is always one record; lines that are none come out as one
bad record with all their bytes, before whatever follows them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from collectors.slurm.align import Joiner, Shapes, dealt, is_record
from collectors.slurm.framing import MAX_KEPT, NO_LINE_END, BadRecord, bad_record
from collectors.slurm.layout import Layout
from collectors.slurm.records import looks_right, parse_fields
from opsd.core.errors import BadText
from opsd.core.records import RunRecord

_MAX_JOINED_LINES = 200_000
_FRAGMENTS = "no record by itself, nor together with its neighbours: an end is missing or a column is damaged"
_AMBIGUOUS = "free text makes this record readable in more than one way; export it without {names}"

Outcome = RunRecord | BadRecord | None  # None: a step
Place = tuple[int, int, bytes]  # position, line number, bytes with the line end


def to_text(data: bytes) -> str:
    """Text from which `to_bytes` makes the same bytes again, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def to_bytes(text: str) -> bytes:
    """The bytes a text was made from."""
    return text.encode("utf-8", "surrogateescape")


@lru_cache(maxsize=16)
def _shapes(layout: Layout) -> Shapes:
    return Shapes(layout)


def content_of(line: str, layout: Layout) -> str:
    """A line without the carriage return that is part of its line end."""
    return line.removesuffix("\r") if layout.crlf else line


def parse_line(line: str, layout: Layout) -> RunRecord | None:
    """A record of exactly as many pieces as the layout has fields; None for a step."""
    fields = line.split(layout.delimiter)
    if len(fields) != layout.fields:
        raise BadText(f"{len(fields)} fields where the layout has {layout.fields}", line)
    if layout.trailing and fields[-1]:
        raise BadText("text after the last delimiter", fields[-1])
    run = parse_fields(fields, layout)
    if layout.free_text and not looks_right(fields, layout):  # the start of a record can be read like one
        raise BadText(
            "a step with a damaged column" if run is None else "a column sacct never prints so", line
        )
    return run


def parse_record(data: bytes, layout: Layout) -> RunRecord | None:
    """One record's bytes, as quarantined, with the layout it was quarantined under; None for a step.

    Raises:
        BadText: it still cannot be read, or has no line end (a cut number is a number, too).
    """
    if not data.endswith(b"\n"):
        raise BadText(NO_LINE_END, to_text(data))
    text = to_text(data[:-1])
    lines = [content_of(line, layout) for line in text.split("\n")]
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


class Sorter:
    """Turns lines the quick way refused into outcomes, joining them where free text split a record."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._joiner = Joiner(_shapes(layout)) if layout.free_text else None
        self._held: list[Place] = []  # lines in the joiner, as they stood
        self._held_size = 0
        self._blank: tuple[int, int] | None = None  # where a run of blank lines began
        self._blank_bytes = bytearray()

    @property
    def holds(self) -> bool:
        """Whether lines wait for what comes next."""
        return bool(self._held or self._blank_bytes)

    def line(self, line: str, position: int, number: int) -> Iterator[Outcome]:
        """The outcomes that one more line makes certain."""
        content = content_of(line, self.layout)
        place = (position, number, to_bytes(line) + b"\n")
        if not content and not self._held:
            self._blank = self._blank or (position, number)
            self._blank_bytes += place[2]
            if len(self._blank_bytes) >= MAX_KEPT:  # a file of nothing else must not fill the memory
                yield from self._blanks()
            return
        yield from self._blanks()
        try:
            run = parse_line(content, self.layout)
        except BadText as err:
            yield from self._refused(content, place, err)
        else:
            yield from self.settle()
            yield run

    def _refused(self, content: str, place: Place, err: BadText) -> Iterator[Outcome]:
        if self._joiner is None or self._looks_right(content):
            yield from self.settle()
            yield bad_record(*place, str(err))
            return
        self._held.append(place)
        self._held_size += len(place[2])
        if count := self._joiner.add(content):
            yield from self._joined(count)
        elif self._held_size > MAX_KEPT or len(self._held) >= _MAX_JOINED_LINES:
            yield from self.settle()

    def _looks_right(self, content: str) -> bool:
        """Whether a line has every column in place: then it is a record, however wrong a value in it is."""
        layout, fields = self.layout, content.split(self.layout.delimiter)
        return len(fields) == layout.fields and looks_right(fields, layout, layout.columns)

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
        if self._blank is not None:
            yield bad_record(*self._blank, bytes(self._blank_bytes), "an empty line between records")
        self.forget_last_blanks()

    def forget_last_blanks(self) -> None:
        """Blank lines at the very end of the input are no records."""
        self._blank = None
        self._blank_bytes.clear()


def _together(places: Sequence[Place], reason: str) -> BadRecord:
    position, number, _ = places[0]
    return bad_record(position, number, b"".join(data for _, _, data in places), reason)
