"""What the preview of a dashboard reports, as a list of faults; and its pictures, as small as they go.

Invariant: "no data" is a fault unless the table of panels that may be empty says otherwise.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Fault(NamedTuple):
    """What is wrong with a panel, or (without one) with the whole dashboard."""

    uid: str
    panel: int | None
    title: str
    what: str


def faults(uid: str, report: Mapping[str, Any], may_be_empty: Mapping[int, str]) -> Iterator[Fault]:
    """All of a report's."""
    for line in report.get("console") or ():
        yield Fault(uid, None, "", f"console: {line}")
    for variable in report.get("variables") or ():
        if said := variable.get("error") or variable.get("warning") or (variable.get("empty") and "no value"):
            yield Fault(uid, None, "", f"variable {variable['name']}: {said}")
    for panel in report["panels"]:
        for what in _of_panel(panel, is_empty_allowed=panel["id"] in may_be_empty):
            yield Fault(uid, panel["id"], panel.get("title") or "", what)


def _of_panel(panel: Mapping[str, Any], *, is_empty_allowed: bool) -> Iterator[str]:
    is_empty = panel["type"] != "text" and bool(panel.get("noData"))
    yield from (f"error: {line}" for line in panel.get("errors") or ())
    if is_empty and not is_empty_allowed:
        yield "no data"
    if panel.get("unsupported"):
        yield f"type {panel['type']} is not drawn"
    if panel.get("overlaps"):
        yield "overlaps " + ", ".join(str(other["id"]) for other in panel["overlaps"])
    if panel.get("overridesMatchingNothing") and not is_empty:
        yield "overrides that match nothing: " + " | ".join(map(str, panel["overridesMatchingNothing"]))
    if panel.get("allNaN") and not is_empty_allowed:
        yield "all values are NaN"
    if panel.get("emptyAfterTransformations") and not is_empty_allowed:
        yield "nothing is left after the transformations"
    yield from (str(line) for line in panel.get("clipped") or ())
    yield from (str(line) for line in panel.get("notes") or ())


def squeeze(path: Path) -> int:
    """Pack a PNG's pixels again, as tightly as zlib can; its size in bytes."""
    chunks = list(_chunks(path.read_bytes()))
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    head, *_, end = chunks
    out = _SIGNATURE + b"".join(_chunk(*one) for one in (head, (b"IDAT", zlib.compress(pixels, 9)), end))
    if len(out) < path.stat().st_size:
        path.write_bytes(out)
    return path.stat().st_size


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(_SIGNATURE)
    while place < len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        place += 12 + length


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
