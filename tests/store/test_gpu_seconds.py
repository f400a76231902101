"""GPU-seconds counters: nothing twice, nothing lost, and never less than before."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opsd.core.period import DAY
from opsd.core.present import GPU_STATES, UNSEEN
from opsd.store import gpu_seconds, migrate
from opsd.store.engine import Store, open_engine

T, EVERY, GAP = 20_000 * DAY - 90, 60, 600
IDLE, BUSY = {("h100", "idle"): 4}, {("h100", "allocated"): 3, ("h100", "idle"): 1}
ZERO = dict.fromkeys([("h100", state) for state in (*GPU_STATES, UNSEEN)], 0)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty database of either kind."""
    made = open_engine(store_url)
    migrate.upgrade(made)
    yield made
    made.close()


def look(
    store: Store, at: int, counts: gpu_seconds.Counts, cluster: str = "mn5"
) -> dict[tuple[str, str], int]:
    """One look, in a transaction of its own."""
    with store.write() as connection:
        return gpu_seconds.look(connection, cluster, at, counts, EVERY)


def die_in_a_look(store: Store, at: int, counts: gpu_seconds.Counts) -> None:
    """Everything but the commit."""
    with contextlib.suppress(KeyboardInterrupt), store.write() as connection:
        gpu_seconds.look(connection, "mn5", at, counts, EVERY)
        raise KeyboardInterrupt


def test_what_was_seen_lasts_until_the_next_look(store: Store) -> None:
    """The first look counts nothing, but says that it will; the second what the first saw."""
    assert ZERO == look(store, T, IDLE)
    assert ZERO | {("h100", "idle"): 240} == look(store, T + 60, BUSY)
    assert ZERO | {("h100", "idle"): 240 + 30, ("h100", "allocated"): 90} == look(store, T + 90, IDLE)


def test_a_look_at_the_same_time_adds_nothing(store: Store) -> None:
    """Nor one before: a second daemon, or a clock that was set back a little."""
    look(store, T, IDLE)
    counted = look(store, T + 60, BUSY)

    assert [counted] * 3 == [look(store, T + 60, IDLE), look(store, T + 10, IDLE), look(store, T + 60, IDLE)]
    assert counted[("h100", "idle")] + 60 == look(store, T + 120, IDLE)[("h100", "idle")]  # BUSY still held


def test_time_in_which_nobody_looked_is_unseen(store: Store) -> None:
    """Ten minutes are bridged; a second more says nothing about any of them."""
    look(store, T, IDLE)
    bridged = look(store, T + GAP, IDLE)
    unseen = look(store, T + GAP + GAP + 1, IDLE)

    assert ZERO | {("h100", "idle"): 4 * GAP} == bridged
    assert bridged | {("h100", UNSEEN): 4 * (GAP + 1)} == unseen


def test_five_looks_may_be_missed() -> None:
    """Where looks are rare, longer than ten minutes are bridged."""
    assert (600, 600, 1_500) == tuple(gpu_seconds.longest_gap(interval) for interval in (60, 120, 300))


def test_classes_come_and_go(store: Store) -> None:
    """What is gone keeps its counters, which stand still; what comes begins at nothing."""
    look(store, T, IDLE)
    look(store, T + 60, {("b200", "down"): 8})
    found = look(store, T + 120, {})

    assert (240, 480) == (found["h100", "idle"], found["b200", "down"])
    assert found == look(store, T + 180, IDLE)


def test_clusters_are_counted_apart(store: Store) -> None:
    """One look says nothing of another cluster."""
    look(store, T, IDLE)
    look(store, T, BUSY, cluster="other")
    look(store, T + 60, IDLE)

    assert 180 == look(store, T + 60, BUSY, cluster="other")["h100", "allocated"]


def test_a_look_that_is_not_committed_never_was(store: Store) -> None:
    """As when the process dies in it: the seconds are counted once, by the next one."""
    look(store, T, IDLE)
    die_in_a_look(store, T + 60, BUSY)

    assert ZERO | {("h100", "idle"): 480} == look(store, T + 120, IDLE)


def test_a_mark_far_ahead_does_not_stop_the_counters(store: Store) -> None:
    """A clock that was a year ahead for a moment: from now on it is counted again."""
    look(store, T + 365 * DAY, IDLE)

    assert ZERO == look(store, T, IDLE)
    assert 240 == look(store, T + 60, IDLE)["h100", "idle"]


steps = st.tuples(
    st.one_of(st.integers(-100, 900), st.just(60)),  # from the last time to this one
    st.dictionaries(
        st.tuples(st.sampled_from(["h100", "b200"]), st.sampled_from(GPU_STATES)),
        st.integers(0, 5),
        max_size=4,
    ),
    st.sampled_from(["look", "die", "restart"]),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the databases of the property test."""
    return tmp_path_factory.mktemp("gpu-seconds")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12), st.integers(0, 2**40))
def test_counters_are_gpus_times_time(
    folder: Path, story: list[tuple[int, dict[tuple[str, str], int], str]], number: int
) -> None:
    """Whatever happens: each second once, by state or unseen, across midnight; no counter ever falls."""
    path = folder / f"{number}-{len(story)}.db"
    path.unlink(missing_ok=True)
    store = open_engine(f"sqlite:///{path}")
    migrate.upgrade(store)
    at, told, seen = T, {}, []
    for later, counts, how in story:
        at += later
        if how == "die":
            die_in_a_look(store, at, counts)
            continue
        if how == "restart":
            store.close()
            store = open_engine(f"sqlite:///{path}")
        before, told = told, look(store, at, counts)
        assert all(told[key] >= seconds for key, seconds in before.items())
        if not seen or at > seen[-1][0]:
            seen.append((at, counts))
    store.close()

    expected: Counter[tuple[str, str]] = Counter()
    for (start, counts), (end, _) in pairwise(seen):
        for _ in range(start, end):
            for (gpu_class, state), gpus in counts.items():
                expected[gpu_class, state if end - start <= GAP else UNSEEN] += gpus
    assert +expected == +Counter(told)
