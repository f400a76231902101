"""What `sacct --json` prints, cut into the members of its object and the items of its lists.

Invariant: an item is handed over with exactly the bytes it is made of, readable or not, and never costs
its neighbours; memory stays flat however many items there are and however large or deep one of them is.

Each item is decoded where it stands, which also finds its end. Only one that cannot be decoded (it goes
on in the next piece of input, or it is broken) is walked through bracket by bracket.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from collectors.slurm.framing import MAX_KEPT, BadRecord, bad_record
from collectors.slurm.source import Source
from opsd.core.errors import BadInput

MAX_ITEM = 64 << 20  # a larger job is counted and hashed, but only its start is kept
MOST_TEXT = 300  # characters of somebody else's message that are repeated
_CHUNK = 1 << 20
_SPACE = re.compile(rb"[ \t\r\n]*")
_STRUCTURE = re.compile(rb'["\[\]{}]')
_IN_STRING = re.compile(rb'["\\]')
_SCALAR_END = re.compile(rb"[,\]}\s]")
_BOM = b"\xef\xbb\xbf"


class Broken(BadInput):
    """The document stops following JSON's grammar: what comes after cannot be told apart."""


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")


# Control characters inside strings are let through: names are free text, and those that are used are checked.
_DECODER = json.JSONDecoder(parse_constant=_no_number, strict=False)


def decoded(data: bytes) -> object:
    """One JSON value; raises ValueError with what is wrong with it."""
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as err:
        raise ValueError("bytes that are no UTF-8") from err
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a list that was decoded."""

    position: int
    line: int
    data: bytes
    value: object


class _Extent:
    """Walks through a value that may come in several pieces, to find where it ends."""

    def __init__(self, first: bytes) -> None:
        self._is_scalar = first not in (b"{", b"[", b'"')
        self._depth = 0
        self._in_string = self._escaped = False

    def end(self, data: bytes, at: int) -> int:
        """The place after the value's last byte; -1 if it goes on in the next piece."""
        if self._is_scalar:
            found = _SCALAR_END.search(data, at)
            return found.start() if found else -1
        while at < len(data):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_IN_STRING if self._in_string else _STRUCTURE).search(data, at)
            if not found:
                return -1
            at = found.end()
            if self._step(found[0]) and not self._depth and not self._in_string:
                return at
        return -1

    def _step(self, mark: bytes) -> bool:
        """Whether the mark may be a value's last."""
        if mark == b"\\":
            self._escaped = True
        elif mark == b'"':
            self._in_string = not self._in_string
        else:
            self._depth += 1 if mark in b"[{" else -1
        return mark in b'"]}'


class Document:
    """A JSON object read once from front to back: `open`, then `key` and one of the others in turn."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._held = b""
        self._text = ""  # `_held`, one character a byte
        self._at = 0
        self._base = 0  # position of the first byte held
        self._line = 1
        self._is_first = True

    # -- the input ---------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Of the next byte, in the decompressed input."""
        return self._base + self._at

    def _more(self) -> bool:
        """Hold as much again as is held, and forget what was passed."""
        held, wanted = [self._held[self._at :]], max(_CHUNK, len(self._held) - self._at)
        while wanted > 0 and (data := self.source.read(wanted)):
            held.append(data)
            wanted -= len(data)
        self._base += self._at
        self._at, self._held = 0, b"".join(held)
        self._text = self._held.decode("latin-1")
        return len(held) > 1

    def _pass(self, end: int) -> bytes:
        data = self._held[self._at : end]
        self._line += data.count(b"\n")
        self._at = end
        return data

    def _peek(self) -> bytes:
        """The next byte that is no space; nothing at the end."""
        while True:
            found = _SPACE.match(self._held, self._at)
            self._pass(found.end() if found else self._at)
            if self._at < len(self._held) or not self._more():
                return self._held[self._at : self._at + 1]

    def _take(self, *marks: bytes) -> bytes:
        mark = self._peek()
        if mark not in marks:
            raise self._broken(f"{' or '.join(one.decode() for one in marks)} should stand there")
        self._pass(self._at + 1)
        return mark

    def _broken(self, what: str) -> Broken:
        what = self.source.damage or (what if self._peek() else "it breaks off there")
        return Broken(f"the JSON cannot be read on from byte {self.position}, line {self._line}: {what}")

    # -- its parts ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Enter the object."""
        if self._more() and self._held.startswith(_BOM):
            self._at = len(_BOM)
        self._take(b"{")

    def key(self) -> str | None:
        """The next member's name; None when the object is over, and with it the document."""
        if self._is_first and self._peek() == b"}":
            self._pass(self._at + 1)
        elif self._is_first or self._take(b",", b"}") == b",":
            self._is_first = False
            return self._name()
        if self._peek().strip(b"\0"):
            raise self._broken("something follows the end of the document")
        return None

    def _name(self) -> str:
        if self._peek() != b'"':
            raise self._broken("a name in quotes should stand there")
        name = self._item()
        if isinstance(name, BadRecord):
            raise self._broken(f"a name before it cannot be read: {name.reason}")
        self._take(b":")
        return str(name.value)

    def value(self) -> object:
        """The member's value; raises Broken if it cannot be decoded."""
        found = self._item()
        if isinstance(found, BadRecord):
            raise self._broken(f"the value before it cannot be read: {found.reason}")
        return found.value

    def skip(self) -> None:
        """Pass the member's value, whatever it is."""
        self._item()

    def items(self) -> Iterator[Item | BadRecord]:
        """The items of the list that is the member's value."""
        self._take(b"[")
        if self._peek() == b"]":
            self._pass(self._at + 1)
            return
        while True:
            yield self._item()
            if self._take(b",", b"]") == b"]":
                return

    def is_list(self) -> bool:
        """Whether the member's value is a list."""
        return self._peek() == b"["

    def _item(self) -> Item | BadRecord:
        if (first := self._peek()) in (b"", b",", b"]", b"}", b":"):
            raise self._broken("a value should stand there")
        position, line = self.position, self._line
        value, end = self._decoded_here()
        if end < 0:
            return self._walked(first, position, line)
        data = self._pass(end)
        if not data.isascii():
            return _read(position, line, data)
        return Item(position, line, data, value)

    def _decoded_here(self) -> tuple[object, int]:
        """A value and where it ends; -1 if it cannot be decoded from what is held."""
        try:
            value, end = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return None, -1
        is_certain = end < len(self._held) or isinstance(value, (dict, list, str))
        return value, end if is_certain else -1  # a number may go on

    def _walked(self, first: bytes, position: int, line: int) -> Item | BadRecord:
        extent, passed = _Extent(first), 0
        while (end := extent.end(self._held, self._at + passed)) < 0:
            passed = len(self._held) - self._at
            if passed > MAX_ITEM:
                return self._oversize(extent, position, line)
            if not self._more():
                return self._cut(position, line)
        return _read(position, line, self._pass(end))

    def _cut(self, position: int, line: int) -> BadRecord:
        reason = self.source.damage or "the JSON breaks off inside it"
        return bad_record(position, line, self._pass(len(self._held)), f"cut off: {reason}")

    def _oversize(self, extent: _Extent, position: int, line: int) -> BadRecord:
        kept, digest = self._held[self._at : self._at + MAX_KEPT], sha256()
        digest.update(self._pass(len(self._held)))
        end = -1
        while end < 0 and self._more():
            end = extent.end(self._held, 0)
            digest.update(self._pass(len(self._held) if end < 0 else end))
        size = self.position - position
        reason = f"an item of {size} bytes: no job is larger than {MAX_ITEM}"
        return BadRecord(position, line, kept, size, digest.hexdigest(), reason)


def _read(position: int, line: int, data: bytes) -> Item | BadRecord:
    try:
        return Item(position, line, data, decoded(data))
    except ValueError as err:
        return bad_record(position, line, data, f"no JSON that can be read: {err}"[:MOST_TEXT])
