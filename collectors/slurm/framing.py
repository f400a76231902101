"""Bytes to physical lines, and never anything else.

Invariant: a line feed, and nothing else, ends a line; the lines, their ends and the oversize ones, put
together, are the input byte for byte; memory stays flat however long a line is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from collectors.slurm.source import Source

MAX_KEPT = 1 << 20  # a longer line is counted and hashed, but only its start is kept
_CHUNK = 1 << 18
NO_LINE_END = "its line end is missing: the export may have been cut off inside this record; export it again"


@dataclass(frozen=True, slots=True)
class BadRecord:
    """Bytes that could not be read as a record, with their line end if there was one."""

    position: int  # of the first byte, in the decompressed stream
    line: int  # number of the first line, from 1
    data: bytes  # at most MAX_KEPT
    length: int  # of all of it
    digest: str  # sha256 of all of it, in hex
    reason: str


def bad_record(position: int, line: int, data: bytes, reason: str) -> BadRecord:
    """A bad record whose bytes are all at hand."""
    return BadRecord(position, line, data[:MAX_KEPT], len(data), sha256(data).hexdigest(), reason)


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines: `data` without the last line end."""

    position: int
    line: int
    data: bytes


class Framer:
    """Cuts a source into blocks of whole lines, oversize lines and a last line without an end."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.position = 0
        self.line = 1
        self._held = b""

    def peek(self) -> bytes:
        """What is read but not handed out yet: at least a line, unless the input ends or it is huge."""
        while b"\n" not in self._held and len(self._held) <= MAX_KEPT:
            if not (data := self.source.read(_CHUNK)):
                break
            self._held += data
        return self._held

    def take_line(self) -> bytes | None:
        """The next line without its end; None if there is no whole line within MAX_KEPT."""
        line, end, rest = self.peek().partition(b"\n")
        if not end or len(line) > MAX_KEPT:
            return None
        self._advance(len(line) + 1, 1)
        self._held = rest
        return line

    def __iter__(self) -> Iterator[Block | BadRecord]:
        while held := self.peek():
            first_end = held.find(b"\n")
            if first_end > MAX_KEPT or (first_end < 0 and len(held) > MAX_KEPT):
                yield self._oversize()
            elif first_end < 0:
                yield self._tail()
            else:
                yield self._block(held.rfind(b"\n"))

    def _advance(self, size: int, lines: int) -> None:
        self.position += size
        self.line += lines

    def _block(self, end: int) -> Block:
        block = Block(self.position, self.line, self._held[:end])
        self._advance(end + 1, block.data.count(b"\n") + 1)
        self._held = self._held[end + 1 :]
        return block

    def _tail(self) -> BadRecord:
        damage = self.source.damage
        reason = f"cut off: {damage}" if damage else NO_LINE_END
        found = bad_record(self.position, self.line, self._held, reason)
        self._advance(len(self._held), 0)
        self._held = b""
        return found

    def _oversize(self) -> BadRecord:
        """Count and hash up to the next line end, keeping only the start."""
        digest, size, kept, ended = sha256(), 0, self._held[:MAX_KEPT], False
        piece, self._held = self._held, b""
        while piece and not ended:
            line, end, self._held = piece.partition(b"\n")
            digest.update(line + end)
            size += len(line) + len(end)
            ended = bool(end)
            piece = b"" if ended else self.source.read(_CHUNK)
        found = BadRecord(self.position, self.line, kept, size, digest.hexdigest(), _too_long(size))
        self._advance(size, int(ended))
        return found


def _too_long(size: int) -> str:
    return f"a line of {size} bytes: no sacct record is longer than {MAX_KEPT}"
