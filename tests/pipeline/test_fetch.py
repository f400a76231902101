"""What agents measured arrives once, finds its run, and nobody waits for who does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
from sqlalchemy import select

from collectors.protocol import Spooled, Target
from opsd.core.errors import BadInput, Unavailable
from opsd.core.measured import Measured
from opsd.core.period import DAY, HOUR
from opsd.core.records import RunRecord
from opsd.pipeline import fetch
from opsd.pipeline.fetch import Result
from opsd.store import gpu_use, tables
from opsd.store.engine import Store, open_engine
from tests.fakes import books
from tests.fakes.books import NOW, ONE_GPU, T
from tests.fakes.consortia import CLUSTER

A1, A2 = Target("10.0.0.1:9751", CLUSTER, "a1"), Target("a2:9751")


class Spooling:
    """Agents with records of their own, a few to a page; what they are asked is remembered."""

    def __init__(self, **kept: Sequence[Measured]) -> None:
        self.listed: list[Target] = [A1, A2]
        self.kept = {name: list(records) for name, records in kept.items()}
        self.spools = dict.fromkeys(("a1", "a2"), "first")
        self.away: set[str] = set()
        self.asked: list[tuple[str, str, int]] = []

    def targets(self) -> Sequence[Target]:
        """All of them."""
        return self.listed

    def spool(self, target: Target) -> One:
        """One of them."""
        return One(self, target.name.partition(":")[0])


class One:
    """An agent: records are numbered from 1."""

    def __init__(self, agents: Spooling, name: str) -> None:
        self._agents, self._name = agents, name

    def fetch(self, spool: str, after: int) -> Spooled:
        """Two records at most."""
        agents, name = self._agents, self._name
        agents.asked.append((name, spool, after))
        if name in agents.away:
            raise Unavailable(f"{name}: nobody answers")
        after = after if spool == agents.spools[name] else 0
        kept = agents.kept.get(name, [])
        found = kept[after : after + 2]
        return Spooled(agents.spools[name], after + len(found), found, [], after + 2 < len(kept))


def record(job: int, started: int, ended: int, uuid: str = "GPU-1", **more: object) -> Measured:
    """One run on one GPU, seen all the time."""
    held = 1000 * (ended - started)
    return Measured(job, uuid, started, ended, allocated_ms=held, covered_ms=held, **more)  # type: ignore[arg-type]


FOUR = [record(1, T + 2, T + 2 * HOUR + 5, f"GPU-{number}") for number in range(4)]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """The small books."""
    opened = open_engine(store_url)
    books.fill(opened)
    with opened.write() as connection:
        connection.execute(tables.sweep.insert().values(cluster=CLUSTER, covered_until=NOW, observed_at=NOW))
    yield opened
    opened.close()


def fetched(store: Store, agents: Spooling, go_on: Callable[[], None] = lambda: None) -> Result:
    """A round."""
    return fetch.run(store, agents, now=NOW, go_on=go_on)


def stored(store: Store) -> list[tuple[int, str, str, int, int | None]]:
    """Job, device, node, time held and the job id of the run it was matched with."""
    m, run = tables.measured.c, tables.run.c
    query = (
        select(m.job_id, m.uuid, m.node, m.allocated_ms, run.submit)
        .join_from(tables.measured, tables.run, m.run_id == run.id, isouter=True)
        .order_by(m.job_id, m.started, m.uuid)
    )
    with store.read() as connection:
        return [tuple(row) for row in connection.execute(query)]  # type: ignore[misc]


def test_records_arrive_with_their_run(store: Store) -> None:
    """All pages of all agents, each record under its node and matched with the run of its job."""
    done = fetched(store, Spooling(a1=FOUR, a2=[record(2, T + 1, T + 3 * HOUR)]))

    assert ({CLUSTER: 2}, {}, 5, 5, {CLUSTER: 0}) == (
        done.answered, done.failed, done.records, done.matched, done.unmatched,
    )  # fmt: skip
    assert [(1, f"GPU-{n}", "a1", 7_203_000, T) for n in range(4)] == stored(store)[:4]
    assert (2, "GPU-1", "a2", 10_799_000, T) == stored(store)[4]
    with store.read() as connection:
        assert [(CLUSTER, "a1:9751", NOW, ""), (CLUSTER, "a2:9751", NOW, "")] == gpu_use.fetched(connection)


def test_again_only_what_is_new(store: Store) -> None:
    """The next round goes on behind the last record; what is handed out once more changes nothing."""
    agents = Spooling(a1=FOUR)
    fetched(store, agents)
    before = stored(store)
    agents.asked.clear()
    done = fetched(store, agents)

    assert [("a1", "first", 4), ("a2", "first", 0)] == sorted(agents.asked)
    assert (0, before) == (done.records, stored(store))

    agents.spools["a1"] = "second"  # its folder was lost and found: all of it again
    done = fetched(store, agents)
    assert (0, before) == (done.records, stored(store))


def test_the_longer_record_stands(store: Store) -> None:
    """A job that was thought to be over and was not has two records of one run and device."""
    short = record(1, T + 2, T + HOUR)
    agents = Spooling(a1=[FOUR[1], short._replace(uuid="GPU-1")])
    fetched(store, agents)

    assert [(1, "GPU-1", "a1", 7_203_000, T)] == stored(store)
    fetched(store, Spooling(a1=[short._replace(uuid="GPU-2")]))
    agents.kept["a1"] = [*agents.kept["a1"], FOUR[2]]
    fetched(store, agents)
    assert [7_203_000, 7_203_000] == [row[3] for row in stored(store)]


def test_one_that_fails_hurts_nobody(store: Store) -> None:
    """Why is noted beside where it stood; when it is back it goes on from there."""
    agents = Spooling(a1=FOUR[:1], a2=[record(2, T, T + 3 * HOUR)])
    fetched(store, agents)
    agents.kept["a1"] += FOUR[1:]
    agents.away = {"a2"}
    done = fetched(store, agents)

    assert ({CLUSTER: 1}, {CLUSTER: ("a2: nobody answers",)}, 3) == (done.answered, done.failed, done.records)
    with store.read() as connection:
        assert (NOW, "a2: nobody answers") == gpu_use.fetched(connection)[1][2:]

    agents.away, agents.asked = set(), []
    fetched(store, agents)
    assert ("a2", "first", 1) in agents.asked
    with store.read() as connection:
        assert "" == gpu_use.fetched(connection)[1].failure


def test_who_is_away_longest(store: Store) -> None:
    """The oldest answer of a cluster is of who does not answer; who never did has none."""
    agents = Spooling()
    agents.away = {"a1", "a2"}
    assert {} == fetched(store, agents).oldest
    oldest = []
    for day, away in enumerate((set(), {"a2"}, {"a1"}, {"a1"})):
        agents.away = away
        oldest.append(fetch.run(store, agents, now=NOW + day * DAY).oldest[CLUSTER] - NOW)

    assert [0, 0, DAY, DAY] == oldest


def test_what_cannot_be_true(store: Store) -> None:
    """It is left out and told, and the record beside it arrives; the next round goes on behind both."""
    wrong = record(1, T + 2, T + HOUR, "GPU-9")._replace(covered_ms=10**12)
    agents = Spooling(a1=[wrong, FOUR[0]])
    done = fetched(store, agents)

    assert (1, 1) == (done.records, done.unreadable)
    assert ("a1:9751: job 1 on GPU-9: covered_ms 1000000000000: 3598000 at most",) == done.faults
    assert ["GPU-0"] == [row[1] for row in stored(store)]
    assert 0 == fetched(store, agents).unreadable


def test_one_that_is_no_longer_listed_is_forgotten(store: Store) -> None:
    """It does not fail for ever; what it measured stays."""
    agents = Spooling(a2=[record(2, T, T + 3 * HOUR)])
    fetched(store, agents)
    agents.listed = [A1]
    fetched(store, agents)

    with store.read() as connection:
        assert ["a1:9751"] == [one.node for one in gpu_use.fetched(connection)]
    assert 1 == len(stored(store))


@pytest.mark.parametrize("after", range(6))
def test_a_round_that_ends_at_any_point(store: Store, after: int) -> None:
    """Whatever was written down before the daemon ended, the next round makes it whole."""
    agents = Spooling(a1=FOUR, a2=[record(2, T, T + 3 * HOUR)])
    left = [after]

    def go_on() -> None:
        if not left[0]:
            raise RuntimeError("the daemon ends")
        left[0] -= 1

    if after < 3:  # two pages and one
        with pytest.raises(RuntimeError, match="the daemon ends"):
            fetched(store, agents, go_on)
    fetched(store, agents)
    assert 5 == len(stored(store))
    assert None not in [row[4] for row in stored(store)]


def test_runs_of_a_requeued_job(store: Store) -> None:
    """Each record finds the run it shares its time with, the open one included; one before all finds none."""
    again = [
        RunRecord(CLUSTER, 9, T, T, T + HOUR, "NODE_FAIL", "es-large", ONE_GPU),
        RunRecord(CLUSTER, 9, T + HOUR, T + 2 * HOUR, T + 3 * HOUR, "REQUEUED", "es-large", ONE_GPU),
        RunRecord(CLUSTER, 9, T + 3 * HOUR, T + 4 * HOUR, None, "RUNNING", "es-large", ONE_GPU),
    ]
    books.read(store, [run._replace(job_id=9, elapsed=number) for number, run in enumerate(again)])
    told = [
        record(9, T - DAY, T - HOUR), record(9, T + 3, T + HOUR + 9),
        record(9, T + 2 * HOUR + 3, T + 3 * HOUR + 60), record(9, T + 4 * HOUR, T + 5 * HOUR),
    ]  # fmt: skip
    done = fetched(store, Spooling(a1=told))

    assert [None, T, T + HOUR, T + 3 * HOUR] == [row[4] for row in stored(store)]
    assert (3, {CLUSTER: 1}) == (done.matched, done.unmatched)


def test_a_run_that_comes_later(store: Store) -> None:
    """A record waits for its run until the accounting has it."""
    agents = Spooling(a1=[record(9, T + 5, T + HOUR)])
    assert {CLUSTER: 1} == fetched(store, agents).unmatched

    books.read(store, [RunRecord(CLUSTER, 9, T, T, T + HOUR, "COMPLETED", "es-large", ONE_GPU)])
    done = fetched(store, agents)
    assert (1, {CLUSTER: 0}) == (done.matched, done.unmatched)


@pytest.mark.parametrize("length", [30, HOUR], ids=["short", "long"])
def test_a_record_that_comes_before_its_run(store: Store, length: int) -> None:
    """A job that ran again stood for its first run alone: known as open, then as ended just before."""
    first = RunRecord(CLUSTER, 9, T, T, None, "RUNNING", "es-large", ONE_GPU)
    books.read(store, [first._replace(hash=1)])
    began = T + HOUR + 40
    agents = Spooling(a1=[record(9, T + 2, T + HOUR), record(9, began, began + length)])
    fetched(store, agents)
    assert [T, T] == [row[4] for row in stored(store)]

    books.read(store, [first._replace(end=T + HOUR, state="NODE_FAIL", elapsed=1)])
    assert 0 == fetched(store, agents).matched
    second = RunRecord(CLUSTER, 9, began - 30, began - 3, began + length, "COMPLETED", "es-large", ONE_GPU)
    books.read(store, [second])
    assert (1, {CLUSTER: 0}) == (fetched(store, agents).matched, fetched(store, agents).unmatched)
    assert [T, began - 30] == [row[4] for row in stored(store)]


def test_an_agent_of_no_cluster(store: Store) -> None:
    """Where there are two clusters each agent must be in one of them."""
    with store.write() as connection:
        connection.execute(tables.sweep.insert().values(cluster="other", covered_until=NOW, observed_at=NOW))
    with pytest.raises(BadInput, match=f"a2:9751 has no label cluster, and there are 2: {CLUSTER}, other"):
        fetched(store, Spooling())
