"""What a preview reports is judged; pictures stay what they show."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.stack.pictures import faults, squeeze

SOUND: dict[str, Any] = {
    "id": 5, "title": "Nodes", "type": "timeseries", "errors": [], "noData": False, "allNaN": False,
    "unsupported": False, "overlaps": [], "notes": [],
}  # fmt: skip


def report(panel: dict[str, Any], **rest: Any) -> dict[str, Any]:
    """A report of one panel that differs from a sound one."""
    return {"variables": [], "console": [], "panels": [SOUND | panel], **rest}


def test_a_sound_dashboard() -> None:
    """It has no fault."""
    assert [] == list(faults("u", report({}), {}))


@pytest.mark.parametrize(
    ("panel", "expected"),
    [
        ({"errors": ["bad_data: parse error"]}, "error: bad_data: parse error"),
        ({"noData": True}, "no data"),
        ({"unsupported": True, "type": "logs"}, "type logs is not drawn"),
        ({"overlaps": [{"id": 6}, {"id": 7}]}, "overlaps 6, 7"),
        ({"overridesMatchingNothing": ["byName: free"]}, "overrides that match nothing: byName: free"),
        ({"clipped": ["title cut: Nodes"]}, "title cut: Nodes"),
        ({"allNaN": True}, "all values are NaN"),
        ({"emptyAfterTransformations": True}, "nothing is left after the transformations"),
        ({"notes": ["unknown unit gpus"]}, "unknown unit gpus"),
    ],
)
def test_each_fault_is_told(panel: dict[str, Any], expected: str) -> None:
    """With its panel."""
    assert [("u", 5, "Nodes", expected)] == [tuple(it) for it in faults("u", report(panel), {})]


def test_what_may_be_empty() -> None:
    """Such a panel may have no data, and then no field that an override matches; an error it may not have."""
    empty = {"noData": True, "overridesMatchingNothing": ["byName: free"], "errors": ["timeout"]}

    assert ["error: timeout"] == [it.what for it in faults("u", report(empty), {5: "nothing is wrong"})]


def test_a_text_needs_no_data() -> None:
    """It asks for none."""
    assert [] == list(faults("u", report({"type": "text", "noData": True}), {}))


def test_faults_of_the_whole_dashboard() -> None:
    """Variables without a value, and what the browser complains of."""
    variables = [{"name": "node", "empty": True}, {"name": "cluster", "error": "no such label"}]
    found = list(faults("u", report({}, variables=variables, console=["error: x is undefined"]), {}))

    expected = [
        "console: error: x is undefined",
        "variable node: no value",
        "variable cluster: no such label",
    ]
    assert expected == [it.what for it in found]
    assert {None} == {it.panel for it in found}


def test_a_picture_is_packed_tighter(tmp_path: Path) -> None:
    """Its pixels stay what they were."""
    rows = b"".join(b"\0" + bytes([shade]) * 300 for shade in range(100))
    path = tmp_path / "a.png"
    head = struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0)
    loose = zlib.compress(rows, 0)
    parts = (
        (b"IHDR", head),
        (b"tEXt", b"Software\0x"),
        (b"IDAT", loose[:9000]),
        (b"IDAT", loose[9000:]),
        (b"IEND", b""),
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*it) for it in parts))
    before = path.stat().st_size

    assert path.stat().st_size > squeeze(path)
    data = path.read_bytes()
    assert before > len(data)
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    assert rows == zlib.decompress(data[start + 4 : start + 4 + length])
    assert data.endswith(chunk(b"IEND", b""))


def chunk(kind: bytes, body: bytes) -> bytes:
    """As PNG writes it."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
