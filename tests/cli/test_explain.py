"""`opsd explain` as people and programs see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction

import pytest

from opsd.cli import main
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium
from opsd.core.parties import Cluster, NodeClass, Organisation, UnitTable
from opsd.core.period import HOUR, isoformat
from opsd.core.records import DOWN, REGISTERED, NodeEvent, RunRecord
from opsd.core.shape import Inventory
from opsd.store import imports, machine, migrate, parties
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer

START = 1_795_000_000 // HOUR * HOUR
TRES = "billing=4,cpu=4,gres/gpu=2,mem=1000,node=1"
OPEN = RunRecord(
    "lab", 7, START, START, None, "RUNNING", "es-bio", TRES, user="ana", partition="acc", nodes="n1", hash=1
)
ENDED = OPEN._replace(end=START + HOUR, state="TIMEOUT", hash=2)
OTHERS = [
    ENDED._replace(job_id=number, user="bruno", end=START + number, state="COMPLETED", hash=100 + number)
    for number in range(100, 140)
]
WINDOW = ["--from", f"@{START}", "--to", f"@{START + 2 * HOUR}"]


@pytest.fixture
def store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A job seen open, then ended, and forty others; one node, down in the second hour."""
    monkeypatch.setenv("OPSD_DB", store_url)
    monkeypatch.delenv("OPSD_CONFIG", raising=False)
    found = open_engine(store_url)
    migrate.upgrade(found)
    for source, seen, rows in (
        ("early", START + 60, [OPEN]), ("late", START + 2 * HOUR, [ENDED, *OTHERS])
    ):  # fmt: skip
        with found.write() as connection:
            number = imports.open_import(connection, source, seen, seen)
            Writer(connection, Inventory((), lambda text: [text]), number, seen).batch(connection, rows)
    yield found
    found.close()


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit code, output, complaints."""
    code = main(["explain", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


def test_usage_as_json(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The figure, the runs and the rest that add up to it; times with their offset."""
    code, out, _ = said(
        capsys, "usage", *WINDOW, "--limit", "2", "--format", "json", "--cell", "account=es-bio"
    )
    found = json.loads(out)
    rows = found["tables"]["runs"]["rows"]

    assert (0, "usage", []) == (code, found["of"], found["needs_eyes"])
    assert 2 * (HOUR + sum(range(100, 140))) == found["figure"]["gpu_seconds"]
    assert ["7", "139", "39 other runs"] == [row["job"] for row in rows]
    assert found["figure"]["gpu_seconds"] == sum(row["gpu_seconds"] for row in rows)
    assert (isoformat(START), isoformat(START + HOUR)) == (rows[0]["from"], rows[0]["to"])


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("kind", [("usage", *WINDOW), ("run", "7")], ids=["usage", "run"])
def test_on_a_terminal(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    kind: tuple[str, ...], width: int,
) -> None:  # fmt: skip
    """No line is longer than the terminal, and no figure is cut."""
    monkeypatch.setenv("COLUMNS", str(width))
    code, out, _ = said(capsys, *kind)

    assert 0 == code
    assert [] == [line for line in out.splitlines() if len(line) > width or "…" in line]


def test_versions_of_a_job(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Each content that was read, which counts and why, and what the other said."""
    _, out, _ = said(capsys, "run", "7", "--format", "json")
    tables = json.loads(out)["tables"]

    assert ["no: an ended row beats an open one", "counts"] == [
        row["counts"] for row in tables["versions"]["rows"]
    ]
    assert {("state", "RUNNING", "TIMEOUT"), ("end", "nothing", isoformat(START + HOUR))} == {
        (row["column"], row["said"], row["counts"]) for row in tables["differences"]["rows"]
    }
    assert [("early", 0, 1), ("late", 1, 0)] == [
        (row["source"], row["versions_that_count"], row["superseded"]) for row in tables["sources"]["rows"]
    ]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("run", "8"), "ids from 7 to 139 are known"),
        (("run", "seven"), "write the number that Slurm gave it"),
        (("run", "7", "--cluster", "lap"), "did you mean 'lab'?"),
        (("balance", "--award", "A1"), "no such award"),
        (("usage", *WINDOW, "--limit", "-1"), "0 or more"),
        (("capacity", *WINDOW, "--column", "dawn"), "did you mean 'down'?"),
        (("capacity", "--column", "down"), "say which time"),
        (("capacity", "--period", "2026-13"), "write 2026-10"),
    ],
)
def test_wrong_usage(
    store: Store, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    """Ends with 2 and one line that helps."""
    code, _, err = said(capsys, *words)

    assert 2 == code
    assert complaint in err


@pytest.mark.parametrize(
    ("column", "figure", "names"),
    [
        ("total", 8 * HOUR, ["n1"]),
        ("down", 2 * HOUR, ["n1"]),
        ("allocated", 2 * HOUR, ["7"]),
        ("unallocated", 4 * HOUR, ["n1"]),
    ],
)
def test_capacity(
    store: Store, capsys: pytest.CaptureFixture[str], column: str, figure: int, names: list[str]
) -> None:
    """A node of four GPUs, two of them held for an hour, half of the next hour down."""
    with store.write() as connection:
        connection.exec_driver_sql("DELETE FROM run WHERE job_id > 7")
        node_class = NodeClass("lab", "acc", nodes="n1", cpus=16, gpus=4, gpu_class="h100")
        known = Consortium.of([Cluster("lab"), node_class])
        parties.save(connection, Consortium(), known)
        events = [
            NodeEvent("lab", "", START - HOUR, None, REGISTERED, "", "", "cpu=16,gres/gpu=4", "n1"),
            NodeEvent("lab", "n1", START + HOUR, START + HOUR + HOUR // 2, DOWN, "DOWN*", "gone", "cpu=16"),
        ]
        machine.save_events(connection, events, START + 2 * HOUR)
    code, out, _ = said(capsys, "capacity", *WINDOW, "--column", column, "--format", "json")
    found = json.loads(out)

    assert (0, figure) == (code, found["figure"][column])
    assert names == [row["name"] for row in found["tables"]["parts"]["rows"]][: len(names)]
    assert figure == sum(row["seconds"] for row in found["tables"]["parts"]["rows"])


def test_a_balance_on_a_terminal(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Figures have their thousands apart; what a node-hour was agreed to equal is shown."""
    monkeypatch.setenv("COLUMNS", "120")
    award = Award("A1", "p1", "pool", Fraction(5_000), "gpu-hours", 0, None, "gpu")
    node_class = NodeClass("lab", "acc", nodes="n1", cpus=16, gpus=4)
    known = Consortium.of(
        [
            Cluster("lab"), Policy("gpu", "gpu_hours"), Organisation("uni", "Uni", "ES", "university"),
            Funder("ju", "JU", "ju"), Pool("pool", "ju", "A pool"), Project("p1", "One", "uni"), award,
            Binding("lab", "es-bio", "A1", 0), node_class,
            UnitTable("lab", "acc", gpu_hours=Fraction(4), source="annex 3"),
        ]
    )  # fmt: skip
    with store.write() as connection:
        parties.save(connection, Consortium(), known)
        number = imports.open_import(connection, "more", START + 2 * HOUR, START + 2 * HOUR)
        Writer(connection, Inventory((node_class,), lambda text: [text]), number, START).batch(
            connection, [ENDED._replace(job_id=200, hash=200)]
        )
    code, out, _ = said(capsys, "balance", "--award", "A1", "--as-of", f"@{START + 2 * HOUR}")

    assert (0, True) == (code, f"settled = {2 * (2 * HOUR + sum(range(100, 140))):,}\n" in out)
    assert "annex 3" in out
