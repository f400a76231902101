"""How wide each column is, what does not fit on paper, and where long words may break.

Invariant: the columns of a table are together as wide as the text of its page, and no piece of a cell that
cannot break is wider than its column. Portrait where that reads well; else smaller, without the columns
that are wanted less, and on a page on its side.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unicodedata import combining

from opsd.reports.as_pdf import svg
from opsd.reports.as_pdf.glyphs import MONO, SERIF

if TYPE_CHECKING:
    from opsd.reports.as_pdf.glyphs import Faces

Tree = dict[str, Any]
Pieces = str | list[str]  # where a line may break beside blanks

MARGIN = 15 / 25.4 * 72  # points, left and right: 15 mm
PORTRAIT, LANDSCAPE = 595.28 - 2 * MARGIN, 841.89 - 2 * MARGIN
BODY, CODE = 10.0, 8.0  # sizes of type
INSET, INDENT, MARK = 3.0, 7.0, 10.0  # beside a cell's text; by depth; for a row's mark
_READABLE, _WIDE, _NARROW = 44.0, 140.0, 84.0  # what a column of words, of long texts, should have
_LABELS = 150.0  # of facts
_LARGEST, _HEADING, _SUBTITLE = 25.0, 15.0, 10.5  # sizes of type of titles
_NUMBER, _NAME = 20.0, 130.0  # room of a section's number, and of the name of who signs
_HEADS = ("consortium", "title", "period", "scope", "mark")  # of the cover
_RUNNING, _RUNNING_ROOM = 8.0, PORTRAIT - 150  # on top of pages, beside the mark
_PIECES = re.compile(r"[^-_/.:@\]]*[-_/.:@\]]+|[^-_/.:@\]]+")
_ROUNDING = 0.6  # points: a text that just fits must not wrap
_DOUBT = 0.4  # points: letters side by side are a little wider or narrower than one by one


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to set a table."""

    landscape: bool
    size: float
    everything: bool  # or only the columns that are wanted most
    comfortable: bool = True  # words stay whole
    wide: float = _WIDE  # what a column of long texts should have

    @property
    def room(self) -> float:
        """The width of the text on its page."""
        return LANDSCAPE if self.landscape else PORTRAIT


# The first that fits is taken.
SETTINGS = (
    Setting(landscape=False, size=8.5, everything=True),
    Setting(landscape=False, size=7.8, everything=True),
    Setting(landscape=False, size=8.5, everything=False),
    Setting(landscape=False, size=7.8, everything=False),
    Setting(landscape=False, size=7.2, everything=False, wide=_NARROW),
    Setting(landscape=False, size=6.9, everything=False, wide=_NARROW),
    Setting(landscape=True, size=8.5, everything=True),
    Setting(landscape=True, size=8.5, everything=False),
    Setting(landscape=True, size=7.5, everything=False),
    Setting(landscape=True, size=6.5, everything=False),
    Setting(landscape=True, size=6.5, everything=False, comfortable=False),
)


@dataclass(frozen=True, slots=True)
class Need:
    """What a column needs: with every word whole and long texts folded; and on one line."""

    least: float
    natural: float


def laid(document: Tree, faces: Faces) -> Tree:
    """The document with widths, breaks and pictures; a section with a table on its side is on its side."""
    return {
        **document,
        **_heads(document, faces),
        "cover": [_block(block, faces, landscape=False) for block in document["cover"]],
        "sections": [_section(section, faces) for section in document["sections"]],
        "measures": {"margin": MARGIN, "inset": INSET, "indent": INDENT, "mark": MARK, "labels": _LABELS},
    }


def _heads(document: Tree, faces: Faces) -> Tree:
    """Names on the cover may break; one that fills more than a line is not repeated on top of every page."""
    broken = {name: _broken(document[name], PORTRAIT, _LARGEST, faces, bold=True) for name in _HEADS}
    running = [document[name] for name in ("consortium", "period", "scope") if document[name]]
    while len(running) > 1 and faces.width(" · ".join(running), _RUNNING) > _RUNNING_ROOM:
        running.pop(0)
    signing = document["signing"]
    rows = [[who, _broken(name, _NAME, BODY, faces), line] for who, name, line in signing["rows"]]
    return {
        **broken,
        "running": _broken(" · ".join(running), _RUNNING_ROOM, _RUNNING, faces),
        "signing": {**signing, "rows": rows},
    }


def _section(section: Tree, faces: Faces) -> Tree:
    tables = [block for block in section["blocks"] if block["kind"] == "table" and block["rows"]]
    landscape = any(setting(table, faces).landscape for table in tables)
    blocks = [_block(block, faces, landscape=landscape) for block in section["blocks"]]
    title = _broken(section["title"], PORTRAIT - 2 * _NUMBER, _HEADING, faces, bold=True)
    return {**section, "title": title, "landscape": landscape, "blocks": blocks}


def _block(block: Tree, faces: Faces, *, landscape: bool) -> Tree:
    room = LANDSCAPE if landscape else PORTRAIT
    if block.get("title"):
        block = {**block, "title": _broken(block["title"], room, _SUBTITLE, faces, bold=True)}
    match block["kind"]:
        case "table" if block["rows"]:
            return _table(block, faces, landscape=landscape)
        case "facts":
            return {**block, "facts": [_fact(fact, faces, room) for fact in block["facts"]]}
        case "chart":
            return {**block, **svg.pictures(block, room, faces)}
        case _:
            return {**block, "text": _broken(block["text"], room, BODY, faces)} if "text" in block else block


def _fact(fact: Tree, faces: Faces, room: float) -> Tree:
    face, size = (MONO, CODE) if fact["code"] else (SERIF, BODY)
    value = _broken(fact["value"], room - _LABELS - 2 * INSET, size, faces, face=face)
    return {**fact, "label": _broken(fact["label"], _LABELS - 2 * INSET, BODY, faces), "value": value}


# ------------------------------------------------------------------------------------------------ tables


def setting(table: Tree, faces: Faces) -> Setting:
    """The first of SETTINGS that fits; the last where none does."""
    for one in SETTINGS[:-1]:
        if sum(need.least for need in _needs(table, _kept(table, one), faces, one)) <= one.room:
            return one
    return SETTINGS[-1]


def _table(table: Tree, faces: Faces, *, landscape: bool) -> Tree:
    found = setting(table, faces)
    if landscape and not found.landscape:
        found = next(one for one in SETTINGS if one.landscape and _fits(table, faces, one))
    kept = _kept(table, found)
    widths = _widths(_needs(table, kept, faces, found), [table["columns"][at] for at in kept], found.room)
    rows = [_row(row, kept, widths, table, faces, found) for row in table["rows"]]
    heads = [
        {
            **table["columns"][at],
            "label": _broken(table["columns"][at]["label"], width - 2 * INSET, found.size, faces, bold=True),
            "width": width,
        }
        for at, width in zip(kept, widths, strict=True)
    ]
    left_out = [column["label"] for at, column in enumerate(table["columns"]) if at not in kept]
    notes = [*table["notes"], *([f"{table['left_out']} {', '.join(left_out)}"] if left_out else [])]
    return {
        **table,
        "columns": heads,
        "rows": rows,
        "notes": [_broken(note, found.room, found.size, faces) for note in notes],
        "size": found.size,
    }


def _fits(table: Tree, faces: Faces, one: Setting) -> bool:
    needed = sum(need.least for need in _needs(table, _kept(table, one), faces, one))
    return needed <= one.room or one is SETTINGS[-1]


def _kept(table: Tree, one: Setting) -> list[int]:
    """The places of the columns that are printed; where there is little room, none without a word in it."""
    columns = enumerate(table["columns"])
    if one.everything:
        return [at for at, _ in columns]
    said = {at for row in table["rows"] for at, text in enumerate(row["cells"]) if text}
    return [at for at, column in columns if column["wanted"] < 2 and at in said]


def _needs(table: Tree, kept: list[int], faces: Faces, one: Setting) -> list[Need]:
    return [_need(table, at, faces, one, first=place == 0) for place, at in enumerate(kept)]


def _need(table: Tree, at: int, faces: Faces, one: Setting, *, first: bool) -> Need:
    column = table["columns"][at]
    face = MONO if column["code"] else SERIF
    natural = whole = beside = 0.0
    for row in table["rows"]:
        bold, text = row["role"] != "leaf", row["cells"][at]
        beside = max(beside, _beside(row, first=first, marked=table["marked"]))
        natural = max(natural, faces.width(text, one.size, bold=bold, face=face))
        words = (faces.width(word, one.size, bold=bold, face=face) for word in text.split(" "))
        whole = max(whole, natural if column["right"] else max(words))  # a number is never broken
    comfort = one.wide if column["wide"] else _READABLE
    least = whole if column["right"] else min(max(whole, min(natural, comfort)), one.wide)
    label = column["label"]
    head = max(faces.width(word, one.size, bold=True) for word in label.split(" "))
    natural = max(natural + beside, min(faces.width(label, one.size, bold=True), 2 * head))
    return Need(*(max(width, head) + 2 * INSET + _ROUNDING for width in (least + beside, natural)))


def _beside(row: Tree, *, first: bool, marked: bool) -> float:
    return row["depth"] * INDENT + (MARK if marked else 0.0) if first else 0.0


def _widths(needs: list[Need], columns: list[Tree], room: float) -> list[float]:
    """What each needs, then what helps it; the rest is shared out, twice as much to long texts."""
    widths = [need.least for need in needs]
    if sum(widths) > room:  # nothing fits: everything breaks
        return [width * room / sum(widths) for width in widths]
    for wide in (False, True):  # long texts last, so that they do not fold their neighbours' heads
        at = [place for place, column in enumerate(columns) if column["wide"] == wide]
        lacks = [needs[place].natural - needs[place].least for place in at]
        given = min(1.0, (room - sum(widths)) / (sum(lacks) or 1.0))
        for place, lack in zip(at, lacks, strict=True):
            widths[place] += lack * given
    parts = [2.0 if column["wide"] else 1.0 for column in columns]
    rest = max(0.0, room - sum(widths))
    return [width + rest * part / sum(parts) for width, part in zip(widths, parts, strict=True)]


def _row(row: Tree, kept: list[int], widths: list[float], table: Tree, faces: Faces, one: Setting) -> Tree:
    """`single`: every cell stands on one line, so that the typesetter need not measure the row."""
    cells = list(_cells(row, kept, widths, table, faces, one))
    codes = any(table["columns"][at]["code"] for at in kept)  # of another height
    return {**row, "cells": cells, "single": not codes and all(isinstance(cell, str) for cell in cells)}


def _cells(
    row: Tree, kept: list[int], widths: list[float], table: Tree, faces: Faces, one: Setting
) -> Iterator[Pieces]:
    for place, (at, width) in enumerate(zip(kept, widths, strict=True)):
        inner = width - 2 * INSET - _beside(row, first=place == 0, marked=table["marked"])
        face = MONO if table["columns"][at]["code"] else SERIF
        yield _broken(row["cells"][at], inner, one.size, faces, bold=row["role"] != "leaf", face=face)


# ------------------------------------------------------------------------------------------- long words


def _broken(
    text: str, room: float, size: float, faces: Faces, *, bold: bool = False, face: str = SERIF
) -> Pieces:
    """A text as pieces between which a line may break: words, and of a word that is too wide its parts."""
    if faces.width(text, size, bold=bold, face=face) <= room - _DOUBT:
        return text
    pieces = [""]
    for word in re.split("( )", text):
        if faces.width(word, size, bold=bold, face=face) <= room:
            pieces[-1] += word
        else:
            first, *rest = _parts(word, room, size, faces, bold=bold, face=face)
            pieces[-1] += first
            pieces += rest
    return pieces


def _parts(word: str, room: float, size: float, faces: Faces, *, bold: bool, face: str) -> Iterator[str]:
    for part in _PIECES.findall(word):
        start, used = 0, 0.0
        for at, letter in enumerate(part):
            width = faces.width(letter, size, bold=bold, face=face)
            if used + width > room and at > start and not combining(letter):
                yield part[start:at]
                start, used = at, 0.0
            used += width
        yield part[start:]
