"""Credits for node failures: drafted once with their runs, renewed while they wait, posted by a person."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from collectors.slurm.hosts import expand
from opsd.core.agreements import Policy
from opsd.core.consortium import Consortium, Item
from opsd.core.credits import Mark
from opsd.core.drafts import Content, Draft
from opsd.core.errors import Refused
from opsd.core.journal import Entry
from opsd.core.parties import Cluster
from opsd.core.period import DAY, HOUR
from opsd.core.records import RunRecord
from opsd.core.shape import Inventory
from opsd.pipeline import awards, balance, consortium, journal
from opsd.pipeline import credits as node_failures
from opsd.pipeline.awards import Act
from opsd.pipeline.credits import Result
from opsd.store import drafts, imports, migrate, parties
from opsd.store.engine import Store, open_engine, sqlite_address
from opsd.store.write import Writer
from tests.pipeline.priced_world import T, grants, stored
from tests.pipeline.test_balance import FOUND, ONE_GPU, PER_HOUR, TWO_GPUS, award, bound, run

NOW = T + 50 * HOUR
DRAFTING = '{"draft_credits":true}'
GIVES = Policy("gives", "gpu_hours", params=DRAFTING)
Make = Callable[..., Store]


def failed(start: int, end: int, **columns: Any) -> RunRecord:
    """A run that ended with its node."""
    return run(start, end, **({"state": "NODE_FAIL"} | columns))


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to copy."""
    path = tmp_path_factory.mktemp("failures") / "empty.db"
    store = open_engine(sqlite_address(path))
    migrate.upgrade(store)
    store.close()
    return path


@pytest.fixture
def make(tmp_path: Path, empty: Path) -> Iterator[Make]:
    """Makes databases of runs, numbered as jobs from 1, under an award A whose policy drafts credits."""
    numbers, made = count(), []

    def making(rows: list[RunRecord], *items: Item) -> Store:
        known = Consortium.of([*FOUND, GIVES, award(policy="gives"), bound(), *items])
        path = shutil.copy(empty, tmp_path / f"{next(numbers)}.db")
        made.append(stored(sqlite_address(Path(path)), rows, known, grants(known), NOW))
        return made[-1]

    yield making
    for store in made:
        store.close()


def again(store: Store, rows: Iterable[RunRecord], seen: int) -> None:
    """Slurm says otherwise later."""
    with store.write() as connection:
        inventory = Inventory(parties.load(connection).node_classes, expand)
        number = imports.open_import(connection, "later", seen, seen)
        Writer(connection, inventory, number, seen).batch(connection, list(rows))


def kept(store: Store) -> list[Draft]:
    """Every draft."""
    with store.read() as connection:
        return drafts.every(connection)


def told(store: Store) -> list[tuple[str | None, str, list[tuple[str, Fraction]]]]:
    """(mark, state, [(award, hours)]) of every draft."""
    return [
        (one.mark, one.state, [(e.award, Fraction(e.amount, PER_HOUR)) for e in one.content.entries])
        for one in kept(store)
    ]


def left(store: Store, name: str = "A") -> Fraction:
    """Hours left of an award."""
    with store.read() as connection:
        lines = {line.key: line.left for line in balance.run(connection, as_of=NOW).lines}
    return Fraction(lines[name], PER_HOUR)


def mark(job: int, start: int) -> str:
    """How a run of the tests is named."""
    return f"mn5/{job}@{T + start * HOUR}"


# -------------------------------------------------------------------------------------------- what is drafted


def test_a_failed_run_is_drafted_once_for_what_it_was_charged(make: Make) -> None:
    """Exactly its charge, with all that a person needs to judge it; a second look changes nothing."""
    store = make([failed(1, 4, tres=TWO_GPUS), run(2, 9)])
    assert Result(1, 0, 0, 1) == node_failures.run(store, NOW)
    assert [(mark(1, 1), "waiting", [("A", Fraction(6))])] == told(store)
    [draft] = kept(store)
    assert {
        "run": mark(1, 1), "cluster": "mn5", "job": 1, "submit": T + HOUR, "state": "NODE_FAIL",
        "start": T + HOUR, "end": T + 4 * HOUR, "nodes": "as01", "seconds": 3 * HOUR, "charge": "6",
        "unit": "gpu-hours", "policy": ["gives from 1970-01-01T00:00:00+00:00"],
    } == json.loads(draft.content.entries[0].evidence)["runs"][0]  # fmt: skip
    before = kept(store)
    assert Result(0, 0, 0, 1) == node_failures.run(store, NOW + HOUR)
    assert before == kept(store)
    assert 100 - 6 - 7 == left(store)  # a draft changes no balance


def test_what_is_not_drafted(make: Make) -> None:
    """Other ends, runs that go on, accounts of nobody, use outside the award's life, CPUs under GPU-hours."""
    rows = [
        run(1, 2), failed(1, 2, state="FAILED"), failed(1, 2, state="REQUEUED"), run(1, None),
        failed(1, 2, account="nobody"), failed(-5, -4), failed(300, 301), failed(1, 2, tres="cpu=8,node=1"),
    ]  # fmt: skip
    store = make(rows)
    assert Result(0, 0, 0, 0) == node_failures.run(store, T + 900 * HOUR)


def test_only_the_part_inside_the_awards_life_is_given_back(make: Make) -> None:
    """A run that outlives its award by an hour gets the rest."""
    store = make([failed(10 * 24 - 2, 10 * 24 + 1)])
    node_failures.run(store, T + 20 * DAY)
    assert [(mark(1, 10 * 24 - 2), "waiting", [("A", Fraction(2))])] == told(store)


def test_only_policies_that_ask_for_it(make: Make) -> None:
    """A run across a policy's change: what the version with draft_credits charged; other awards nothing."""
    turns = [
        Policy("turns", "gpu_hours", 0, T + 3 * HOUR),
        Policy("turns", "gpu_hours", T + 3 * HOUR, params=DRAFTING),
    ]
    others = [award("B", policy="turns"), bound("B", "b"), award("C"), bound("C", "c"), *turns]
    store = make([failed(1, 5, account="b"), failed(1, 5, account="c")], *others)
    node_failures.run(store, NOW)
    assert [(mark(1, 1), "waiting", [("B", Fraction(2))])] == told(store)


def test_a_run_of_two_awards_is_one_draft(make: Make) -> None:
    """An account that was bound anew while it ran: each award gets its own part back."""
    moved = [award("B", policy="gives"), bound("A", "m", until=T + 3 * HOUR), bound("B", "m", T + 3 * HOUR)]
    store = make([failed(1, 6, account="m")], *moved)
    node_failures.run(store, NOW)
    assert [(mark(1, 1), "waiting", [("A", Fraction(2)), ("B", Fraction(3))])] == told(store)


# ------------------------------------------------------------------------------------------------ late truth


def test_a_later_record_renews_a_draft_that_waits(make: Make) -> None:
    """Another end: another amount, under the same number."""
    store = make([failed(1, 4)])
    node_failures.run(store, NOW)
    again(store, [failed(1, 3, job_id=1, hash=77)], NOW + HOUR)
    assert Result(0, 1, 0, 1) == node_failures.run(store, NOW + HOUR)
    assert [(mark(1, 1), "waiting", [("A", Fraction(2))])] == told(store)


def test_a_run_that_failed_after_all_otherwise_is_withdrawn(make: Make) -> None:
    """Slurm's record says COMPLETED now: nobody is asked about it any more."""
    store = make([failed(1, 4)])
    node_failures.run(store, NOW)
    again(store, [run(1, 4, job_id=1, hash=77)], NOW + HOUR)
    assert Result(0, 0, 1, 0) == node_failures.run(store, NOW + HOUR)
    [draft] = kept(store)
    assert ("declined", "opsd") == (draft.state, draft.decided_by)


@pytest.mark.parametrize("decision", ["posted", "declined"])
def test_what_was_decided_is_left_alone(make: Make, decision: str) -> None:
    """A record that changes later makes no other draft, and touches none that was decided."""
    store = make([failed(1, 4)])
    node_failures.run(store, NOW)
    if decision == "posted":
        journal.approve(store, 1, person="Ana", now=NOW)
    else:
        journal.decline(store, 1, person="Ana", reason="their own fault", now=NOW)
    before = kept(store)
    again(store, [failed(1, 3, job_id=1, hash=77)], NOW + HOUR)
    assert Result(0, 0, 0, 0) == node_failures.run(store, NOW + HOUR)
    assert (before, decision) == (kept(store), before[0].state)


def test_a_cluster_of_another_name_gives_nothing_twice(make: Make) -> None:
    """What was drafted under a former name of the cluster is known under its present one."""
    store = make([failed(1, 4)], Cluster("mn5", former_names=("old",)))
    with store.write() as connection:
        at = f"old/1@{T + HOUR}"
        drafts.keep(connection, Draft(NOW, "credit", Content(()), mark=at, state="posted", decided_by="Ana"))
    assert Result(0, 0, 0, 0) == node_failures.run(store, NOW)
    assert [(at, "posted", [])] == told(store)


# ---------------------------------------------------------------------------------------------------- persons


def test_one_person_posts_it(make: Make) -> None:
    """Whoever approves answers for it; it counts from then on, and the evidence stands in the journal."""
    store = make([failed(1, 4)])
    node_failures.run(store, NOW)
    journal.approve(store, 1, person="Ana", now=NOW)
    with store.read() as connection:
        entry = parties.journal(connection)[-1]
        assert () == journal.verify(connection).faults
    assert ("credit", "A", 3 * PER_HOUR, "Ana", "", NOW, f"node failure ended {mark(1, 1)}") == (
        entry.kind, entry.award, entry.amount, entry.author, entry.approver, entry.at, entry.reason,
    )  # fmt: skip
    assert mark(1, 1) in entry.evidence
    assert 100 == left(store)


def test_two_persons_post_it_where_asked(make: Make) -> None:
    """The first approval makes it the first person's; the second person posts it, and must be another."""
    store = make([failed(1, 4)])
    consortium.apply(store, Consortium.of([], second_person=["credit"]), author="Ana", now=NOW)
    node_failures.run(store, NOW)
    assert 1 == journal.approve(store, 1, person="Ana", now=NOW).draft
    assert 97 == left(store)
    with pytest.raises(Refused, match="draft 1 is Ana's own"):
        journal.approve(store, 1, person="ana", now=NOW)
    [entry] = journal.approve(store, 1, person="Bob", now=NOW).entries
    assert ("Ana", "Bob") == (entry.author, entry.approver)
    assert 100 == left(store)


def test_a_renewed_draft_is_approved_anew(make: Make) -> None:
    """Who approved another amount did not approve this one."""
    store = make([failed(1, 4)])
    consortium.apply(store, Consortium.of([], second_person=["credit"]), author="Ana", now=NOW)
    node_failures.run(store, NOW)
    journal.approve(store, 1, person="Ana", now=NOW)
    again(store, [failed(1, 3, job_id=1, hash=77)], NOW + HOUR)
    node_failures.run(store, NOW + HOUR)
    assert 1 == journal.approve(store, 1, person="Bob", now=NOW).draft
    assert 98 == left(store)


# -------------------------------------------------------------------------------------------- credits by hand


ANA = Act("Ana", "the file system was away", NOW)


def test_a_person_credits_runs_with_their_evidence(make: Make) -> None:
    """Up to what they were charged; the daemon does not draft them again."""
    store = make([failed(1, 4), run(1, 3)])
    runs = [Mark("mn5", job, T + HOUR) for job in (1, 2)]
    [entry] = awards.credit(store, "A", Fraction(5), ANA, runs=runs).entries
    assert [("3", mark(1, 1)), ("2", mark(2, 1))] == [
        (one["charge"], one["run"]) for one in json.loads(entry.evidence)["runs"]
    ]
    assert Result(0, 0, 0, 0) == node_failures.run(store, NOW)
    assert 100 == left(store)


@pytest.mark.parametrize(
    ("job", "amount", "message"),
    [
        (1, 1, "run mn5/1@[0-9]+ is credited already, by draft 1"),
        (2, 3, "these runs were charged 2 together; credit no more"),
        (3, 1, "run mn5/3@[0-9]+ was not charged to award 'A' inside its life"),
        (9, 1, "run mn5/9@[0-9]+: no ended run is stored under that key"),
    ],
)
def test_what_cannot_be_credited(make: Make, job: int, amount: int, message: str) -> None:
    """A run that is drafted already, more than the charge, another account's run, and an unknown one."""
    store = make([failed(1, 4), run(1, 3), run(1, 3, account="other")])
    node_failures.run(store, NOW)
    with pytest.raises(Refused, match=message):
        awards.credit(store, "A", Fraction(amount), ANA, runs=[Mark("mn5", job, T + HOUR)])
    assert 95 == left(store)


def test_a_run_is_credited_by_hand_once(make: Make) -> None:
    """Also where the daemon's draft of it was declined before."""
    store = make([failed(1, 4)])
    node_failures.run(store, NOW)
    journal.decline(store, 1, person="Ana", reason="by hand", now=NOW)
    runs = [Mark("mn5", 1, T + HOUR)]
    awards.credit(store, "A", Fraction(1), ANA, runs=runs)
    with pytest.raises(Refused, match="is credited already, by entry 2"):
        awards.credit(store, "A", Fraction(1), ANA, runs=runs)


def test_a_run_is_posted_once_whoever_drafted_it(make: Make) -> None:
    """Two that looked at the same time: the second is refused when it is posted."""
    store = make([run(1, 4)])
    with store.read() as connection:
        text = node_failures.resting_on(connection, "A", [Mark("mn5", 1, T + HOUR)], PER_HOUR, NOW)
    entry = Entry(NOW, NOW, "credit", "A", "gpu-hours", PER_HOUR, "why", "Ana", evidence=text)
    draft = Draft(NOW, "credit", Content((entry,)), "Ana")
    journal.add(store, draft, now=NOW)
    with pytest.raises(Refused, match=r"run mn5/1@[0-9]+ is credited already, by entry 2: decline"):
        journal.add(store, draft, now=NOW)
    assert 98 == left(store)


def test_each_award_of_a_run_is_credited_by_hand(make: Make) -> None:
    """A run that two awards paid for is given back to either, each its part."""
    moved = [award("B", policy="gives"), bound("A", "m", until=T + 3 * HOUR), bound("B", "m", T + 3 * HOUR)]
    store = make([run(1, 6, account="m")], *moved)
    for name, hours in (("A", 2), ("B", 3)):
        awards.credit(store, name, Fraction(hours), ANA, runs=[Mark("mn5", 1, T + HOUR)])
    assert [100, 100] == [left(store, name) for name in ("A", "B")]


@pytest.mark.parametrize("tres", [ONE_GPU, TWO_GPUS])
def test_on_either_engine(store_url: str, tres: str) -> None:
    """Drafted, posted, whole: on SQLite and on PostgreSQL."""
    known = Consortium.of([*FOUND, GIVES, award(policy="gives"), bound()])
    store = stored(store_url, [failed(1, 4, tres=tres)], known, grants(known), NOW)
    assert Result(1, 0, 0, 1) == node_failures.run(store, NOW)
    journal.approve(store, 1, person="Ana", now=NOW)
    assert Result(0, 0, 0, 0) == node_failures.run(store, NOW)
    assert 100 == left(store)
    store.close()
