"""What the typefaces that typst carries can show, and how wide it is.

Invariant: after `covered`, every text consists of characters that some typeface has; a character that none
has stands there as its Unicode number, `[U+6F22]`, and the document says so. Typst is asked, not a table of
ours, so that the answer is that of the typefaces which print.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import typst

Tree = Any  # what JSON can hold

SERIF, MONO = "serif", "mono"
_FACES = ((SERIF, False), (SERIF, True), (MONO, False))  # what report.typ and the charts use
_PROBED_AT = 100  # points: widths are per hundred
# Control, format (also what turns the direction of writing), private, unassigned; separators of lines.
_UNSEEN = frozenset(("Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"))
_MARKS = frozenset(("Mn", "Mc", "Me"))
_REFUSED = re.compile(r'the text `"((?:[^"\\]|\\.)*)"` could not be displayed')
_ESCAPE = re.compile(r"\\u\{([0-9a-f]+)\}|\\(.)")
_SAID = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


def covered(document: dict[str, Tree]) -> dict[str, Tree]:
    """The document with every text printable; `uncovered` is true where that needed numbers."""
    pieces = {piece for text in _texts(document) for piece in _clusters(text)}
    unseen = {piece for piece in pieces if any(unicodedata.category(c) in _UNSEEN for c in piece)}
    missing = unseen | _missing(pieces - unseen)
    if not missing:
        return {**document, "uncovered": False}
    mended: dict[str, Tree] = _mapped(document, lambda text: _numbered(text, missing))
    return {**mended, "uncovered": True}


def _texts(tree: Tree) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case dict():
            for item in tree.values():
                yield from _texts(item)
        case list() | tuple():
            for item in tree:
                yield from _texts(item)


def _mapped(tree: Tree, change: Callable[[str], str]) -> Tree:
    match tree:
        case str():
            return change(tree)
        case dict():
            return {key: _mapped(item, change) for key, item in tree.items()}
        case list() | tuple():
            return [_mapped(item, change) for item in tree]
        case _:
            return tree


def _clusters(text: str) -> Iterator[str]:
    """Characters, each with the marks that stand on it."""
    start = 0
    for at in range(1, len(text)):
        if unicodedata.category(text[at]) not in _MARKS:
            yield text[start:at]
            start = at
    if text:
        yield text[start:]


def _numbered(text: str, missing: set[str]) -> str:
    return "".join(
        "".join(f"[U+{ord(c):04X}]" for c in piece) if piece in missing else piece
        for piece in _clusters(text)
    )


def _missing(pieces: Iterable[str]) -> set[str]:
    """Those that the typefaces lack: the export to PDF/A refuses them, and names each."""
    left, missing = set(pieces), set[str]()
    while left:
        try:
            _typeset("probe.typ", sorted(left))
        except typst.TypstError as err:
            refused = {_plain(found) for found in _REFUSED.findall(err.diagnostic)}
            found = {piece for piece in left if any(one in piece for one in refused)}
            if not found:
                raise
            missing |= found
            left -= found
        else:
            break
    return missing


def _plain(escaped: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)) if m[1] else _SAID.get(m[2], m[2]), escaped)


def _typeset(name: str, texts: list[str]) -> bytes:
    return typst.compile(
        _source(name),
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"texts": json.dumps(texts)},
        pdf_standards=["a-2a"],
        timestamp=0,
    )


def _source(name: str) -> bytes:
    return resources.files(__package__).joinpath(name).read_bytes()


@dataclass(frozen=True, slots=True)
class Faces:
    """Widths of characters, in points per point of size."""

    widths: Mapping[tuple[str, bool], Mapping[str, float]]

    @classmethod
    def of(cls, document: Tree) -> Faces:
        """Of every character of a document, and those that a layout adds."""
        characters = sorted({c for text in _texts(document) for c in text} | set(" 0·"))
        found = typst.query(
            _source("probe.typ"),
            "<widths>",
            field="value",
            one=True,
            ignore_system_fonts=True,
            sys_inputs={"texts": json.dumps(characters)},
        )
        rows = [[width / _PROBED_AT for width in row] for row in json.loads(found)]
        widths = (dict(zip(characters, row, strict=True)) for row in rows)
        return cls(dict(zip(_FACES, widths, strict=True)))

    def width(self, text: str, size: float, *, bold: bool = False, face: str = SERIF) -> float:
        """How wide a text is on one line, in points."""
        known = self.widths[face, bold and face == SERIF]
        return size * sum(known[c] for c in text)
