"""`opsd capacity`: tables, csv and json of the books; and Slurm's report beside them, at its true border."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.slurm.commands import FIELDS
from opsd.cli import main
from opsd.core.capacity import LINES, RESOURCES
from opsd.core.consortium import Consortium
from opsd.core.parties import Cluster, NodeClass
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import DOWN, DRAIN, REGISTERED, NodeEvent, Reservation, RunRecord
from opsd.pipeline import capacity
from opsd.store import machine, migrate, parties
from opsd.store.engine import Store, open_engine
from tests.fakes import books

T = 1_795_824_000  # 2026-11-28
NODE = "cpu=80,gres/gpu=4,mem=1000,node=1"
FROM_TO = ("--from", "2026-11-28", "--to", "2026-11-28T02:00:00")


def run(job: int, start: int, end: int, nodes: str, **more: object) -> RunRecord:
    """A run of half a node's CPUs and GPUs on each of its nodes."""
    count = len(nodes.split(","))
    tres = f"billing=1,cpu={40 * count},gres/gpu={2 * count},mem=100,node={count}"
    record = RunRecord("lab", job, start, start, end, "COMPLETED", "es-a", tres, "ana", "acc", nodes=nodes)
    return record._replace(eligible=start, suspended=0, hash=job, reservation_id=0)._replace(**more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Three nodes and a day with a bit of everything."""
    url = f"sqlite:///{tmp_path}/opsd.db"
    monkeypatch.setenv("OPSD_DB", url)
    monkeypatch.setenv("COLUMNS", "130")
    monkeypatch.delenv("OPSD_CONFIG", raising=False)
    store = open_engine(url)
    migrate.upgrade(store)
    classes = [
        NodeClass("lab", "acc", nodes="n[1-2]", cpus=80, gpus=4),
        NodeClass("lab", "new", T + HOUR // 2, nodes="n4", cpus=20, gpus=0),
    ]
    events = [
        NodeEvent("lab", "", T - DAY, None, REGISTERED, "", "", "", "n[1-3]"),
        NodeEvent("lab", "n1", T, T + HOUR, DRAIN, "DRAIN", "fan", NODE),
        NodeEvent("lab", "n3", T, None, DOWN, "DOWN", "gone", NODE),
    ]
    kept = [Reservation("lab", 5, T + HOUR, T + 2 * HOUR, "course", "n2", "", "cpu=80", (1,))]
    with store.write() as connection:
        parties.save(connection, Consortium(), Consortium.of([Cluster("lab"), *classes]))
        machine.save_events(connection, events, T)
        machine.save_reservations(connection, "lab", kept, 0, T + DAY, T)
    books.read(store, [run(1, T, T + HOUR, "n1,n2"), run(2, T + HOUR, T + 2 * HOUR, "n2")])
    yield store
    store.close()


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    code = main(["capacity", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def halves(row: dict[str, str]) -> dict[str, int]:
    """A row's lines in CPU- or GPU-hours, but for those of nothing."""
    return {line: int(row[line]) // HOUR for line in LINES if row[line] != "0"}


def test_csv_has_whole_seconds_by_class(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The drained node's job is allocated, the rest of it down; a node that is in no class shows as such."""
    code, out, err = told(capsys, *FROM_TO, "--format", "csv")
    rows = {(row["node_class"], row["resource"]): row for row in csv.DictReader(io.StringIO(out))}

    assert (0, "cluster,node_class,resource,total,allocated,reserved_idle,planned_down,down,unallocated") == (
        code, out.partition("\n")[0]
    )  # fmt: skip
    assert {
        ("acc", "cpu"): {"total": 320, "allocated": 120, "reserved_idle": 40, "down": 40, "unallocated": 120},
        ("acc", "gpu"): {"total": 16, "allocated": 6, "reserved_idle": 2, "down": 2, "unallocated": 6},
        ("new", "cpu"): {"total": 30, "unallocated": 30},
        ("unclassified", "cpu"): {"total": 160, "down": 160},
        ("unclassified", "gpu"): {"total": 8, "down": 8},
    } == {key: halves(row) for key, row in rows.items()}
    assert "cluster lab: events were read up to 2026-11-28T00:00:00+00:00 only" in err


def test_hours_of_a_day_that_sets_the_clock_back(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Both are there, sorted by their text as every key is; and that nothing is known of that day is said."""
    _, out, err = told(
        capsys, "--from", "2026-10-25T02:00:00+02:00", "--to", "2026-10-25T04:00:00+01:00", "--by", "hour",
        "--timezone", "Europe/Madrid", "--format", "csv",
    )  # fmt: skip
    hours = [row["hour"] for row in csv.DictReader(io.StringIO(out)) if row["resource"] == "cpu"]

    assert [
        "2026-10-25T02:00:00+01:00", "2026-10-25T02:00:00+02:00", "2026-10-25T03:00:00+01:00"
    ] == hours  # fmt: skip
    assert "of earlier nothing is known" in err


def test_an_empty_window(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Is said to be one; it is not the nodes that are missing."""
    _, _, err = told(capsys, "--from", "2026-11-28", "--to", "2026-11-28")

    assert "opsd: warning: the window is empty: --from and --to are the same instant\n" == err


def test_json_by_hour_adds_up(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Keys in their order, and the hours of a zone that begin at the half are the same in all."""
    _, whole, _ = told(capsys, *FROM_TO, "--by", "", "--format", "json")
    _, out, _ = told(
        capsys, "--from", "2026-11-28T05:30:00", "--to", "2026-11-28T07:30:00", "--timezone", "Asia/Kolkata",
        "--by", "hour,node_class", "--format", "json",
    )  # fmt: skip
    rows = json.loads(out)

    assert ["hour", "node_class", "resource", *LINES] == list(rows[0])
    assert ["2026-11-28T05:00:00+05:30", "2026-11-28T06:00:00+05:30", "2026-11-28T07:00:00+05:30"] == sorted(
        {row["hour"] for row in rows}
    )
    for total in json.loads(whole):
        for line in LINES:
            assert total[line] == sum(row[line] for row in rows if row["resource"] == total["resource"])


def test_a_table_shows_shares(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """In hours that add up, with what runs held of all."""
    _, out, _ = told(capsys, *FROM_TO)
    line = next(line.split() for line in out.splitlines() if line.startswith("lab") and "acc" in line)

    assert ["lab", "acc", "cpu", "320", "120", "40", "0", "40", "120", "38", "%"] == line[:11]
    assert "Capacity from 2026-11-28T00:00:00+00:00 to 2026-11-28T02:00:00+00:00" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say which time"),
        (("--period", "2026-11", "--from", "2026-11-01"), "--period with --from or --to"),
        (("--from", "2026-11-01"), "--from and --to go together"),
        (("--period", "2026-13"), "--period"),
        (("--period", "2026-11", "--by", "node"), "--by 'node': no such key"),
        (("--period", "2026-11", "--by", "day,day"), "twice"),
        (("--period", "2026-11", "--against", "sshare"), "there is sreport"),
        (("--period", "2026-11", "--no-ingest"), "go with --against sreport"),
        (("--period", "2026-11", "--against", "sreport", "--by", "day"), "--by with --against sreport"),
    ],
)
def test_wrong_usage(
    store: Store, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    """Ends with 2 and says what to write."""
    code, _, err = told(capsys, *words)

    assert (2, True) == (code, said in err)


def test_what_cannot_be_counted_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Over-commit, a run without nodes, nodes that nobody knows."""
    more = [
        run(3, T, T + HOUR, "n1", tres="cpu=100,gres/gpu=4,node=1"),
        run(4, T, T + HOUR, ""),
        run(5, T, T + HOUR, "zz"),
    ]
    books.read(store, more)
    code, _, err = told(capsys, *FROM_TO, "--format", "csv")

    assert 0 == code
    assert f"held {60 * HOUR:,} CPU-seconds and {2 * HOUR:,} GPU-seconds more than their nodes have" in err
    assert f"1 run has no node list, so what they held is in no line ({40 * HOUR:,} CPU-seconds" in err
    assert "(zz): they are in no line" in err


def test_an_empty_database_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No node is known."""
    monkeypatch.setenv("OPSD_DB", f"sqlite:///{tmp_path}/new.db")

    code, out, err = told(capsys, *FROM_TO, "--format", "csv")

    assert (0, 1, True) == (code, len(out.splitlines()), "no node is known" in err)


# ------------------------------------------------------------------------------------------------ parts


@pytest.mark.parametrize("node_class", ["acc", "new", "unclassified"])
@pytest.mark.parametrize("resource", RESOURCES)
def test_parts_are_behind_their_figure(store: Store, node_class: str, resource: str) -> None:
    """The nodes of a total and the runs of what is allocated add up; outages are not less than their line."""
    window = Window(T, T + 2 * HOUR)
    with store.read() as connection:
        rows = {(row.key[1], row.resource): row.lines for row in capacity.run(connection, window).rows}
        found = {column: capacity.parts(connection, window, node_class, resource, column) for column in LINES}
    lines = rows.get((node_class, resource))
    sums = {column: sum(part.seconds for part in parts) for column, parts in found.items()}

    assert sums["total"] == (lines.total if lines else 0)
    assert sums["allocated"] == (lines.allocated + lines.over_commit if lines else 0)
    if lines:
        assert all(sums[column] >= getattr(lines, column) for column in LINES)
    if node_class == "acc":
        assert ["run", "run"] == [part.what for part in found["allocated"]]
        assert [("reservation", "5 course", T + HOUR, T + 2 * HOUR)] == [
            part[:4] for part in found["reserved_idle"]
        ]
        assert [("event", "n1", T, T + HOUR)] == [part[:4] for part in found["down"]]
        assert [] == found["planned_down"]


# ------------------------------------------------------------------------------------------ beside Slurm

SACCTMGR = """\
case "$*" in
  *show\\ user*) echo Operator ;;
  *show\\ cluster*) echo lab ;;
  *show\\ stats*) echo "Internal DBD rollup last ran Sat Nov 28 ({rolled})" ;;
  *show\\ tres*) printf 'cpu|\\nmem|\\ngres|gpu\\n' ;;
  *show\\ event*Reason) echo "|{registered}|Unknown|0||cpu=160,gres/gpu=8,mem=2000M,node=2|n[1-2]|registered"
    echo "n1|{t}|{half}|1|DOWN|cpu=80,gres/gpu=4,mem=1000M||fan|broken" ;;
  *show\\ event*) echo "|{registered}|Unknown|0||cpu=160,gres/gpu=8,mem=2000M,node=2|n[1-2]"
    echo "n1|{t}|{half}|1|DOWN|cpu=80,gres/gpu=4,mem=1000M|" ;;
  *show\\ reservation*) ;;
  *) exit 9 ;;
esac
"""
SREPORT = """\
printf -- '-----\\nCluster Utilization {t} - {last}\\nUsage reported in TRES Seconds\\n-----\\n'
echo 'Cluster|TRES Name|Allocated|Down|PLND Down|Idle|Planned|Reported'
echo 'lab|cpu|{cpu}|144000|0|288000|0|576000'
echo 'lab|gres/gpu|7200|7200|0|14400|0|28800'
"""


def site(folder: Path, cpu: int) -> list[str]:
    """A folder with stand-ins for Slurm's commands; the options that make opsd ask them."""
    (folder / "bin").mkdir()
    values = {
        "registered": T - DAY,
        "t": T,
        "half": T + HOUR // 2,
        "last": T + HOUR - 1,
        "rolled": T + 2 * HOUR,
        "cpu": cpu,
    }
    row = dict.fromkeys(FIELDS, "") | {
        "JobIDRaw": "1", "JobID": "1", "Cluster": "lab", "Account": "es-a", "User": "ana", "Partition": "acc",
        "QOS": "normal", "State": "COMPLETED", "Submit": str(T), "Eligible": str(T), "Start": str(T),
        "End": str(T + HOUR), "ElapsedRaw": "3600", "Suspended": "00:00:00", "NodeList": "n2",
        "AllocTRES": "billing=1,cpu=40,gres/gpu=2,mem=100M,node=1", "AssocID": "7", "DBIndex": "1",
    }  # fmt: skip
    answer = "|".join(FIELDS) + "\n" + "|".join(row.values()) + "\n"
    (folder / "answer").write_text(answer)
    scripts = {
        "sacctmgr": SACCTMGR.format(**values),
        "sacct": f'case "$*" in --helpformat) echo "{" ".join(FIELDS)}" ;; *) cat {folder}/answer ;; esac',
        "scontrol": "echo 'PartitionName=acc MaxTime=1-00:00:00 Nodes=n[1-2] TRES=cpu=160,gres/gpu=8,node=2'",
        "squeue": "echo 1",
        "sreport": SREPORT.format(**values),
    }
    for name, script in scripts.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    (folder / "opsd.toml").write_text(
        f'[slurm]\nbin = "{folder}/bin"\nsince = "2026-11-27"\ntimezone = "UTC"\ntimeout_seconds = 20\n'
    )
    return ["--db", f"sqlite:///{folder}/live.db", "--config", f"{folder}/opsd.toml"]


@pytest.mark.parametrize(("cpu", "left"), [(144_000, 0), (144_001, 1)])
def test_beside_sreport(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cpu: int, left: int
) -> None:
    """Slurm is read, then compared; one second that no cause explains ends with 3."""
    monkeypatch.setattr("opsd.cli.capacity.now", lambda: T + 2 * HOUR)
    monkeypatch.setattr("opsd.cli.compared.now", lambda: T + 2 * HOUR)
    options = site(tmp_path, cpu)
    asked = ("--against", "sreport", "--from", "2026-11-28", "--to", "2026-11-28T01:00:00")

    code, out, _ = told(capsys, *asked, "--format", "csv", *options)
    again, table, _ = told(capsys, *asked, "--no-ingest", *options)
    rows = {(row["tres"], row["line"]): row for row in csv.DictReader(io.StringIO(out))}

    assert (3 if left else 0) == code == again
    assert 12 == len(rows)
    allocated = rows["cpu", "allocated"]
    assert ("144000", str(cpu), str(left)) == (
        allocated["opsd"], allocated["sreport"], allocated["left_over"]
    )  # fmt: skip
    assert {"0"} == {row["left_over"] for key, row in rows.items() if key != ("cpu", "allocated")}
    assert "cpu       allocated" in table
