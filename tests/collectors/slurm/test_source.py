"""Plain and gzip input: all that can be had before a damage, and never more at once than asked for."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.source import Source, found_damage

TEXT = b"".join(b"%d|line of an export\n" % number for number in range(8_000))


class Dribble(io.RawIOBase):
    """A pipe that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        """As every pipe."""
        return True

    def read(self, size: int = -1) -> bytes:
        """One byte, whatever is asked."""
        return self._data.read(1)


def drained(data: bytes, size: int = 4096) -> tuple[bytes, Source]:
    """Everything a source gives, and the source."""
    source, found = Source(io.BytesIO(data)), b""
    while piece := source.read(size):
        assert len(piece) <= size
        found += piece
    assert b"" == source.read(size) == source.read(size)
    return found, source


@pytest.mark.parametrize("data", [b"", b"x", TEXT])
def test_plain_and_gzip_are_the_same(data: bytes) -> None:
    """The reader does not see which it was; the progress bar counts what was really read."""
    for raw in (data, gzip.compress(data)):
        found, source = drained(raw)
        assert (data, None, len(raw)) == (found, source.damage, source.consumed)


def test_members_and_padding() -> None:
    """Files put together with cat, and the zeros tapes leave, are one export."""
    raw = gzip.compress(b"one\n") + gzip.compress(b"") + gzip.compress(b"two\n") + b"\0" * 70_000
    assert (b"one\ntwo\n", None) == (drained(raw)[0], drained(raw)[1].damage)


def test_something_else_after_the_end() -> None:
    """What follows is not read as anything."""
    found, source = drained(gzip.compress(b"one\n") + b"garbage")
    assert b"one\n" == found
    assert "followed by something else" in str(source.damage)


@given(st.integers(0, 3000))
def test_a_cut_gzip_gives_all_it_has(cut: int) -> None:
    """As many bytes as zlib can make of what is left, and the damage is said."""
    raw = gzip.compress(TEXT[:60_000], mtime=0)
    cut = min(cut, len(raw) - 3)
    found, source = drained(raw[: len(raw) - 1 - cut])
    assert zlib.decompressobj(31).decompress(raw[: len(raw) - 1 - cut]) == found
    assert "stops before its end" in str(source.damage)


@given(st.integers(20, 40_000), st.integers(1, 255))
def test_a_damaged_gzip_gives_all_before_the_damage(at: int, flip: int) -> None:
    """A changed byte costs what stands after it, nothing before."""
    raw = bytearray(gzip.compress(TEXT, mtime=0))
    at %= len(raw) - 20
    raw[at + 10] ^= flip
    found, source = drained(bytes(raw), 1 << 18)
    good = 0
    inflater = zlib.decompressobj(31)
    try:
        for byte in raw:
            good += len(inflater.decompress(bytes([byte])))
    except zlib.error:
        pass
    assert good == len(found)
    assert source.damage or found == TEXT


def test_a_pipe_may_be_slow() -> None:
    """gzip is seen even if its first two bytes come one by one."""
    source = Source(Dribble(gzip.compress(b"one\n")))
    assert b"one\n" == b"".join(iter(lambda: source.read(100), b""))


def test_a_gzip_bomb_takes_no_memory() -> None:
    """A few kilobytes that come to 128 MiB are read in pieces."""
    raw = gzip.compress(b"\0" * (1 << 27))
    tracemalloc.start()
    source, total = Source(io.BytesIO(raw)), 0
    while piece := source.read(1 << 16):
        total += len(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 1 << 27 == total
    assert peak < 4 << 20


def test_a_changed_digit_is_found_only_by_the_checksum() -> None:
    """So a file that can be read twice can be checked first."""
    raw = bytearray(gzip.compress(b"1|1790000000\n", 0))
    raw[16] ^= 1
    stream = io.BytesIO(raw)
    assert "damaged" in str(found_damage(stream))
    assert 0 == stream.tell()
    assert found_damage(io.BytesIO(gzip.compress(TEXT))) is None
    assert found_damage(io.BytesIO(TEXT)) is None
