"""PDFs with compressed objects."""

from __future__ import annotations

import re
import zlib

import pytest
import typst

from opsd.reports.as_pdf.packed import packed

PLAIN = typst.compile(
    b'#set document(title: "t")\n= A heading\n#table(columns: 9, ..range(900).map(str))',
    format="pdf",
    ignore_system_fonts=True,
    timestamp=0,
    pdf_standards=["a-2a", "ua-1"],
)


def test_every_object_keeps_its_number_and_its_bytes() -> None:
    """What is a stream stays in the open; the rest stands, each under its number, in object streams."""
    before = dict(re.findall(rb"\n(\d+) 0 obj\s+(.*?)\s+endobj", PLAIN, re.DOTALL))
    small = packed(PLAIN)
    after = dict(re.findall(rb"\n(\d+) 0 obj\s+(.*?)\s+endobj", small, re.DOTALL))
    for number, body in list(after.items()):
        if found := re.match(
            rb"<</Type/ObjStm/N (\d+)/First (\d+).*?stream\n(.*)\nendstream", body, re.DOTALL
        ):
            del after[number]
            content, first = zlib.decompress(found[3]), int(found[2])
            heads = [int(text) for text in content[:first].split()]
            ends = [*heads[3::2], len(content) - first]
            for one, start, end in zip(heads[::2], heads[1::2], ends, strict=True):
                after[b"%d" % one] = content[first + start : first + end].strip()

    table = after.pop(max(after, key=int))
    assert table.startswith(b"<</Type/XRef")
    assert before == after
    assert len(PLAIN) > 3 * len(small)


def test_the_same_document_gives_the_same_bytes() -> None:
    """There is no clock and no chance in it."""
    assert packed(PLAIN) == packed(bytes(bytearray(PLAIN)))


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (b"%PDF-1.7 nothing", "no PDF with one table of references"),
        (PLAIN.replace(b"endobj", b"endobx", 1), "no PDF object at byte"),
    ],
)
def test_another_form_is_refused_rather_than_broken(broken: bytes, expected: str) -> None:
    """Should typst write another form one day, nobody gets half a file."""
    with pytest.raises(ValueError, match=expected):
        packed(broken)
