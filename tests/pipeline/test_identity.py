"""A cluster that Slurm calls otherwise: its runs stand under its id, and each counts once."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

import pytest
from sqlalchemy import delete, func, select

from collectors.slurm.sacct import SacctReader
from opsd.core.consortium import Consortium
from opsd.core.errors import Refused
from opsd.core.measured import Measured
from opsd.core.parties import Cluster
from opsd.core.period import DAY, Window
from opsd.pipeline import consortium, ingest, rebuild, usage
from opsd.store import gpu_seconds, identity, migrate, sweeps, tables
from opsd.store.engine import Store, open_engine
from tests.fakes.measured import store_records

T = 1_790_000_000
HEADER = "JobIDRaw|Cluster|Account|User|State|Submit|Eligible|Start|End|AllocTRES\n"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A store with its tables."""
    found = open_engine(store_url)
    migrate.upgrade(found)
    yield found
    found.close()


def row(cluster: str, job: int, account: str = "a", end: int | None = None, cpus: int = 2) -> str:
    """A run of a hundred seconds, an hour after the last one; or one that is open."""
    at = T + 3_600 * job
    state, ended = ("RUNNING", "Unknown") if end == 0 else ("COMPLETED", at + 100)
    return f"{job}|{cluster}|{account}|ana|{state}|{at}|{at}|{at}|{ended}|cpu={cpus},node=1\n"


def read(store: Store, rows: Sequence[str], at: int = T + 9 * DAY) -> ingest.Result:
    """Import some rows."""
    reader = SacctReader(io.BytesIO((HEADER + "".join(rows)).encode()))
    return ingest.run(store, reader, source="s", observed_at=at, now=at)


def declare(store: Store, *former: str) -> None:
    """Say that the cluster mn5 had other names."""
    consortium.apply(store, Consortium.of([Cluster("mn5", "MareNostrum 5", former)]), author="ana", now=T)


def counted(store: Store) -> dict[tuple[str, str], int]:
    """CPU-seconds by cluster and account."""
    with store.read() as connection:
        rows = usage.run(connection, Window(T - DAY, T + 9 * DAY), ("cluster", "account")).rows
    return {(row.key[0], row.key[1]): row.measures.cpu_seconds for row in rows}


def versions(store: Store) -> tuple[int, int]:
    """How many runs are stored, and how many versions beside."""
    with store.read() as connection:
        runs = connection.scalar(select(func.count()).select_from(tables.run))
        kept = connection.scalar(select(func.count()).select_from(tables.run_version))
    return int(runs or 0), int(kept or 0)


def test_a_run_that_is_read_under_both_names_counts_once(store: Store) -> None:
    """Slurm has no rename: a new cluster gets the old one's tables, and shows its runs as its own."""
    declare(store, "lab", "lab2")
    first = read(store, [row("lab", 1), row("lab", 2)])
    again = read(store, [row("lab2", 1), row("lab2", 2), row("lab2", 3), row("mn5", 3)], T + 10 * DAY)

    assert (2, 0) == (first.tally.new, first.tally.changed)
    assert (1, 0, 3) == (again.tally.new, again.tally.changed, again.tally.unchanged)
    assert {("mn5", "a"): 2 * 300} == counted(store)
    assert (3, 0) == versions(store)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_name_declared_late_takes_its_runs_along(store: Store, rebuilt: bool) -> None:
    """Totals are what they were, by account; what is read under any name afterwards is nothing new."""
    read(store, [row("lab", 1), row("lab", 2, "b"), row("lab", 3, end=0), row("far", 4)])
    read(store, [row("mn5", 5), row("mn5", 6, "c")])
    with store.write() as connection:
        sweeps.cover(connection, "lab", T, T)
    if rebuilt:
        rebuild.run(store)
    before = counted(store)
    declare(store, "lab")
    after = counted(store)
    same = read(store, [row("lab", 1), row("lab", 2, "b"), row("mn5", 1)], T + 10 * DAY)

    assert sum(before.values()) == sum(after.values())
    assert {
        ("far", "a"): before["far", "a"], ("mn5", "a"): before["lab", "a"] + before["mn5", "a"],
        ("mn5", "b"): before["lab", "b"], ("mn5", "c"): before["mn5", "c"],
    } == after  # fmt: skip
    assert (0, 0) == (same.tally.new, same.tally.changed)
    with store.read() as connection:
        assert {"mn5": T} == sweeps.covered(connection)
        assert {"far": 0, "mn5": 1} == sweeps.open_runs(connection)
    rebuild.run(store)
    assert after == counted(store)


def test_a_run_stored_under_both_names_becomes_one(store: Store) -> None:
    """The later version wins, as it would have had the name been known; both are kept."""
    read(store, [row("lab", 1), row("lab", 2, end=0)], T + 5 * DAY)
    read(store, [row("mn5", 1, cpus=8), row("mn5", 2)], T + 6 * DAY)
    rebuild.run(store)
    assert {"lab", "mn5"} == {cluster for cluster, _ in counted(store)}
    declare(store, "lab")

    assert {("mn5", "a"): 8 * 100 + 2 * 100} == counted(store)
    assert (2, 4) == versions(store)
    rebuild.run(store)
    assert {("mn5", "a"): 8 * 100 + 2 * 100} == counted(store)


def test_more_runs_than_are_moved_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk, and in one transaction."""
    monkeypatch.setattr(identity, "_CHUNK", 3)
    read(store, [row("lab", job, f"a{job % 2}") for job in range(1, 12)])
    declare(store, "lab")

    assert {("mn5", "a0"): 2 * 500, ("mn5", "a1"): 2 * 600} == counted(store)


def test_a_former_name_is_not_taken_away(store: Store) -> None:
    """Its runs would be read again beside those that stand under the id."""
    declare(store, "lab", "old")
    with pytest.raises(Refused, match="cluster mn5: former_names: lab cannot be taken away"):
        declare(store, "old")


@pytest.mark.parametrize("others", [[Cluster("lab")], [Cluster("far", "", ("lab",))]])
def test_a_name_of_two_clusters_is_refused(store: Store, others: list[Cluster]) -> None:
    """Whether as an id or as a former name; a run could belong to either."""
    items = [Cluster("mn5", "", ("lab",)), *others]
    with pytest.raises(Refused, match="former name 'lab' is a name of cluster"):
        consortium.apply(store, Consortium.of(items), author="ana", now=T)


def test_no_order_of_names_and_readings_makes_a_difference(store: Store) -> None:
    """Declared before, between or after what is read under the old name and the new one."""
    steps: list[Callable[[], object]] = [
        lambda: read(store, [row("lab", 1), row("lab", 2, end=0), row("lab", 3, "b")], T + 5 * DAY),
        lambda: read(store, [row("mn5", 2), row("mn5", 3, "c"), row("mn5", 4)], T + 6 * DAY),
        lambda: declare(store, "lab"),
    ]
    outcomes = []
    for order in permutations(steps):
        for step in order:
            step()
        live = counted(store)
        rebuild.run(store)
        assert live == counted(store)
        outcomes.append((live, versions(store)[0]))
        forget(store)

    assert [({("mn5", "a"): 2 * 300, ("mn5", "c"): 2 * 100}, 4)] * 6 == outcomes


def forget(store: Store) -> None:
    """Empty every table; those that refuse it were never written to."""
    with store.write() as connection:
        for table in reversed(tables.METADATA.sorted_tables):
            held = connection.scalar(select(func.count()).select_from(table))
            if held and table.name not in ("word", "schema_mark"):
                connection.execute(delete(table))


def test_what_agents_measured_goes_with_its_run(store: Store) -> None:
    """Runs are stored anew under the id; their records follow them, and no other run has them."""
    read(store, [row("lab", 1), row("lab", 2, "b"), row("mn5", 7, "c")])
    did = {
        job: Measured(job, "GPU-1", T + 3_600 * job, T + 3_600 * job + 100, allocated_ms=job)
        for job in (1, 2)
    }
    store_records(store, {("lab", job): [one] for job, one in did.items()})
    declare(store, "lab")
    read(store, [row("mn5", 8, "d")])
    with store.read() as connection:
        found = (
            usage.run(connection, Window(T - DAY, T + 9 * DAY), ("account",), with_measured=True).uses or {}
        )

    assert {("a",): 1, ("b",): 2} == {key: use.allocated for key, use in found.items()}


def test_counters_of_gpus_go_on_under_the_id(store: Store) -> None:
    """A cluster that gets another name has used its GPUs before that, too."""
    with store.write() as connection:
        gpu_seconds.look(connection, "lab", T, {("h100", "idle"): 4}, 60)
        gpu_seconds.look(connection, "lab", T + 60, {("h100", "idle"): 4}, 60)
    declare(store, "lab")
    with store.write() as connection:
        found = gpu_seconds.look(connection, "mn5", T + 120, {("h100", "idle"): 4}, 60)

    assert 480 == found["h100", "idle"]
