"""A PDF with its objects compressed: a quarter of the size, for the tags of tables are many small objects.

ISO 32000-1, 7.5.7 and 7.5.8 (object streams and cross-reference streams), which PDF/A-2 allows. Invariant:
every object keeps its number and its bytes; what is a stream stays where any program looks for it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping

_TOGETHER = 200  # objects of one stream
_START = re.compile(rb"startxref\s+(\d+)\s+%%EOF\s*\Z")
_TABLE = re.compile(rb"xref\s+0 (\d+)\s+")
_ENTRY = 20  # bytes of a line of the table
_OBJECT = re.compile(rb"\s*(\d+) 0 obj\b\s*(.*?)\s*endobj\s*\Z", re.DOTALL)
_TRAILER = re.compile(rb"trailer\s*<<(.*)>>\s*startxref", re.DOTALL)
_SIZE = re.compile(rb"/Size \d+")
FREE, PLACED, PACKED = 0, 1, 2  # kinds of entries of a cross-reference stream
Entry = tuple[int, int, int]


def packed(pdf: bytes) -> bytes:
    """The same document; it must be one of typst's, written in one go.

    Raises:
        ValueError: it is not of that form.
    """
    head, objects, trailer = _read(pdf)
    out = bytearray(head)
    entries: dict[int, Entry] = {0: (FREE, 0, 65_535)}
    small = {number: body for number, body in objects.items() if not body.endswith(b"endstream")}
    for number in sorted(objects.keys() - small.keys()):
        _place(out, entries, number, objects[number])
    new = max(objects) + 1
    for numbers, body in _streams(small):
        entries |= {number: (PACKED, new, at) for at, number in enumerate(numbers)}
        _place(out, entries, new, body)
        new += 1
    start, size = len(out), new + 1
    entries[new] = (PLACED, start, 0)
    rows = b"".join(_line(entries.get(number, (FREE, 0, 65_535))) for number in range(size))
    keys = b"/Type/XRef/W[1 4 2]/Size %d%s" % (size, _SIZE.sub(b"", trailer).strip())
    out += b"%d 0 obj\n%s\nendobj\nstartxref\n%d\n%%%%EOF\n" % (new, _stream(keys, rows), start)
    return bytes(out)


def _read(pdf: bytes) -> tuple[bytes, dict[int, bytes], bytes]:
    """What stands before the first object, every object by its number, and the trailer's keys."""
    start = _START.search(pdf)
    table = _TABLE.match(pdf, int(start[1])) if start else None
    trailer = _TRAILER.search(pdf, table.end()) if table else None
    if start is None or table is None or trailer is None:
        raise ValueError("no PDF with one table of references: typst writes another form now")
    lines = [pdf[at : at + _ENTRY] for at in range(table.end(), table.end() + int(table[1]) * _ENTRY, _ENTRY)]
    offsets = sorted(int(line[:10]) for line in lines if line[17:18] == b"n")
    found: dict[int, bytes] = {}
    for begin, end in zip(offsets, [*offsets[1:], int(start[1])], strict=True):
        one = _OBJECT.match(pdf, begin, end)
        if one is None:
            raise ValueError(f"no PDF object at byte {begin}: typst writes another form now")
        found[int(one[1])] = one[2]
    return pdf[: offsets[0]], found, trailer[1]


def _streams(small: Mapping[int, bytes]) -> Iterator[tuple[list[int], bytes]]:
    """Objects, so many at a time, as the body of an object stream."""
    numbers = sorted(small)
    for at in range(0, len(numbers), _TOGETHER):
        some = numbers[at : at + _TOGETHER]
        heads, bodies, place = [], [], 0
        for number in some:
            heads.append(b"%d %d" % (number, place))
            bodies.append(small[number] + b"\n")
            place += len(bodies[-1])
        head = b" ".join(heads) + b"\n"
        keys = b"/Type/ObjStm/N %d/First %d" % (len(some), len(head))
        yield some, _stream(keys, head + b"".join(bodies))


def _stream(keys: bytes, content: bytes) -> bytes:
    small = zlib.compress(content, 9)
    return b"<<%s/Filter/FlateDecode/Length %d>>\nstream\n%s\nendstream" % (keys, len(small), small)


def _place(out: bytearray, entries: dict[int, Entry], number: int, body: bytes) -> None:
    entries[number] = (PLACED, len(out), 0)
    out += b"%d 0 obj\n%s\nendobj\n" % (number, body)


def _line(entry: Entry) -> bytes:
    return entry[0].to_bytes(1, "big") + entry[1].to_bytes(4, "big") + entry[2].to_bytes(2, "big")
