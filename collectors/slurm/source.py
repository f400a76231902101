"""Bytes of an export, plain or gzip, in pieces of bounded size.

Invariant: everything that can be decompressed before a damaged spot is handed over before the
damage is reported, and no input, however it expands, makes a piece larger than asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

GZIP = b"\x1f\x8b"
_RAW = 1 << 16
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
        self._input = self._raw(_RAW)
        self._read: Callable[[int], bytes] = self._plain
        if self._input.startswith(GZIP):
            self._inflater = _new_inflater()
            self._read = self._inflated

    def read(self, size: int) -> bytes:
        """At most `size` bytes, b"" at the end or at damage."""
        return b"" if self.damage else self._read(size)

    def _raw(self, size: int) -> bytes:
        data = self._stream.read(size) or b""
        self.consumed += len(data)
        return data

    def _plain(self, size: int) -> bytes:
        data, self._input = self._input[:size], self._input[size:]
        return data or self._raw(size)

    def _inflated(self, size: int) -> bytes:
        while not self.damage:
            if self._inflater.eof and not self._next_member():
                return b""
            if not self._input:
                self._input = self._raw(_RAW)
            if not self._input and not self._held_back():
                self.damage = "the gzip data stops before its end"
                return b""
            if data := self._step(size):
                return data
        return b""

    def _held_back(self) -> bool:
        """Whether zlib may still have output for input it took already."""
        return not self._inflater.eof and self._more

    _more = False

    def _step(self, size: int) -> bytes:
        before = self._inflater.copy()
        given = self._input
        try:
            data = self._inflater.decompress(given, size)
        except zlib.error as err:
            return self._last_good(before, given, size, err)
        self._more = len(data) == size
        self._input = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        return data

    def _last_good(self, inflater: _Inflater, given: bytes, size: int, err: zlib.error) -> bytes:
        """What the damaged piece still yields, byte by byte: a failed call hands over nothing."""
        self.damage = f"the gzip data is damaged ({err})"
        good = bytearray()
        try:
            for at in range(len(given)):
                good += inflater.decompress(given[at : at + 1], size - len(good)) if len(good) < size else b""
        except zlib.error:
            pass
        return bytes(good)

    def _next_member(self) -> bool:
        """Start the next gzip member; zeros after the last one are padding, anything else damage."""
        while True:
            self._input = self._input.lstrip(b"\0") if len(self._input) > 1 or self._input == b"\0" else self._input
            if len(self._input) >= len(GZIP) or not (more := self._raw(_RAW)):
                break
            self._input += more
        if self._input and not self._input.startswith(GZIP):
            self.damage = "the gzip data is followed by something else"
        self._inflater = _new_inflater()
        return bool(self._input) and not self.damage
