"""Documents of `sacct --json`: whole, of a real Slurm, broken, and made to do harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from pathlib import Path

import pytest

from collectors.slurm import json_document
from collectors.slurm.content import content_hash
from collectors.slurm.json_reader import (
    JsonLayout,
    JsonReader,
    is_json,
    layout_from_json,
    parse_job,
    refuse_failed,
)
from collectors.slurm.layout import Layout
from opsd.core.errors import BadInput, BadText, OpsdError
from opsd.core.records import RunRecord
from tests.collectors.slurm.exports import Content, read
from tests.collectors.slurm.json_shapes import document, job, later, read_json

DATA = Path(__file__).parents[2] / "data"
NOT_IN_2205 = {"assoc_id": None, "db_index": None, "flags": None}


def by_key(found: Content) -> dict[tuple[int, int], RunRecord]:
    """The runs of a reading."""
    assert [] == found.bad
    return {(run.job_id, run.submit): run for run in found.runs}


# --- a real Slurm's --------------------------------------------------------------------------


def test_a_real_document_comes_to_the_records_of_the_text() -> None:
    """Hash included, where the text leaves out what 22.05 does not print as JSON."""
    found = read_json((DATA / "slurm-json/sacct.json.gz").read_bytes())
    text = by_key(read((DATA / "slurm-text/sacct.psv.gz").read_bytes(), zone="+00:15"))
    runs = by_key(found)
    assert (512, 540, 1052) == (len(runs), found.steps, found.rows)
    assert text.keys() == runs.keys()
    for key, run in runs.items():
        expected = text[key]._replace(**NOT_IN_2205)  # type: ignore[arg-type]
        if run.end is None:  # it went on between the two exports
            expected = expected._replace(elapsed=run.elapsed)
        assert expected._replace(hash=content_hash(expected)) == run


def test_a_week_of_a_real_history_comes_to_its_text() -> None:
    """In every column that both carry, also of runs that never started."""
    runs = by_key(read_json((DATA / "slurm-json/sacct-week.json.gz").read_bytes()))
    text = by_key(read((DATA / "slurm-history/sacct-num.psv.gz").read_bytes(), cluster="lab"))
    assert 678 == len(runs)
    assert 16 == sum(run.start is None for run in runs.values())
    carried = ["cluster", "start", "end", "state", "account", "tres", "user", "partition", "qos"]
    carried += ["eligible", "elapsed", "suspended", "reservation_id"]
    for key, run in runs.items():
        assert [getattr(text[key], name) for name in carried] == [getattr(run, name) for name in carried]


@pytest.mark.parametrize("size", [1, 7, 20_000])
def test_the_size_of_batches_and_pieces_changes_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job may lie across any number of pieces of the input."""
    data = document(*(job(number, name="x" * number) for number in range(1, 40)), version="v0.0.41")
    expected = read_json(data)
    monkeypatch.setattr(json_document, "_CHUNK", 64)
    found = read_json(data, size)
    assert (list(range(1, 40)), expected.runs) == (found.jobs, found.runs)


# --- what Slurm says about itself ------------------------------------------------------------

FAILED = [{"error": "Unable to connect to database", "error_number": 7000}]


def test_an_answer_that_failed_is_refused_before_a_job_is_read() -> None:
    """By what Slurm says."""
    with pytest.raises(BadInput, match=r"Unable to connect to database.*nothing was imported"):
        read_json(document(job(), errors=FAILED))


def test_errors_after_the_jobs_are_found_first_where_the_input_can_be_read_twice() -> None:
    """Since v0.0.40 they stand at the end; a pipe fails when it gets there, after its jobs."""
    data = document(job(), version="v0.0.41", errors=FAILED)
    with pytest.raises(BadInput, match=r"Unable to connect.*nothing was imported"):
        refuse_failed(io.BytesIO(data), "answer.json")
    found, said = gather(data)
    assert [101] == found.jobs
    assert "the input: Slurm says that it could not answer" in said
    assert "the jobs before that were read" in said


def test_a_good_answer_is_passed_over_and_left_at_its_start() -> None:
    """Also one that breaks off: the reading itself will say so."""
    for data in (document(job(), version="v0.0.41"), document(job(), version="v0.0.41")[:-30]):
        stream = io.BytesIO(data)
        refuse_failed(stream, "answer.json")
        assert 0 == stream.tell()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{}", "JSON without a list of jobs"),
        (b'{"meta": {}, "errors": []}', "JSON without a list of jobs"),
        (b'{"jobs": {"1": {}}}', "its 'jobs' is no list"),
        (b"[]", "{ should stand there"),
        (b'{"jobs"', "it breaks off there"),
        (b'{"jobs" 5}', ": should stand there"),
        (b"{jobs: []}", "a name in quotes should stand there"),
        (b'{"errors": nothing, "jobs": []}', "the value before it cannot be read"),
        (b'{"a": , "jobs": []}', "a value should stand there"),
    ],
)
def test_what_is_no_answer_is_refused_whole(data: bytes, said: str) -> None:
    """Before anything is imported."""
    with pytest.raises(BadInput, match=said):
        read_json(data)


def test_the_parser_is_kept_beside_bad_records() -> None:
    """As far as the document has named it."""
    for version in ("v0.0.38", "v0.0.39"):
        reader = JsonReader(io.BytesIO(document(job(), version=version)), cluster="mn5")
        assert JsonLayout("mn5", version) == layout_from_json(reader.layout.to_json())
    assert layout_from_json(Layout(COLUMNS, "|", cluster="mn5").to_json()) is None


COLUMNS = ("JobIDRaw", "Submit", "Start", "End", "State", "Account", "AllocTRES")


def test_two_lists_of_jobs_are_both_read() -> None:
    """A name that stands there twice hides nothing."""
    first, second = json.dumps([job(1)]), json.dumps([job(2)])
    assert [1, 2] == read_json(f'{{"jobs": {first}, "x": 1, "jobs": {second}}}'.encode()).jobs


# --- broken documents ------------------------------------------------------------------------


def gather(data: bytes) -> tuple[Content, str]:
    """What a document gives before it breaks, and how it breaks."""
    found = Content()
    try:
        for batch in JsonReader(io.BytesIO(data)).batches(2):
            found.runs += batch.runs
            found.bad += batch.bad
    except OpsdError as err:
        return found, str(err)
    return found, ""


def test_a_document_cut_anywhere_gives_what_came_before() -> None:
    """Each whole job once, the cut one set aside, and it says so."""
    raw = [json.dumps(job(number)).encode() for number in (1, 2, 3)]
    data = b'{"jobs": [' + b", ".join(raw) + b'], "errors": []}'
    ends = [data.index(one) + len(one) for one in raw]
    for at in range(len(data)):
        found, said = gather(data[:at])
        assert said
        assert list(range(1, sum(at >= end for end in ends) + 1)) == found.jobs
        for bad in found.bad:
            assert bad.reason.startswith("cut off")
            assert data[bad.position : at] == bad.data
    assert ([1, 2, 3], "") == (gather(data)[0].jobs, gather(data)[1])


def test_a_gzip_cut_short_does_the_same() -> None:
    """The damage is the reason."""
    data = gzip.compress(document(*(job(number) for number in range(1, 200))), mtime=0)
    found, said = gather(data[: len(data) // 2])
    assert found.jobs == list(range(1, len(found.jobs) + 1))
    assert found.jobs
    assert "gzip data stops before its end; the jobs before that were read" in said


@pytest.mark.parametrize("between", [b" ", b";", b", ,", b",]", b"}"])
def test_garbage_between_jobs_ends_the_reading(between: bytes) -> None:
    """After those before it."""
    one, two = json.dumps(job(1)).encode(), json.dumps(job(2)).encode()
    found, said = gather(b'{"jobs": [' + one + between + two + b"]}")
    assert [1] == found.jobs
    assert "cannot be read on from byte" in said


def test_something_after_the_end_is_said() -> None:
    """Two answers in one file are not one; line ends are nothing."""
    data = document(job(1))
    assert "follows the end" in gather(data + data)[1]
    assert gather(data + b"\r\n \n")[1] == ""


RAW = json.dumps(job(2)).encode()
DAMAGED = {
    "not-a-number": RAW.replace(b'"elapsed": 3600', b'"elapsed": NaN'),
    "infinite": RAW.replace(b'"elapsed": 3600', b'"elapsed": -Infinity'),
    "no-utf-8": RAW.replace(b'"train"', b'"tr\xff\xfein"'),
    "too-many-digits": RAW.replace(b'"elapsed": 3600', b'"elapsed": ' + b"9" * 5000),
    "a-lost-colon": RAW.replace(b'"elapsed": 3600', b'"elapsed" 3600'),
    "10,000-deep": RAW.replace(b'"train"', b"[" * 10_000 + b"]" * 10_000),
    "wrong-bracket": RAW.replace(b'"flags": [', b'"flags": {').replace(b'"STARTED_ON_BACKFILL"]', b"1}"),
}  # fmt: skip


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_job_costs_only_itself(raw: bytes) -> None:
    """Wherever its end can still be told."""
    one, three = json.dumps(job(1)).encode(), json.dumps(job(3)).encode()
    assert raw != RAW
    found, said = gather(b'{"jobs": [' + b", ".join((one, raw, three)) + b"]}")
    assert ([1, 3], "") == (found.jobs, said)
    assert [raw] == [bad.data for bad in found.bad]


def test_names_that_nobody_uses_may_hold_anything() -> None:
    """64 KB, NUL, quotes, brackets, line ends, other alphabets: free text is no part of a run."""
    nasty = ["\0", '"]}' * 30_000, "a\\", "x\ny|z", "žluťoučký", "\ud800", "\N{PILE OF POO}" * 99]
    made = [job(number, name=name) for number, name in enumerate(nasty, 1)]
    data = document(*made)
    raw = json.dumps({"jobs": made}, ensure_ascii=False).encode("utf-8", "replace")
    raw = raw.replace(b"\\u0000", b"\0").replace(b"\\n", b"\n")
    expected = [run._replace(job_id=1, hash=0) for run in read_json(data).runs]
    assert [expected[0]] * len(nasty) == expected
    assert read_json(data).runs == read_json(raw).runs


def test_a_name_that_stands_twice_in_a_job() -> None:
    """The last one counts, as for every reader of JSON."""
    raw = json.dumps(job(1)).encode()
    assert [9] == gather(b'{"jobs": [' + raw[:-1] + b', "job_id": 9}]}')[0].jobs


def test_a_job_too_large_to_hold_is_counted_and_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start is kept; the next one comes through."""
    monkeypatch.setattr(json_document, "MAX_ITEM", 4000)
    monkeypatch.setattr(json_document, "_CHUNK", 512)
    huge = json.dumps(job(2, name="x" * 50_000)).encode()
    one, three = json.dumps(job(1)).encode(), json.dumps(job(3)).encode()
    found, said = gather(b'{"jobs": [' + b", ".join((one, huge, three)) + b"]}")
    assert ([1, 3], "") == (found.jobs, said)
    (bad,) = found.bad
    assert (len(huge), hashlib.sha256(huge).hexdigest()) == (bad.length, bad.digest)
    assert huge.startswith(bad.data)


def test_memory_stays_flat_and_work_grows_with_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of the input is taken in once, and forgotten when its jobs were handed over."""
    held: list[int] = []
    more = json_document.Document._more

    def watched(self: json_document.Document) -> bool:
        found = more(self)
        held.append(len(self._held))
        return found

    monkeypatch.setattr(json_document, "_CHUNK", 4096)
    monkeypatch.setattr(json_document.Document, "_more", watched)
    data = document(*(job(number) for number in range(1, 2000)))
    assert 1999 == len(read_json(data).runs)
    assert max(held) <= 2 * 4096 + 2000
    assert sum(held) <= 3 * len(data)


# --- read again ------------------------------------------------------------------------------


def test_a_job_is_read_again_from_its_bytes() -> None:
    """To the same record; one that is still wrong says why."""
    raw = json.dumps(later(job(5), "v0.0.44")).encode()
    assert [parse_job(raw, JsonLayout())] == read_json(b'{"jobs": [' + raw + b"]}").runs
    for bad in (b"{", b"5", b"\xff", json.dumps(job(5, cluster="", association=None)).encode()):
        with pytest.raises(BadText):
            parse_job(bad, JsonLayout())
    nameless = json.dumps(job(5, cluster="", association=None)).encode()
    assert "mn5" == parse_job(nameless, JsonLayout("mn5")).cluster


def test_what_grows_is_no_part_of_a_steady_record() -> None:
    """Elapsed, suspended and steps; what is no JSON stays as it is."""
    old, new = job(time__elapsed=5, steps=[1]), job(time__elapsed=9, time__suspended=2)
    layout = JsonLayout()
    assert layout.steady(json.dumps(old).encode()) == layout.steady(json.dumps(new).encode())
    assert layout.steady(json.dumps(job(7)).encode()) != layout.steady(json.dumps(old).encode())
    assert b"{cut" == layout.steady(b"{cut")


@pytest.mark.parametrize(
    ("head", "answer"),
    [(b'{"meta"', True), (b"\n [", True), (b"\xef\xbb\xbf{", True), (b"JobIDRaw|State", False), (b"", False)],
)
def test_the_first_byte_tells_json_from_text(head: bytes, answer: bool) -> None:
    """No flag is needed."""
    assert answer == is_json(head)


def test_a_state_nobody_has_heard_of_is_said() -> None:
    """Once, as with text."""
    assert ["HIBERNATED"] == [
        text.split("'")[1]
        for text in read_json(document(*[job(n, state__current="HIBERNATED") for n in (1, 2)])).warnings
    ]
