"""What Slurm allocated beside what agents saw: injected idleness is found, nothing is left out."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from sqlalchemy import insert

from opsd.cli import main
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium
from opsd.core.holders import Computing, Holders, Holding, Job
from opsd.core.measured import Measured
from opsd.core.measuring import Round, State, advance
from opsd.core.parties import Cluster, Organisation
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.core.telemetry import Gpu, Identity, Reading, Snapshot
from opsd.core.telemetry_certificate import REASONS, Asked, reason
from opsd.pipeline import telemetry
from opsd.store import tables
from opsd.store.engine import Store
from tests.fakes.measured import of_run, store_records
from tests.pipeline.small_world import BASE, consortium, records
from tests.pipeline.test_usage import SEEN, stored

INTERVAL = 5
T = BASE + 10 * HOUR + 3  # between two rounds
DAY_ASKED = ("--from", f"@{BASE}", "--to", f"@{BASE + DAY}")


def ran(job: int, start: int, end: int | None, gpus: int, account: str, **other: object) -> RunRecord:
    """A run on whole GPUs."""
    values = {
        "cluster": "mn5", "job_id": job, "submit": start, "start": start, "end": end, "account": account,
        "user": "ana", "state": "COMPLETED" if end else "RUNNING", "nodes": "gpu1", "hash": job,
        "tres": f"cpu=1,gres/gpu={gpus},node=1" if gpus else "cpu=1,gres/shard=2,node=1",
    } | other  # fmt: skip
    return RunRecord(**values)  # type: ignore[arg-type]


def two_countries() -> Consortium:
    """A project in Spain and one in Portugal."""
    award = {"amount": Fraction(100), "unit": "gpu-hours", "policy": "gpu", "start": BASE - DAY, "end": None}
    return Consortium.of(
        [
            Cluster("mn5"), Policy("gpu", "gpu_hours"), Funder("ju", "JU", "ju"), Pool("pool", "ju", "Pool"),
            Organisation("bsc", "BSC", "ES", "university"), Organisation("ist", "IST", "PT", "university"),
            Project("protein", "Protein", "bsc"), Project("ocean", "Ocean", "ist"),
            Award("A1", "protein", "pool", mode="regular", **award),
            Award("A2", "ocean", "pool", mode="regular", **award),
            Binding("mn5", "es-a", "A1", BASE - DAY), Binding("mn5", "pt-a", "A2", BASE - DAY),
        ]
    )  # fmt: skip


# -------------------------------------------------------------------------------- injected idleness is found


def seen_by_agent(runs: Sequence[RunRecord], idle: dict[int, tuple[int, int]]) -> list[Measured]:
    """What an agent makes of jobs on its node that look every 5 seconds: idle in [a, b), else 80 % active."""
    state, closed = State(), list[Measured]()
    first, last = min(run.start or 0 for run in runs), max(run.end or 0 for run in runs)
    for at in range(first // INTERVAL * INTERVAL, last + 3 * INTERVAL, INTERVAL):
        here = [run for run in runs if (run.start or 0) <= at < (run.end or 0)]
        held = {
            Holding(f"GPU-{run.job_id}-{n}", str(run.job_id), run.account, "ana", started=run.start or 0): 1.0
            for run in here
            for n in range(2)
        }
        gpus = [gpu(f"GPU-{run.job_id}-{n}", at, run, idle[run.job_id]) for run in runs for n in range(2)]
        jobs = [Job(str(run.job_id), run.account, "ana", started=run.start or 0) for run in here]
        computing = {(one.uuid, one.job_id): Computing(1, 2**30) for one in held}
        state, done = advance(state, Round(at, Snapshot(tuple(gpus)), Holders(held, computing), jobs, 15))
        closed += done
    return closed


def gpu(uuid: str, at: int, run: RunRecord, idle: tuple[int, int]) -> Gpu:
    """Its activity since the last look, and its energy so far."""
    active = sum(is_active(second, run, idle) for second in range(at - INTERVAL, at)) / INTERVAL
    so_far = sum(100 + 400 * is_active(second, run, idle) for second in range(run.start or 0, at))
    values = {
        Reading("sm_active_ratio"): 0.8 * active, Reading("tensor_active_ratio"): 0.4 * active,
        Reading("energy_joules_total"): float(so_far),
    }  # fmt: skip
    return Gpu(0, "up", Identity(uuid, 0), values=values, gpm_seconds=float(INTERVAL))


def is_active(second: int, run: RunRecord, idle: tuple[int, int]) -> bool:
    """Whether a job computes in a second."""
    return (run.start or 0) <= second < (run.end or 0) and not idle[0] <= second < idle[1]


def test_injected_idleness_is_found(sqlite_url: str) -> None:
    """Idle for a quarter, all and none of their time: held-idle within an interval per job and GPU."""
    runs = [
        ran(1, T, T + 800, 2, "es-a"),
        ran(2, T + 31, T + 631, 2, "es-b"),
        ran(3, T + 2, T + 702, 2, "pt-a"),
    ]
    idle = {1: (T + 301, T + 501), 2: (T, T + 900), 3: (0, 0)}
    told = seen_by_agent(runs, idle)
    store = stored(sqlite_url, runs, None, SEEN)
    store_records(
        store, {("mn5", run.job_id): [one for one in told if one.job_id == run.job_id] for run in runs}
    )
    with store.read() as connection:
        found = telemetry.run(connection, Window(BASE, BASE + DAY), ("account",))
    store.close()

    assert 6 == len(told)
    assert [("es-a",), ("es-b",), ("pt-a",)] == [line.key for line in found.lines]
    assert [1600, 1200, 1400] == [line.gpu_seconds for line in found.lines]
    sample = 2 * 1000 * INTERVAL  # two GPUs each
    for line, injected, length in zip(found.lines, (200, 600, 0), (800, 600, 700), strict=True):
        assert 2000 * injected == pytest.approx(line.use.idle, abs=sample)
        assert 1600 * (length - injected) == pytest.approx(line.use.sm_active, abs=sample)
        assert 2000 * length == pytest.approx(line.use.covered, abs=sample)
        assert 1000 * 2 * (100 * length + 400 * (length - injected)) == pytest.approx(
            line.use.energy, abs=500 * sample
        )
        assert line.use.process_of == line.use.covered
    assert () == found.drifts
    assert not found.needs_eyes


# ------------------------------------------------------------------------------- everything is accounted


@pytest.mark.parametrize("keys", [(), ("account",), ("project", "country"), ("day", "uses")], ids="-".join)
def test_lines_balance(store_url: str, keys: tuple[str, ...]) -> None:
    """Allocated is measured, gaps, difference and silence by reason, in every line, whatever the keys."""
    chance = random.Random(3)
    rows = records(chance, 100)
    store = stored(store_url, rows, consortium(chance), SEEN)
    some = [row for row in rows if row.start is not None and "gpu=2" in row.tres and chance.random() < 0.6]
    told = {
        (row.cluster, row.job_id): [of_run(row, f"GPU-{row.job_id}-{n}", chance) for n in range(2)]
        for row in some
    }
    store_records(store, told)
    with store.read() as connection:
        found = telemetry.run(connection, Window(BASE + 17, BASE + 5 * DAY), keys)
        whole = telemetry.run(connection, Window(BASE + 17, BASE + 5 * DAY), ())
    store.close()

    assert whole.total == found.total
    assert all(line.is_balanced and line.matched_ms >= 0 for line in found.lines)
    assert whole.total.use.covered > 0
    assert sum(whole.total.silent) > 0


@pytest.mark.parametrize(
    ("asked", "is_open", "why"),
    [
        ({"gpu1": Asked(90, "")}, True, "running"),
        ({}, False, "not_fetched"),
        ({"gpu1": Asked(99, "")}, False, "not_fetched"),
        ({"gpu1": Asked(99, "refused")}, False, "agent_failed"),
        ({"gpu1": Asked(None, "refused")}, False, "agent_failed"),
        ({"gpu1": Asked(161, "refused")}, False, "not_fetched"),  # it was asked after the end; gpu2 never
        ({"gpu1": Asked(160, ""), "gpu2": Asked(161, "")}, False, "no_record"),
        ({"gpu1": Asked(159, ""), "gpu2": Asked(161, "")}, False, "not_fetched"),  # its epilog may still run
    ],
    ids=["open", "never", "too early", "fails since", "never answered", "only one", "all asked", "epilog"],
)
def test_why_a_run_has_no_record(asked: dict[str, Asked], why: str, *, is_open: bool) -> None:
    """By what is known of its nodes' spools at its end."""
    assert why == reason(["gpu1", "gpu2"], 100, asked, is_open=is_open)


def test_the_name_of_a_node() -> None:
    """As Slurm has it, however its agent is addressed."""
    assert ["gpu1", "gpu1", "10.0.0.7"] == list(
        map(telemetry.host, ("gpu1:9400", "gpu1.bsc.es", "10.0.0.7:9400"))
    )


# ---------------------------------------------------------------------------------------------- command line


def whole(run: RunRecord, gpus: int, *, idle: int = 0, start: int = 0, end: int = 0) -> list[Measured]:
    """An agent saw all of a run, so many seconds of it idle."""
    begin, finish = start or run.start or 0, end or run.end or 0
    ms = 1000 * (finish - begin)
    return [
        Measured(
            run.job_id, f"GPU-{run.job_id}-{n}", begin, finish, allocated_ms=ms, covered_ms=ms, process_ms=ms,
            idle_ms=1000 * idle, gpm_ms=ms, sm_active_ms=ms // 2, tensor_active_ms=ms // 4,
            energy_mj=300 * ms, is_energy_estimated=False,
        )
        for n in range(gpus)
    ]  # fmt: skip


RUNS = [
    ran(1, BASE, BASE + 4 * HOUR, 2, "es-a"),
    ran(2, BASE, BASE + 2 * HOUR, 1, "pt-a"),
    ran(3, BASE, BASE + HOUR, 1, "pt-a", nodes="gpu2"),
    ran(4, BASE, BASE + HOUR, 1, "es-a", nodes="gpu3"),
    ran(5, BASE, BASE + HOUR, 0, "nobody"),
]


def world(url: str) -> Store:
    """Two projects; one node is away, one told nothing; a job on shards."""
    store = stored(url, RUNS, two_countries(), SEEN)
    told = {1: whole(RUNS[0], 2, idle=HOUR), 2: whole(RUNS[1], 1, idle=0), 5: whole(RUNS[4], 1, idle=60)}
    store_records(store, {("mn5", job): some for job, some in told.items()})
    spool = {"cluster": "mn5", "spool": "a", "cursor": 1, "fetched_at": BASE + DAY, "failure": ""}
    with store.write() as connection:
        connection.execute(
            insert(tables.spool),
            [
                spool | {"node": "gpu1:9400"},
                spool | {"node": "gpu2:9400", "fetched_at": BASE, "failure": "connection refused"},
                spool | {"node": "gpu3:9400"},
            ],
        )
    return store


def test_by_project_and_country(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """CSV: a line per project, exact; JSON: the same, and what does not fit; nothing else on stdout."""
    world(sqlite_url).close()
    how = ("reconcile", "--against", "telemetry", *DAY_ASKED, "--timezone", "UTC", "--format")
    assert 0 == main(["--db", sqlite_url, *how, "csv"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert 0 == main(["--db", sqlite_url, *how, "json"])
    document = json.loads(capsys.readouterr().out)

    assert [("ocean", "PT"), ("protein", "ES"), ("unattributed",) * 2] == [
        (row["project"], row["country"]) for row in rows
    ]
    names = (
        "gpu_seconds",
        "measured_gpu_seconds",
        "coverage",
        "idle_gpu_seconds",
        "idle_share",
        "energy_joules",
    )
    assert ["10800", "7200", "0.6667", "0", "0.0000", "2160000"] == [rows[0][name] for name in names]
    assert ["32400", "28800", "0.8889", "7200", "0.2500", "8640000"] == [rows[1][name] for name in names]
    assert ["0", "3600", "", "60", "0.0167", "1080000"] == [rows[2][name] for name in names]
    assert [["0", "0", "3600", "0"], ["0", "0", "0", "3600"]] == [
        [row[f"{name}_gpu_seconds"] for name in REASONS] for row in rows[:2]
    ]
    assert [{name: value or None for name, value in row.items()} for row in rows] == [
        {name: None if value is None else str(value) for name, value in line.items()}
        for line in document["lines"]
    ]
    assert ("39600", False) == (document["total"]["measured_gpu_seconds"], document["needs_eyes"])


def test_a_table(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines and their total, the largest waste, and where everything is."""
    world(sqlite_url).close()
    assert 0 == main(["--db", sqlite_url, "reconcile", "--against", "telemetry", *DAY_ASKED])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["protein", "ES", "9", "89", "%"] in [line[:5] for line in lines]
    assert ["total", "12", "83", "%"] in [line[:4] for line in lines]
    assert ["protein", "ES", "2", "25", "%"] in [line[:5] for line in lines]
    assert ["agent", "failed", "1", "8", "%"] in [line[:5] for line in lines]


def test_what_does_not_fit(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that the agent saw for half its time, and records of no run: named, and exit code 3."""
    store = world(sqlite_url)
    stray = whole(ran(99, BASE, BASE + HOUR, 1, "es-a"), 1)
    store_records(store, {("mn5", 99): stray}, node="gpu7", matched=False)
    longer = whole(RUNS[2], 1, end=BASE + 2 * HOUR)
    store_records(store, {("mn5", 3): longer}, node="gpu2")
    store.close()
    how = ("reconcile", "--against", "telemetry", *DAY_ASKED)
    assert 3 == main(["--db", sqlite_url, *how, "--format", "json"])
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert [(3, "3600", "7200")] == [
        (one["job"], one["slurm_gpu_seconds"], one["agents_gpu_seconds"]) for one in document["drift"]["runs"]
    ]
    assert [("gpu7", 1, [99], "3600")] == [
        (one["node"], one["records"], one["jobs"], one["allocated_gpu_seconds"])
        for one in document["without_run"]["nodes"]
    ]
    assert "3,600 GPU-seconds of 1 run" in err
    assert 3 == main(["--db", sqlite_url, *how])
    shown = capsys.readouterr().out
    assert "Records of no run" in shown
    assert "measure differently" in shown


def test_no_agent_at_all(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing was seen: coverage 0, no figure of use, and it is said."""
    stored(sqlite_url, RUNS, two_countries(), SEEN).close()
    how = ("reconcile", "--against", "telemetry", "--by", "cluster", *DAY_ASKED, "--format", "csv")
    assert 0 == main(["--db", sqlite_url, *how])
    out, err = capsys.readouterr()
    (row,) = csv.DictReader(io.StringIO(out))
    assert ("0.0000", "", "", "") == tuple(
        row[name] for name in ("coverage", "idle_gpu_seconds", "idle_share", "energy_joules")
    )
    assert "no node agent has told" in err


def test_usage_with_measures(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns of usage as ever, then the measures; shards have measures and no coverage."""
    world(sqlite_url).close()
    how = ("usage", *DAY_ASKED, "--by", "account", "--format", "csv")
    main(["--db", sqlite_url, *how])
    before = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    main(["--db", sqlite_url, *how, "--measured"])
    after = [line.split(",") for line in capsys.readouterr().out.splitlines()]
    assert before == [line[: len(before[0])] for line in after]
    added = [line[len(before[0]) :] for line in after]
    assert added[0][0] == "measured_gpu_seconds"
    assert [
        ["28800", "28800", "7200", "28800", "14400", "7200", "8640000", "0.8889"],
        ["3600", "3600", "60", "3600", "1800", "900", "1080000", ""],
        ["7200", "7200", "0", "7200", "3600", "1800", "2160000", "0.6667"],
    ] == added[1:]
    main(["--db", sqlite_url, *how[:-2], "--measured"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["seen", "s", "process", "s", "idle", "s"] == lines[1][lines[1].index("seen") :][:6]
    assert ["8,640", "89", "%"] == next(line for line in lines if line[0] == "es-a")[-3:]


def test_a_job_is_traced(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`opsd explain run` shows each record: node, device, what it did."""
    world(sqlite_url).close()
    assert 0 == main(["--db", sqlite_url, "explain", "run", "1", "--format", "json"])
    table = json.loads(capsys.readouterr().out)["tables"]["measured"]
    assert [("gpu1", "GPU-1-0", "14400", "3600"), ("gpu1", "GPU-1-1", "14400", "3600")] == [
        (row["node"], row["device"], str(row["allocated_seconds"]), str(row["idle_seconds"]))
        for row in table["rows"]
    ]
    assert 0 == main(["--db", sqlite_url, "explain", "run", "4", "--format", "json"])
    assert "measured" not in json.loads(capsys.readouterr().out)["tables"]
