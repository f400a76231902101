"""One record: what is carried, what is refused, and how the autumn hour is resolved."""

from __future__ import annotations

import pytest

from collectors.slurm.layout import Layout
from collectors.slurm.records import parse_fields
from opsd.core.errors import BadText
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from tests.collectors.slurm.exports import PLAIN, T, fields

EPOCHS = Layout(PLAIN, "|")
MADRID = Layout(PLAIN, "|", zone="Europe/Madrid")
ISO = {"Submit": "2026-10-25T00:10:00", "Eligible": "2026-10-25T00:10:00", "Start": "2026-10-25T01:00:00"}
TWO_THIRTY = 1_792_888_200  # 2026-10-25 02:30, still summer time


def parsed(layout: Layout = EPOCHS, **changes: str) -> RunRecord:
    """An ordinary run with some columns changed."""
    found = parse_fields(fields(layout.columns, **changes), layout)
    assert found is not None
    return found


def refused(layout: Layout = EPOCHS, **changes: str) -> str:
    """Why it is refused."""
    with pytest.raises(BadText) as caught:
        parsed(layout, **changes)
    return str(caught.value)


def test_an_ordinary_run() -> None:
    """Every column of the export is carried, in whole numbers and canonical texts."""
    expected = RunRecord(
        cluster="mn5", job_id=101, submit=T, start=T + 60, end=T + 3660, state="COMPLETED", account="ehpc01",
        tres="billing=20,cpu=80,gres/gpu=4,gres/gpu:h100=4,mem=512000,node=1", user="ana", partition="acc",
        qos="normal", eligible=T, elapsed=3600, suspended=0, limit=7200, nodes="as01r1b[01-02]", label=None,
        reservation_id=0, assoc_id=7, db_index=55, sluid="s0A1B2", flags="SchedMain",
    )  # fmt: skip
    assert expected == parsed()._replace(hash=0)


def test_columns_the_export_lacks_are_none() -> None:
    """Not carried is not the same as carried and empty."""
    layout = Layout(
        ("JobIDRaw", "Submit", "Start", "End", "State", "Account", "AllocTRES"), "|", cluster="mn5"
    )
    run = parsed(layout)
    assert {None} == set(run[RunRecord._fields.index("user") : -1])
    assert ("", "", "", "") == (*parsed(User="", Partition="", QOS="")[8:11], parsed(Flags="").flags)


def test_a_step_is_no_run() -> None:
    """Whatever its other columns hold."""
    for raw in ("101.batch", "101.extern", "101.0", "101.4294967291"):
        assert parse_fields(fields(PLAIN, JobIDRaw=raw, JobID=raw, Submit="?"), EPOCHS) is None


def test_labels_say_more_than_the_number() -> None:
    """Array tasks and components of heterogeneous jobs."""
    assert ("99_4", "99+1") == (parsed(JobID="99_4").label, parsed(JobID="99+1").label)


def test_names_of_no_nodes() -> None:
    """All of them are the empty list."""
    assert ("", "") == (parsed(NodeList="None assigned").nodes, parsed(NodeList="").nodes)


def test_limits() -> None:
    """Raw ones are minutes; without them the other column is read."""
    layout = Layout(tuple("Timelimit" if name == "TimelimitRaw" else name for name in PLAIN), "|")
    assert (UNLIMITED, PARTITION_LIMIT) == (
        parsed(TimelimitRaw="UNLIMITED").limit,
        parsed(layout, Timelimit="Partition_Limit").limit,
    )
    assert 7200 == parsed(layout).limit


def test_elapsed_without_the_raw_column() -> None:
    """The clock form will do."""
    layout = Layout(tuple("Elapsed" if name == "ElapsedRaw" else name for name in PLAIN), "|")
    assert 3600 == parsed(layout).elapsed


@pytest.mark.parametrize("text", ["None", "Unknown", "0", ""])
def test_cancelled_while_pending(text: str) -> None:
    """A real End without a Start."""
    run = parsed(Start=text, State="CANCELLED by 0", AllocTRES="", ElapsedRaw="0")
    assert (None, T + 3660, "CANCELLED", "") == (run.start, run.end, run.state, run.tres)


def test_still_running_and_never_eligible() -> None:
    """No End is an open run; Eligible that was carried and is not set is 0, as in slurmdbd."""
    assert parsed(End="Unknown", State="RUNNING").is_open
    assert 0 == parsed(Eligible="Unknown").eligible


def test_a_run_may_end_when_it_starts() -> None:
    """Zero seconds are no mistake."""
    assert T + 60 == parsed(End=str(T + 60)).end


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Submit": "Unknown"}, "Submit is not set"),
        ({"Submit": "0"}, "Submit is not set"),
        ({"Submit": "12"}, "Submit is before 1990"),
        ({"End": str(T)}, "End is before Start"),
        ({"End": "tomorrow"}, "End is not a time"),
        ({"Start": "2026-10-25T02:20:00"}, "--timezone"),
        ({"State": "done"}, "State: not a job state"),
        ({"State": ""}, "State: not a job state"),
        ({"JobIDRaw": ""}, "JobIDRaw: not a job id"),
        ({"JobIDRaw": "101_4"}, "export JobIDRaw"),
        ({"JobIDRaw": "0101"}, "JobIDRaw is not a plain number"),
        ({"JobID": "x"}, "JobID: not a job id"),
        ({"JobID": "101.batch"}, "JobID is a step's"),
        ({"JobID": "102"}, "JobID is another job than JobIDRaw, 101"),
        ({"AllocTRES": "mem=1.001G"}, "AllocTRES: TRES mem is no whole number of MB"),
        ({"AllocTRES": "cpu=-4"}, "AllocTRES: TRES cpu is not a whole number: '-4'"),
        ({"ElapsedRaw": "-7"}, "ElapsedRaw is not a whole number: '-7'"),
        ({"Suspended": "INVALID"}, "Suspended is negative"),
        ({"NodeList": "n[1-"}, "NodeList cannot be read"),
        ({"DBIndex": "5.0"}, "DBIndex is not a whole number"),
        ({"ReservationId": "r"}, "ReservationId is not a whole number"),
        ({"Account": "a\x1bb"}, "Account holds control characters"),
        ({"User": "\udcff"}, "User holds control characters or bytes that are no UTF-8"),
        ({"QOS": "a\u2028b"}, "QOS holds control characters"),
        ({"Cluster": "m\x00"}, "Cluster holds control characters"),
        ({"Cluster": ""}, "--cluster NAME"),
        ({"TimelimitRaw": "soon"}, "time limit is not a whole number"),
    ],
)  # fmt: skip
def test_refused(changes: dict[str, str], reason: str) -> None:
    """The reason names the column, its text, and what to do where something can be done."""
    assert reason in refused(**changes)


def test_the_cluster_of_the_caller_fills_gaps_only() -> None:
    """--cluster never renames a record that says where it is from."""
    layout = Layout(PLAIN, "|", cluster="other")
    assert ("mn5", "other") == (parsed(layout).cluster, parsed(layout, Cluster="").cluster)


def test_the_autumn_hour_by_its_length() -> None:
    """02:30 happens twice: Elapsed and Suspended say which."""
    for elapsed, suspended, end in (
        (5400, "00:00:00", TWO_THIRTY),
        (9000, "00:00:00", TWO_THIRTY + 3600),
        (5400, "01:00:00", TWO_THIRTY + 3600),
    ):
        run = parsed(MADRID, **ISO, End="2026-10-25T02:30:00", ElapsedRaw=str(elapsed), Suspended=suspended)
        assert (1_792_882_800, end) == (run.start, run.end)


def test_the_autumn_hour_by_its_order() -> None:
    """A start in the second 02:10 cannot come before a submit in the first 02:50."""
    hour = {
        "Submit": "2026-10-25T02:50:00",
        "Eligible": "2026-10-25T02:50:00",
        "Start": "2026-10-25T02:10:00",
    }
    run = parsed(MADRID, **hour, End="2026-10-25T02:40:00", ElapsedRaw="1800")
    assert (TWO_THIRTY + 1200, TWO_THIRTY + 2400) == (run.submit, run.start)


def test_the_autumn_hour_that_cannot_be_resolved() -> None:
    """Both readings fit, or none: never a guess."""
    both = {
        "Submit": "2026-10-25T02:10:00",
        "Eligible": "2026-10-25T02:10:00",
        "Start": "2026-10-25T02:20:00",
    }
    assert "may mean several moments" in refused(MADRID, **both, End="2026-10-25T02:40:00", ElapsedRaw="1200")
    assert "fit no reading" in refused(MADRID, **ISO, End="2026-10-25T02:30:00", ElapsedRaw="777")
    assert "several moments" in refused(MADRID, **ISO, End="2026-10-25T02:30:00", ElapsedRaw="")
    without = Layout(tuple(name for name in PLAIN if name != "Suspended"), "|", zone="Europe/Madrid")
    assert "several moments" in refused(without, **ISO, End="2026-10-25T02:30:00", ElapsedRaw="5400")


def test_the_spring_hour_does_not_exist() -> None:
    """A time clocks skipped is a wrong zone, or no time."""
    assert "does not exist" in refused(MADRID, **{**ISO, "Start": "2026-03-29T02:20:00"})
