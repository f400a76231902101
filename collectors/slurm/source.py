"""Bytes of an export, plain or gzip, in pieces of bounded size.

Invariant: everything that can be decompressed before a damaged spot is handed over before the
damage is reported, and no input, however it expands, makes a piece larger than asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

GZIP = b"\x1f\x8b"
_RAW = 1 << 16
_SMALL = 256
_GZIP_WBITS = 31


class _Inflater(Protocol):
    """zlib's decompression object, as far as it is used here."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = 0) -> bytes: ...
    def copy(self) -> _Inflater: ...


def _new_inflater() -> _Inflater:
    return zlib.decompressobj(_GZIP_WBITS)


class Source:
    """`read(size)` until b""; then `damage` says whether the input was whole."""

    def __init__(self, stream: BinaryIO) -> None:
        self.consumed = 0  # raw bytes taken from the stream, for a progress bar
        self.damage: str | None = None
        self._stream = stream
        self._input = self._raw()
        if len(self._input) < len(GZIP):  # a pipe may give a single byte
            self._input += self._raw()
        self._read: Callable[[int], bytes] = self._plain
        if self._input.startswith(GZIP):
            self._inflater = _new_inflater()
            self._read = self._inflated
        self._pending = False  # zlib may hold output for input it took already
        self._ended = False
        self._bite = _RAW  # compressed bytes given to zlib at a time

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end or at damage."""
        return b"" if self.damage or self._ended else self._read(size)

    def _raw(self) -> bytes:
        data = self._stream.read(_RAW) or b""
        self.consumed += len(data)
        return data

    def _plain(self, size: int) -> bytes:
        self._input = self._input or self._raw()
        data, self._input = self._input[:size], self._input[size:]
        self._ended = not data
        return data

    def _inflated(self, size: int) -> bytes:
        data = b""
        while not (data or self.damage or self._ended):
            if self._inflater.eof:
                self._next_member()
            elif self._fed():
                data = self._step(size)
            else:
                self.damage = "the gzip data stops before its end"
        return data

    def _fed(self) -> bool:
        self._input = self._input or self._raw()
        return bool(self._input) or self._pending

    def _step(self, size: int) -> bytes:
        before, given = self._inflater.copy(), self._input[: self._bite]
        try:
            data = self._inflater.decompress(given, size)
        except zlib.error as err:
            self._retreat(before, err)
            return b""
        self._pending = len(data) == size
        left = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        self._input = left + self._input[len(given) :]
        return data

    def _retreat(self, before: _Inflater, err: zlib.error) -> None:
        """A failed call hands nothing over: go back and take smaller bites up to the damage."""
        if self._bite == 1:
            self.damage = f"the gzip data is damaged ({err})"
        self._inflater = before
        self._bite = _SMALL if self._bite > _SMALL else 1

    def _next_member(self) -> None:
        """Start the next gzip member; zeros after the last one are padding, anything else is damage."""
        self._input = self._input.lstrip(b"\0")
        while len(self._input) < len(GZIP) and (more := self._raw()):
            self._input = (self._input + more).lstrip(b"\0")
        if not self._input:
            self._ended = True
        elif not self._input.startswith(GZIP):
            self.damage = "the gzip data is followed by something else"
        self._inflater = _new_inflater()


class _Again:
    """A stream that cannot go back, with what was read of it put in front again."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        """What was read before, then what follows."""
        head, self._head = self._head, b""
        return head or self._stream.read(size)

    def seekable(self) -> bool:
        """It cannot go back another time."""
        return False


def peeked(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """The first bytes, decompressed, and a stream that begins with them again."""
    head = stream.read(_RAW) or b""
    found = head
    if head.startswith(GZIP):
        try:
            found = _new_inflater().decompress(head, _RAW)
        except zlib.error:  # the reading itself will say so
            found = b""
    if stream.seekable():
        stream.seek(0)
        return found, stream
    return found, cast("BinaryIO", _Again(head, stream))


def found_damage(stream: BinaryIO) -> str | None:
    """What is wrong with a gzip file, found by reading all of it; leaves a stream that can seek at its start.

    Gzip's checksum stands at its end, so a reader that hands records on as they come cannot know whether
    those before a damaged spot are what was written.
    """
    source = Source(stream)
    while source.read(_RAW):
        pass
    stream.seek(0)
    return source.damage
