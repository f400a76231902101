"""The reader: every record, every step, every bad byte, in order, whatever the neighbours are."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from hashlib import sha256

import pytest

from collectors.slurm.layout import Layout
from collectors.slurm.sacct import MAX_KEPT, SacctReader, parse_record
from opsd.core.errors import BadInput, BadText, WrongUsage
from tests.collectors.slurm.exports import FREE, PLAIN, Content, T, export, line, read

HEADER = "|".join(PLAIN).encode() + b"\n"
FREE_HEADER = "|".join(FREE).encode() + b"\n"


def numbered(*numbers: int) -> list[dict[str, str]]:
    """Ordinary runs with these ids."""
    return [{"JobIDRaw": str(number), "JobID": str(number)} for number in numbers]


def around(middle: bytes, header: bytes = HEADER, columns: tuple[str, ...] = PLAIN) -> bytes:
    """Something between two ordinary runs, 1 and 2."""
    first, last = (line(columns, **changes) for changes in numbered(1, 2))
    return header + first + middle + last


def test_runs_steps_and_bad_records_are_counted() -> None:
    """rows is all of them together."""
    data = export(PLAIN, [*numbered(1, 2), {"JobIDRaw": "2.batch", "JobID": "2.batch"}, {"State": "?"}])
    found = read(data)
    assert ([1, 2], 1, 1, 4) == (found.jobs, found.steps, len(found.bad), found.rows)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_batches_have_the_size_asked_for(size: int) -> None:
    """And together are the same, in the same order, with what was consumed rising to the end."""
    data = export(PLAIN, numbered(*range(1, 30)))
    batches = list(SacctReader(io.BytesIO(data)).batches(size))
    assert all(batch.rows <= size for batch in batches)
    assert list(range(1, 30)) == [run.job_id for batch in batches for run in batch.runs]
    assert len(data) == batches[-1].consumed


@pytest.mark.parametrize(
    ("middle", "reason"),
    [
        (b"101|a|b\n", "3 fields where the layout has 22"),
        (line(PLAIN)[:-1] + b"|more\n", "23 fields where the layout has 22"),
        (line(PLAIN, State="?"), "State: not a job state"),
        (b"\x00\x00\xff\xfe|\x80\n", "2 fields"),
        (line(PLAIN, Account="\udcff\udc80"), "Account holds control characters or bytes that are no UTF-8"),
        (line(PLAIN, Account="a\rb"), "Account holds"),
        (line(PLAIN, Account="a\x0bb"), "Account holds"),
        (line(PLAIN, Account="a\x85b"), "Account holds"),
        (line(PLAIN, Account="a\u2028b"), "Account holds"),
        (line(PLAIN)[:-1] + b"\r\n", "Flags holds"),
        (b"\n", "an empty line between records"),
        (HEADER, "JobIDRaw: not a job id"),
        (line(PLAIN, Submit="5"), "Submit is before 1990"),
        (line(PLAIN, ElapsedRaw="-5"), "ElapsedRaw is not a whole number"),
        (b"x" * (MAX_KEPT + 5) + b"\n", "a line of 1048582 bytes"),
    ],
    ids=range(15),
)
def test_a_bad_record_costs_no_neighbour(middle: bytes, reason: str) -> None:
    """It is kept with its bytes, its place and why; the lines around it are read."""
    data = around(middle)
    found = read(data)
    (bad,) = found.bad
    assert [1, 2] == found.jobs
    assert reason in bad.reason
    start = len(around(b"")) - len(line(PLAIN, **numbered(2)[0]))
    assert (start, 3, len(middle)) == (bad.position, bad.line, bad.length)
    assert (middle[:MAX_KEPT], sha256(middle).hexdigest()) == (bad.data, bad.digest)


def test_positions_count_bytes_not_characters() -> None:
    """Names outside ASCII before a bad record, and several bad ones in a block."""
    rows = [{"Account": "ñandú€"}, {"State": "?"}, {"Account": "ş"}, {"State": "!"}, {}]
    data = export(PLAIN, rows)
    for bad in read(data).bad:
        assert bad.data == data[bad.position : bad.position + bad.length]


def test_a_carriage_return_is_part_of_the_line_end_if_the_header_has_one() -> None:
    """Only then, and only one."""
    crlf = export(PLAIN, numbered(1, 2)).replace(b"\n", b"\r\n")
    assert [1, 2] == read(crlf).jobs
    doubled = read(crlf.replace(b"\r\n", b"\r\r\n").replace(b"\r", b"", 1))
    assert ([], 2) == (doubled.jobs, len(doubled.bad))


def test_a_last_record_without_a_line_end_is_never_half_read() -> None:
    """A cut number is a number, too; so the record cannot be retried either."""
    data = export(PLAIN, numbered(1, 2))[:-1]
    found = read(data)
    (bad,) = found.bad
    assert [1] == found.jobs
    assert "line end is missing" in bad.reason
    with pytest.raises(BadText, match="line end is missing"):
        parse_record(bad.data, SacctReader(io.BytesIO(data)).layout)


def test_empty_lines_at_the_very_end_are_nothing() -> None:
    """Editors and shells leave them; between records they are a bad record."""
    data = export(PLAIN, numbered(1))
    assert ([1], []) == (read(data + b"\n\n\n").jobs, read(data + b"\n\n\n").bad)
    found = read(data + b"\n\n" + line(PLAIN, JobIDRaw="2", JobID="2") + b"\n")
    assert ([1, 2], [b"\n\n"]) == (found.jobs, [bad.data for bad in found.bad])


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"no header\n", b"JobIDRaw|Submit", b"\x1f\x8b\x08", gzip.compress(b"", mtime=0)]
)
def test_no_header_no_reading(data: bytes) -> None:
    """The file's name and what is wrong with it."""
    with pytest.raises(BadInput, match=r"jobs\.psv"):
        SacctReader(io.BytesIO(data), name="jobs.psv")


def test_local_times_need_a_zone_before_anything_is_read() -> None:
    """One clear refusal instead of a million bad records."""
    data = export(PLAIN, [{"JobIDRaw": "x"}, {"Submit": "2026-10-25T00:10:00"}])
    with pytest.raises(WrongUsage, match="--timezone"):
        SacctReader(io.BytesIO(data))
    assert 1 == len(read(data, zone="Europe/Madrid").runs)
    with pytest.raises(BadInput, match="unknown time zone"):
        SacctReader(io.BytesIO(data), zone="Nowhere")


def test_fields_of_a_file_without_a_header() -> None:
    """Stated by the caller; if the file has the header after all, it is no record."""
    data = export(PLAIN, numbered(1, 2))
    for given in (data, data.partition(b"\n")[2]):
        assert [1, 2] == read(given, fields=",".join(PLAIN)).jobs
    assert [] == read(b"", fields=",".join(PLAIN)).jobs


def test_sacct_p_and_other_delimiters() -> None:
    """-p, and delimiters of more than one character."""
    trailing = export(PLAIN, numbered(1)).replace(b"\n", b"|\n")
    assert [1] == read(trailing).jobs
    assert ["text after the last delimiter"] == [
        bad.reason.partition(":")[0] for bad in read(trailing + trailing.split(b"\n")[1] + b"x\n").bad
    ]
    for delimiter in ("\x1f", ";|;", "\t", "§"):
        assert [1, 2] == read(export(PLAIN, numbered(1, 2), delimiter), delimiter=delimiter).jobs


def test_an_unknown_state_is_read_and_said_once() -> None:
    """Its runs are counted."""
    found = read(export(PLAIN, [{"State": "TELEPORTED"}] * 3), size=1)
    assert ({"TELEPORTED"}, 1) == ({run.state for run in found.runs}, len(found.warnings))


def broken_off(raw: bytes) -> Content:
    """What comes before the failure of a damaged gzip."""
    found, batches = Content(), SacctReader(io.BytesIO(raw), name="jobs.gz").batches()

    def drain() -> None:
        for batch in batches:
            found.runs += batch.runs
            found.bad += batch.bad

    with pytest.raises(BadInput, match=r"jobs\.gz: the gzip data"):
        drain()
    return found


def test_a_cut_gzip_is_read_up_to_the_cut() -> None:
    """The records before it, the torn one as a bad record, and then the failure."""
    raw = gzip.compress(export(PLAIN, numbered(*range(1, 3000))))
    found = broken_off(raw[: len(raw) // 2])
    assert list(range(1, len(found.runs) + 1)) == found.jobs
    assert len(found.runs) > 300
    assert ["cut off: the gzip data stops before its end"] == [bad.reason for bad in found.bad]


def test_a_damaged_gzip_is_read_up_to_the_damage() -> None:
    """What zlib could still make of it is handed over, and then the failure."""
    raw = gzip.compress(export(PLAIN, numbered(*range(1, 3000))))
    half = len(raw) // 2
    found = broken_off(raw[:half] + b"\xff" * 99 + raw[half + 99 :])
    assert list(range(1, 301)) == found.jobs[:300]


def test_a_quarantined_record_is_read_with_its_layout() -> None:
    """What was wrong may be put right: here the cluster is stated."""
    data = export(PLAIN, [{"Cluster": ""}])
    (bad,) = read(data).bad
    stated = Layout(PLAIN, "|", cluster="mn5")
    assert read(data, cluster="mn5").runs == [parse_record(bad.data, Layout.from_json(stated.to_json()))]
    assert parse_record(line(PLAIN, JobIDRaw="1.batch"), stated) is None
    with pytest.raises(BadText, match="fields"):
        parse_record(b"1|2\n", stated)


# --- free text -------------------------------------------------------------------------------


def free(middle: bytes) -> Content:
    """Something between two ordinary runs of an export with names and comments."""
    return read(around(middle, FREE_HEADER, FREE))


@pytest.mark.parametrize(
    "name",
    ["a|b||c", "line1\nline2", "x\n\n\n", "|\n|", "\n", "a\r\nb", "\udcff|\x00", "|" * 70_000, "\n" * 70_000],
)
def test_names_with_pipes_and_line_ends(name: str) -> None:
    """The record is read, and so are its neighbours."""
    found = free(line(FREE, JobIDRaw="7", JobName=name, Comment=name[::-1][:50]))
    assert ([1, 7, 2], []) == (found.jobs, found.bad)


def test_the_start_of_a_record_is_not_taken_for_one() -> None:
    """Its name gives it the right number of columns; the last, which sacct never leaves empty, is."""
    columns = (
        "JobIDRaw",
        "Cluster",
        "Account",
        "State",
        "Submit",
        "Start",
        "End",
        "AllocTRES",
        "JobName",
        "Suspended",
    )
    found = read(export(columns, [{"JobName": "a|\nb", "Suspended": "00:10:00"}]))
    assert ([], [600]) == (found.bad, [run.suspended for run in found.runs])


def test_a_damaged_first_line_does_not_shape_the_others() -> None:
    """Without a header most of the first lines show how they are separated."""
    data = line(PLAIN, JobIDRaw="1")[:-1] + b"|\n" + b"".join(line(PLAIN, **row) for row in numbered(2, 3))
    found = read(data, fields=",".join(PLAIN))
    assert ([2, 3], 1) == (found.jobs, len(found.bad))


def test_free_text_is_warned_of() -> None:
    """Before anyone trusts the numbers."""
    assert ["forge" in warning for warning in free(b"").warnings] == [True]


def test_a_complete_line_is_a_record_even_inside_a_name() -> None:
    """A neighbour is never swallowed; the price is that text can forge a record, and tears its own."""
    inside = line(FREE, JobIDRaw="666").decode()
    found = free(line(FREE, JobIDRaw="7", JobName=f"a\n{inside}b"))
    assert [1, 666, 2] == found.jobs
    assert [b"7|mn5|ehpc01|a", b"b|COMPLETED|17"] == [bad.data[:14] for bad in found.bad]


def test_a_torn_record_is_kept_whole() -> None:
    """Its pieces together, as one bad record."""
    torn = b"7|mn5|ehpc01|a\nb\nc|d\n"
    found = free(torn)
    assert ([1, 2], [torn]) == (found.jobs, [bad.data for bad in found.bad])
    assert "an end is missing" in found.reasons


def test_a_torn_record_does_not_swallow_one_of_several_lines() -> None:
    """The lines after it are a record by themselves."""
    found = free(b"7|mn5|ehpc01|torn\n" + line(FREE, JobIDRaw="8", JobName="a\nb"))
    assert ([1, 8, 2], [b"7|mn5|ehpc01|torn\n"]) == (found.jobs, [bad.data for bad in found.bad])


def test_more_than_one_reading_is_no_reading() -> None:
    """A name that holds what looks like the columns after it."""
    name = f"a|FAILED|{T}|{T}|{T}|b"
    record = line(FREE, JobIDRaw="7", JobName=name)
    found = free(record)
    assert ([1, 2], [record]) == (found.jobs, [bad.data for bad in found.bad])
    assert "more than one way" in found.reasons
    with pytest.raises(BadText, match="more than one way"):
        parse_record(record, Layout(FREE, "|"))


def test_a_wrong_value_with_every_column_in_place_is_a_bad_record_alone() -> None:
    """Two of them are two."""
    bad = line(FREE, End=str(T))
    assert [bad, bad] == [record.data for record in free(bad + bad).bad]


def test_steps_beside_free_text() -> None:
    """A step looks like one in every column, or it is a piece of text."""
    assert 1 == free(line(FREE, JobIDRaw="7.batch", JobName="batch")).steps
    found = free(line(FREE, JobIDRaw="7.batch", Submit="yesterday"))
    assert (0, 1) == (found.steps, len(found.bad))


def test_text_that_never_ends_is_given_up_in_pieces() -> None:
    """At most a megabyte is held back."""
    found = free(b"7|mn5|ehpc01|a\n" + b"x" * 999 + b"\n" + (b"y" * 99_999 + b"\n") * 50)
    assert [1, 2] == found.jobs
    assert len(found.bad) > 3
    assert all(bad.length <= MAX_KEPT + 100_001 for bad in found.bad)


def test_a_retry_reads_several_lines() -> None:
    """The same record, the same reading."""
    record = line(FREE, JobIDRaw="7", JobName="a\nb|c")
    assert free(record).runs[1] == parse_record(record, Layout(FREE, "|"))
    with pytest.raises(BadText, match="an end is missing"):
        parse_record(b"7|mn5\nx\n", Layout(FREE, "|"))


@pytest.mark.parametrize("ending", [lambda data: data, lambda data: data.replace(b"\n", b"\r\n")])
def test_records_across_batches_and_blocks(ending: Callable[[bytes], bytes]) -> None:
    """Where the reader happens to stop does not matter."""
    rows = [
        {"JobIDRaw": str(number), "JobName": "a\n" * (number % 5) + "|" * (number % 3)}
        for number in range(1, 4000)
    ]
    data = ending(export(FREE, rows))
    for size in (1, 3, 20_000):
        found = read(data, size)
        assert (list(range(1, 4000)), []) == (found.jobs, found.bad)
