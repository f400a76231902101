"""Lines: a line feed ends one, nothing is lost, and a long one takes no memory."""

from __future__ import annotations

import io
import tracemalloc
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.framing import MAX_KEPT, BadRecord, Block, Framer
from collectors.slurm.source import Source

BYTES = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b"a|b", b"\x85", b"\x0b\x0c", b"\x00", b"\xff", "\u2028".encode(), b"x" * 300_000]
    )
)


class Endless(io.RawIOBase):
    """One line of many bytes, made as it is read."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        """Some more of it."""
        given_out = min(size, self.left)
        self.left -= given_out
        return b"x" * given_out


def pieces(data: bytes) -> list[Block | BadRecord]:
    """All that a framer makes of some bytes."""
    return list(Framer(Source(io.BytesIO(data))))


def stated(piece: Block | BadRecord) -> bytes:
    """The bytes of a piece, its line end included."""
    return piece.data + b"\n" if isinstance(piece, Block) else piece.data


@given(BYTES.map(b"".join))
def test_nothing_is_lost_or_added(data: bytes) -> None:
    """The pieces, one after the other, are the input; each knows where it stands."""
    position, line = 0, 1
    for piece in pieces(data):
        assert (position, line) == (piece.position, piece.line)
        assert data[position : position + len(stated(piece))] == stated(piece)
        length = piece.length if isinstance(piece, BadRecord) else len(stated(piece))
        line += data[position : position + length].count(b"\n")
        position += length
    assert len(data) == position


def test_only_a_line_feed_ends_a_line() -> None:
    """Carriage returns, vertical tabs, NEL and Unicode's separators stand inside lines."""
    data = b"a\rb\x0bc\x85d\xe2\x80\xa8e\nf\n"
    assert [Block(0, 1, data[:-1])] == pieces(data)


def test_the_first_line_is_taken_alone() -> None:
    """The header; the rest goes on from there."""
    framer = Framer(Source(io.BytesIO(b"head\none\ntwo")))
    assert b"head" == framer.take_line()
    first, tail = framer
    assert Block(5, 2, b"one") == first
    assert isinstance(tail, BadRecord)
    assert (9, 3, b"two") == (tail.position, tail.line, tail.data)
    assert Framer(Source(io.BytesIO(b"no end"))).take_line() is None


def test_a_huge_line_is_counted_not_kept() -> None:
    """Its start, its true length and its digest are; its neighbours come through."""
    huge = b"y" * (3 * MAX_KEPT + 17) + b"\n"
    found = pieces(b"a\n" + huge + b"b\n")
    bad = found[1]
    assert [b"a", b"b"] == [piece.data for piece in found if isinstance(piece, Block)]
    assert isinstance(bad, BadRecord)
    assert (2, 2, MAX_KEPT, len(huge)) == (bad.position, bad.line, len(bad.data), bad.length)
    assert sha256(huge).hexdigest() == bad.digest


def test_a_huge_line_without_an_end() -> None:
    """The same at the end of the input."""
    (bad,) = pieces(b"z" * (2 * MAX_KEPT))
    assert isinstance(bad, BadRecord)
    assert (2 * MAX_KEPT, MAX_KEPT) == (bad.length, len(bad.data))


def test_memory_stays_flat_on_a_line_of_256_mib() -> None:
    """However long the line, a few MiB are held."""
    tracemalloc.start()
    (bad,) = list(Framer(Source(Endless(1 << 28))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(bad, BadRecord)
    assert 1 << 28 == bad.length
    assert peak < 8 << 20
