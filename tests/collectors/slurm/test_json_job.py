"""Jobs of `sacct --json`, in the shapes of all its versions, come to the records that text comes to."""

from __future__ import annotations

from typing import Any

import pytest

from collectors.slurm.framing import BadRecord
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from tests.collectors.slurm.exports import PLAIN, export, read
from tests.collectors.slurm.json_shapes import LATER, T, document, job, later, one, read_json

TEXT = {"AllocTRES": "cpu=80,gres/gpu:h100=4,gres/gpu=4,mem=512000M,node=1", "ReservationId": ""}
HET = {"het__job_id": 100, "het__job_offset": 1}
ARRAY = {"array__job_id": 100, "array__task_id": 0}
OPEN = {"time__end": 0, "state__current": "RUNNING"}
NEVER = {"time__start": None, "time__eligible": 0, "nodes": "None assigned", "tres__allocated": []}


def run(**changes: Any) -> RunRecord:
    """The record of a job that can be read."""
    found = one(job(**changes))
    assert isinstance(found, RunRecord), found
    return found


def test_a_job_is_the_row_of_text() -> None:
    """Hash included, where the text leaves out what 22.05 has not in JSON."""
    columns = [name for name in PLAIN if name not in ("AssocID", "DBIndex", "SLUID", "Flags")]
    assert read(export(columns, [TEXT])).runs == [run()]


@pytest.mark.parametrize("version", LATER)
@pytest.mark.parametrize(
    "changes", [{}, HET, ARRAY, OPEN, NEVER], ids=["ended", "het", "array", "open", "never"]
)
def test_every_version_comes_to_the_same_record(version: str, changes: dict[str, Any]) -> None:
    """What a later version says besides comes on top; the rest is equal."""
    old = run(**changes)
    found = read_json(document(later(job(**changes), version), version=version))
    assert [] == found.bad
    more = {"assoc_id": 7, "flags": "SchedBackfill,StartRecieved"} if version > "v0.0.39" else {}
    if version >= "v0.0.45":
        more["sluid"] = "s3TV2V9JJT0G00"
    assert [old._replace(**more, hash=0)] == [new._replace(hash=0) for new in found.runs]  # type: ignore[arg-type]


def test_the_newest_version_is_the_whole_row_of_text() -> None:
    """Association, SLUID and flags too; only the old database index has no place in JSON."""
    columns = [name for name in PLAIN if name != "DBIndex"]
    rows = [{**TEXT, "SLUID": "s3TV2V9JJT0G00", "Flags": "SchedBackfill,StartRecieved"}]
    found = read_json(document(later(job(), "v0.0.45"), version="v0.0.45"))
    assert read(export(columns, rows)).runs == found.runs


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("CANCELLED", "CANCELLED"),
        (["CANCELLED"], "CANCELLED"),
        (["PENDING", "REQUEUED"], "REQUEUED"),
        (["RUNNING", "COMPLETING"], "COMPLETING"),
        (["COMPLETED", "RESIZING"], "RESIZING"),
        (["RUNNING", "POWER_UP_NODE"], "RUNNING"),
        (["HIBERNATED"], "HIBERNATED"),
    ],
)
def test_the_state_is_the_one_sacct_prints(said: object, meant: str) -> None:
    """A flag that sacct knows stands for the base state."""
    assert meant == run(state__current=said).state


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (120, 7200),
        (None, None),
        ({"set": True, "infinite": False, "number": 5}, 300),
        ({"set": False, "infinite": True, "number": 0}, UNLIMITED),
        ({"set": True, "infinite": True, "number": 0}, UNLIMITED),
        ({"set": False, "infinite": False, "number": 0}, PARTITION_LIMIT),
    ],
)
def test_limits(said: object, meant: int | None) -> None:
    """Minutes, no limit, the partition's; 22.05's null does not tell which and is not carried."""
    assert meant == run(time__limit=said).limit


def test_what_stands_for_nothing() -> None:
    """0 and null moments have not come; a held job was never eligible; no nodes, no reservation."""
    found = run(**NEVER | {"time__end": None, "reservation": None, "user": None, "qos": None})
    assert (None, None, 0, "", "") == (found.start, found.end, found.eligible, found.nodes, found.tres)
    assert (None, "ana", "") == (found.reservation_id, found.user, found.qos)


def test_a_missing_member_is_not_carried() -> None:
    """None, not empty: another version of the run may supply it."""
    made = job()
    for name in ("user", "partition", "qos", "nodes", "reservation", "flags", "association"):
        del made[name]
    for name in ("eligible", "elapsed", "suspended", "limit"):
        del made["time"][name]
    found = one(made)
    assert isinstance(found, RunRecord)
    carried = {name for name in found._fields if getattr(found, name) is not None}
    assert {"cluster", "job_id", "submit", "start", "end", "state", "account", "tres", "hash"} == carried


def test_the_index_of_the_database_is_taken_where_there_is_one() -> None:
    """As text's DBIndex."""
    assert 55 == run(db_index=55).db_index


HUGE = int("9" * 400)
BAD: list[tuple[str, object, str]] = [
    ("job_id", None, "the job has no 'job_id'"),
    ("job_id", "101", "job_id is not a whole number"),
    ("job_id", True, "job_id is not a whole number"),
    ("job_id", -1, "JobIDRaw: not a job id"),
    ("job_id", 5.0, "job_id is not a whole number"),
    ("job_id", HUGE, "JobIDRaw: not a job id"),
    ("cluster", 5, "Cluster: 'cluster' is no text"),
    ("account", ["a"], "Account: 'account' is no text"),
    ("account", "a\0b", "Account holds control characters"),
    ("account", "a\x1fb", "Account holds control characters"),
    ("account", "a\nb", "Account holds control characters"),
    ("user", "\ud800", "User holds control characters"),
    ("nodes", "n[", "NodeList cannot be read"),
    ("time", None, "time: the job's 'time' is no JSON object"),
    ("time", {"submission": T, "start": T}, "End: the job's times have no 'end'"),
    ("time__submission", 0, "Submit is not set"),
    ("time__start", -5, "Start is not a time"),
    ("time__start", 12, "Start is before 1990"),
    ("time__start", T * 1000, "Start is after 2105"),
    ("time__end", T, "End is before Start"),
    ("time__end", "2026-01-01T00:00:00", "End is not a whole number"),
    ("time__end", 1.5e9, "End is not a whole number"),
    ("time__end", {"set": True}, "End is not a whole number"),
    ("time__suspended", -1, "Suspended is not a number of seconds"),
    ("time__suspended", HUGE, "Suspended is not a number of seconds"),
    ("time__elapsed", {"number": 1.5, "set": True}, "ElapsedRaw is not a whole number"),
    ("state", "COMPLETED", "State: the job's 'state' is no JSON object"),
    ("state__current", [], "State is neither a text nor a list"),
    ("state__current", "completed", "State: not a job state"),
    ("tres__allocated", None, "AllocTRES: 'allocated' is no list"),
    ("tres__allocated", ["cpu=1"], "AllocTRES: an entry has no 'count'"),
    ("tres__allocated", [{"type": "cpu"}], "AllocTRES: an entry has no 'count'"),
    ("tres__allocated", [{"type": 1, "count": 1}], "an entry has no 'type' and 'name'"),
    ("tres__allocated", [{"type": "cpu", "count": -3}], "TRES cpu is not a whole number"),
    ("tres__allocated", [{"type": "cpu", "count": HUGE}], "TRES cpu is too large"),
    ("tres__allocated", [{"type": "cpu", "count": "4"}], "TRES cpu is not a whole number"),
    ("tres__allocated", [{"type": "gres", "name": "a=1,cpu", "count": 1}], "holds what separates names"),
    ("tres__allocated", [{"type": "cpu", "count": 1}] * 2, "TRES entry appears twice"),
    ("flags", "SchedMain", "Flags is no list of texts"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "reason"), BAD, ids=[f"{name}-{at}" for at, (name, _, _) in enumerate(BAD)]
)
def test_a_job_that_cannot_be_read_is_kept_as_it_is(name: str, value: object, reason: str) -> None:
    """With its own bytes, its place and why; its neighbours come through."""
    data = document(job(1), job(**{name: value}), job(3))
    found = read_json(data)
    assert [1, 3] == found.jobs
    (bad,) = found.bad
    assert isinstance(bad, BadRecord)
    assert reason in bad.reason
    assert data[bad.position :].startswith(bad.data)
    assert bad.line == data[: bad.position].count(b"\n") + 1
    assert (b"{", b"}") == (bad.data[:1], bad.data[-1:])


@pytest.mark.parametrize("made", [None, 5, "job", [], {}, [[1]]])
def test_what_is_no_job(made: Any) -> None:
    """Anything else in the list is set aside."""
    assert isinstance(one(made), BadRecord)
