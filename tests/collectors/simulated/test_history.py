"""What happens in the simulated factory, read from the text alone."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from collectors.simulated.factory import sacct_text
from collectors.simulated.machine import PARTITIONS
from collectors.simulated.text import COLUMNS, duration
from collectors.slurm import hosts
from collectors.slurm.sacct import SacctReader
from opsd.core.tres import Tres

Row = dict[str, str]
NEVER = ("None", "Unknown")
AGAIN = """
import hashlib
from collectors.simulated.factory import consortium_toml, sacct_text
digest = hashlib.sha256(consortium_toml({until}, 1).encode())
for chunk in sacct_text({until}, 1):
    digest.update(chunk)
print(digest.hexdigest())
"""


def tres(row: Row) -> dict[str, int]:
    """AllocTRES by name, memory in MB."""
    pairs = (entry.rpartition("=") for entry in row["AllocTRES"].split(",") if entry)
    return {name: int(value.removesuffix("M")) for name, _, value in pairs}


def held(row: Row, until: int) -> tuple[int, int] | None:
    """From when to when a row holds nodes; the row after a shrink begins at its Submit."""
    if row["Start"] in NEVER or not row["AllocTRES"]:
        return None
    end = until if row["End"] == "Unknown" else int(row["End"])
    return max(int(row["Start"]), int(row["Submit"])), end


def test_about_fifty_thousand_runs_in_ninety_days(rows: list[Row], until: int) -> None:
    """Enough to fill a page, few enough for a slow machine."""
    assert 49_000 < len(rows) < 53_000
    assert min(int(row["Submit"]) for row in rows) >= until - 90 * 86_400
    assert max(int(row["Submit"]) for row in rows) < until


def test_no_node_ever_holds_more_than_it_has(rows: list[Row], until: int) -> None:
    """CPUs, GPUs and memory of every node, at every second."""
    events: dict[str, list[tuple[int, int, int, int, int]]] = defaultdict(list)
    for row in rows:
        if (span := held(row, until)) and span[0] < span[1]:
            counts = tres(row)
            nodes = hosts.expand(row["NodeList"])
            assert counts["node"] == len(nodes)
            each = [counts.get(name, 0) // len(nodes) for name in ("cpu", "gres/gpu", "mem")]
            for node in nodes:
                events[node].append((span[0], 1, *each))
                events[node].append((span[1], -1, *each))
    for node, changes in events.items():
        most = next(part for part in PARTITIONS if node.startswith(part.name))
        used = [0, 0, 0]
        for _, sign, *each in sorted(changes):
            used = [total + sign * count for total, count in zip(used, each, strict=True)]
            assert used[0] <= most.cpus
            assert used[1] <= most.gpus
            assert used[2] <= most.mem_mb
        assert used == [0, 0, 0]
    assert len(events) == sum(part.nodes for part in PARTITIONS)


def test_times_are_in_order(rows: list[Row], until: int) -> None:
    """Submit, Eligible, Start, End; only the row after a shrink starts before its Submit."""
    for row in rows:
        submit, eligible = int(row["Submit"]), int(row["Eligible"])
        assert submit <= eligible
        if row["Start"] in NEVER:
            continue
        start, end = int(row["Start"]), until if row["End"] == "Unknown" else int(row["End"])
        assert start <= end <= until
        assert start >= eligible or start < submit
        suspended = row["Suspended"]
        assert int(row["ElapsedRaw"]) <= end - start
        if suspended == "00:00:00":
            assert int(row["ElapsedRaw"]) == end - start


def test_keys_are_unique_and_rows_in_saccts_order(rows: list[Row]) -> None:
    """(JobIDRaw, Submit) names a run; rows come by Submit."""
    keys = Counter((row["JobIDRaw"], row["Submit"]) for row in rows)
    assert max(keys.values()) == 1
    assert len({row["DBIndex"] for row in rows}) == len(rows)
    submits = [int(row["Submit"]) for row in rows]
    assert sorted(submits) == submits


QUIRKS = {
    "requeued": lambda row: row["State"] == "REQUEUED",
    "preempted": lambda row: row["State"] == "PREEMPTED",
    "node failed": lambda row: row["State"] == "NODE_FAIL",
    "timed out": lambda row: row["State"] == "TIMEOUT",
    "failed": lambda row: row["State"] == "FAILED",
    "out of memory": lambda row: row["State"] == "OUT_OF_MEMORY",
    "past its deadline": lambda row: row["State"] == "DEADLINE",
    "shrunk": lambda row: row["State"] == "RESIZING",
    "after a shrink": lambda row: row["Start"].isdigit() and int(row["Start"]) < int(row["Submit"]),
    "array task": lambda row: "_" in row["JobID"],
    "last task of an array": lambda row: row["JobID"].startswith(row["JobIDRaw"] + "_"),
    "heterogeneous": lambda row: row["JobID"].endswith("+1"),
    "cancelled by root": lambda row: row["State"] == "CANCELLED by 0",
    "cancelled while pending": lambda row: row["State"].startswith("CANCELLED by") and row["Start"] == "None",
    "cancelled, Start = End": lambda row: row["Start"] == row["End"] and not row["AllocTRES"],
    "cancelled while running": lambda row: row["State"].startswith("CANCELLED by 3") and row["AllocTRES"],
    "no seconds at all": lambda row: row["Start"] == row["End"] and row["AllocTRES"],
    "was suspended": lambda row: row["Suspended"] != "00:00:00" and row["End"].isdigit(),
    "suspended now": lambda row: row["State"] == "SUSPENDED" and row["End"] == "Unknown",
    "running now": lambda row: row["State"] == "RUNNING" and row["End"] == "Unknown",
    "pending now": lambda row: row["State"] == "PENDING" and row["Start"] == "Unknown",
    "GPU with a type": lambda row: "gres/gpu:h100=" in row["AllocTRES"] and ",gres/gpu=" in row["AllocTRES"],
    "GPU without a type": lambda row: "gres/gpu=" in row["AllocTRES"] and "gpu:" not in row["AllocTRES"],
    "another class": lambda row: "gres/gpu:b200=" in row["AllocTRES"],
    "a slice, with a dot": lambda row: "gres/gpu:b200_3g.90gb=" in row["AllocTRES"],
    "one GPU, all CPUs": lambda row: "cpu=160,gres/gpu:h100=1," in row["AllocTRES"],
    "no time limit": lambda row: row["TimelimitRaw"] == "UNLIMITED",
    "limit of the partition": lambda row: row["TimelimitRaw"] == "Partition_Limit",
    "in a reservation": lambda row: row["ReservationId"] != "",
    "forty days": lambda row: int(row["ElapsedRaw"]) == 40 * 86_400,
    "over midnight": lambda row: row["End"].isdigit() and crosses(row, "%Y-%m-%d"),
    "over the end of a month": lambda row: row["End"].isdigit() and crosses(row, "%Y-%m"),
    "an account nobody bound": lambda row: row["Account"] == "etur77" and row["AllocTRES"],
    "a user nobody knows": lambda row: row["User"].startswith(("visit", "school", "svc")),
}


def crosses(row: Row, form: str) -> bool:
    """Whether a run begins and ends under different labels of the calendar."""
    if not row["Start"].isdigit():
        return False
    start, end = (datetime.fromtimestamp(int(row[name]), UTC).strftime(form) for name in ("Start", "End"))
    return start != end


@pytest.mark.parametrize("quirk", QUIRKS)
def test_every_quirk_occurs(quirk: str, rows: list[Row]) -> None:
    """A demonstration without the odd cases would prove nothing."""
    assert any(map(QUIRKS[quirk], rows))


def test_a_requeued_job_keeps_its_id_and_gets_a_new_submit(rows: list[Row]) -> None:
    """Its next row is submitted when the one before ended."""
    by_id: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_id[row["JobIDRaw"]].append(row)
    followed = 0
    for same in by_id.values():
        for before, after in pairwise(same):
            assert before["State"] in ("REQUEUED", "PREEMPTED", "NODE_FAIL", "RESIZING")
            assert before["End"] == after["Submit"]
            followed += 1
    assert followed > 100


def test_the_header_names_numeric_columns_only(sacct: bytes) -> None:
    """No free text, so no row can be broken by what a user typed."""
    assert sacct.startswith("|".join(COLUMNS).encode() + b"\n")
    assert {line.count(b"|") for line in sacct.splitlines()} == {len(COLUMNS) - 1}


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "00:00:00"), (3_661, "01:01:01"), (86_400 + 59, "01-00:00:59")]
)
def test_durations_read_as_slurm_prints_them(seconds: int, expected: str) -> None:
    """[DD-]HH:MM:SS."""
    assert expected == duration(seconds)


def test_the_real_reader_takes_every_row(sacct: bytes, rows: list[Row]) -> None:
    """Nothing is quarantined, and what is read is what was written."""
    reader = SacctReader(io.BytesIO(sacct))
    batches = list(reader.batches())
    assert [] == [bad for batch in batches for bad in batch.bad]
    assert [] == list(reader.warnings)
    read = [run for batch in batches for run in batch.runs]
    for row, run in zip(rows, read, strict=True):
        start = None if row["Start"] in NEVER else int(row["Start"])
        end = None if row["End"] == "Unknown" else int(row["End"])
        assert (int(row["JobIDRaw"]), int(row["Submit"]), start, end) == run[1:5]
        assert row["State"].split()[0] == run.state
        assert (row["Account"], row["User"], row["QOS"]) == (run.account, run.user, run.qos)
        assert tres(row) == dict(Tres.from_canonical(run.tres))
    assert sum(run.suspended or 0 for run in read) > 100_000


def test_another_seed_is_another_history(sacct: bytes, until: int) -> None:
    """The seed reaches every part of the workload."""
    other = b"".join(sacct_text(until, 2))
    assert other != sacct
    assert 49_000 < other.count(b"\n") < 53_000


@pytest.mark.slow
def test_another_process_tells_the_same_story(sacct: bytes, toml: str, until: int) -> None:
    """Same seed and moment, same bytes, whatever Python's hashes are."""
    expected = hashlib.sha256(toml.encode() + sacct).hexdigest()
    told = subprocess.run(
        [sys.executable, "-c", AGAIN.format(until=until)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert expected == told.stdout.strip()
