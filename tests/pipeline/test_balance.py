"""Balances: by hand, and against a slow and obvious second implementation."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from collectors.slurm.hosts import expand
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.amounts import micro_unit_seconds
from opsd.core.attribution import Attribution
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import KINDS, Consortium, Item
from opsd.core.errors import WrongUsage
from opsd.core.journal import Entry
from opsd.core.parties import Cluster, NodeClass, Organisation
from opsd.core.period import DAY, HOUR
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from opsd.core.rules import Unpriced, charge
from opsd.core.shape import Inventory, Shape, classify
from opsd.core.tres import Tres
from opsd.pipeline import balance, rebuild
from opsd.pipeline.balance import Balances, Line
from opsd.store import imports, migrate, parties
from opsd.store.engine import Store, open_engine
from opsd.store.write import Writer
from tests.pipeline import small_world

T = 20_700 * DAY  # a midnight; awards here run from T for ten days
ONE_GPU = "cpu=20,gres/gpu:h100=1,mem=64000,node=1"
TWO_GPUS = "cpu=40,gres/gpu:h100=2,mem=64000,node=1"
FOUR_GPUS = "cpu=160,gres/gpu:h100=4,mem=512000,node=1"

FOUND: list[Item] = [
    Cluster("mn5"),
    Organisation("uni", "Uni", "ES"),
    Organisation("firm", "Firm", "PT"),
    Funder("spain", "Spain", "state", country="ES"),
    Funder("ju", "JU", "ju"),
    Pool("es-pool", "spain"),
    Pool("ju-pool", "ju"),
    Project("p1", "One", "uni"),
    Project("p2", "Two", "firm"),
    Policy("gpu", "gpu_hours"),
    NodeClass("mn5", "acc", nodes="as[01-99]", cores=80, cpus=160, mem_mb=512_000, gpus=4, gpu_class="h100"),
]


def award(name: str = "A", **changes: Any) -> Award:
    """A hundred GPU-hours for ten days, but for what is named."""
    plain: dict[str, Any] = {
        "id": name, "project": "p1", "pool": "es-pool", "amount": Fraction(100), "unit": "gpu-hours", "start": T,
        "end": T + 10 * DAY, "policy": "gpu", **changes,
    }  # fmt: skip
    return Award(**plain)


def bound(name: str = "A", account: str = "a", since: int = T - 99 * DAY, until: int | None = None) -> Binding:
    """An account's use counts for an award."""
    return Binding("mn5", account, name, since, until)


def run(start: int, end: int | None, tres: str = ONE_GPU, **columns: Any) -> RunRecord:
    """A run on one GPU node, in hours from T."""
    state = "RUNNING" if end is None else "COMPLETED"
    until = None if end is None else T + end * HOUR
    plain: dict[str, Any] = {
        "cluster": "mn5", "job_id": 0, "submit": T + start * HOUR, "start": T + start * HOUR, "end": until,
        "state": state, "account": "a", "tres": tres, "nodes": "as01", "limit": 24 * HOUR, **columns,
    }  # fmt: skip
    return RunRecord(**plain)


@pytest.fixture
def balances(sqlite_url: str) -> Callable[..., Balances]:
    """Balances of some runs under some master data, stored for the occasion; hours count from T."""

    def make(items: Iterable[Item], rows: Sequence[RunRecord], hours: float, by: str = "award") -> Balances:
        as_of = T + round(hours * HOUR)
        known = Consortium.of([*FOUND, *items])
        store = stored(sqlite_url, rows, known, grants(known), seen=as_of)
        try:
            stale = told(store, as_of, by)
            rebuild.run(store)
            assert stale == told(store, as_of, by)
            return stale
        finally:
            store.close()

    return make


def told(store: Store, as_of: int, by: str = "award") -> Balances:
    """What opsd says."""
    with store.read() as connection:
        return balance.run(connection, as_of=as_of, by=by)


def grants(known: Consortium) -> list[Entry]:
    """Every award's amount, granted at its start."""
    return [
        Entry(a.start, T, "grant", a.id, a.unit, micro_unit_seconds(a.amount), "", "test")
        for a in known.awards.values()
    ]


def stored(
    url: str, rows: Sequence[RunRecord], known: Consortium, entries: Sequence[Entry], seen: int
) -> Store:
    """A database with these runs, seen at one time, this master data and this journal."""
    store = open_engine(url)
    migrate.upgrade(store)
    numbered = [row._replace(job_id=number, hash=number) for number, row in enumerate(rows, 1)]
    with store.write() as connection:
        parties.save(connection, Consortium(), known)
        parties.post(connection, entries)
        number = imports.open_import(connection, "test", seen, seen)
        Writer(connection, Inventory(known.node_classes, expand), number, seen).batch(connection, numbered)
    return store


def micro(unit_hours: float | Fraction) -> int:
    """Unit-hours in micro-unit-seconds."""
    return micro_unit_seconds(Fraction(unit_hours))


def figures(line: Line) -> tuple[object, ...]:
    """What a line says, in unit-hours: settled, accrued, committed, left, free, after end."""
    values = (line.settled, line.accrued, line.committed, line.left, line.free, line.after_end)
    return tuple(None if value is None else Fraction(value, 3_600_000_000) for value in values)


# ------------------------------------------------------------------------------------------------ by hand


def test_settled_accrued_committed_left_and_free(balances: Callable[..., Balances]) -> None:
    """Four GPUs for two hours are settled; two for four hours are accrued, and two hours are to come."""
    rows = [run(0, 2, FOUR_GPUS), run(1, None, TWO_GPUS, limit=6 * HOUR)]

    (line,) = balances([award(), bound()], rows, 5).lines

    assert (8, 8, 4, 84, 80, 0) == figures(line)
    assert ("A", "gpu-hours", "ok", 16) == (line.key, line.unit, line.state, line.used // micro(1))
    assert ("gpu-seconds", "360000", "28800", "28800", "14400", "302400", "288000", "0", "ok") == line.values()


def test_an_award_nobody_uses_is_shown(balances: Callable[..., Balances]) -> None:
    """What was granted and not touched is a line of its own."""
    (line,) = balances([award()], [], 1).lines

    assert (0, 0, 0, 100, 100, 0) == figures(line)


def test_suspension_is_charged_or_not_and_extends_the_limit(balances: Callable[..., Balances]) -> None:
    """A suspended GPU is held: charged unless the policy says no; the limit's clock stands still."""
    row = run(0, None, TWO_GPUS, limit=6 * HOUR, suspended=HOUR)
    free_of_it = Policy("gpu", "gpu_hours", params='{"suspended":false}')

    (held,) = balances([award(), bound()], [row], 4).lines

    assert (0, 8, 6, 92, 86, 0) == figures(held)
    assert (0, 6, 6, 94, 88, 0) == figures(once(free_of_it, [row]))


def once(policy: Policy, rows: Sequence[RunRecord]) -> Line:
    """The line of one award under a policy, four hours after T."""
    store = stored("sqlite://", rows, known := Consortium.of([*FOUND, policy, award(), bound()]), grants(known), T + 4 * HOUR)
    (line,) = told(store, T + 4 * HOUR).lines
    store.close()
    return line


@pytest.mark.parametrize("limit", [None, UNLIMITED, PARTITION_LIMIT])
def test_an_unknown_limit_is_unknown_and_never_nothing(
    balances: Callable[..., Balances], limit: int | None
) -> None:
    """One open run without a number makes the award's committed and free unknown, and is counted."""
    rows = [run(0, None, limit=limit), run(0, None, limit=5 * HOUR), run(0, None, account="b", limit=5 * HOUR)]

    found = balances([award(), bound(), award("B"), bound("B", "b")], rows, 4)

    assert [(0, 8, None, 92, None, 0), (0, 4, 1, 96, 95, 0)] == [figures(line) for line in found.lines]
    assert 1 == found.unknown_limits
    assert ("unknown", "unknown") == (found.lines[0].values()[4], found.lines[0].values()[6])


def test_a_run_past_its_limit_commits_nothing(balances: Callable[..., Balances]) -> None:
    """A limit that has passed, as in grace time, is no negative promise."""
    (line,) = balances([award(), bound()], [run(0, None, limit=HOUR), run(0, None, limit=5 * HOUR)], 3).lines

    assert (0, 6, 2) == figures(line)[:3]


def test_a_resized_job_keeps_its_original_limit(balances: Callable[..., Balances]) -> None:
    """Slurm counts the limit from the original Start, which the row after a resize carries again."""
    row = run(0, None, submit=T + 2 * HOUR, limit=6 * HOUR)

    (line,) = balances([award(), bound()], [row], 4).lines

    assert (0, 2, 2) == figures(line)[:3]


def test_use_after_the_end_stands_apart(balances: Callable[..., Balances]) -> None:
    """What runs on after an award's end is in neither settled nor left, and nothing of it is committed."""
    short = award(end=T + 3 * HOUR)
    rows = [run(2, 5, FOUR_GPUS), run(1, None, TWO_GPUS), run(4, None)]

    (line,) = balances([short, bound()], rows, 6).lines

    assert (4, 4, 0, 92, 92, 4 * 2 + 2 * 3 + 2) == figures(line)


def test_use_before_the_start_stands_apart(balances: Callable[..., Balances]) -> None:
    """What runs before an award begins is in neither settled nor left."""
    late = award(start=T + 3 * HOUR)

    (line,) = balances([late, bound()], [run(1, 5, FOUR_GPUS)], 6).lines
    assert (8, 0, 0, 92, 92, 8) == figures(line)


def test_nothing_of_the_future_counts(balances: Callable[..., Balances]) -> None:
    """As of an instant, runs and grants that begin later do not exist."""
    rows = [run(0, 1), run(5, 6), run(5, None)]

    (line,) = balances([award(), bound()], rows, 4).lines

    assert (1, 0, 0, 99, 99, 0) == figures(line)


def test_as_of_the_past_a_run_that_ended_later_is_open(balances: Callable[..., Balances]) -> None:
    """Seen from then it was running: accrued so far, and committed to its limit."""
    rows = [run(1, 6, TWO_GPUS, limit=10 * HOUR), run(0, 4, FOUR_GPUS)]
    items = [award(), bound()]

    assert (0, 0, 0, 100, 100, 0) == figures(balances(items, rows, -1).lines[0])._replace_none()


def test_a_key_that_does_not_exist_is_refused(balances: Callable[..., Balances]) -> None:
    """A typo says what was meant."""
    with pytest.raises(WrongUsage, match="did you mean 'country'"):
        balances([award()], [], 0, by="contry")
