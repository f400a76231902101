"""What runs really did with GPUs, in usage: against a slow and obvious implementation, and cut anyhow."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opsd.core.attribution import Attribution
from opsd.core.gpu_use import Use, share
from opsd.core.measured import Measured
from opsd.core.period import DAY, HOUR, Window
from opsd.core.records import RunRecord
from opsd.core.tres import Tres
from opsd.core.usage import spread
from opsd.pipeline import usage
from opsd.store.engine import Store
from tests.fakes.measured import of_run, store_records
from tests.pipeline.small_world import BASE, consortium, records
from tests.pipeline.test_usage import SEEN, stored

Key = tuple[str, ...]
KEY_SETS: list[Key] = [
    (), ("user", "day"), ("cluster", "partition", "qos"), ("country", "day"), ("award", "account"),
    ("pays", "uses"), ("gpu_class", "account"), ("state", "gpu_class"),
]  # fmt: skip
WINDOWS = [
    Window(BASE - 3 * DAY, BASE + 12 * DAY), Window(BASE + 4 * HOUR + 17, BASE + 2 * DAY + 5),
]  # fmt: skip


def did(chance: random.Random, run: RunRecord) -> list[Measured]:
    """Records of some runs, one per GPU: some without GPM, some of which nothing is told, some of shards."""
    gpus = Tres.from_canonical(run.tres).gpus or chance.choice((0, 0, 1))
    if run.start is None or not run.tres or chance.random() < 0.3:
        return []
    return [of_run(run, f"GPU-{run.job_id}-{number}", chance) for number in range(gpus)]


def world(url: str, seed: int) -> tuple[Store, list[RunRecord], dict[int, list[Measured]], Attribution]:
    """A database with runs, master data and records."""
    chance = random.Random(seed)
    rows, known = records(chance, 100), consortium(chance)
    found = {row.job_id: did(chance, row) for row in rows}
    store = stored(url, rows, known, SEEN)
    store_records(store, {(row.cluster, row.job_id): found[row.job_id] for row in rows})
    return store, rows, found, Attribution(known)


def use_of(one: Measured, *, is_counted: bool) -> Use:
    """The sums of one record."""
    gpm = one.gpm_ms
    parts = [one.allocated_ms, one.covered_ms]
    for told, time in (
        (one.process_ms, one.covered_ms), (one.idle_ms, one.covered_ms), (one.sm_active_ms, gpm),
        (one.tensor_active_ms, gpm), (one.energy_mj, one.covered_ms),
    ):  # fmt: skip
        parts += [told or 0, 0 if told is None else time]
    uncounted = (0, 0) if is_counted else (one.allocated_ms, one.covered_ms)
    return Use(*parts, (one.energy_mj or 0) if one.is_energy_estimated else 0, *uncounted)


def obvious(
    rows: Sequence[RunRecord], found: dict[int, list[Measured]], window: Window, keys: Key, known: Attribution
) -> dict[Key, Use]:
    """Cut every run at every hour, where every label changes that changes at all."""
    totals: dict[Key, Use] = defaultdict(Use)
    for row in rows:
        if not found[row.job_id]:
            continue
        begin = max(row.start or 0, row.submit)
        finish = max(begin, SEEN if row.end is None else row.end)
        whole = Use()
        for one in found[row.job_id]:
            whole = whole.plus(use_of(one, is_counted=Tres.from_canonical(row.tres).gpus > 0))
        a, b = max(begin, window.start), min(max(finish, begin + 1), window.end)
        for c, d in pairwise(sorted({a, b, *range(-(-a // HOUR) * HOUR, b, HOUR)}) if a < b else []):
            use = whole.part(begin, finish, c, d)
            if any(use):
                key = tuple(label(known, row, name, c) for name in keys)
                totals[key] = totals[key].plus(use)
    return dict(totals)


def label(known: Attribution, row: RunRecord, key: str, at: int) -> str:
    """One label at one instant."""
    classes = Tres.from_canonical(row.tres).typed_gpus
    gpus = Tres.from_canonical(row.tres).gpus
    local = datetime.fromtimestamp(at, UTC)
    own = {
        "cluster": row.cluster, "account": row.account, "user": row.user or "", "state": row.state,
        "partition": row.partition or "", "qos": row.qos or "", "day": f"{local:%Y-%m-%d}",
        "hour": local.replace(minute=0, second=0).isoformat(),
        "gpu_class": next(iter(classes)) if len(classes) == 1 else "unclassified" if gpus else "",
    }  # fmt: skip
    if key in own:
        return own[key]
    who = (row.cluster, row.account, row.user or "", row.partition or "", row.qos or "")
    return known.labels((key,), *who, at)[0]


def asked(store: Store, window: Window, keys: Key, as_of: int | None = None) -> dict[Key, Use]:
    """What opsd says."""
    with store.read() as connection:
        found = usage.run(connection, window, keys, with_measured=True, as_of=as_of)
    assert found.uses is not None
    assert set(found.uses) <= {row.key for row in found.rows}
    assert [row.key for row in found.rows] == sorted(row.key for row in found.rows)
    return dict(found.uses)


def test_equal_to_the_obvious(store_url: str) -> None:
    """Any keys over any window: edges inside runs, open runs, awards that move, both databases."""
    store, rows, found, known = world(store_url, 1)
    for window in WINDOWS:
        for keys in KEY_SETS:
            assert obvious(rows, found, window, keys, known) == asked(store, window, keys), (window, keys)
    for keys in (("hour",), ("uses", "hour")):
        assert obvious(rows, found, WINDOWS[-1], keys, known) == asked(store, WINDOWS[-1], keys)
    store.close()


def test_more_hours_than_looks(sqlite_url: str) -> None:
    """Where there are very many cells, runs are read once and cut: the same sums."""
    store, rows, found, known = world(sqlite_url, 4)
    window = Window(BASE - 3 * DAY, BASE + 15 * DAY)
    assert obvious(rows, found, window, ("hour",), known) == asked(store, window, ("hour",))
    store.close()


def test_parts_add_up(store_url: str) -> None:
    """Hours, days and odd pieces of a window, and every key, add up to the window's sums exactly."""
    store, *_ = world(store_url, 7)
    whole = Window(BASE - 3 * DAY, BASE + 12 * DAY)
    total = asked(store, whole, ())[()]
    for keys in KEY_SETS:
        assert total == added(asked(store, whole, keys).values())
    edges = [whole.start, BASE + 1, BASE + 7 * HOUR, BASE + DAY, BASE + 3 * DAY + 59, whole.end]
    parts = [asked(store, Window(a, b), ()).get((), Use()) for a, b in pairwise(edges)]
    assert total == added(parts)
    store.close()


def added(uses: Sequence[Use] | object) -> Use:
    """The sum."""
    total = Use()
    for use in uses:  # type: ignore[attr-defined]
        total = total.plus(use)
    return total


def test_as_of_cuts_time(sqlite_url: str) -> None:
    """What a record holds of later than the instant does not count."""
    store, *_ = world(sqlite_url, 5)
    whole, at = Window(BASE - 3 * DAY, BASE + 12 * DAY), BASE + 2 * DAY + 333
    assert asked(store, Window(whole.start, at), ()) == asked(store, whole, (), as_of=at)
    store.close()


def test_without_being_asked(sqlite_url: str) -> None:
    """Usage alone has no measures, and no row of theirs."""
    store, *_ = world(sqlite_url, 5)
    with store.read() as connection:
        found = usage.run(connection, Window(BASE, BASE + DAY), ("gpu_class",))
    assert found.uses is None
    assert all(any(row.measures) for row in found.rows)
    store.close()


@given(
    total=st.integers(0, 2**55), begin=st.integers(0, 100), length=st.integers(0, 400),
    edges=st.lists(st.integers(-50, 600), max_size=8),
)  # fmt: skip
def test_every_cut_adds_up(total: int, begin: int, length: int, edges: list[int]) -> None:
    """The parts of a total over any pieces of time are the total, and none is negative."""
    cuts = sorted({-60, *edges, 700})
    parts = [spread(total, begin, begin + length, a, b) for a, b in pairwise(cuts)]
    assert total == sum(parts)
    assert min(parts) >= 0


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 3, "0.0000"), (1, 3, "0.3333"), (1, 10**9, "0.0001"), (10**9 - 1, 10**9, "0.9999"),
     (10**9 + 1, 10**9, "1.0001"), (5, 5, "1.0000"), (5, 0, ""), (3, 2, "1.5000")],
)  # fmt: skip
def test_a_share(part: int, whole: int, text: str) -> None:
    """Four places; all and nothing are said of all and nothing alone."""
    assert text == share(part, whole)
