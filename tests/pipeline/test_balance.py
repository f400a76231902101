"""Balances: by hand, and against a slow and obvious second implementation."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from collectors.slurm.hosts import expand
from opsd.core.agreements import Funder, Policy, Pool
from opsd.core.attribution import Attribution
from opsd.core.awards import Award, Binding, Project
from opsd.core.consortium import Consortium, Item
from opsd.core.errors import WrongUsage
from opsd.core.journal import Entry
from opsd.core.parties import Cluster, NodeClass, Organisation
from opsd.core.period import DAY, HOUR
from opsd.core.records import PARTITION_LIMIT, UNLIMITED, RunRecord
from opsd.core.rules import Unpriced, charge
from opsd.core.shape import Inventory, Shape, classify
from opsd.core.tres import Tres
from opsd.pipeline import balance, rebuild
from opsd.pipeline.balance import KEYS, Balances, Line
from opsd.store import migrate
from opsd.store.engine import Store, open_engine, sqlite_address
from tests.pipeline.priced_world import BASE, T, World, grants, stored, world

# Awards here run from T, a midnight, for ten days.
ONE_GPU = "cpu=20,gres/gpu:h100=1,mem=64000,node=1"
TWO_GPUS = "cpu=40,gres/gpu:h100=2,mem=64000,node=1"
FOUR_GPUS = "cpu=160,gres/gpu:h100=4,mem=512000,node=1"
PER_HOUR = 3_600_000_000

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
        "id": name, "project": "p1", "pool": "es-pool", "amount": Fraction(100), "unit": "gpu-hours",
        "start": T, "end": T + 10 * DAY, "policy": "gpu", **changes,
    }  # fmt: skip
    return Award(**plain)


def bound(
    name: str = "A", account: str = "a", since: int = T - 99 * DAY, until: int | None = None
) -> Binding:
    """An account's use counts for an award."""
    return Binding("mn5", account, name, since, until)


def run(start: int, end: int | None, tres: str = ONE_GPU, **columns: Any) -> RunRecord:
    """A run on one GPU node from one hour after T to another; a day is its limit."""
    plain: dict[str, Any] = {
        "cluster": "mn5", "job_id": 0, "submit": T + start * HOUR, "start": T + start * HOUR,
        "end": None if end is None else T + end * HOUR, "state": "RUNNING" if end is None else "COMPLETED",
        "account": "a", "tres": tres, "nodes": "as01", "limit": DAY, **columns,
    }  # fmt: skip
    return RunRecord(**plain)


def told(store: Store, as_of: int, by: str = "award") -> Balances:
    """What opsd says."""
    with store.read() as connection:
        return balance.run(connection, as_of=as_of, by=by)


Books = Callable[..., Store]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with its tables, to be copied: making one takes longer than what is done with it."""
    path = tmp_path_factory.mktemp("balance") / "empty.db"
    store = open_engine(sqlite_address(path))
    migrate.upgrade(store)
    store.close()
    return path


@pytest.fixture
def books(tmp_path: Path, empty: Path) -> Iterator[Books]:
    """Makes databases: master data, runs, and the hour after T at which Slurm was asked."""
    numbers, made = count(), []

    def make(
        items: Iterable[Item], rows: Sequence[RunRecord], hour: float, entries: Sequence[Entry] | None = None
    ) -> Store:
        known = Consortium.of([*FOUND, *items])
        posted = grants(known) if entries is None else entries
        path = shutil.copy(empty, tmp_path / f"{next(numbers)}.db")
        made.append(stored(sqlite_address(path), rows, known, posted, T + int(hour * HOUR)))
        return made[-1]

    yield make
    for store in made:
        store.close()


Lines = Callable[..., list[Line]]


@pytest.fixture
def lines(books: Books) -> Lines:
    """Balances at the hour at which Slurm was asked: the same whether facts are stale or built."""

    def make(items: Iterable[Item], rows: Sequence[RunRecord], hour: float) -> list[Line]:
        store = books(items, rows, hour)
        stale = told(store, T + int(hour * HOUR))
        rebuild.run(store)
        assert stale == told(store, T + int(hour * HOUR))
        return list(stale.lines)

    return make


def figures(line: Line) -> tuple[Fraction | None, ...]:
    """Settled, accrued, committed, left, free and after end, in unit-hours."""
    values = (line.settled, line.accrued, line.committed, line.left, line.free, line.after_end)
    return tuple(None if value is None else Fraction(value, PER_HOUR) for value in values)


# ------------------------------------------------------------------------------------------------ by hand


def test_settled_accrued_committed_left_and_free(lines: Lines) -> None:
    """Four GPUs for two hours are settled; two for four hours are accrued, and two hours are to come."""
    rows = [run(0, 2, FOUR_GPUS), run(1, None, TWO_GPUS, limit=6 * HOUR)]

    (line,) = lines([award(), bound()], rows, 5)

    assert (8, 8, 4, 84, 80, 0) == figures(line)
    assert ("A", "gpu-hours", 16 * PER_HOUR) == (line.key, line.unit, line.used)
    assert (
        "gpu-seconds",
        "360000",
        "28800",
        "28800",
        "14400",
        "302400",
        "288000",
        "0",
        "ok",
    ) == line.values()


def test_an_award_nobody_uses_is_shown(lines: Lines) -> None:
    """What was granted and not touched is a line of its own."""
    (line,) = lines([award()], [], 1)

    assert (0, 0, 0, 100, 100, 0) == figures(line)


def test_suspension_is_charged_or_not_and_extends_the_limit(lines: Lines) -> None:
    """A suspended GPU is held: charged unless the policy says no; the limit's clock stands still."""
    rows = [run(0, None, TWO_GPUS, limit=6 * HOUR, suspended=HOUR)]
    free_of_it = Policy("gpu", "gpu_hours", params='{"suspended":false}')

    (held,) = lines([award(), bound()], rows, 4)
    (not_held,) = lines([award(), bound(), free_of_it], rows, 4)

    assert (0, 8, 6, 92, 86, 0) == figures(held)
    assert (0, 6, 6, 94, 88, 0) == figures(not_held)


def test_suspension_of_a_run_that_ends_later_is_spread(books: Books) -> None:
    """As of the middle of a run, half of its suspended seconds have passed and extend the limit."""
    rows = [run(0, 8, TWO_GPUS, limit=6 * HOUR, suspended=2 * HOUR)]
    free_of_it = Policy("gpu", "gpu_hours", params='{"suspended":false}')

    (line,) = told(books([award(), bound(), free_of_it], rows, 9), T + 4 * HOUR).lines

    assert (0, 6, 6, 94, 88, 0) == figures(line)


def test_a_suspension_that_is_placed_has_passed_or_has_not(books: Books) -> None:
    """With its times known, the balance at an instant holds just what was suspended by then."""
    early, late = (f"{T + hour * HOUR}-{T + (hour + 2) * HOUR}" for hour in (1, 5))
    free_of_it = Policy("gpu", "gpu_hours", params='{"suspended":false}')

    for text, expected in ((early, (0, 4, 8, 96, 88, 0)), (late, (0, 8, 4, 92, 88, 0))):
        rows = [run(0, 8, TWO_GPUS, limit=6 * HOUR, suspended=2 * HOUR, suspensions=text)]
        (line,) = told(books([award(), bound(), free_of_it], rows, 9), T + 4 * HOUR).lines
        assert expected == figures(line)


@pytest.mark.parametrize("limit", [None, UNLIMITED, PARTITION_LIMIT])
def test_an_unknown_limit_is_unknown_and_never_nothing(books: Books, limit: int | None) -> None:
    """One open run without a number makes its award's committed and free unknown, and is counted."""
    rows = [
        run(0, None, limit=limit),
        run(0, None, limit=5 * HOUR),
        run(0, None, account="b", limit=5 * HOUR),
    ]
    items = [award(), bound(), award("B"), bound("B", "b")]

    found = told(books(items, rows, 4), T + 4 * HOUR)

    assert [(0, 8, None, 92, None, 0), (0, 4, 1, 96, 95, 0)] == [figures(line) for line in found.lines]
    assert 1 == found.unknown_limits
    assert ["unknown", "unknown"] == [found.lines[0].values()[place] for place in (4, 6)]


def test_a_run_past_its_limit_commits_nothing(lines: Lines) -> None:
    """A limit that has passed, as in grace time, is no negative promise."""
    (line,) = lines([award(), bound()], [run(0, None, limit=HOUR), run(0, None, limit=5 * HOUR)], 3)

    assert (0, 6, 2) == figures(line)[:3]


def test_a_resized_job_keeps_its_original_limit(lines: Lines) -> None:
    """Slurm counts the limit from the original Start, which the row after a resize carries again."""
    (line,) = lines([award(), bound()], [run(0, None, submit=T + 2 * HOUR, limit=6 * HOUR)], 4)

    assert (0, 2, 2) == figures(line)[:3]


def test_use_after_the_end_stands_apart(lines: Lines) -> None:
    """What runs on after an award's end is in neither settled nor left, and nothing of it is committed."""
    rows = [run(2, 5, FOUR_GPUS), run(1, None, TWO_GPUS), run(4, None)]

    (line,) = lines([award(end=T + 3 * HOUR), bound()], rows, 6)

    assert (4, 4, 0, 92, 92, 4 * 2 + 2 * 3 + 2) == figures(line)


def test_use_before_the_start_stands_apart(lines: Lines) -> None:
    """What runs before an award begins is in neither settled nor left."""
    (line,) = lines([award(start=T + 3 * HOUR), bound()], [run(1, 5, FOUR_GPUS)], 6)

    assert (8, 0, 0, 92, 92, 8) == figures(line)


def test_nothing_of_the_future_counts(books: Books) -> None:
    """As of an instant, runs, grants and changes of grants that come later do not exist."""
    items = [award(), bound(), award("B", start=T + 5 * HOUR)]
    more = Entry(T + 5 * HOUR, T, "extension", "A", "gpu-hours", 50 * PER_HOUR, "", "test")
    less = Entry(T + 2 * HOUR, T, "adjustment", "A", "gpu-hours", -10 * PER_HOUR, "", "test")
    closed = Entry(
        T + HOUR, T, "close", "A", "gpu-hours", 7 * PER_HOUR, "", "test", subject="m/1", digest="0" * 64
    )
    entries = [*grants(Consortium.of(items)), more, less, closed]
    store = books(items, [run(0, 1), run(5, 6), run(5, None)], 8, entries)

    early, late = told(store, T + 4 * HOUR).lines, told(store, T + 8 * HOUR).lines

    assert [(1, 0, 0, 89, 89, 0), (0, 0, 0, 0, 0, 0)] == [figures(line) for line in early]
    assert [(2, 3, 21, 135, 114, 0), (0, 0, 0, 100, 100, 0)] == [figures(line) for line in late]


def test_as_of_the_past_a_run_that_ended_later_is_open(books: Books) -> None:
    """Seen from then it was running: accrued so far, committed to its limit; settled once it has ended."""
    rows = [run(1, 6, TWO_GPUS, limit=10 * HOUR), run(0, 4, FOUR_GPUS, limit=7 * HOUR)]
    store = books([award(), bound()], rows, 9)

    found = [figures(told(store, T + hour * HOUR).lines[0])[:3] for hour in (0, 1, 3, 4, 6, 9)]

    assert [(0, 0, 0), (0, 4, 24), (0, 16, 32), (16, 6, 14), (26, 0, 0), (26, 0, 0)] == found


def test_accrual_stops_where_an_open_run_was_last_seen(books: Books) -> None:
    """Nobody knows what came after the last look: it is neither accrued nor taken off the limit's end."""
    store = books([award(), bound()], [run(0, None, TWO_GPUS, limit=10 * HOUR)], 4)

    (line,) = told(store, T + 6 * HOUR).lines

    assert (0, 8, 8, 92, 84, 0) == figures(line)


def test_cpu_use_under_an_award_of_gpu_hours_is_free(lines: Lines) -> None:
    """No GPU, no charge, and nothing is missing."""
    (line,) = lines([award(), bound()], [run(0, 3, "cpu=160,node=1"), run(0, None, "cpu=4,node=1")], 5)

    assert ((0, 0, 0, 100, 100, 0), "ok") == (figures(line), line.state)


def test_classes_may_weigh_differently(lines: Lines) -> None:
    """A GPU-hour of one class may cost half of another's."""
    half = Policy("gpu", "gpu_hours", params='{"weights":{"a100":"1/2"}}')
    rows = [run(0, 3, "gres/gpu=3,gres/gpu:a100=1,gres/gpu:h100=2", nodes=None)]

    (line,) = lines([award(), bound(), half], rows, 5)

    assert (Fraction("7.5"), 0, 0) == figures(line)[:3]


# -------------------------------------------------------------------------------- changes in the middle


def test_a_policy_may_change_while_a_run_goes_on(lines: Lines) -> None:
    """Each second is charged by the version in force then, also in the middle of an hour and a day."""
    turn = T + HOUR + 30 * 60 + 7
    versions = [
        Policy("gpu", "gpu_hours", valid_until=turn),
        Policy("gpu", "gpu_hours", valid_from=turn, params='{"weights":{"h100":"2"}}'),
    ]
    rows = [run(0, 3), run(-30, 30, TWO_GPUS), run(1, None, FOUR_GPUS, limit=40 * HOUR)]

    (line,) = lines([award(start=T - 3 * DAY), bound(), *versions], rows, 31)

    early = HOUR + 30 * 60 + 7
    settled = early + 2 * (3 * HOUR - early) + 2 * (30 * HOUR + early) + 4 * (30 * HOUR - early)
    accrued = 4 * (early - HOUR) + 8 * (31 * HOUR - early)
    assert [seconds * 1_000_000 for seconds in (settled, accrued, 8 * 10 * HOUR)] == [
        line.settled, line.accrued, line.committed,
    ]  # fmt: skip


def test_an_account_may_change_hands_at_an_hour(lines: Lines) -> None:
    """Until the hour one award pays, from it on the next; what is to come is the second one's."""
    hands = [bound("A", until=T + 26 * HOUR), bound("B", since=T + 26 * HOUR)]
    rows = [run(1, 29, TWO_GPUS), run(25, None, FOUR_GPUS, limit=10 * HOUR)]

    a, b = lines([award(), award("B"), *hands], rows, 30)

    assert [(50, 4, 0), (6, 16, 20)] == [figures(line)[:3] for line in (a, b)]


def test_what_is_committed_is_the_next_seconds_award(lines: Lines) -> None:
    """As of the very hour of a change, what open runs may still use is not the old award's any more."""
    hands = [bound("A", until=T + 24 * HOUR), bound("B", since=T + 24 * HOUR)]

    a, b = lines([award(), award("B"), *hands], [run(20, None, limit=10 * HOUR)], 24)

    assert [(0, 4, 0, 96, 96, 0), (0, 0, 6, 100, 94, 0)] == [figures(line) for line in (a, b)]


def test_nothing_is_committed_as_of_the_end(lines: Lines) -> None:
    """As of an award's end, all that open runs may still use comes after it."""
    (line,) = lines([award(end=T + DAY), bound()], [run(20, None, limit=10 * HOUR)], 24)

    assert (0, 4, 0, 96, 96, 0) == figures(line)


def test_a_node_class_may_change_while_a_run_goes_on(lines: Lines) -> None:
    """Shares are of the nodes as they were at each second: half as many CPUs, twice the share."""
    turn = T + 2 * HOUR
    classes = [
        NodeClass("mn5", "gpp", 0, turn, nodes="gs[1-9]", cpus=200, mem_mb=1000),
        NodeClass("mn5", "gpp", turn, nodes="gs[1-9]", cpus=100, mem_mb=1000),
    ]
    share = Policy("share", "node_hours", params='{"mode":"largest-share"}')
    rows = [run(0, 5, "cpu=50,mem=100,node=1", nodes="gs1")]

    (line,) = lines([award(unit="node-hours", policy="share"), bound(), share, *classes], rows, 6)

    assert (2, 0, 0) == figures(line)[:3]


# --------------------------------------------------------------------------------------------- node-hours


@pytest.mark.parametrize(
    ("params", "tres", "suspended", "expected"),
    [
        ("{}", ONE_GPU, 0, 4),
        ("{}", "cpu=320,gres/gpu:h100=8,mem=1,node=2", 0, 8),
        ("{}", ONE_GPU, 2 * HOUR, 4),
        ('{"suspended":false}', ONE_GPU, 2 * HOUR, 2),
        ('{"mode":"largest-share"}', "cpu=20,gres/gpu:h100=1,mem=64000,node=1", 0, 1),
        ('{"mode":"largest-share"}', "cpu=20,gres/gpu:h100=1,mem=256000,node=1", 0, 2),
        ('{"mode":"largest-share"}', "cpu=120,gres/gpu:h100=1,mem=256000,node=1", 0, 3),
        ('{"mode":"largest-share"}', "cpu=120,gres/gpu:h100=1,mem=256000,node=1", 2 * HOUR, Fraction(5, 2)),
        ('{"mode":"largest-share","suspended":false}', "cpu=120,mem=1,node=1", 2 * HOUR, Fraction(3, 2)),
    ],
)
def test_node_hours_whole_or_by_the_largest_share(
    lines: Lines, params: str, tres: str, suspended: int, expected: Fraction
) -> None:
    """Four hours: whole nodes, or the largest share of CPUs, GPUs and memory; CPUs not while suspended."""
    policy = Policy("nodes", "node_hours", params=params)

    (line,) = lines(
        [award(unit="node-hours", policy="nodes"), bound(), policy], [run(0, 4, tres, suspended=suspended)], 5
    )

    assert (expected, 0, 0) == figures(line)[:3]
    assert "node-seconds" == line.values()[0]


# ------------------------------------------------------------------------------------- what has no price


def test_what_has_no_price_is_named_and_not_guessed(books: Books) -> None:
    """Cores of unknown nodes, GPUs of unknown class, a time without a policy: charged 0, and said so."""
    items = [
        award("C", unit="core-hours", policy="cores"), bound("C", "c"), Policy("cores", "core_hours"),
        award("W", policy="weighed"), bound("W", "w"),
        Policy("weighed", "gpu_hours", params='{"weights":{"h100":"2"}}'),
        award("L", policy="late"), bound("L", "l"), Policy("late", "gpu_hours", valid_from=T + 3 * HOUR),
        award(), bound(),
    ]  # fmt: skip
    rows = [
        run(0, 2, account="c", nodes="elsewhere"), run(2, 4, account="c"),
        run(0, 2, "gres/gpu=1", account="w", nodes=None), run(2, 4, account="w"),
        run(2, 4, account="l"), run(2, 4),
    ]  # fmt: skip

    found = told(books(items, rows, 5), T + 5 * HOUR)

    assert {"A": 2, "C": 20, "L": 1, "W": 4} == {line.key: line.settled // PER_HOUR for line in found.lines}
    states = {line.key: line.state for line in found.lines}
    assert {"A": "ok", "C": "ok,unpriced", "L": "ok,unpriced", "W": "ok,unpriced"} == states
    assert (
        "award C: cores of nodes whose threads per core are unknown",
        "award L: policy late has no version in force for some of its use",
        "award W: GPUs of unknown class under a policy that weighs classes",
    ) == found.unpriced


def test_use_that_nobody_is_bound_to_is_noticed(books: Books) -> None:
    """Unattributed use is on no line, and the result says that there is some."""
    mine, other = run(0, 2), run(0, 2, account="nobody")

    assert [False, True] == [
        told(books([award(), bound()], rows, 3), T + 3 * HOUR).unattributed
        for rows in ([mine], [mine, other])
    ]


# ------------------------------------------------------------------------------------------------- states


@pytest.mark.parametrize(
    ("settled", "accrued", "thresholds", "state"),
    [
        (0, 0, (80, 95, 100), "ok"),
        (799_999, 0, (80, 95, 100), "ok"),
        (700_000, 100_000, (80, 95, 100), "threshold-80"),
        (949_999, 0, (80, 95, 100), "threshold-80"),
        (950_000, 0, (80, 95, 100), "threshold-95"),
        (0, 1_000_000, (80, 95, 100), "threshold-100"),
        (1_000_000, 1, (80, 95, 100), "over"),
        (500_000, 0, (50,), "threshold-50"),
        (1_000_000, 0, (50, 120), "threshold-50"),
        (999_999, 0, (), "ok"),
        (2_000_000, 0, (), "over"),
    ],
)
def test_states(settled: int, accrued: int, thresholds: tuple[int, ...], state: str) -> None:
    """`over` from the first micro-unit-second too many, else the highest threshold reached."""
    line = Line("A", "gpu-hours", 1_000_000, settled, accrued, thresholds=thresholds)

    assert (state, settled + accrued > 1_000_000) == (line.state, line.over)


def test_states_without_a_grant_and_with_gaps() -> None:
    """Nothing of nothing is fine, anything of nothing is over; a missing price is always told."""
    assert "ok" == Line("A", "gpu-hours").state
    assert "over" == Line("A", "gpu-hours", settled=1).state
    assert "threshold-95,unpriced" == Line("A", "gpu-hours", 100, 96, unpriced=True).state


def test_awards_tell_their_own_thresholds(lines: Lines) -> None:
    """Over quota by a run that goes on, a threshold of the award's own, and one not reached."""
    items = [
        award("A", amount=Fraction(10)), bound("A", "a"), award("B", amount=Fraction(10), thresholds=(40,)),
        bound("B", "b"), award("C", amount=Fraction(10)), bound("C", "c"),
    ]  # fmt: skip
    rows = [run(0, None, FOUR_GPUS), run(0, 4, account="b"), run(0, 4, account="c")]

    found = lines(items, rows, 4)

    assert ["over", "threshold-40", "ok"] == [line.state for line in found]
    assert Fraction(-6) == figures(found[0])[3]


# ----------------------------------------------------------------------------------------------- grouping


def test_groups_by_country_and_funder(books: Books) -> None:
    """Awards of one key and unit are added up, units never; what one does not know, the sum does not."""
    items = [
        award("A"), bound("A", "a"), award("B", project="p2", pool="ju-pool"), bound("B", "b"),
        award("C", amount=Fraction(50)), bound("C", "c"),
        award("D", project="p2", pool="ju-pool", policy="late"), bound("D", "d"),
        award("N", unit="node-hours", policy="nodes"), bound("N", "n"),
        Policy("nodes", "node_hours"), Policy("late", "gpu_hours", valid_from=T + 99 * DAY),
    ]  # fmt: skip
    rows = [
        run(0, 2), run(0, 2, account="b"), run(1, 2, account="c"), run(0, 3, account="n"),
        run(0, 2, account="d"),
        run(1, None, account="b", limit=UNLIMITED), run(1, None, account="c", limit=9 * HOUR),
    ]  # fmt: skip
    store = books(items, rows, 4)

    def grouped(by: str) -> dict[tuple[str, str], tuple[object, ...]]:
        found = told(store, T + 4 * HOUR, by).lines
        return {(line.key, line.unit): (*figures(line), line.state) for line in found}

    gpu, node, other = (
        (3, 3, 6, 144, 138, 0, "ok"), (3, 0, 0, 97, 97, 0, "ok"), (2, 3, None, 195, None, 0, "ok,unpriced"),
    )  # fmt: skip
    for by, spain, rest in (("country", "ES", "PT"), ("funder", "spain", "ju"), ("project", "p1", "p2")):
        expected = {(spain, "gpu-hours"): gpu, (spain, "node-hours"): node, (rest, "gpu-hours"): other}
        assert expected == grouped(by)


def test_a_key_that_does_not_exist_is_refused(books: Books) -> None:
    """A typo says what was meant."""
    with pytest.raises(WrongUsage, match="did you mean 'country'"):
        told(books([award()], [], 0), T, by="contry")


def test_a_charge_is_rounded_once(books: Books) -> None:
    """Thirds of a second add up before they are cut, and open and ended parts still make the whole."""
    third = Policy("gpu", "gpu_hours", params='{"weights":{"h100":"1/3"}}')
    rows = [run(0, 1)._replace(end=T + 1)] * 2 + [run(0, None)]
    store = books([award(), bound(), third], rows, 1 / 3600)

    (line,) = told(store, T + 1).lines

    assert (666_667, 333_333, 1_000_000) == (line.settled, line.accrued, line.used)


# ----------------------------------------------------------------------- a second, obvious implementation


class Charge(NamedTuple):
    """A part of a run: whose, inside or outside the award's life, of an open run or not, its price."""

    award: str
    outside: str
    going: bool
    price: Fraction


def charges(world: World, as_of: int) -> Iterator[Charge | None]:
    """Every run cut at every instant at which anything changes for anyone; None: nobody's."""
    known, attribution = world.known, Attribution(world.known)
    edges = sorted(instants(known))
    for row, shape, begin, finish in held(world):
        going = is_going(row, begin, as_of)
        length, off = finish - begin, min(row.suspended or 0, finish - begin)
        clip = min(finish, as_of)
        for c, d in pairwise([begin, *(edge for edge in edges if begin < edge < clip), max(begin, clip)]):
            if c == d:
                continue
            suspended = off * (d - begin) // length - off * (c - begin) // length
            found, outside = attribution.award_at(
                row.cluster, row.account, row.partition or "", row.qos or "", c
            )
            price = priced(known, found, shape, row.cluster, c)
            if found is None:
                yield None
            else:
                yield Charge(found.id, outside, going, price[0] * (d - c - suspended) + price[1] * suspended)


def instants(known: Consortium) -> set[int]:
    """When anything changes for anyone."""
    dated = (*known.bindings, *known.policies, *known.node_classes)
    ends = {instant for item in dated for instant in (item.valid_from, item.valid_until)}
    ends |= {instant for found in known.awards.values() for instant in (found.start, found.end)}
    return {instant for instant in ends if instant}


def held(world: World) -> Iterator[tuple[RunRecord, Shape, int, int]]:
    """Runs that hold something: with their shape, from begin to finish (or to the last look)."""
    inventory = Inventory(world.known.node_classes, expand)
    for row in world.rows:
        if row.start is None or not row.tres:
            continue
        node_class, _ = inventory.class_of(row.cluster, row.nodes, row.partition, row.start)
        shape, _ = classify(Tres.from_canonical(row.tres), node_class)
        begin = max(row.start, row.submit)
        yield row, shape, begin, max(begin, world.seen if row.end is None else row.end)


def is_going(row: RunRecord, begin: int, as_of: int) -> bool:
    """Whether a run has begun at an instant and not ended."""
    return begin < as_of and (row.end is None or max(begin, row.end) > as_of)


def priced(
    known: Consortium, found: Award | None, shape: Shape, cluster: str, at: int
) -> tuple[Fraction, Fraction]:
    """Unit-seconds per second running and suspended; what has no price costs nothing."""
    policy = known.policy_at(found.policy, at) if found else None
    rates = charge(policy, shape, known.node_class(cluster, shape.node_class, at)) if policy else Unpriced("")
    return (Fraction(0), Fraction(0)) if isinstance(rates, Unpriced) else (rates.run, rates.suspended)


def commitments(world: World, as_of: int) -> dict[str, Fraction | None]:
    """What open runs may still use, by award; None where a limit is not known."""
    known, attribution = world.known, Attribution(world.known)
    found: dict[str, Fraction | None] = defaultdict(Fraction)
    for row, shape, begin, finish in held(world):
        who, outside = attribution.award_at(
            row.cluster, row.account, row.partition or "", row.qos or "", as_of
        )
        if who is None or outside or not is_going(row, begin, as_of):
            continue
        rate = priced(known, who, shape, row.cluster, as_of)[0]
        if not rate:
            continue
        if row.limit is None or row.limit < 0 or found[who.id] is None:
            found[who.id] = None
            continue
        length, off = finish - begin, min(row.suspended or 0, finish - begin)
        passed = off * (min(finish, as_of) - begin) // length if length else 0
        assert row.start is not None
        left = max(0, row.start + row.limit + passed - as_of)
        found[who.id] += left * rate
    return found


def whole(unit_seconds: Fraction) -> int:
    """Rounded to the nearest micro-unit-second, halves up."""
    doubled = 2 * unit_seconds * 1_000_000 + 1
    return doubled.numerator // (2 * doubled.denominator)


def obvious(world: World, as_of: int) -> dict[str, tuple[int | None, ...]]:
    """Granted, settled, accrued, committed and after end, by award."""
    sums: dict[tuple[str, bool, bool], Fraction] = defaultdict(Fraction)
    for part in charges(world, as_of):
        if part is not None:
            sums[part.award, bool(part.outside), part.going] += part.price
    committed = commitments(world, as_of)
    found: dict[str, tuple[int | None, ...]] = {}
    for name in world.known.awards:
        granted = sum(e.amount for e in world.entries if e.award == name and e.at <= as_of)
        accrued = whole(sums[name, False, True])
        settled = whole(sums[name, False, False] + sums[name, False, True]) - accrued
        outside = whole(sums[name, True, False] + sums[name, True, True])
        promised = committed.get(name, Fraction(0))
        found[name] = (granted, settled, accrued, None if promised is None else whole(promised), outside)
    return found


@cache
def asked(seed: int) -> list[tuple[int, dict[str, tuple[int | None, ...]], bool]]:
    """Instants of a world, its lines then, and whether some use is nobody's; added up once for all."""
    made, chance = world(seed), random.Random(1000 + seed)
    instants_asked = [BASE + chance.randrange(-2 * DAY, 9 * DAY) for _ in range(4)] + [made.seen + 7]
    return [(at, obvious(made, at), None in charges(made, at)) for at in instants_asked]


@pytest.mark.parametrize("seed", range(3))
def test_balances_equal_the_obvious_sums(store_url: str, seed: int) -> None:
    """At any instant, facts stale or built, every award's line is what the runs add up to one by one."""
    made = world(seed)
    store = stored(store_url, made.rows, made.known, made.entries, made.seen)
    names = ("granted", "settled", "accrued", "committed", "after_end")
    for reach in (lambda: None, lambda: rebuild.run(store)):
        reach()
        for as_of, expected, unattributed in asked(seed):
            found = told(store, as_of)
            lines = {line.key: tuple(getattr(line, name) for name in names) for line in found.lines}
            assert expected == lines, as_of
            assert unattributed == found.unattributed
    store.close()


@pytest.mark.parametrize("seed", range(2))
def test_every_grouping_foots(sqlite_url: str, seed: int) -> None:
    """By whatever key, each column adds up, per unit, to what the awards add up to."""
    made = world(10 + seed)
    store = stored(sqlite_url, made.rows, made.known, made.entries, made.seen)
    as_of = BASE + 5 * DAY + 4321

    def totals(by: str) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = defaultdict(lambda: (0, 0, 0, 0, 0))
        for line in told(store, as_of, by).lines:
            values = (line.granted, line.settled, line.accrued, line.left, line.after_end)
            found[line.unit] = tuple(a + b for a, b in zip(found[line.unit], values, strict=True))
        return dict(found)

    expected = totals("award")
    assert 3 == len(expected)
    assert dict.fromkeys(KEYS, expected) == {by: totals(by) for by in KEYS}
    store.close()
