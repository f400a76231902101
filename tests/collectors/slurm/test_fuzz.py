"""Whatever the bytes: no exception but ours, no byte lost, no untouched neighbour harmed."""

from __future__ import annotations

import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from collectors.slurm.layout import Layout
from collectors.slurm.sacct import SacctReader, parse_record
from opsd.core.errors import OpsdError
from opsd.core.records import RunRecord
from tests.collectors.slurm.exports import FREE, PLAIN, Content, line, read

PIECES = [
    b"|",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b"7",
    b"Unknown",
    b".batch",
    b"COMPLETED",
    b",",
    b"1790000000",
    b"-",
    b"\xc3\xb1",
]
GARBAGE = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8))).map(b"".join)
TAME = st.text(alphabet="ab|\n \r", max_size=12)


def accounted(data: bytes, found: Content, multiline: bool) -> None:
    """Each bad record's bytes stand where it says, in order; what they leave are the runs and steps."""
    position, rest = data.index(b"\n") + 1, b""
    for bad in found.bad:
        assert position <= bad.position
        assert data[bad.position : bad.position + bad.length] == bad.data
        rest += data[position : bad.position]
        position = bad.position + bad.length
    rest = (rest + data[position:]).rstrip(b"\n")
    lines = rest.count(b"\n") + 1 if rest else 0
    records = len(found.runs) + found.steps
    assert records <= lines if multiline else records == lines


@given(st.sampled_from([PLAIN, FREE]), GARBAGE)
def test_garbage_after_a_header(columns: Sequence[str], garbage: bytes) -> None:
    """Bytes that are no records."""
    data = "|".join(columns).encode() + b"\n" + garbage
    try:
        found = read(data, size=3)
    except OpsdError:
        return
    accounted(data, found, multiline=columns is FREE)
    for bad in found.bad:
        try:
            parse_record(bad.data, Layout(tuple(columns), "|"))
        except OpsdError:
            continue


@given(GARBAGE)
def test_garbage_instead_of_a_file(garbage: bytes) -> None:
    """Refused with a reason, or read."""
    try:
        list(SacctReader(io.BytesIO(garbage), cluster="mn5").batches())
        read(garbage, fields=",".join(PLAIN))
    except OpsdError:
        return


@st.composite
def damaged(draw: st.DrawFn, columns: Sequence[str]) -> tuple[bytes, list[RunRecord]]:
    """An export in which some records were changed, and the runs of those that were not."""
    header = "|".join(columns).encode() + b"\n"
    data, runs = header, []
    for number in range(1, draw(st.integers(2, 8)) + 1):
        names = {"JobName": draw(TAME), "Comment": draw(TAME)} if columns is FREE else {}
        record = line(columns, JobIDRaw=str(number), JobID=str(number), **names)
        if draw(st.booleans()):
            data, runs = data + record, runs + read(header + record).runs
            continue
        at, drop = draw(st.integers(0, len(record) - 2)), draw(st.integers(0, 5))
        insert = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)))
        data += record[:at] + insert + record[min(at + drop, len(record) - 1) :]
    return data, runs


def stand_in_order(expected: list[RunRecord], actual: list[RunRecord]) -> bool:
    """Whether all expected runs are there, in their order, with anything in between."""
    left = iter(actual)
    return all(run in left for run in expected)


@given(damaged(PLAIN), st.sampled_from([1, 2, 20_000]))
def test_untouched_records_come_through(case: tuple[bytes, list[RunRecord]], size: int) -> None:
    """One record a line: a change in one is never seen in another."""
    data, untouched = case
    found = read(data, size)
    accounted(data, found, multiline=False)
    assert stand_in_order(untouched, found.runs)


@given(damaged(FREE), st.sampled_from([1, 2, 20_000]))
def test_untouched_records_come_through_beside_free_text(
    case: tuple[bytes, list[RunRecord]], size: int
) -> None:
    """Also where names hold pipes and line ends."""
    data, untouched = case
    found = read(data, size)
    accounted(data, found, multiline=True)
    assert stand_in_order(untouched, found.runs)
